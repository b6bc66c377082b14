"""The forms that StackFlow's webhooks, errors and states may have: all of them lead to the same."""

import pytest

from dev.site import CASEY

BODIES = {
    "as documented first": {},
    "record in data.incident, milliseconds": dict(
        event_key="event_type", record_key="data.incident", time_key="time", id_key="event_id",
        time_precision="milliseconds"),
    "EventBridge with objects for group and person": dict(
        event_key="detail-type", record_key="detail.incident", time_key="time",
        references_as_objects=True),
    "record is data, no id, extras on top": dict(
        record_key="data", id_key=None, extras_place="top", time_key="occurred_at"),
    "record without text, group and priority": dict(
        record_omits=("description", "assignment_group", "category", "priority")),
    "record without its person": dict(record_omits=("assigned_to",)),
    "narrower names of states only": dict(state_events="only"),
    "narrower names beside the others": dict(state_events="also"),
}
PROOFS = {"plain digest": dict(signature_prefix=""), "sha256=": dict(signature_prefix="sha256="),
          "v1=": dict(signature_prefix="v1=")}
SPELLINGS = {"new": "Open", "in_progress": "Work In Progress", "resolved": "Done"}


@pytest.mark.parametrize("form", list(BODIES))
def test_a_record_is_kept_in_step_when_the_body_is(scene, form):
    scene.turn(scene.stackflow.switches, **BODIES[form])
    number, incident = scene.pair()
    with scene.change() as change:
        scene.stackflow.assign(number, CASEY)
    assert (incident.status, change.to_pagerduty) == ("acknowledged", ["acknowledge"])
    with scene.change() as change:
        scene.stackflow.set_state(number, "resolved")
    assert (incident.status, change.to_pagerduty) == ("resolved", ["resolve"])


def test_without_previous_values_an_assignment_and_a_resolve_are_understood(scene):
    scene.turn(scene.stackflow.switches, send_previous=False)
    number, incident = scene.pair()
    scene.stackflow.assign(number, CASEY)
    scene.settle()
    assert incident.status == "acknowledged"
    scene.stackflow.set_state(number, "resolved")
    scene.settle()
    assert incident.status == "resolved"


@pytest.mark.parametrize("form", list(PROOFS))
def test_a_signature_is_taken_in_the_form(scene, form):
    scene.turn(scene.stackflow.switches, **PROOFS[form])
    scene.pair()


def test_a_shared_secret_in_a_header_is_taken_where_it_is_configured(scene):
    scene.turn(scene.stackflow.switches, signature="static")
    stackflow = dict(scene.site.config()["stackflow"], webhook_auth="shared_secret")
    scene.configure(stackflow=stackflow)
    scene.pair()


def test_an_unsigned_webhook_is_refused_and_a_wrongly_signed_one_is_to_come_again(scene):
    before = scene.site.healthz()["stackflow"]
    body = b'{"event": "incident.created", "incident": {"number": "INC0000001"}}'
    path = "/webhooks/stackflow"
    assert scene.site.post(path, body, {})[0] == 401
    status, headers = scene.site.post(path, body, {"X-StackFlow-Signature": "ab" * 32})
    assert (status, "Retry-After" in headers) == (503, True)
    after = scene.site.healthz()["stackflow"]
    assert after["received"] - before["received"] == 2
    assert after["dispatched"] == before["dispatched"]
    assert scene.payloads() == []


def test_states_with_other_spellings_go_both_ways(scene):
    stackflow = dict(scene.site.config()["stackflow"], states=SPELLINGS)
    scene.configure(stackflow=stackflow)
    scene.turn(scene.stackflow.switches, state_names=SPELLINGS)
    number, incident = scene.pair()
    scene.pagerduty.acknowledge(incident.id, scene.site.casey)
    scene.settle()
    assert scene.state(number) == "Work In Progress"
    scene.stackflow.set_state(number, "resolved")
    scene.settle()
    assert incident.status == "resolved"
    assert {one["incident"]["state"] for one in scene.payloads()
            if "assigned_to_person" in one} == {"new", "in_progress", "resolved"}


@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_a_refusal_is_quoted_whatever_its_shape(scene, shape):
    scene.turn(scene.stackflow.switches, error_shape=shape, resolve_requires=("close_code",))
    number, incident = scene.pair()
    scene.pagerduty.resolve(incident.id, scene.site.casey)
    scene.settle()
    failed, = [one for one in scene.executions() if one.rule == "pagerduty_resolved"]
    error = scene.failure(failed)
    assert "close_code is required to resolve an incident" in error["message"]
    assert error["hint"]
    assert scene.state(number) == "new"


def test_fields_that_a_resolve_needs_are_sent_with_it(scene):
    stackflow = dict(scene.site.config()["stackflow"], resolve_fields={
        "close_code": "Solved", "close_notes": "by [[ pagerduty.html_url ]]"})
    scene.configure(stackflow=stackflow)
    scene.turn(scene.stackflow.switches, resolve_requires=("close_code", "close_notes"))
    number, incident = scene.pair()
    scene.pagerduty.resolve(incident.id, scene.site.casey)
    scene.settle()
    assert scene.state(number) == "resolved"
    sent = scene.stackflow.state_writes(number)[-1].body
    assert sent["close_code"] == "Solved"
    assert sent["close_notes"].endswith("/incidents/" + incident.id)


@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_an_unknown_incident_is_named_with_a_hint(scene, shape):
    scene.turn(scene.stackflow.switches, error_shape=shape)
    with scene.change() as change:
        error = scene.failure(scene.target.run("trigger_incident", incident_id="INC9999999"))
    assert error["kind"] == "not_found"
    assert "INC9999999" in error["message"]
    assert error["hint"]
    assert (change.to_pagerduty, change.to_stackflow) == ([], [])
