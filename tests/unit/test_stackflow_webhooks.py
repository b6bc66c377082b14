"""StackFlow's proofs and bodies: every form that the vendor's pages suggest, and what changed."""

import hashlib
import hmac
import json
import os

import pytest
import yaml

from config_samples import changed, replaced
from dev.local_stackstorm.schemas import validate
from pagerduty_stackflow.deliveries import BadDelivery, SignatureMismatch, SignatureMissing
from pagerduty_stackflow.settings import load
from pagerduty_stackflow.stackflow.records import canonical_record
from pagerduty_stackflow.stackflow.webhooks import event_of, parse, verify

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECRET = "not a secret" * 4
SETTINGS = load(changed(
    ("stackflow.webhook_secrets", [SECRET]),
    ("stackflow.states", {"pending_vendor": "Waiting4Vendor", "new": "OPEN"}))).stackflow
SHARED = replaced(SETTINGS, webhook_auth="shared_secret")
AT = "2026-01-05T10:00:00Z"
RECORD = {"id": "INC0001234", "number": "INC0001234", "short_description": "Database timeout",
          "priority": "P2", "state": "in_progress", "category": "database",
          "assignment_group": "Platform Engineering", "assigned_to": "jane@example.com",
          "created_at": "2026-01-05T09:00:00Z", "updated_at": "2026-01-05T09:59:59Z",
          "tags": ["a", 1]}
CHANGES = ("incident.assigned", "incident.state_changed",
           "incident.priority_changed", "incident.resolved", "incident.acknowledged")
DONE = ("resolved", "closed", "cancelled")

with open(os.path.join(ROOT, "sensors", "webhook_sensor.yaml"), encoding="utf-8") as metadata:
    SCHEMAS = {kind["name"]: kind["payload_schema"]
               for kind in yaml.safe_load(metadata)["trigger_types"]}


