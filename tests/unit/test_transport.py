"""Calls over real sockets: what breaks, what is tried again, and what an error tells."""

import socket
import ssl
from types import SimpleNamespace

import pytest
import requests
from urllib3.exceptions import MaxRetryError, SSLError

from leaks import assert_leaks_no_secret
from pagerduty_stackflow import transport as transport_module
from pagerduty_stackflow.errors import ApiError, ConflictError, NotFoundError
from pagerduty_stackflow.transport import (LONGEST_WINDOW, RUN_SECONDS, USER_AGENT,
                                           OutcomeUnknownError)
from pagerduty_stackflow.clock import Clock
from scripted_server import ScriptedServer, answer, reset, silent, stalled, trickle, unread
from transport_site import PASSWORD, SECRETS, START, TOKEN, FakeClock, call, transport

HTML = answer(200, b"<html>Please wait</html>", [("Content-Type", "text/html")])
BROKEN = {
    "reset before the write": (unread(lambda *a: reset(*a)), "broke"),
    "reset after the write": (reset, "broke"),
    "slow first byte": (silent, "no answer in time"),
    "stalled body": (stalled, "no answer in time"),
    "half a body": (answer(200, b'{"a": 1', length=20, keep=False), "broke off"),
    "not JSON": (HTML, "not JSON"),
    "not UTF-8": (answer(200, b'{"a": "\xff"}'), "not JSON"),
    "nested without end": (answer(200, b"[" * 100000), "not JSON"),
    "server error": (answer(500, b'{"error": {"message": "Oops"}}'), "500: Oops"),
    "took too long": (answer(408), "408"),
    "unavailable": (answer(503, b"<html>"), "503")}
BIG = answer(200, b'"' + b"x" * 100000 + b'"', keep=False)


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return "http://127.0.0.1:%d" % listening.getsockname()[1]


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_call_that_may_be_repeated_is_tried_again(name):
    step, _ = BROKEN[name]
    clock = FakeClock()
    with ScriptedServer(step, answer(200, b'{"ok": "\xc3\xa9"}')) as server:
        assert call(transport(timeout=0.5, clock=clock), server.url) == {"ok": "\u00e9"}
    assert len(clock.naps) == 1 and 0 <= clock.naps[0] <= 2
    assert server.requests[-1].startswith("POST /path?query=")


@pytest.mark.parametrize("name", sorted(set(BROKEN) - {"reset before the write"}))
def test_a_write_that_may_have_been_done_is_not_repeated(name):
    step, words = BROKEN[name]
    clock = FakeClock()
    with ScriptedServer(step, answer(200)) as server:
        with pytest.raises(OutcomeUnknownError) as caught:
            call(transport(timeout=0.5, clock=clock), server.url, repeatable=False)
    assert words in caught.value.message and "PagerDuty POST /path" in caught.value.message
    assert caught.value.retryable and caught.value.hint and clock.naps == []
    assert len(server.requests) == server.connections == 1
    assert_leaks_no_secret(caught.value, *SECRETS)


def test_a_write_whose_connection_broke_at_once_is_made_once_at_most():
    # The reset can come while the connection is being made, and then it was surely not written.
    with ScriptedServer(BROKEN["reset before the write"][0], answer(200)) as server:
        try:
            call(transport(), server.url, repeatable=False)
            assert (len(server.requests), server.connections) == (1, 2)
        except OutcomeUnknownError as error:
            assert (server.requests, server.connections) == ([], 1)
            assert_leaks_no_secret(error, *SECRETS)


@pytest.mark.parametrize("repeatable, kind", [(True, ApiError), (False, OutcomeUnknownError)])
def test_a_body_that_never_ends_takes_no_more_than_its_time(repeatable, kind):
    with ScriptedServer(trickle) as server:
        with pytest.raises(ApiError) as caught:
            call(transport(timeout=0.3, total=0.3, clock=Clock()), server.url,
                 repeatable=repeatable)
    assert type(caught.value) is kind and "no answer in time" in caught.value.message


def test_a_refused_connection_carried_nothing_out_so_a_write_is_repeated():
    clock = FakeClock()
    with pytest.raises(ApiError) as caught:
        call(transport(clock=clock, total=20), closed_port(), repeatable=False)
    assert type(caught.value) is ApiError and caught.value.retryable
    assert "connection refused" in caught.value.message
    assert "(%d tries)" % (len(clock.naps) + 1) in caught.value.message and clock.naps
    assert_leaks_no_secret(caught.value, *SECRETS)


