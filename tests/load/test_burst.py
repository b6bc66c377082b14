"""A bad day: everything at once, while StackFlow takes 60 writes a minute and two actions run at a
time.
"""

import pytest
from burst import (SCALE, Burst, acts_of_pagerduty, acts_of_stackflow, assert_in_step, at_once,
                   until)

SECONDS = 10
"""Within which people do all that the webhooks tell of, where it is a thousand."""


@pytest.mark.parametrize("incidents", [30, pytest.param(300, marks=pytest.mark.soak)])
def test_a_burst_is_taken_and_worked_off_until_all_pairs_are_in_step(incidents):
    with Burst() as world:
        until(lambda: world.sensors[0]._listener.address, lambda: "the listener is not up")
        at_once([(acts_of_stackflow, acts_of_pagerduty)[number % 2](world, number // 2)
                 for number in range(incidents)], SECONDS * incidents / 300)
        world.clock.run_faster(SCALE)
        until(world.quiet, lambda: "%d runs wait, last: %r" % (
            len(world.queue), world.outcomes[-3:]))
        server = world.sensors[0]._listener._server
        assert not server.waiting and not server.busy
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


def assert_no_write_too_many(world):
    """Each change was written once at most."""
    events = [(write.document["dedup_key"], write.document["event_action"])
              for write in world.pagerduty.writes if write.api == "events"]
    states = [(record["number"], state) for record in world.stackflow.incidents()
              for state in world.sf_writes(record["number"])]
    for written in (events, states):
        assert len(written) == len(set(written))
    assert {write.api for write in world.pagerduty.writes} == {"events"}
