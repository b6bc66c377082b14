"""What the webhook listener takes, refuses and counts, through real sockets."""

import json
import re
import threading

import pytest

from listener_bench import (CREATED, EVENT, PAGERDUTY, PING, ROTATED, SECRET, STACKFLOW, benches,
                            eventually, sign)
from pagerduty_stackflow import listener as module
from pagerduty_stackflow.clock import Clock


@pytest.fixture
def bench(monkeypatch):
    yield from benches(monkeypatch)


def test_a_genuine_delivery_is_handed_on_and_answered_202(bench):
    one = bench()
    status, headers, body = one.genuine()
    assert (status, body) == (202, {"status": "accepted"})
    assert one.handled == [("pagerduty_event", "01EVENT", "incident.triggered")]
    assert "Server" not in headers and "Python" not in str(headers)
    assert one.post(STACKFLOW, CREATED, X_StackFlow_Signature="sha256=" + sign(CREATED))[0] == 202
    assert one.handled[1] == ("stackflow_event", "evt-1", "incident.created")
    assert one.pings == []


def test_a_ping_tells_which_secret_signed_it_and_is_handed_on_too(bench):
    one = bench()
    assert one.genuine(PING, ROTATED)[0] == 202
    assert one.pings == [2] and one.handled == [("pagerduty_event", "01PING", "pagey.ping")]


def test_the_same_delivery_twice_is_handed_on_twice(bench):
    one = bench()
    assert [one.genuine()[0] for _ in range(2)] == [202, 202]
    assert len(one.handled) == 2


class Patience(Clock):
    """Sleeps no time, and says what it was asked for and how much had been handed on by then."""

    def __init__(self, handled):
        self.handled = handled
        self.slept = []

    def sleep(self, seconds):
        self.slept.append((0 < seconds <= module.APART_SECONDS, len(self.handled)))


RESOLVED = {"event": "incident.resolved", "id": "evt-1", "timestamp": "2026-01-05T10:00:00Z",
            "incident": {"id": "INC0001234", "state": "resolved"}}


@pytest.mark.parametrize("change, held", [
    ({}, True),
    ({"id": "evt-2", "timestamp": "2026-01-05T10:00:01Z"}, True),
    ({"event": "incident.state_changed", "id": "evt-2"}, True),
    ({"incident": {"id": "INC0001235", "state": "resolved"}}, False),
    ({"incident": {"id": "INC0001234", "state": "closed"}}, False),
    ({"event": "incident.created"}, False)], ids=lambda value: str(value)[:40])
def test_what_is_told_twice_at_once_waits_for_the_run_of_the_first(bench, change, held):
    handled = []
    clock = Patience(handled)
    one = bench(handle=lambda *event: handled.append(event), clock=clock)
    for document in (RESOLVED, dict(RESOLVED, **change)):
        document["incident"] = dict(document["incident"], updated_at="2026-01-05T10:00:00Z")
        body = json.dumps(document).encode()
        assert one.post(STACKFLOW, body, x_stackflow_signature=sign(body))[0] == 202
    assert clock.slept == [(True, 1)] * held and len(handled) == 2


def test_what_comes_again_later_does_not_wait(bench, monkeypatch):
    monkeypatch.setattr(module, "APART_SECONDS", 0.0)
    clock = Patience([])
    one = bench(clock=clock)
    assert [one.genuine()[0] for _ in range(2)] == [202, 202]
    assert clock.slept == [] and len(one.listener._told) == 1


def test_a_flood_of_one_delivery_is_not_waited_for(bench, monkeypatch):
    monkeypatch.setattr(module, "HELD_LIMIT", 0)
    clock = Patience([])
    one = bench(clock=clock)
    assert [one.genuine()[0] for _ in range(2)] == [202, 202]
    assert clock.slept == [] and len(one.handled) == 2


@pytest.mark.parametrize("header", [
    None, "", "v1=xyz", "v2=" + sign(EVENT), "v1=" + sign(EVENT).upper()])
def test_a_missing_or_malformed_signature_is_401(bench, header):
    one = bench()
    headers = {} if header is None else {"x_pagerduty_signature": header}
    status, headers, _ = one.post(**headers)
    assert status == 401 and "Retry-After" not in headers
    assert one.handled == [] and one.refused() == {"signature_missing": 1}