def test_a_connection_that_was_never_made_carried_nothing_out():
    tries = []

    def function(request, _):
        tries.append(request)
        raise requests.exceptions.ConnectTimeout(request=request)

    with pytest.raises(ApiError) as caught:
        call(transport(function=function), "http://host", repeatable=False)
    assert type(caught.value) is ApiError and len(tries) > 1
    assert_leaks_no_secret(caught.value, *SECRETS)


def test_too_many_requests_carried_nothing_out_so_a_write_is_repeated_after_the_pause():
    clock = FakeClock()
    with ScriptedServer(answer(429, headers=[("ratelimit-reset", "7")]),
                        answer(429, headers=[("Retry-After", "5")]), answer(201)) as server:
        assert call(transport(clock=clock), server.url, repeatable=False) == {}
    assert clock.naps == [7, 5] and len(server.requests) == 3


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422, 302])
def test_a_refusal_is_final(status, repeatable):
    clock = FakeClock()
    with ScriptedServer(answer(status, b'{"error": {"message": "No"}}')) as server:
        with pytest.raises(ApiError) as caught:
            call(transport(clock=clock), server.url, repeatable=repeatable)
    kind = {404: NotFoundError, 409: ConflictError}.get(status, ApiError)
    assert type(caught.value) is kind and not caught.value.retryable
    assert (caught.value.system, caught.value.status) == ("PagerDuty", status)
    assert len(server.requests) == 1 and clock.naps == []
    assert_leaks_no_secret(caught.value, *SECRETS)


@pytest.mark.parametrize("repeatable, kind", [(True, ApiError), (False, OutcomeUnknownError)])
def test_an_answer_that_is_too_long_is_not_read_to_its_end(monkeypatch, repeatable, kind):
    monkeypatch.setattr(transport_module, "MAX_BODY", 1000)
    with ScriptedServer(BIG) as server:
        with pytest.raises(ApiError) as caught:
            call(transport(), server.url, repeatable=repeatable)
    assert type(caught.value) is kind and "longer than 1000 bytes" in caught.value.message
    assert len(server.requests) == 1


def test_an_empty_answer_is_one():
    with ScriptedServer(answer(204, b"")) as server:
        assert call(transport(), server.url) is None


def test_one_connection_serves_many_calls_also_after_errors():
    with ScriptedServer(answer(200), answer(404, b'{"error": "x"}'), answer(200)) as server:
        made = transport()
        call(made, server.url)
        with pytest.raises(NotFoundError):
            call(made, server.url)
        call(made, server.url)
        assert (server.connections, len(server.requests)) == (1, 3)


def test_a_redirect_is_not_followed():
    with ScriptedServer(answer(200)) as other:
        with ScriptedServer(answer(307, headers=[("Location", other.url)])) as server:
            with pytest.raises(ApiError, match="redirects are not followed"):
                call(transport(), server.url)
        assert other.requests == []


@pytest.mark.parametrize("headers, sent", [
    ({"Authorization": "Bearer " + TOKEN}, "Bearer " + TOKEN), ({}, None)])
def test_netrc_neither_replaces_nor_adds_credentials(monkeypatch, tmp_path, headers, sent):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password %s\n" % PASSWORD)
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedServer(answer(200)) as server:
        call(transport(), server.url, headers=headers)
    head = server.requests[0].partition("\r\n\r\n")[0]
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert lines.get("Authorization") == sent
    assert lines["User-Agent"] == USER_AGENT


def answered(request, status=200, body=b"{}"):
    made = requests.Response()
    made.status_code, made.request, made.url = status, request, request.url
    made._content, made._content_consumed = body, True
    made.raw = SimpleNamespace(tell=lambda: len(body), close=lambda: None)
    return made


@pytest.mark.parametrize("bundle", [None, "/etc/ours.pem"])
def test_certificates_are_always_verified_with_the_usual_variable_for_a_bundle(monkeypatch, bundle):
    seen = []
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    if bundle:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    for name in ("PYTHONHTTPSVERIFY", "SSL_VERIFY", "VERIFY"):
        monkeypatch.setenv(name, "0")

    def function(request, options):
        seen.append(options["verify"])
        return answered(request)

    call(transport(function=function), "https://host")
    assert seen == [bundle or True]


