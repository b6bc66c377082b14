"""The Events API client: what it sends, what it has to cut, and what it refuses to send."""

import json

import pytest

from leaks import assert_leaks_no_secret
from pagerduty_stackflow.diagnosis import EVENTS_NOT_REACHING
from pagerduty_stackflow.errors import ApiError, CredentialsError, RoutingKeyError
from pagerduty_stackflow.incidents import DEDUP_KEY_LIMIT, dedup_key
from pagerduty_stackflow.pagerduty.events import (
    EVENT_LIMIT, RECOPY, SUMMARY_LIMIT, EventsClient, check_routing_key, fingerprint)
from world import World

KEY = dedup_key("acme.stackflow.example", "INC0001234")


@pytest.fixture
def world():
    return World()


def events(world):
    return EventsClient(world.settings, world.transport())


def sent(world):
    request = world.pagerduty.requests[-1]
    assert (request.method, request.path, request.query) == ("POST", "/v2/enqueue", [])
    assert request.headers["content-type"] == "application/json"
    assert not {"authorization", "from"} & set(request.headers)
    assert len(request.body) <= EVENT_LIMIT
    return request.json()


def trigger(world, summary="Disk full", **optional):
    warnings = events(world).trigger(world.api_key, KEY, summary, "acme", "error", **optional)
    return warnings, sent(world)


def test_a_trigger_is_what_the_documentation_prints(world):
    links = [{"href": "https://acme.stackflow.example/incidents/INC0001234", "text": "INC0001234"}]
    warnings, body = trigger(
        world, timestamp="2026-01-05T10:00:00.000000Z", component="CI0000789", group="Ops",
        custom_details={"number": "INC0001234"}, client="StackFlow", links=links,
        client_url=links[0]["href"], **{"class": "database"})
    assert warnings == []
    assert body == {
        "routing_key": world.api_key, "event_action": "trigger", "dedup_key": KEY,
        "client": "StackFlow", "client_url": links[0]["href"], "links": links,
        "payload": {"summary": "Disk full", "source": "acme", "severity": "error",
                    "timestamp": "2026-01-05T10:00:00.000000Z", "component": "CI0000789",
                    "group": "Ops", "class": "database",
                    "custom_details": {"number": "INC0001234"}}}


def test_what_is_absent_is_left_out(world):
    assert trigger(world, timestamp=None, group="", custom_details={}, links=[])[1] == {
        "routing_key": world.api_key, "event_action": "trigger", "dedup_key": KEY,
        "payload": {"summary": "Disk full", "source": "acme", "severity": "error"}}


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_acknowledge_and_resolve_carry_the_keys_alone(world, action):
    getattr(events(world), action)(world.api_key, KEY)
    assert sent(world) == {"routing_key": world.api_key, "event_action": action, "dedup_key": KEY}


def test_a_lost_answer_is_sent_again_and_opens_one_incident(world):
    for kind in ("drop_answer", "reset", "half_body", "not_json"):
        world.pagerduty.faults.add("/v2/enqueue", kind)
    trigger(world)
    world.run(1)
    assert len(world.pagerduty.requests) == 5 and len(world.pagerduty.incidents(KEY)) == 1


@pytest.mark.parametrize("length", [SUMMARY_LIMIT - 1, SUMMARY_LIMIT])
def test_a_summary_within_the_limit_is_whole(world, length):
    warnings, body = trigger(world, "\u00e9" * length)
    assert (warnings, body["payload"]["summary"]) == ([], "\u00e9" * length)


def test_what_is_cut_of_a_summary_is_counted(world):
    warnings, body = trigger(world, "  " + "x" * (SUMMARY_LIMIT + 9) + "\n")
    summary = body["payload"]["summary"]
    assert len(summary) == SUMMARY_LIMIT and summary == "x" * (SUMMARY_LIMIT - 1) + "\u2026"
    assert warnings == ["summary cut by 10 characters to 1024"]


@pytest.mark.parametrize("summary", ["", " \n", "\u00a0"])
def test_a_blank_summary_gets_words(world, summary):
    assert trigger(world, summary)[1]["payload"]["summary"] == "(no summary)"


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f525", '"', "\\"])
def test_a_detail_that_is_too_long_is_cut_and_counted(world, letter):
    text = letter * (EVENT_LIMIT + 5)
    given = {"description": text, "number": "INC0001234"}
    warnings, body = trigger(world, custom_details=given)
    details = body["payload"]["custom_details"]
    kept = len(details["description"]) - 1
    assert details["description"] == letter * kept + "\u2026" and details["number"] == "INC0001234"
    assert warnings == ["custom detail 'description' cut by %d characters" % (len(text) - kept)]
    assert given["description"] == text
    world.run(1)
    assert len(world.pagerduty.incidents(KEY)) == 1


LETTERS = ["x", "\u00e9", "\u4e2d", "\U0001f525", '"', "\\", "\n"]


