"""Situations that few sites ever meet, each with the one clause of the core that is for it."""

from __future__ import annotations

import pytest
from world import World

from pagerduty_stackflow import prefilter
from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.fields import PAGERDUTY, STACKFLOW
from pagerduty_stackflow.links import Links
from pagerduty_stackflow.stores import Start

GROUP = "Platform Engineering"
JANE = "jane@example.com"


@pytest.fixture
def world():
    return World()


def paged(world):
    """The number of a record and the PagerDuty id of its incident."""
    number = world.stackflow.create_incident("Timeout", "P1", group=GROUP, category="api")
    world.settle()
    (incident,) = world.pagerduty.incidents()
    return number, incident.id


def link_of(world, number):
    return Links(Datastore(world.store)).read(number)


def judged(world, side, payload):
    return prefilter.judge(prefilter.TRIGGERS[side], payload, world.settings,
                           Links(Datastore(world.store)), None)


def notes_of(world, number):
    return [one["note"] for one in world.stackflow.notes(number)]


def test_a_record_reopened_beside_an_incident_that_is_open_was_not_reopened_after_a_resolve(world):
    number, incident = paged(world)
    world.stackflow.set_state(number, "resolved")
    world.run(5)
    world.stackflow.reopen(number)
    world.run(5)  # both events wait, nothing is resolved in PagerDuty yet
    assert len(world.queue) == 2
    world.run_queue(order=lambda queue: queue[::-1])
    world.settle()
    assert [one.status for one in world.pagerduty.incidents()] == ["triggered"]
    assert world.pd_writes() == ["trigger"] and world.sf_writes(number) == []


def test_a_creation_told_once_more_before_pagerduty_shows_its_incident_is_paged_already(world):
    world.pagerduty.outbox.hold()
    paged(world)
    (_, payload), = world.payloads
    assert judged(world, STACKFLOW, payload)[:2] == (False, "nothing new since the last look")


def test_a_creation_told_once_more_takes_back_no_assignment_of_the_same_second(world):
    number = world.stackflow.create_incident("Timeout", "P1", group=GROUP)
    world.stackflow.assign(number, JANE)
    world.settle()
    created, assigned = [payload["incident"] for _, payload in world.payloads
                         if payload.get("previous") or payload["event_type"] == "incident.created"]
    assert created["updated_at"] == assigned["updated_at"]
    before, events = link_of(world, number), len(world.pagerduty.writes)
    for action, record in (("trigger_incident", created), ("acknowledge_incident", assigned)):
        world.act(action, incident_id=number, incident=record)
    assert link_of(world, number).here == before.here
    assert before.here["acknowledgement"] == JANE
    assert len(world.pagerduty.writes) == events


def test_what_is_resolved_between_two_looks_at_it_was_not_opened_again(world):
    number, incident = paged(world)
    world.stackflow.outbox.lose()
    world.stackflow.set_state(number, "resolved")
    world.run(5)
    world.pagerduty.outbox.lose()
    world.pagerduty.acknowledge(incident, by=world.casey)
    world.run(5)

    def resolve(what):
        if "/log_entries" in what and world.pagerduty.incident(incident).status != "resolved":
            world.pagerduty.resolve(incident, by=world.casey)

    world.before_call = resolve
    assert world.act("reconcile", incident_id=number).failures == []
    assert world.sf_writes(number) == []
    assert (world.stackflow.incident(number)["state"], len(world.pagerduty.incidents())) == (
        "resolved", 1)


def test_what_is_resolved_on_both_sides_is_left_alone_and_its_history_unread(world):
    number, incident = paged(world)
    world.pagerduty.resolve(incident, by=world.casey)
    world.settle(3600)
    before = link_of(world, number)
    world.pagerduty.requests.clear()
    assert world.act("resolve_incident", incident_id=number,
                     incident=world.stackflow.incident(number)).outcome == "already"
    assert link_of(world, number) == before
    assert not any(one.path.endswith("/log_entries") for one in world.pagerduty.requests)


def test_a_pair_that_a_person_opened_before_the_first_run_is_paged_again_when_it_is_reopened():
    world = World(start=False)
    world.stackflow.outbox.lose()
    number = world.stackflow.create_incident("Timeout", "P1", group=GROUP)
    world.run(60)
    Start(Datastore(world.store)).ensure(world.pack().clock)
    assert world.act("trigger_incident", incident_id=number).outcome == "skipped"
    world.act("trigger_incident", incident_id=number, force=True)
    world.settle()
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.stackflow.reopen(number)
    world.settle()
    assert [one.status for one in world.pagerduty.incidents()] == ["resolved", "triggered"]


def test_a_late_event_of_a_record_that_another_carries_on_for_writes_nothing(world):
    number, incident = paged(world)
    world.pagerduty.resolve(incident, by=world.casey)
    world.settle()
    world.stackflow.close(number)
    world.settle(10)
    world.pagerduty.reopen(incident, by=world.casey)
    world.settle()
    assert len(world.stackflow.incidents()) == 2
    notes, writes = notes_of(world, number), len(world.stackflow.writes)
    late = world.stackflow.incident(number)
    for event in (late, dict(late, assigned_to=JANE)):
        outcome = world.act("resolve_incident", incident_id=number, incident=event)
        assert outcome.outcome == "skipped" and "carried on in" in outcome.reason
    assert (notes_of(world, number), len(world.stackflow.writes)) == (notes, writes)
    assert world.pagerduty.incident(incident).status != "resolved"