def test_an_untrusted_certificate_is_told_at_once():
    def function(request, _):
        cause = ssl.SSLCertVerificationError("certificate verify failed")
        raise requests.exceptions.SSLError(
            MaxRetryError(None, request.url, SSLError(cause)), request=request)

    clock = FakeClock()
    with pytest.raises(ApiError) as caught:
        call(transport(function=function, clock=clock), "https://host", repeatable=False)
    assert "not trusted" in caught.value.message and "REQUESTS_CA_BUNDLE" in caught.value.hint
    assert type(caught.value) is ApiError and not caught.value.retryable and clock.naps == []
    assert_leaks_no_secret(caught.value, *SECRETS)


def test_no_tls_where_it_is_expected():
    with ScriptedServer(unread(answer(200, keep=False))) as server:
        with pytest.raises(ApiError) as caught:
            call(transport(total=1), server.url.replace("http:", "https:"))
    assert "TLS" in caught.value.message and caught.value.retryable
    assert_leaks_no_secret(caught.value, *SECRETS)


@pytest.mark.parametrize("token", [TOKEN + "\n", TOKEN + "\u2603", TOKEN + "\r\nX: y"])
def test_a_token_that_cannot_be_a_header_is_no_network_trouble(token):
    clock = FakeClock()
    with ScriptedServer(answer(200)) as server:
        with pytest.raises(ApiError) as caught:
            call(transport(clock=clock), server.url, headers={"Authorization": token})
        assert server.requests == []
    assert not caught.value.retryable and clock.naps == []
    assert "cannot be made" in caught.value.message and "key or token" in caught.value.hint
    assert_leaks_no_secret(caught.value, *SECRETS)


def test_a_bundle_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ours.pem")
    with ScriptedServer(answer(200)) as server:
        with pytest.raises(ApiError) as caught:
            call(transport(), server.url.replace("http:", "https:"))
    assert "/nowhere/ours.pem" in caught.value.message and not caught.value.retryable
    assert_leaks_no_secret(caught.value, *SECRETS)


@pytest.mark.parametrize("status", [400, 500])
def test_what_a_server_echoes_of_our_credentials_is_blotted_out(status):
    words = '{"error": "%s"}' % " ".join(SECRETS[:1] + SECRETS[3:])
    with ScriptedServer(answer(status, words.encode())) as server:
        with pytest.raises(ApiError) as caught:
            call(transport(total=1), server.url)
        assert_leaks_no_secret(caught.value, SECRETS[0], SECRETS[3])
        with pytest.raises(ApiError) as caught:
            call(transport(total=1), server.url, json=None, form={"password": PASSWORD})
    assert "***" in caught.value.message
    assert_leaks_no_secret(caught.value, PASSWORD)


@pytest.mark.parametrize("total", [0.5, 3.0, 120.0])
def test_the_budget_of_a_call_is_never_exceeded(total):
    for _ in range(20):
        clock, given = FakeClock(), []

        def function(request, options):
            given.append(options["timeout"].total)
            clock.passed += options["timeout"].total
            raise requests.exceptions.ReadTimeout(request=request)

        with pytest.raises(ApiError) as caught:
            call(transport(function=function, clock=clock, total=total), "http://host")
        assert clock.passed <= total + 1e-6 and max(given) <= 10
        assert ("(%d tries)" % len(given) in caught.value.message) == (len(given) > 1)


def test_a_wait_that_the_server_asks_for_is_not_begun_when_it_exceeds_the_budget():
    clock = FakeClock()
    with ScriptedServer(answer(429, headers=[("Retry-After", "3600")])) as server:
        with pytest.raises(ApiError) as caught:
            call(transport(clock=clock), server.url)
    assert clock.naps == [] and len(server.requests) == 1
    assert caught.value.status == 429 and caught.value.retryable


def test_a_server_that_always_says_now_is_not_hammered():
    tries = []

    def function(request, _):
        tries.append(request)
        found = answered(request, 429)
        found.headers["Retry-After"] = "0"
        return found

    with pytest.raises(ApiError):
        call(transport(function=function), "http://host")
    assert len(tries) < 100


def test_the_budget_of_a_run_bounds_all_of_its_calls():
    clock, tries = FakeClock(), []

    def function(request, options):
        tries.append(request)
        clock.passed += options["timeout"].total
        raise requests.exceptions.ReadTimeout(request=request)

    made = transport(function=function, clock=clock, total=200)
    for _ in range(10):
        with pytest.raises(ApiError) as caught:
            call(made, "http://host")
    assert clock.passed <= RUN_SECONDS + 1e-6
    before = len(tries)
    clock.passed = float(RUN_SECONDS)
    with pytest.raises(ApiError) as caught:
        call(made, "http://host")
    assert len(tries) == before and caught.value.retryable
    assert "used up" in caught.value.message