@pytest.mark.parametrize("letter", LETTERS)
def test_no_more_of_a_detail_is_cut_than_needed(world, letter):
    """Letters outside ASCII take 6 or 12 bytes each, and the limit is in bytes."""
    trigger(world, custom_details={"description": letter * EVENT_LIMIT, "number": "INC0001234"})
    assert len(world.pagerduty.requests[-1].body) > EVENT_LIMIT - 64
    size = len(json.dumps(letter)) - 2
    _, body = trigger(world, custom_details={"description": letter * (EVENT_LIMIT // size - 1024)})
    assert "\u2026" not in body["payload"]["custom_details"]["description"]


def test_several_long_details_and_such_that_are_no_text(world):
    rows = [['"quoted"'] * 1000] * 40
    details = {"a": "x" * EVENT_LIMIT, "b": rows, "c": {"deep": rows}, "number": 1}
    warnings, body = trigger(world, custom_details=details)
    assert [warning.split("'")[1] for warning in warnings] == ["c", "b", "a"]
    assert body["payload"]["custom_details"]["number"] == 1


def test_a_long_dedup_key_counts_towards_the_size(world):
    key = "\U0001f525" * DEDUP_KEY_LIMIT
    events(world).trigger(world.api_key, key, "x", "acme", "error",
                          custom_details={"a": "x" * EVENT_LIMIT})
    assert sent(world)["dedup_key"] == key


@pytest.mark.parametrize("key, words", [
    ("r" * 20, "REST API key"), ("u+0123456789abcdef_-", "REST API key"),
    ("", "0 characters"), ("k" * 31, "31 characters"), ("k" * 33, "33 characters"),
    ("k" * 32 + "\n", "33 characters"), ("0123456789abcdef-123456789abcdef", "others than letters"),
    ("\u0660" * 32, "others than letters"), ("abc123def456...", "15 characters")])
@pytest.mark.parametrize("action", ["trigger", "acknowledge", "resolve"])
def test_a_key_that_cannot_be_an_integration_key_is_refused_unsent(world, key, words, action):
    more = ("x", "acme", "error") if action == "trigger" else ()
    with pytest.raises(CredentialsError) as caught:
        getattr(events(world), action)(key, KEY, *more)
    assert words in caught.value.message and "Integration Key" in caught.value.hint
    assert world.pagerduty.requests == []
    if key:
        assert_leaks_no_secret(caught.value, key.strip(), key[:8])


def test_the_place_of_a_wrong_key_is_named():
    with pytest.raises(CredentialsError, match=r"service_mapping\[1\]\.integration_key holds 20"):
        check_routing_key("k" * 20, "service_mapping[1].integration_key")
    check_routing_key("0123456789abcdefghijklmnopQRSTUV", "anywhere")


def test_a_refusal_quotes_the_server_and_not_the_key(world):
    world.pagerduty.faults.add("/v2/enqueue", status=400, body={
        "status": "invalid event", "message": "Event object is invalid",
        "errors": ["Invalid routing key %s" % world.api_key]})
    with pytest.raises(ApiError) as caught:
        trigger(world)
    assert "400: Event object is invalid: Invalid routing key ***" in caught.value.message
    assert not caught.value.retryable
    assert_leaks_no_secret(caught.value, world.api_key, KEY)


@pytest.mark.parametrize("said", [
    {"errors": ["Invalid routing key"]}, {"errors": "invalid routing_key"},
    {"message": "Event object is invalid", "errors": ["'routing_key' is not known"]}])
@pytest.mark.parametrize("action", ["trigger", "acknowledge", "resolve"])
def test_the_key_of_a_deleted_integration_is_an_error_of_its_own(world, said, action):
    world.pagerduty.faults.add("/v2/enqueue", status=400, body=dict(said, status="invalid event"))
    more = ("x", "acme", "error") if action == "trigger" else ()
    with pytest.raises(RoutingKeyError) as caught:
        getattr(events(world), action)(world.api_key, KEY, *more)
    assert (caught.value.kind, caught.value.status) == ("routing_key", 400)
    assert caught.value.hint == RECOPY and RECOPY in EVENTS_NOT_REACHING[0]
    assert not caught.value.retryable and len(world.pagerduty.requests) == 1
    assert_leaks_no_secret(caught.value, world.api_key)


@pytest.mark.parametrize("status, words", [(400, "'summary' is too long"), (403, "routing key")])
def test_other_refusals_do_not_blame_the_key(world, status, words):
    world.pagerduty.faults.add("/v2/enqueue", status=status, body={"errors": [words]})
    with pytest.raises(ApiError) as caught:
        trigger(world)
    assert type(caught.value) is ApiError


def test_the_rate_limit_is_waited_for(world):
    world.pagerduty.switches.events_limit = 1
    before = world.clock.now()
    trigger(world)
    trigger(world)
    assert (world.clock.now() - before).total_seconds() >= 59


def test_a_fingerprint_tells_keys_apart_and_holds_nothing_of_them(world):
    made = fingerprint(world.api_key)
    assert made == fingerprint(world.api_key) != fingerprint(world.database_key)
    assert len(made) == 16 and not any(
        world.api_key[at:at + 6] in json.dumps(made) for at in range(27))
