"""PagerDuty's signature and envelope: public vectors, own ones, and bodies that hold anything."""

import base64
import hashlib
import hmac
import json
import os

import pytest
import yaml

from dev.local_stackstorm.schemas import validate
from pagerduty_stackflow.deliveries import BadDelivery, SignatureMismatch, SignatureMissing
from pagerduty_stackflow.pagerduty.webhooks import incident_fields, parse, verify

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ORACLE = os.path.join(ROOT, os.pardir, "shared", "oracle")
SECRET = "not a secret" * 4
OTHER = "another one" * 4
INCIDENT = {
    "id": "Q0INCIDENT0001", "type": "incident", "number": 7, "status": "triggered",
    "title": "Disk full", "html_url": "https://acme.pagerduty.com/incidents/Q0INCIDENT0001",
    "incident_key": None, "created_at": "2026-01-05T10:00:00Z", "urgency": "high",
    "resolve_reason": None,
    "priority": {"id": "P1PRIO1", "summary": "P2", "type": "priority_reference"},
    "service": {"id": "P1234AB", "summary": "Production API", "type": "service_reference"},
}


def oracle(name):
    path = os.path.join(ORACLE, name)
    if not os.path.exists(path):
        pytest.skip("%s is not beside the repository, and not shipped with it" % name)
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def sign(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def body_of(data=None, **event):
    event.setdefault("id", "01EVENT")
    event.setdefault("event_type", "incident.triggered")
    return json.dumps({"event": dict(event, data=data)}).encode()


with open(os.path.join(ROOT, "sensors", "webhook_sensor.yaml"), encoding="utf-8") as metadata:
    SCHEMA = {kind["name"]: kind["payload_schema"]
              for kind in yaml.safe_load(metadata)["trigger_types"]}["pagerduty_event"]


def check(payload):
    """The payload fits the schema, and a database can hold it."""
    validate(payload, SCHEMA)
    json.dumps(payload, allow_nan=False, ensure_ascii=False).encode("utf-8")
    return payload


def test_public_vectors():
    vectors = oracle("signature-vectors.json")
    assert {vector["valid"] for vector in vectors} == {True, False}
    for vector in vectors:
        body = vector["body"].encode()
        if vector["valid"]:
            assert verify(body, vector["header"], [vector["secret"]]) == 1, vector["name"]
        else:
            with pytest.raises((SignatureMissing, SignatureMismatch)):
                verify(body, vector["header"], [vector["secret"]])


def test_public_vector_fails_reserialised_and_with_a_decoded_secret():
    vector = next(item for item in oracle("signature-vectors.json") if item["valid"])
    respaced = json.dumps(json.loads(vector["body"]), indent=1).encode()
    with pytest.raises(SignatureMismatch):
        verify(respaced, vector["header"], [vector["secret"]])
    decoded = base64.b64decode(vector["secret"]).decode("latin-1")
    with pytest.raises(SignatureMismatch):
        verify(vector["body"].encode(), vector["header"], [decoded])


@pytest.mark.parametrize("header", [
    "v1={wrong},v1={right}", "v1={right},v1={wrong}", " v1={right} ", "v1={wrong} , v1={right}",
    "v2=anything,v1={right}", "v1={right},v2={right}", "v1=xyz,v1={right}", ",v1={right},"])
def test_one_right_signature_among_others_is_enough(header):
    body = "{\"title\": \"Stra\u00dfe \u2603\"}".encode()
    header = header.format(right=sign(body), wrong=sign(body, OTHER))
    assert verify(body, header, [SECRET]) == 1


@pytest.mark.parametrize("header", [
    None, "", "v1=", "v1=xyz", "v2={right}", "{right}", "sha256={right}", "v1 ={right}",
    "v1= {right}", "V1={right}", "v1={upper}", "v1={right}0", "v1={short}", "v1=\u0661{short}",
    "v1={right};v1={right}"])
def test_a_header_without_a_well_formed_v1_is_malformed(header):
    right = sign(b"{}")
    header = header and header.format(right=right, upper=right.upper(), short=right[1:])
    with pytest.raises(SignatureMissing):
        verify(b"{}", header, [SECRET])


def test_the_number_of_the_secret_that_signed_is_told():
    header = "v1=" + sign(b"{}")
    assert verify(b"{}", header, [SECRET, OTHER]) == 1
    assert verify(b"{}", header, (secret for secret in (OTHER, SECRET, SECRET))) == 2
    with pytest.raises(SignatureMismatch):
        verify(b"{}", header, [OTHER])
    with pytest.raises(SignatureMismatch):
        verify(b"{}", header, [])


def test_an_empty_secret_opens_nothing_and_an_empty_body_is_refused():
    with pytest.raises(SignatureMismatch):
        verify(b"{}", "v1=" + sign(b"{}", ""), ["", OTHER])
    with pytest.raises(BadDelivery):
        verify(b"", "v1=" + sign(b""), [SECRET])


def test_errors_hold_no_secret_and_no_signature():
    for header in ("v1=" + sign(b"{}"), "v1=xyz"):
        with pytest.raises((SignatureMissing, SignatureMismatch)) as caught:
            verify(b"{}", header, [OTHER])
        assert OTHER not in repr(caught.value) and header[3:] not in repr(caught.value)


def test_incident_event():
    agent = {"id": "PUSER01", "type": "user_reference", "summary": "Casey"}
    client = {"name": "StackFlow", "url": "https://acme.stackflow-tech.com/incidents/INC0000001"}
    payload = check(parse(body_of(INCIDENT, occurred_at="2026-01-05T10:01:00.123Z", agent=agent,
                                  client=client)))
    assert payload == {
        "event_id": "01EVENT", "event_type": "incident.triggered", "received_by": "webhook",
        "occurred_at": "2026-01-05T10:01:00.123Z", "agent": agent, "client": client, "note": None,
        "incident": {
            "id": "Q0INCIDENT0001", "number": 7, "title": "Disk full", "status": "triggered",
            "urgency": "high", "priority": "P2", "service_id": "P1234AB",
            "service_name": "Production API", "created_at": "2026-01-05T10:00:00Z",
            "html_url": "https://acme.pagerduty.com/incidents/Q0INCIDENT0001",
            "resolve_reason": None}}


def test_a_note_brings_the_reference_of_its_incident():
    reference = {"id": "Q0INCIDENT0001", "type": "incident_reference", "summary": "Disk full",
                 "html_url": "https://acme.pagerduty.com/incidents/Q0INCIDENT0001"}
    note = {"id": "PNOTE01", "type": "incident_note", "content": "On it", "trimmed": True,
            "incident": reference}
    payload = check(parse(body_of(note, event_type="incident.annotated")))
    assert payload["note"] == {"id": "PNOTE01", "content": "On it", "trimmed": True}
    assert payload["incident"]["id"] == "Q0INCIDENT0001"
    assert payload["incident"]["title"] == "Disk full"
    assert payload["incident"]["service_id"] is None


def test_a_merge_names_its_target():
    reason = {"type": "merge_resolve_reason",
              "incident": {"id": "Q0TARGET", "type": "incident_reference"}}
    merged = dict(INCIDENT, resolve_reason=reason)
    payload = check(parse(body_of(merged, event_type="incident.resolved")))
    assert payload["incident"]["resolve_reason"] == reason


def test_a_ping_has_no_incident():
    payload = check(parse(body_of({"type": "ping", "message": "hello"}, event_type="pagey.ping")))
    assert payload["event_type"] == "pagey.ping"
    assert payload["incident"] is None and payload["agent"] is None


def test_every_example_becomes_a_payload_that_fits():
    for name, example in oracle("webhook-v3-examples.json")["examples"].items():
        payload = check(parse(json.dumps(example).encode()))
        assert payload["event_type"] == example["event"]["event_type"], name
        data = example["event"]["data"]
        if data["type"] == "incident":
            assert payload["incident"]["service_id"] == data["service"]["id"], name


def test_public_bodies_become_payloads_that_fit():
    for vector in oracle("signature-vectors.json"):
        if vector["valid"]:
            assert check(parse(vector["body"].encode()))["event_id"]


def test_rest_incidents_take_the_same_shape():
    fields = incident_fields(dict(INCIDENT, number="12", priority={"name": "P1", "summary": "one"}))
    assert (fields["number"], fields["priority"]) == (12, "P1")
    assert set(fields) == set(SCHEMA["properties"]["incident"]["properties"])


@pytest.mark.parametrize("body", [
    b"", b"null", b"[]", b'"text"', b"7", b"{", b"\xff\xfe", b"{}{}", b"[" * 100000,
    b'{"a":' * 100000, b"{'a': 1}"])
def test_what_is_not_a_json_object_is_refused(body):
    with pytest.raises(BadDelivery):
        parse(body)


@pytest.mark.parametrize("body", [
    b"{}", b'{"event": null}', b'{"event": []}', b'{"event": {"data": 7}}',
    b'{"messages": [{"event": "incident.trigger"}]}'])
def test_an_odd_object_is_an_event_without_details(body):
    payload = check(parse(body))
    assert payload["event_type"] == "unknown" and payload["incident"] is None
    assert payload["event_id"] == "sha256:" + hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("text, expected", [
    (r'"\ud83d half"', "? half"), (r'"\ud83d\ude00"', "\U0001f600"), (r'"a\u0000b\u009f"', "ab"),
    ("9" * 5000, None), ("true", None), ("12", "12"), ('" "', None), ("NaN", None), ("1.5", None),
    ("{}", None)])
def test_values_that_no_database_holds_become_harmless(text, expected):
    body = (r'{"event": {"id": "1", "event_type": "x", "event_type": "incident.triggered", '
            r'"agent": {"a\u0000": [NaN, Infinity, 1e999, %s, %s], "deep": %s}, '
            r'"data": {"type": "incident", "title": %s}}}')
    body %= ("9" * 30, "-" + "9" * 19, "[" * 190 + "]" * 190, text)
    payload = check(parse(body.encode()))
    assert payload["incident"]["title"] == expected
    assert payload["event_type"] == "incident.triggered"
    assert payload["agent"]["a"] == [None] * 5


def test_broken_utf8_does_not_cost_the_event():
    broken = body_of(INCIDENT).replace(b"Disk full", b"Disk \xff full")
    payload = check(parse(b"\xef\xbb\xbf" + broken))
    assert payload["incident"]["title"] == "Disk \ufffd full"