def limited(system, left, seconds):
    """An answer that says how many calls are left, and for how long."""
    if system == "PagerDuty":
        headers = [("ratelimit-remaining", str(left)), ("ratelimit-reset", str(seconds))]
    else:
        reset = START.timestamp() + seconds
        headers = [("X-RateLimit-Remaining", str(left)), ("X-RateLimit-Reset", "%d" % reset)]
    return answer(200, b"{}", headers)


@pytest.mark.parametrize("system", ["PagerDuty", "StackFlow"])
def test_a_host_whose_limit_is_used_up_is_left_alone_until_it_is_renewed(system):
    clock = FakeClock()
    made = transport(clock=clock, total=5)
    with ScriptedServer(limited(system, 1, 40), limited(system, 0, 40), answer(200),
                        answer(200)) as server, ScriptedServer(answer(200)) as other:
        for _ in range(2):
            call(made, server.url, system=system)
        assert clock.naps == []
        call(made, other.url, system=system)
        assert clock.naps == []
        for _ in range(2):
            call(made, server.url, system=system)
    assert clock.naps == [pytest.approx(41)] and made.requests == 5


def test_a_wait_for_the_limit_is_bounded_and_not_beyond_the_end_of_the_run():
    clock = FakeClock()
    made = transport(clock=clock)
    with ScriptedServer(limited("PagerDuty", 0, 9999), limited("PagerDuty", 0, 30)) as server:
        for _ in range(2):
            call(made, server.url)
        assert clock.naps == [LONGEST_WINDOW]
        clock.passed = RUN_SECONDS - 10
        call(made, server.url)
    assert clock.naps == [LONGEST_WINDOW]


@pytest.fixture
def behind(monkeypatch):
    """Make a proxy the way to every host, as the operator's variables do."""
    def set_proxy(server):
        url = server.url.replace("//", "//proxy-user:%s@" % PASSWORD)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, url)
    return set_proxy


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("status", [400, 403, 407])
def test_a_proxy_that_refuses_connect_is_asked_once(behind, status, repeatable):
    clock = FakeClock()
    with ScriptedServer(answer(status, b"<html>", keep=False)) as proxy:
        behind(proxy)
        with pytest.raises(ApiError) as caught:
            call(transport(clock=clock), "https://api.example.com", repeatable=repeatable)
    assert type(caught.value) is ApiError and not caught.value.retryable
    assert "the proxy refuses the connection: %d" % status in caught.value.message
    assert "HTTPS_PROXY" in caught.value.hint and caught.value.status is None
    assert [one.split(" ")[0] for one in proxy.requests] == ["CONNECT"] and clock.naps == []
    assert_leaks_no_secret(caught.value, *SECRETS)


@pytest.mark.parametrize("status", [502, 503])
def test_a_proxy_in_trouble_carried_nothing_out_so_a_write_is_repeated(behind, status):
    clock = FakeClock()
    with ScriptedServer(answer(status, keep=False)) as proxy:
        behind(proxy)
        with pytest.raises(ApiError) as caught:
            call(transport(clock=clock, total=20), "https://api.example.com", repeatable=False)
    assert type(caught.value) is ApiError and caught.value.retryable
    assert len(proxy.requests) == len(clock.naps) + 1 > 1


def test_a_proxy_that_asks_for_credentials_without_connect_is_named_too(behind):
    with ScriptedServer(answer(407, b"<html>")) as proxy:
        behind(proxy)
        with pytest.raises(ApiError, match=": 407 with an HTML page") as caught:
            call(transport(), "http://api.example.com")
    assert "HTTPS_PROXY" in caught.value.hint and len(proxy.requests) == 1


PAGE = b"\n<!DOCTYPE html><title>Request blocked</title>"


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_page_of_a_firewall_is_no_answer_of_the_api(status, repeatable):
    """It proves no absence, no conflict and no expired key."""
    with ScriptedServer(answer(status, PAGE, [("Content-Type", "application/json")])) as server:
        with pytest.raises(ApiError) as caught:
            call(transport(), server.url, system="StackFlow", repeatable=repeatable)
    error = caught.value
    assert (type(error), error.status, error.retryable) == (ApiError, None, False)
    assert "%d with an HTML page: the answer did not come from the API of StackFlow" % status in (
        error.message)
    assert "firewall or proxy" in error.hint and len(server.requests) == 1
