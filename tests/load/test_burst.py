"""A bad day: everything at once, while StackFlow takes 60 writes a minute and two actions run at a
time.
"""

import random
import time

import pytest
from burst import Burst

SECONDS = 10
"""Within which people do all that the webhooks tell of, where it is a thousand."""
CANCELLED = "cancelled"
PATIENCE = 300
SCALE = 20


def acts_of_stackflow(world, number):
    """What people do about an incident of StackFlow, one after the other."""
    made = []
    yield lambda: made.append(world.stackflow.create_incident(
        "Disk full", "P1", group="Platform Engineering", category="api"))
    yield lambda: world.stackflow.assign(made[0], "casey@example.com")
    yield lambda: world.stackflow.add_note(made[0], "on it")
    if number % 2:
        yield lambda: world.stackflow.set_state(made[0], "resolved")


def acts_of_pagerduty(world, number):
    made = []
    yield lambda: made.append(world.pagerduty.create_incident(
        world.api, "Node is gone", world.casey))
    yield lambda: world.pagerduty.acknowledge(made[0], world.casey)
    yield lambda: world.pagerduty.add_note(made[0], "on it", world.casey)
    if number % 2:
        yield lambda: world.pagerduty.resolve(made[0], world.casey)


def at_once(stories, seconds):
    """Act by act of all stories in any order that keeps each one's own, within so many seconds."""
    chance, acts = random.Random(7), [list(story) for story in stories]
    pause = seconds / sum(map(len, acts))
    while acts:
        story = chance.choice(acts)
        story.pop(0)()
        if not story:
            acts.remove(story)
        time.sleep(pause)


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


@pytest.mark.parametrize("incidents", [30, pytest.param(300, marks=pytest.mark.soak)])
def test_a_burst_is_taken_and_worked_off_until_all_pairs_are_in_step(incidents):
    with Burst() as world:
        until(lambda: world.sensors[0]._listener.address, lambda: "the listener is not up")
        at_once([(acts_of_stackflow, acts_of_pagerduty)[number % 2](world, number // 2)
                 for number in range(incidents)], SECONDS * incidents / 300)
        world.clock.run_faster(SCALE)
        until(world.quiet, lambda: "%d runs wait, last: %r" % (
            len(world.queue), world.outcomes[-3:]))
        assert not world.sensors[0]._listener._server._connections
    assert_all_was_taken(world, incidents)
    assert [one for one in world.outcomes if isinstance(one, Exception)] == []
    assert_in_step(world)
    assert_no_write_too_many(world)


def assert_all_was_taken(world, incidents):
    """Each webhook was answered 202 in the end, and 503 at worst before."""
    answers = world.attempts()
    assert answers.count(202) >= 3.5 * incidents
    assert set(answers) == {202, 503}, "None: not within five seconds"
    for simulator in (world.pagerduty, world.stackflow):
        assert {one.state for one in simulator.deliveries} == {"delivered"}


def assert_in_step(world):
    """What is open on one side is so on the other; for what was over before anybody came to it there
    may be nothing. Of two records that raced one is cancelled.
    """
    born = {incident.id: [one for one in world.records_of(incident.id) if one["state"] != CANCELLED]
            for incident in world.pagerduty.incidents()
            if not world.pagerduty.alerts(incident.id)}
    for incident_id, records in born.items():
        open_there = world.pagerduty.incident(incident_id).status == "acknowledged"
        wanted = ["in_progress"] if open_there else ["resolved"] * len(records)
        assert [one["state"] for one in records] == wanted and len(records) <= 1
    numbers = {one["number"] for incident_id in born for one in world.records_of(incident_id)}
    for record in world.stackflow.incidents():
        if record["number"] not in numbers:
            paged = world.pagerduty.incidents("stackflow:acme.stackflow.example:" +
                                              record["number"])
            wanted = ["acknowledged"] if record["state"] == "new" else ["resolved"] * len(paged)
            assert [one.status for one in paged] == wanted and len(paged) <= 1


def assert_no_write_too_many(world):
    """Each change was written once at most."""
    events = [(write.document["dedup_key"], write.document["event_action"])
              for write in world.pagerduty.writes if write.api == "events"]
    states = [(record["number"], state) for record in world.stackflow.incidents()
              for state in world.sf_writes(record["number"])]
    for written in (events, states):
        assert len(written) == len(set(written))
    assert {write.api for write in world.pagerduty.writes} == {"events"}