def test_a_wrong_signature_is_503_and_nothing_is_parsed(bench, monkeypatch):
    one = bench()
    for name in (module.pagerduty, module.stackflow):
        monkeypatch.setattr(name, "parse", lambda *_: pytest.fail("parsed before it was authentic"))
    status, headers, _ = one.genuine(b"not even JSON", "some other secret")
    assert status == 503 and int(headers["Retry-After"]) > 0
    status, headers, _ = one.post(STACKFLOW, CREATED, X_StackFlow_Signature=sign(CREATED, "x"))
    assert status == 503 and int(headers["Retry-After"]) > 0
    assert one.handled == [] and one.refused() == {"signature_mismatch": 1}


def test_repeated_signature_headers_count_as_one_list(bench):
    one = bench()
    answer = one.raw(
        b"POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: %d\r\nConnection: close\r\n"
        b"X-PagerDuty-Signature: v1=%s\r\nX-PagerDuty-Signature: v1=%s\r\n\r\n%s" %
        (len(EVENT),
         sign(EVENT, "x").encode(),
         sign(EVENT).encode(),
         EVENT))
    assert answer.startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize("secrets", [(), ("",)])
def test_without_a_secret_an_endpoint_is_closed_and_the_log_says_why(bench, secrets):
    one = bench(secrets=secrets)
    for header in ("", "v1=" + sign(EVENT, "")):
        for path in (PAGERDUTY, STACKFLOW):
            status, headers, _ = one.post(
                path, x_pagerduty_signature=header, x_stackflow_signature=header)
            assert status == 503 and "Retry-After" in headers
    assert one.handled == [] and one.refused() == {"no_secret": 2}
    told = [text for text in one.messages if "no webhook secret" in text]
    assert len(told) == 2, "once for each source"


def test_a_secret_that_comes_later_opens_the_endpoint(bench):
    one = bench(secrets=())
    assert one.genuine()[0] == 503
    one.known_secrets = (SECRET,)
    assert one.genuine()[0] == 202


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\"text\"", b"[" * 5000, b"\xff"],
                         ids=["empty", "list", "half", "string", "deep", "not UTF-8"])
def test_a_genuine_body_that_is_no_json_object_is_400(bench, body):
    one = bench()
    assert one.genuine(body)[0] == 400
    assert one.handled == [] and one.refused() == {"bad_delivery": 1}


def test_a_genuine_object_without_an_event_is_handed_on(bench):
    one = bench()
    assert one.genuine(b"{}")[0] == 202
    assert one.handled[0][2] == "unknown"


@pytest.mark.parametrize("method, path, status, allowed",
                         [("GET", "/", 404, None),
                          ("POST", "/webhooks", 404, None),
                          ("GET", "/healthz/x", 404, None),
                          ("GET", PAGERDUTY, 405, "POST"),
                          ("PUT", STACKFLOW, 405, "POST"),
                          ("DELETE", PAGERDUTY, 405, "POST"),
                          ("HEAD", PAGERDUTY, 405, "POST"),
                          ("GET", "/healthz//x", 404, None),
                          ("GET", "http://hooks.example.com", 404, None),
                          ("POST", "/healthz", 405, "GET, HEAD"),
                          ("FROBNICATE", "/healthz", 405, "GET, HEAD")])
def test_other_paths_and_methods(bench, method, path, status, allowed):
    answered, headers, _ = bench().ask(method, path, b"body" if method in ("POST", "PUT") else None)
    assert (answered, headers.get("Allow")) == (status, allowed)


@pytest.mark.parametrize("base", ["", "http://hooks.example.com", "HTTPS://st2:8091"])
@pytest.mark.parametrize("end", ["", "/", "?source=proxy", "/?x=http://y/z"])
def test_a_path_is_found_in_absolute_form_and_with_a_slash_at_its_end(bench, base, end):
    one = bench()
    signature = {"X-PagerDuty-Signature": "v1=" + sign(EVENT)}
    assert one.ask("POST", base + PAGERDUTY + end, EVENT, signature)[0] == 202
    assert one.ask("GET", base + "/healthz" + end)[0] == 200
    assert len(one.handled) == 1