def sign(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def checked(trigger, payload):
    """The payload fits the trigger's schema, and a database can hold it."""
    validate(payload, SCHEMAS[trigger])
    json.dumps(payload, allow_nan=False, ensure_ascii=False).encode("utf-8")
    return trigger, payload


def parsed(document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return checked(*parse(body, SETTINGS))


def event(name, previous=None, at=AT, **fields):
    """The payload of an event on RECORD with some fields changed; `previous` beside the record."""
    document = {"event": name, "timestamp": at, "id": "evt-1", "incident": dict(RECORD, **fields)}
    if previous is not None:
        document["previous"] = previous
    return parsed(document)[1]


@pytest.mark.parametrize("prefix", ["", "sha256=", "v1="])
def test_a_signature_is_hex_with_or_without_a_prefix(prefix):
    body = "{\"short_description\": \"Stra\u00dfe\"}".encode()
    headers = {"x-stackflow-signature": prefix + sign(body)}
    assert verify(body, headers, SETTINGS) == 1
    assert verify(body, headers, SETTINGS, ["other", SECRET]) == 2
    with pytest.raises(SignatureMismatch):
        verify(body.replace(b" ", b""), headers, SETTINGS)
    with pytest.raises(SignatureMismatch):
        verify(body, headers, SETTINGS, ["other"])


@pytest.mark.parametrize("header",
                         [None, "", "sha256=", "sha1={right}", "SHA256={right}", "{upper}",
                          "v2={right}", "sha256=v1={right}", "xyz", "{right}ff"])
def test_a_malformed_signature(header):
    right = sign(b"{}")
    headers = {} if header is None else {
        "X-StackFlow-Signature": header.format(right=right, upper=right.upper())}
    with pytest.raises(SignatureMissing):
        verify(b"{}", headers, SETTINGS)


def test_header_names_are_configurable_and_compared_without_case():
    settings = replaced(SETTINGS, webhook_signature_header="X-Proof",
                        webhook_shared_secret_header="X-Pass")
    assert verify(b"{}", {"x-PROOF": sign(b"{}")}, settings) == 1
    shared = replaced(settings, webhook_auth="shared_secret")
    assert verify(b"{}", {"x-pass": SECRET}, shared) == 1
    with pytest.raises(SignatureMissing):
        verify(b"{}", {"X-StackFlow-Secret": SECRET}, shared)


def test_a_shared_secret():
    assert verify(b"{}", {"X-StackFlow-Secret": SECRET}, SHARED) == 1
    with pytest.raises(SignatureMismatch):
        verify(b"{}", {"X-StackFlow-Secret": SECRET + "x"}, SHARED)
    for headers in ({}, {"X-StackFlow-Secret": ""}, {"X-StackFlow-Signature": sign(b"{}")}):
        with pytest.raises(SignatureMissing):
            verify(b"{}", headers, SHARED)


def test_each_way_of_proof_closes_the_other():
    with pytest.raises(SignatureMissing):
        verify(b"{}", {"X-StackFlow-Secret": SECRET}, SETTINGS)


def test_a_shared_secret_beyond_ascii_and_an_empty_one():
    sent = "gehe\u00efm \u2603".encode().decode("latin-1")  # as a server reads a header's bytes
    assert verify(b"{}", {"X-StackFlow-Secret": sent}, SHARED, ["", "gehe\u00efm \u2603"]) == 2
    with pytest.raises(SignatureMismatch):
        verify(b"{}", {"X-StackFlow-Secret": " "}, SHARED, [""])
    with pytest.raises(SignatureMismatch):
        verify(b"{}", {"X-StackFlow-Signature": sign(b"{}", "")}, SETTINGS, [""])


def forms():
    for name_key in ("event", "event_type", "detail-type"):
        for time_key in ("timestamp", "time", "occurred_at"):
            for id_key in ("id", "event_id"):
                yield name_key, time_key, id_key


@pytest.mark.parametrize("name_key, time_key, id_key", list(forms()))
@pytest.mark.parametrize("place",
                         ["incident", "data.incident", "data", "detail.incident", "detail"])
@pytest.mark.parametrize("beside", ["top", "data", "record"])
def test_every_form_of_the_envelope(name_key, time_key, id_key, place, beside):
    document = {name_key: "incident.comment_added", time_key: AT, id_key: "evt-1"}
    *way, last = place.split(".")
    at = document
    for name in way:
        at = at.setdefault(name, {})
    at[last] = dict(RECORD)
    extras = {"previous": {"priority": "P3"}, "note": {
        "id": "N1", "text": "On it", "author": "jane"}}
    target = {"top": document, "record": at}.get(beside)
    (document.setdefault("data", {}) if target is None else target).update(extras)
    trigger, payload = parsed(document)
    assert trigger == "stackflow_event"
    assert payload == {
        "event_id": "evt-1", "event_type": "incident.comment_added", "occurred_at": AT,
        "received_by": "webhook", "incident": RECORD, "assigned_to_person": False,
        "previous": {"priority": "P3"}, "note": {"id": "N1", "text": "On it", "author": "jane"}}


def test_an_event_without_id_gets_a_hash_of_its_body():
    body = json.dumps({"event": "incident.created", "incident": RECORD}).encode()
    assert parsed(body)[1]["event_id"] == "sha256:" + hashlib.sha256(body).hexdigest()
    named = json.dumps({"event": "incident.created",
                       "id": "INC0001234", "incident": RECORD}).encode()
    assert parsed(named)[1]["event_id"] == "sha256:" + hashlib.sha256(named).hexdigest()


def test_references_may_be_objects_and_number_and_id_fill_each_other():
    group, person = {"id": "g1", "name": "Ops"}, {"name": "Jane", "email": "jane@example.com"}
    payload = parsed({"event": "incident.created", "data": {
        "id": "INC1", "assignment_group": group, "assigned_to": person,
        "priority": {"name": "P1"}}})[1]
    assert payload["incident"] == {
        "id": "INC1", "number": "INC1", "assignment_group": "Ops", "priority": "P1",
        "assigned_to": "jane@example.com"}
    assert canonical_record({"number": 7, "assigned_to": {"id": "u1"}}, SETTINGS.states) == {
        "id": "7", "number": "7", "assigned_to": "u1"}
    odd = {"number": ["x"], "id": "INC2", "assigned_to": " "}
    assert canonical_record(odd, SETTINGS.states) == {
        "id": "INC2", "number": "INC2", "assigned_to": None}


@pytest.mark.parametrize("spelling, state", [
    ("OPEN", "new"), ("open", "new"), ("Waiting4Vendor", "pending_vendor"),
    ("In Progress", "in_progress"), ("Pending Customer", "pending_customer"),
    ("on-hold", "on_hold"), ("Canceled", "cancelled"), ("RESOLVED", "resolved"),
    ("Sleeping", "Sleeping"), ("", None), ([], None)])
def test_states_become_canonical(spelling, state):
    assert event("incident.created", state=spelling)["incident"]["state"] == state


def test_updated_at_is_the_events_time_where_the_record_has_none():
    assert event("incident.created")["incident"]["updated_at"] == RECORD["updated_at"]
    assert event("incident.created", updated_at=None)["incident"]["updated_at"] == AT
    assert event("incident.created", at=None)["occurred_at"] == RECORD["updated_at"]


@pytest.mark.parametrize("stamp, expected", [
    (1767607200, "2026-01-05T10:00:00.000000Z"), (1767607200500, "2026-01-05T10:00:00.500000Z"),
    ("yesterday", "yesterday"), (1e300, None), (True, None), ([], None)])
def test_forms_of_a_time(stamp, expected):
    assert event("incident.created", at=stamp, updated_at="")["occurred_at"] == expected


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("state", DONE)
@pytest.mark.parametrize("before", ["new", "in_progress", "resolved"])
def test_a_change_into_a_done_state_is_resolved(name, state, before):
    if before != state:
        payload = event(name, {"state": before, "assigned_to": "x",
                        "assignment_group": "y"}, state=state)
        assert payload["event_type"] == "incident.resolved"


@pytest.mark.parametrize("name", sorted(set(CHANGES) - {"incident.resolved"}))
@pytest.mark.parametrize("before", DONE)
def test_a_change_out_of_a_done_state_is_reopened(name, before):
    payload = event(name, {"state": before.upper(), "assignment_group": "y"}, state="In Progress")
    assert payload["event_type"] == "incident.reopened"
    assert payload["incident"]["reopened_at"] == AT
    kept = event(name, {"state": before}, reopened_at="2026-01-05T09:58:00Z")
    assert kept["incident"]["reopened_at"] == "2026-01-05T09:58:00Z"


@pytest.mark.parametrize("name, previous, fields, expected, person", [
    # the group, also when a person changed with it
    ("incident.assigned", {"assignment_group": "Old"}, {}, "regrouped", False),
    ("incident.assigned", {"assignment_group": "Old", "assigned_to": None}, {}, "regrouped", True),
    ("incident.state_changed", {"assignment_group": "Old", "state": "new"}, {}, "regrouped", False),
    # a person alone
    ("incident.assigned", {"assignment_group": "Platform Engineering", "assigned_to": None}, {},
     "assigned", True),
    ("incident.assigned", {"assigned_to": None}, {}, "assigned", True),
    ("incident.assigned", {"assigned_to": {"email": "joe@example.com"}}, {}, "assigned", True),
    ("incident.assigned", {"assigned_to": "jane@example.com"}, {}, "assigned", False),
    ("incident.assigned", {"assigned_to": "joe@example.com"},
     {"assigned_to": ""}, "assigned", False),
    ("incident.state_changed", {"assigned_to": None, "state": "new"}, {}, "assigned", True),
    ("incident.acknowledged", {"assigned_to": None}, {}, "assigned", True),
    # without earlier values only the name tells
    ("incident.assigned", None, {}, "assigned", True),
    ("incident.assigned", {}, {}, "assigned", True),
    ("incident.assigned", None, {"assigned_to": None}, "regrouped", False),
    ("incident.assigned", None, {"assigned_to": None, "assignment_group": None}, "assigned", False),
    ("incident.assigned", {"priority": "P3"}, {}, "assigned", False),
    # every other change of state
    ("incident.state_changed", {"state": "new"}, {}, "state_changed", False),
    ("incident.state_changed", None, {}, "state_changed", False),
    ("incident.acknowledged", None, {}, "state_changed", False),
    ("incident.assigned", {"state": "new"}, {}, "state_changed", False),
    ("incident.state_changed", {"state": "resolved"},
     {"state": "resolved"}, "state_changed", False),
    # into done, by the record or by the name
    ("incident.state_changed", None, {"state": "closed"}, "resolved", False),
    ("incident.resolved", None, {}, "resolved", False),
    ("incident.resolved", {"state": "resolved"}, {"state": "new"}, "resolved", False),
    ("incident.assigned", None, {"state": "closed"}, "assigned", True),
    # priorities keep their name unless the state says more
    ("incident.priority_changed", {"priority": "P4"}, {}, "priority_changed", False),
    ("incident.priority_changed", {"priority": "P4",
     "assignment_group": "Old"}, {}, "priority_changed", False),
    ("incident.priority_changed", None, {"state": "resolved"}, "priority_changed", False),
    # what is no change of the record keeps its name
    ("incident.created", None, {}, "created", True),
    ("incident.created", None, {"assigned_to": None}, "created", False),
    ("incident.comment_added", {"state": "resolved"}, {}, "comment_added", False),
    ("incident.archived", {"state": "resolved"}, {}, "archived", False),
    ("Incident.Created", None, {}, "created", True),
])
def test_one_delivery_gives_one_trigger(name, previous, fields, expected, person):
    payload = event(name, previous, **fields)
    assert payload["event_type"] == "incident." + expected
    assert payload["assigned_to_person"] is person
    assert ("reopened_at" in payload["incident"]) == (expected == "reopened")


def test_no_field_is_made_up_for_a_record_that_lacks_it():
    payload = parsed({"event": "incident.state_changed",
                     "incident": {"id": "INC1", "state": "new"}})[1]
    assert payload["incident"] == {"id": "INC1", "number": "INC1", "state": "new"}
    assert payload["event_type"] == "incident.state_changed"


def test_other_events_pass_with_their_name():
    assert event("major_incident.declared")["event_type"] == "major_incident.declared"


@pytest.mark.parametrize("name", ["sla.warning", "sla.breach", "sla.recovery"])
@pytest.mark.parametrize("place", ["top", "data", "detail"])
def test_sla_events_have_a_trigger_of_their_own(name, place):
    facts = {"policy": "P1-Response-SLA", "metric": "First Response", "elapsed_percent": "100 %",
             "breached_at": AT}
    document = {"event": name, "timestamp": AT, "id": "evt-1"}
    inner = document if place == "top" else document.setdefault(place, {})
    inner.update(incident=RECORD, sla=facts)
    assert parsed(document) == ("stackflow_sla_event", {
        "event_id": "evt-1", "event_type": name, "occurred_at": AT, "received_by": "webhook",
        "incident": RECORD, "sla": dict(facts, metric="first_response", elapsed_percent=100.0)})


@pytest.mark.parametrize("facts, expected", [
    (None, None), ([], None), ("P1", ("P1", None, None, None)), ({}, None),
    ({"policy": {"name": "P1"}, "metric": 1, "elapsed_percent": 75.5}, ("P1", "1", 75.5, None)),
    ({"policy": [], "metric": [], "elapsed_percent": "x", "breached_at": {}}, (None,) * 4),
    ({"elapsed_percent": True}, (None,) * 4), ({"elapsed_percent": "1e999"}, (None,) * 4)])
def test_odd_sla_facts(facts, expected):
    sla = parsed({"event": "sla.breach", "incident": RECORD, "sla": facts})[1]["sla"]
    assert (sla and tuple(sla.values())) == expected


@pytest.mark.parametrize("given, expected", [
    ("On it", (None, "On it", None)), ([], None), (" ", None),
    ({"id": 5, "body": "x", "author": {"name": "Jane"}}, ("5", "x", "Jane")),
    ({"content": "y", "author": ["z"]}, (None, "y", None))])
@pytest.mark.parametrize("key", ["note", "comment"])
def test_forms_of_a_note(key, given, expected):
    document = {"event": "incident.comment_added", "data": dict(RECORD, **{key: given})}
    note = parsed(document)[1]["note"]
    assert (note and tuple(note.values())) == expected


def test_the_queue_and_the_webhook_give_the_same_shape():
    document = {"detail-type": "sla.breach",
                "detail": {"incident": RECORD, "sla": {"policy": "P1"}}}
    payload = checked(*event_of(document, SETTINGS, "message-1", "queue"))[1]
    assert (payload["event_id"], payload["received_by"]) == ("message-1", "queue")
    assert set(payload) == set(parsed(document)[1])


@pytest.mark.parametrize("body", [
    b"", b"null", b"[]", b"7", b"{", b"\xff", b"[" * 100000, b'{"a":' * 100000])
def test_what_is_not_a_json_object_is_refused(body):
    with pytest.raises(BadDelivery):
        parse(body, SETTINGS)


@pytest.mark.parametrize("document, name", [
    ({}, "unknown"), ({"event": {"type": "x"}}, "unknown"),
    ({"event": "incident.created"}, "incident.created"),
    ({"event": "incident.resolved", "data": {"foo": 1}}, "incident.resolved"),
    ({"event": "incident.created", "incident": []}, "incident.created")])
def test_an_object_without_a_record_is_passed_on_as_far_as_possible(document, name):
    payload = parsed(document)[1]
    assert (payload["event_type"], payload["incident"]) == (name, None)


def test_a_record_may_be_a_mere_number():
    payload = parsed({"event": "sla.breach", "incident": "INC1"})[1]
    assert payload["incident"] == {"id": "INC1", "number": "INC1"}
