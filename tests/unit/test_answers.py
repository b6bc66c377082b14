"""What an HTTP answer means: the one table of retries, how long to wait, whose words an error has.
"""

from datetime import timedelta
from email.utils import format_datetime

import pytest
from requests.structures import CaseInsensitiveDict

from leaks import assert_leaks_no_secret
from pagerduty_stackflow.answers import (error_of, may_retry, pause, pause_before_next,
                                         server_message)
from pagerduty_stackflow.errors import ApiError, ConflictError, NotFoundError
from transport_site import START

NOW = START.timestamp()


def test_the_table_of_retries_walked_over_every_status():
    again = {408, 429} | set(range(500, 600))
    for status in range(100, 600):
        assert may_retry(status) == (status in again), status
        for system in ("PagerDuty", "StackFlow"):
            error = error_of(system, "GET /x", status, None)
            assert error.retryable == (status in again), status
            assert error.status == status and str(status) in error.message
            kind = {404: NotFoundError, 409: ConflictError}.get(status, ApiError)
            assert type(error) is kind, status
            assert error.hint


@pytest.mark.parametrize("headers, wait", [
    ({"ratelimit-reset": "7"}, 7), ({"Ratelimit-Reset": " 7.5 "}, 7.5),
    ({"Retry-After": "23"}, 23),
    ({"retry-after": format_datetime(START + timedelta(seconds=90), usegmt=True)}, 90),
    ({"Retry-After": "Mon, 05 Jan 2026 10:00:30"}, 30),
    ({"X-RateLimit-Reset": str(NOW + 12)}, 12),
    ({"ratelimit-reset": "7", "Retry-After": "23"}, 7),
    ({"X-RateLimit-Reset": str(NOW + 12), "Retry-After": "23"}, 23),
    ({"ratelimit-reset": "soon", "Retry-After": "later", "X-RateLimit-Reset": str(NOW + 3)}, 3)])
def test_the_server_says_how_long_to_wait(headers, wait):
    assert pause(429, CaseInsensitiveDict(headers), NOW) == pytest.approx(wait)


@pytest.mark.parametrize("name", ["ratelimit-reset", "Retry-After", "X-RateLimit-Reset"])
@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "-inf", "1e999", "-5", "0", "\u00b2",
                                   "Mon, 32 Foo 2026 99:99:99 GMT", "{}", "1;2", "0x10"])
def test_nonsense_and_no_wait_at_all_leave_it_to_the_backoff(name, value):
    assert pause(429, {name: value}, NOW) is None


def test_a_time_that_is_past_is_no_wait():
    past = format_datetime(START - timedelta(seconds=90), usegmt=True)
    assert pause(429, {"Retry-After": past}, NOW) is None
    assert pause(429, {"X-RateLimit-Reset": str(NOW - 1)}, NOW) is None
    assert pause(429, {}, NOW) is None


@pytest.mark.parametrize("headers, wait", [
    ({"ratelimit-remaining": "0", "ratelimit-reset": "7"}, 8),
    ({"RateLimit-Remaining": "0", "RateLimit-Reset": "0"}, 1),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(NOW + 12)}, 13),
    ({"ratelimit-remaining": "1", "ratelimit-reset": "7"}, None),
    ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": str(NOW + 12)}, None),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(NOW - 1)}, None),
    ({"ratelimit-remaining": "0"}, None), ({"X-RateLimit-Remaining": "0"}, None),
    ({"ratelimit-remaining": "none", "ratelimit-reset": "7"}, None),
    ({"ratelimit-remaining": "0", "ratelimit-reset": "soon"}, None), ({}, None)])
def test_a_limit_that_is_used_up_says_how_long_to_wait_before_the_next_call(headers, wait):
    assert pause_before_next(CaseInsensitiveDict(headers), NOW) == (wait and pytest.approx(wait))


def test_the_state_of_the_rate_limit_does_not_delay_after_other_failures():
    headers = {"ratelimit-reset": "55", "X-RateLimit-Reset": str(NOW + 55)}
    assert pause(503, headers, NOW) is None
    assert pause(503, dict(headers, **{"Retry-After": "4"}), NOW) == 4