def test_head_of_healthz_is_answered_like_get_without_a_body(bench):
    answer = bench().raw(b"HEAD /healthz HTTP/1.1\r\n\r\n"
                         b"HEAD /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
    heads = answer.split(b"\r\n\r\n")
    assert len(heads) == 3 and heads[2] == b"", "a body came after the headers"
    for head in heads[:2]:
        assert head.startswith(b"HTTP/1.1 200 ")
        assert int(re.search(rb"Content-Length: (\d+)", head).group(1)) > 100


@pytest.mark.parametrize("error", [
    ValueError("broken"), OSError("away"), SystemExit(1), KeyboardInterrupt()])
def test_a_dispatch_that_raises_is_503_and_the_next_one_is_taken(bench, error):
    troubles = [error]

    def handle(trigger, payload):
        if troubles:
            raise troubles.pop()

    one = bench(handle=handle)
    status, headers, _ = one.genuine()
    assert status == 503 and "Retry-After" in headers and one.refused() == {"dispatch_failed": 1}
    assert one.genuine()[0] == 202
    assert type(error).__name__ in str(one.messages)


def test_secrets_that_cannot_be_told_are_503(bench):
    one = bench()
    one.known_secrets = None
    assert one.genuine()[0] == 503 and one.refused() == {"internal": 1}


def test_a_dispatch_that_hangs_is_503_in_time_and_holds_up_nobody(bench, monkeypatch):
    monkeypatch.setattr(module, "DISPATCH_SECONDS", 0.2)
    release = threading.Event()
    one = bench(handle=lambda trigger,
                payload: payload["event_type"] == "pagey.ping" or release.wait(30))
    try:
        status, headers, _ = one.genuine()
        assert status == 503 and "Retry-After" in headers and one.refused() == {"timeout": 1}
        assert one.genuine(PING)[0] == 202
        for _ in range(module.DISPATCH_LIMIT):
            assert one.genuine()[0] == 503
        assert one.genuine(PING)[0] == 503
        assert one.refused() == {"timeout": module.DISPATCH_LIMIT, "busy": 2}
        assert one.ask("GET", "/healthz")[0] == 200
    finally:
        release.set()
    eventually(lambda: one.genuine(PING)[0] == 202)


def test_a_failing_on_ping_is_503(bench):
    one = bench()
    one.on_ping = lambda number: 1 / 0
    assert one.genuine(PING)[0] == 503
    assert one.handled == [("pagerduty_event", "01PING", "pagey.ping")]


def test_health_counts_per_source(bench):
    one = bench()
    assert one.ask("GET", "/healthz")[2]["pagerduty"] == {
        "received": 0, "dispatched": 0, "refused": {}, "seconds_since_last_event": None}
    one.genuine()
    one.post()
    one.post(x_pagerduty_signature="v1=" + sign(b"other"))
    status, headers, health = one.ask("GET", "/healthz")
    assert (status, health["status"], headers["Content-Type"]) == (200, "ok", "application/json")
    assert health["started_at"].endswith("Z") and "error" not in health
    assert health["pagerduty"].pop("seconds_since_last_event") >= 0
    assert health["pagerduty"] == {"received": 3, "dispatched": 1,
                                   "refused": {"signature_missing": 1, "signature_mismatch": 1}}
    assert health["stackflow"]["received"] == 0
    assert SECRET not in str(health)


def test_with_an_unusable_config_deliveries_are_503_and_health_says_why(bench):
    one = bench(config_error="pagerduty.subdomain: is missing: give it")
    status, headers, _ = one.genuine()
    assert status == 503 and "Retry-After" in headers
    status, _, health = one.ask("GET", "/healthz")
    assert (status, health["status"]) == (200, "config_error")
    assert health["error"] == "pagerduty.subdomain: is missing: give it"


def test_many_deliveries_at_once_are_all_taken(bench):
    one = bench()
    statuses = []
    clients = [threading.Thread(target=lambda: statuses.append(one.genuine()[0]))
               for _ in range(40)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(30)
    assert statuses == [202] * 40 and len(one.handled) == 40
    assert one.listener.health()["pagerduty"]["dispatched"] == 40


def test_no_log_holds_a_secret_or_a_signature(bench):
    one = bench()
    one.genuine(secret="wrong")
    one.post(x_pagerduty_signature="v1=hello")
    one.post(STACKFLOW, X_StackFlow_Signature=SECRET)
    told = "\n".join(one.messages)
    assert "401" in told and "503" in told
    for text in (SECRET, ROTATED, "v1=hello", sign(EVENT, "wrong")):
        assert text not in told
