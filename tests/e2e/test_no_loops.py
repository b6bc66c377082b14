"""One change by a person gives exactly one state write on the other side, and none back."""

import pytest

from dev.site import CASEY

FORMS = {"all fields": {}, "agent null": {"agent_is_null": True},
         "client null": {"client_is_null": True},
         "agent and client null": {"agent_is_null": True, "client_is_null": True}}


def in_stackflow(act, *before):
    """A change of a paged incident in StackFlow, after others."""
    def play(scene):
        number, _ = scene.pair()
        for earlier in before:
            earlier(scene, number)
            scene.settle()
            scene.site.next_second()
        return lambda: act(scene, number)
    return play


def in_pagerduty(act, *before):
    """A change of a paged incident in PagerDuty, after others."""
    def play(scene):
        _, incident = scene.pair()
        for earlier in before:
            earlier(scene, incident)
            scene.settle()
            scene.site.next_second()
        return lambda: act(scene, incident)
    return play


def assign(scene, number):
    scene.stackflow.assign(number, CASEY)


def resolve(scene, number):
    scene.stackflow.set_state(number, "resolved")


def reopen(scene, number):
    scene.stackflow.reopen(number)


def acknowledge_there(scene, incident):
    scene.pagerduty.acknowledge(incident.id, scene.site.casey)


def resolve_there(scene, incident):
    scene.pagerduty.resolve(incident.id, scene.site.casey)


def reopen_there(scene, incident):
    scene.pagerduty.reopen(incident.id, scene.site.casey)


def open_there(scene):
    return lambda: scene.pagerduty.create_incident(scene.site.api, "Node is gone",
                                                   scene.site.casey)


CHANGES = {
    "created": (lambda scene: scene.opened, ["trigger"], []),
    "assigned": (in_stackflow(assign), ["acknowledge"], []),
    "resolved": (in_stackflow(resolve), ["resolve"], []),
    "reopened": (in_stackflow(reopen, resolve), ["trigger"], []),
    "triggered in PagerDuty": (open_there, [], ["created"]),
    "acknowledged in PagerDuty": (in_pagerduty(acknowledge_there), [], ["in_progress"]),
    "resolved in PagerDuty": (in_pagerduty(resolve_there), [], ["resolved"]),
    "reopened in PagerDuty": (in_pagerduty(reopen_there, resolve_there), [], ["in_progress"]),
}


CASES = [(name, form) for name in CHANGES for form in ("all fields", "agent and client null")]
CASES += [(name, form) for name in ("created", "triggered in PagerDuty")
          for form in ("agent null", "client null")]


@pytest.mark.parametrize("name, form", CASES)
def test_one_change_gives_one_write_and_none_back_when_webhooks_come_with(scene, name, form):
    scene.turn(scene.pagerduty.switches, **FORMS[form])
    prepare, to_pagerduty, to_stackflow = CHANGES[name]
    act = prepare(scene)
    with scene.change() as change:
        act()
    assert (change.to_pagerduty, change.to_stackflow) == (to_pagerduty, to_stackflow)
    for payload in scene.payloads():
        if FORMS[form].get("client_is_null") and "client" in payload:
            assert payload["client"] is None


def test_webhooks_of_alerts_carry_no_incident_key(scene):
    scene.pair()
    bodies = [one.body.decode() for one in scene.pagerduty.deliveries]
    assert any('"event_type":"incident.triggered"' in body and '"incident_key":null' in body
               for body in bodies)


def test_both_sides_changed_by_people_at_once_come_to_rest_in_step(scene):
    number, incident = scene.pair()
    with scene.change() as change:
        scene.stackflow.assign(number, CASEY)
        scene.pagerduty.resolve(incident.id, scene.site.casey)
    assert (scene.state(number), incident.status) == ("resolved", "resolved")
    assert len(change.to_pagerduty) <= 1
    assert change.to_stackflow == ["resolved"]
