"""Links that version 0.1.0 stored are read on: nobody is paged by the upgrade, nothing is lost."""

from __future__ import annotations

import json

import pytest
from world import World

from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.links import Links
from pagerduty_stackflow.pagerduty.events import fingerprint

GROUP = "Platform Engineering"
JANE = "jane@example.com"


def stored(world, number, **fields):
    """Put a link of version 0.1.0 into the datastore, as that version wrote it."""
    record = world.stackflow.incident(number)
    link = dict({"number": number, "stackflow": "open", "pagerduty": "open", "group": GROUP,
                 "service_id": world.api, "stackflow_at": record["updated_at"],
                 "dedup_key": "stackflow:acme.stackflow.example:" + number, "seen": True,
                 "key_fingerprint": fingerprint(world.api_key)}, **fields)
    world.store.values["pagerduty_stackflow.link." + number] = (json.dumps(
        {name: value for name, value in link.items() if value}), None)


@pytest.fixture
def world():
    return World()


def pair(world, person=None):
    number = world.stackflow.create_incident("Slow", "P1", group=GROUP, category="api",
                                             person=person)
    world.settle()
    return number, world.pagerduty.incidents()[-1].id


def writes(world):
    return len(world.pagerduty.writes), len(world.stackflow.writes)


def test_open_pairs_stay_as_they_are_and_go_on(world):
    number, incident = pair(world)
    taken, other = pair(world, JANE)
    stored(world, number, pagerduty_id=incident)
    stored(world, taken, pagerduty_id=other, stackflow="acknowledged", pagerduty="acknowledged",
           assignee=JANE)
    world.run(300)
    before = writes(world)
    assert world.act("reconcile").ok and writes(world) == before
    world.stackflow.assign(number, person=JANE)
    world.pagerduty.resolve(other, world.casey)
    world.settle()
    assert world.pagerduty.incident(incident).status == "acknowledged"
    assert world.stackflow.incident(taken)["state"] == "resolved"
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident).status == "resolved"
    assert "version" in world.store.values["pagerduty_stackflow.link." + number][0]


@pytest.mark.parametrize("lost", [False, True])
def test_a_resolve_that_was_sent_is_repeated_only_if_it_was_lost(world, lost):
    number, incident = pair(world)
    world.listening = False
    world.stackflow.set_state(number, "resolved")
    sent_at = world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    stored(world, number, pagerduty_id=incident, stackflow="resolved", pagerduty="resolved",
           sent_at=sent_at)
    if not lost:
        world.pagerduty.resolve(incident, world.casey)
    world.run(300)
    world.listening = True
    before = writes(world)
    assert world.act("reconcile").ok
    assert world.pagerduty.incident(incident).status == "resolved"
    assert (writes(world) == before) is not lost


def test_a_resolved_pair_that_is_reopened_gets_the_next_key(world):
    number, incident = pair(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    stored(world, number, pagerduty_id=incident, stackflow="resolved", pagerduty="resolved")
    world.stackflow.reopen(number)
    world.settle()
    assert [one.status for one in world.pagerduty.incidents()] == ["resolved", "triggered"]


def test_a_moved_incident_is_reached_by_rest(world):
    number, incident = pair(world)
    world.pagerduty.move(incident, world.other, world.casey)
    world.settle()
    stored(world, number, pagerduty_id=incident, moved=True, rest_only=True)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident).status == "resolved"


def test_of_records_that_a_merge_put_on_one_incident_its_own_resolves_it(world):
    (follower, source), (owner, target) = pair(world), pair(world)
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    for number in (follower, owner):
        stored(world, number, pagerduty_id=target, shared=True)
    world.stackflow.set_state(follower, "resolved")
    world.settle()
    assert world.pagerduty.incident(target).status == "triggered"
    world.stackflow.set_state(owner, "resolved")
    world.settle()
    assert world.pagerduty.incident(target).status == "resolved"


def test_a_link_that_somebody_edited_is_rebuilt(world):
    number, _ = pair(world)
    world.store.values["pagerduty_stackflow.link." + number] = ("{\"stackflow\": 7}", None)
    assert Links(Datastore(world.store)).read(number) is None
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert [one.status for one in world.pagerduty.incidents()] == ["resolved"]