def test_an_assignment_while_the_target_of_a_merge_cannot_be_seen_is_carried_to_it_later(world):
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    number = world.records_of(incident)[0]["number"]
    world.stackflow.assign(number, person="casey@example.com")
    world.settle()
    target = world.pagerduty.create_incident(world.api, "The cause", world.casey)
    world.settle()
    world.pagerduty.faults.add("GET /incidents/" + target, status=404, times=99)
    world.pagerduty.merge(target, [incident], by=world.casey)
    world.settle()
    world.stackflow.assign(number, person="robin@example.com")
    world.settle()
    assert world.pagerduty.incident(target).status == "triggered"
    world.pagerduty.faults.clear()
    world.act("acknowledge_incident", incident_id=number,
              incident=world.stackflow.incident(number))
    assert world.pagerduty.incident(target).status == "acknowledged"


def test_a_run_that_finds_the_new_alert_of_another_reports_it_as_done_already(world):
    number, _ = paged(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    before = link_of(world, number)
    world.stackflow.reopen(number)
    world.settle()
    Links(Datastore(world.store)).write(before)
    outcome = world.act("trigger_incident", incident_id=number)
    assert outcome.outcome == "already" and "is open under" in outcome.reason
    assert len(world.pagerduty.incidents()) == 2


def test_a_link_that_was_lost_is_answered_by_the_one_key_of_its_service(world):
    number, incident = paged(world)
    world.run(120)
    del world.store.values["pagerduty_stackflow.link." + number]
    world.stackflow.assign(number, person="somebody@elsewhere.example")
    world.settle()
    assert world.pagerduty.incident(incident).status == "acknowledged"


@pytest.mark.parametrize("kind, apply", [
    ("incident.resolved", False), ("incident.annotated", True), ("incident.reassigned", True)])
def test_without_bidirectional_sync_only_states_and_records_are_kept_from_stackflow(kind, apply):
    world = World(bidirectional_sync=False, sync_notes=True)
    payload = {"event_type": kind, "occurred_at": None, "note": {"id": "N1", "content": "Look"},
               "incident": {"id": "Q1", "service_id": world.api}}
    assert judged(world, PAGERDUTY, payload).apply is apply


def test_a_service_that_left_the_mapping_is_reopened_into_a_record_without_a_group(world):
    number, incident = paged(world)
    world.pagerduty.resolve(incident, by=world.casey)
    world.settle()
    world.stackflow.close(number)
    world.settle(10)
    world.configure(service_mapping=world.config["service_mapping"][1:],
                    templates={"description": "[[ mapping ]]"})
    world.pagerduty.reopen(incident, by=world.casey)
    world.settle()
    (made,) = world.records_of(incident)
    assert made["number"] != number and not made.get("assignment_group")
    assert made["description"].startswith("None")


def resolve(world, number):
    world.stackflow.set_state(number, "resolved")


def take(world, number):
    world.stackflow.assign(number, person=JANE)


def hand_over(world, number):
    world.stackflow.assign(number, group="Database Reliability")


@pytest.mark.parametrize("act, event_type", [
    (take, "incident.acknowledged"), (resolve, "incident.resolved"),
    (hand_over, "incident.service_updated")])
def test_the_packs_own_write_in_pagerduty_starts_no_process(world, act, event_type):
    number, _ = paged(world)
    act(world, number)
    world.run(2)
    world.run_queue()
    before, runs = len(world.payloads), len(world.outcomes)
    world.settle()
    echo, = [payload for trigger, payload in world.payloads[before:]
             if trigger == "pagerduty_event" and payload["event_type"] == event_type]
    assert echo["sync"]["apply"] is False
    assert echo["sync"]["reason"] in ("an echo of the pack's own write",
                                      "nothing new since the last look")
    assert len(world.outcomes) == runs


def acknowledged_there(world, incident):
    world.pagerduty.acknowledge(incident, by=world.casey)


def resolved_there(world, incident):
    world.pagerduty.resolve(incident, by=world.casey)


def moved_there(world, incident):
    world.pagerduty.move(incident, world.database, by=world.casey)


@pytest.mark.parametrize("act", [acknowledged_there, resolved_there, moved_there])
def test_the_packs_own_write_in_stackflow_starts_no_process(world, act):
    _, incident = paged(world)
    act(world, incident)
    world.run(2)
    world.run_queue()
    before, runs = len(world.payloads), len(world.outcomes)
    world.settle()
    echoes = [payload for trigger, payload in world.payloads[before:]
              if trigger == "stackflow_event"]
    assert echoes and not any(payload["sync"]["apply"] for payload in echoes)
    assert len(world.outcomes) == runs


@pytest.mark.parametrize("side", [PAGERDUTY, STACKFLOW])
def test_the_filter_writes_nothing(world, side):
    number, incident = paged(world)
    acknowledged_there(world, incident)
    world.settle()
    payloads = [payload for trigger, payload in world.payloads
                if trigger == prefilter.TRIGGERS[side]]
    stored = dict(world.store.values)
    for payload in payloads:
        judged(world, side, payload)
    assert len(payloads) > 1 and world.store.values == stored
