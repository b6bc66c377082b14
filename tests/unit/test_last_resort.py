"""The alert of last resort is known as the pair's own, is given no record, ends with the pair."""

from __future__ import annotations

import pytest
from sla_world import KEY, MINUTES, RESOLUTION, SlaWorld

from pagerduty_stackflow import sla
from pagerduty_stackflow.pagerduty.events import fingerprint

TIME = 60 * MINUTES + 70
"""Seconds after which nobody has answered, and a look has shown it."""


def unanswered(**config):
    """A world with an escalation that nobody has answered, and the number of its record."""
    pagerduty = config.pop("pagerduty", None)
    world = SlaWorld(pagerduty=pagerduty, **config)
    number = world.opened()
    world.breach(number)
    world.wait(TIME)
    assert last(world, number).status == "triggered"
    return world, number


def last(world, number, reopened=""):
    return world.incident(number, reopened + ":unanswered")


def rotate(world, **keys):
    """Give the service another integration key; the others of its entry are ``keys``."""
    new = world.pagerduty.add_integration(world.api)[1]
    entries = world.config["service_mapping"]
    world.configure(service_mapping=[dict(entries[0], integration_key=new, **keys), entries[1]])


def test_it_carries_the_marks_of_every_alert_of_the_pack():
    world, number = unanswered()
    alert, = world.pagerduty.alerts(last(world, number).id)
    assert alert.client == {"name": "StackFlow",
                            "url": "https://acme.stackflow.example/incidents/" + number}
    event, = [payload for trigger, payload in world.payloads
              if payload["event_type"] == "incident.triggered" and
              payload["incident"]["id"] == last(world, number).id]
    assert event["sync"]["apply"] is False and event["stackflow_id"] == number


@pytest.mark.parametrize("switches", [
    {}, {"client_is_null": True}, {"client_is_null": True, "agent_is_null": True}])
def test_no_record_is_made_for_it_whatever_pagerduty_tells_of_it(switches):
    world, number = unanswered(pagerduty=switches)
    outcome = world.act("create_stackflow_incident", incident_id=last(world, number).id)
    assert (outcome.outcome, outcome.stackflow_id) == ("skipped", number)
    assert len(world.stackflow.incidents()) == 1


@pytest.mark.parametrize("act", ["acknowledge", "resolve"])
def test_what_people_do_with_it_leaves_the_pair_alone(act):
    world, number = unanswered()
    before = (world.stackflow.incident(number)["state"], world.incident(number).status)
    getattr(world.pagerduty, act)(last(world, number).id, world.casey)
    world.wait(5)
    assert (world.stackflow.incident(number)["state"], world.incident(number).status) == before
    world.stackflow.set_state(number, "resolved")
    world.wait(5)
    assert last(world, number).status == world.incident(number).status == "resolved"


@pytest.mark.parametrize("kept", [True, False])
def test_it_is_resolved_after_its_routing_key_was_rotated_too(kept):
    world, number = unanswered()
    rotate(world, **({"previous_integration_keys": [world.api_key]} if kept else {}))
    world.stackflow.set_state(number, "resolved")
    world.wait(5)
    assert world.incident(number).status == last(world, number).status == "resolved"
    by_rest = [write.path for write in world.pagerduty.writes
               if write.method == "PUT" and write.path.endswith(last(world, number).id)]
    assert bool(by_rest) is not kept


def test_it_is_resolved_by_the_key_of_the_default_service_that_opened_it():
    world, number = unanswered(default_pagerduty_service_id="P5678CD")
    link = world.pack().links.read(number)
    assert link.last_resort == fingerprint(world.database_key) != link.key_fingerprint
    world.stackflow.set_state(number, "resolved")
    world.wait(5)
    assert last(world, number).status == "resolved"


def test_it_costs_one_event_more_and_no_read_where_a_resolve_is_taken_at_its_word():
    world, number = unanswered()
    del world.pagerduty.requests[:], world.stackflow.requests[:]
    world.stackflow.set_state(number, "resolved")
    world.run(1)
    world.run_queue()
    assert [one.path for one in world.pagerduty.requests] == ["/v2/enqueue"] * 2
    assert world.stackflow.requests == []


def test_it_is_forgotten_once_it_is_resolved():
    world, number = unanswered()
    world.stackflow.set_state(number, "resolved")
    world.wait(5)
    assert world.pack().links.read(number).last_resort is None
    assert not [name for name in world.store.values if name.endswith(".last_resort")]


def test_it_is_resolved_before_the_next_incident_after_a_reopening():
    world, number = unanswered(bidirectional_sync=False)
    world.listening = False
    world.pagerduty.resolve(world.incident(number).id, world.kim)
    world.run(60)
    world.stackflow.set_state(number, "resolved")
    world.run(60)
    world.stackflow.reopen(number)
    world.pagerduty.outbox.lose(99)
    world.listening = True
    world.wait(400)
    assert world.incident(number, ":1").status == "triggered"
    assert last(world, number).status == "resolved"
    world.breach(number)
    world.wait(TIME)
    assert last(world, number, ":1").status == "triggered"
    world.stackflow.set_state(number, "resolved")
    world.wait(5)
    assert last(world, number, ":1").status == "resolved"


def test_whoever_resolves_while_it_is_sent_leaves_nothing_open():
    world = SlaWorld()
    number = world.opened()
    world.breach(number)

    def resolve(what):
        if what.endswith("/v2/enqueue") and not world.stackflow.incident(number)["resolved_at"]:
            world.stackflow.set_state(number, "resolved")
            world.wait(0.5)

    world.wait(TIME - 100)
    world.before_call = resolve
    while not world.workflows[0].status:
        world.run((world.workflows[0].due - world.clock.now()).total_seconds())
        world.workflows[0].advance()
    world.before_call = lambda what: None
    world.wait(5)
    assert world.incident(number).status == last(world, number).status == "resolved"


def test_merged_into_its_incident_it_is_resolved_with_that():
    world, number = unanswered()
    world.pagerduty.merge(world.incident(number).id, [last(world, number).id], world.casey)
    world.wait(5)
    world.stackflow.set_state(number, "resolved")
    world.wait(5)
    assert {one.status for one in world.pagerduty.incidents()} == {"resolved"}


def test_a_second_trigger_of_a_lost_incident_leaves_it_open():
    world = SlaWorld(default_pagerduty_service_id="P5678CD")
    world.pagerduty.disable_service(world.api)
    number = world.opened()
    world.breach(number, seconds=150)
    assert last(world, number).status == "triggered"
    world.pagerduty.disable_service(world.api, False)
    assert world.act("trigger_incident", incident_id=number, force=True)
    world.wait(5)
    assert last(world, number).status == "triggered"


def test_the_link_is_that_of_the_pair_and_never_of_the_last_resort():
    world, number = unanswered()
    incident = world.incident(number)
    world.pagerduty.acknowledge(last(world, number).id, world.casey)
    world.wait(5)
    world.pagerduty.acknowledge(incident.id, world.kim)
    world.wait(5)
    link = world.pack().links.read(number)
    assert (link.pagerduty_id, link.dedup_key) == (incident.id, KEY + number)
    assert world.stackflow.incident(number)["state"] == "in_progress"
    assert sla.follow_escalation(world.pack(), number, RESOLUTION, {}).outcome == "already"