@pytest.mark.parametrize("body, words, code", [
    # PagerDuty REST, Errors: an object, with errors missing, a list, a string, an object of lists
    ({"error": {"message": "Not Found", "code": 2100}}, "Not Found", 2100),
    ({"error": {"message": "Invalid", "code": 2001, "errors": ["a is bad", "b too"]}},
     "Invalid: a is bad; b too", 2001),
    ({"error": {"message": "Invalid", "code": 2001, "errors": "a is bad"}},
     "Invalid: a is bad", 2001),
    ({"error": {"message": "Invalid", "errors": {"url": ["is bad", "is long"], "x": []}}},
     "Invalid: url: is bad; is long", None),
    ({"error": {"errors": [{"field": "a"}]}}, "field: a", None),
    ({"error": "Because this request was made using an account-level token"},
     "Because this request was made using an account-level token", None),
    ({"error": ["first", "second"]}, "first; second", None),
    # PagerDuty Events
    ({"status": "invalid event", "message": "Event object is invalid", "errors": ["too long"]},
     "Event object is invalid: too long", None),
    # StackFlow, both shapes
    ({"error": "Incident not found", "code": "NOT_FOUND", "requestId": "7f3a"},
     "Incident not found", "NOT_FOUND"),
    ({"error": {"code": "INTERNAL", "message": "Unexpected", "request_id": "7f3b",
                "timestamp": "2026-05-18T14:23:11Z"}}, "Unexpected", "INTERNAL"),
    # gateways and nonsense
    ({"message": "Forbidden"}, "Forbidden", None), ({"error": None}, "", None), ({}, "", None),
    ({"error": {"message": None, "code": None}}, "", None), ({"error": 7}, "7", None),
    ({"error": {"message": "a\n  b\tc", "code": {"x": 1}}}, "a b c", None),
    ({"error": "x", "code": "c" * 61}, "x", None), (None, "", None), ([], "", None),
    ("text", "", None), (7, "", None)])
def test_every_shape_of_an_error(body, words, code):
    assert server_message(body) == (words, code)
    message = error_of("PagerDuty", "PagerDuty GET /x", 500, body).message
    assert message.startswith("PagerDuty GET /x: 500") and words in message


def test_what_the_server_says_is_shortened_and_never_endless():
    nested = []
    for _ in range(900):
        nested = [nested]
    assert server_message({"error": nested}) == ("", None)
    assert len(error_of("StackFlow", "x", 400, {"error": "word " * 1000}).message) < 400


def test_credentials_that_a_gateway_echoes_are_blotted_out():
    secret = "0123456789" * 4
    body = {"error": {"message": "Invalid key=value pair in Authorization: Bearer %s." % secret,
                      "errors": [secret + secret], "code": secret}}
    error = error_of("StackFlow", "StackFlow GET /x", 403, body, [secret])
    assert "Invalid key=value pair" in error.message
    assert_leaks_no_secret(error, secret)


@pytest.mark.parametrize("code", [1001, 1002, 1005, 1006, 1011, 1012, 1019])
def test_codes_that_say_that_somebody_else_was_faster(code):
    error = error_of("PagerDuty", "x", 400, {"error": {"message": "m", "code": code}})
    assert type(error) is ConflictError and error.code == code
    assert "somebody else was faster" in error.hint
    assert type(error_of("StackFlow", "x", 400, {"error": "m", "code": code})) is ApiError


@pytest.mark.parametrize("code", [2100, 5001])
def test_codes_that_say_that_there_is_no_such_incident(code):
    error = error_of("PagerDuty", "x", 400, {"error": {"message": "m", "code": code}})
    assert type(error) is NotFoundError and "check the id" in error.hint


def test_a_redirect_names_what_to_set():
    error = error_of("StackFlow", "x", 302, None)
    assert "not followed" in error.message and "base URL of StackFlow" in error.hint
