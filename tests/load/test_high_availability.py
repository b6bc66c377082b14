"""Two listeners, and two action runners of four processes each, at once on one datastore; every
webhook comes twice, and one listener goes away in the middle.
"""

from burst import (CANCELLED, SCALE, Burst, acts_of_pagerduty, acts_of_stackflow, assert_in_step,
                   at_once, until)

from pagerduty_stackflow import listener
from pagerduty_stackflow.incidents import pagerduty_id_of_mark

INCIDENTS = 24
SECONDS = 2
ROUND_TRIP_SECONDS = 0.2
"""Of every call, so that runs overlap between any two."""


def test_with_two_of_everything_and_doubled_webhooks_the_invariants_hold(monkeypatch):
    monkeypatch.setattr(listener, "APART_SECONDS", 0.0)  # they know nothing of each other
    with Burst(listeners=2, processes=8) as world:
        world.before_call = lambda what: world.clock.sleep(ROUND_TRIP_SECONDS)
        for simulator in (world.pagerduty, world.stackflow):
            simulator.outbox.double(10 ** 6)
        until(lambda: all(one._listener.address for one in world.sensors), lambda: "not up")
        stories = [(acts_of_stackflow, acts_of_pagerduty)[number % 2](world, number // 2)
                   for number in range(INCIDENTS)]
        at_once(stories[:INCIDENTS // 2], SECONDS / 2)
        world.sensors[1].cleanup()
        at_once(stories[INCIDENTS // 2:], SECONDS / 2)
        world.clock.run_faster(SCALE)
        until(world.quiet, lambda: "%d runs wait, last: %r" % (
            len(world.queue), world.outcomes[-3:]))
        taken = [one._listener.health() for one in world.sensors]
    assert all(one[side]["dispatched"] for one in taken for side in ("pagerduty", "stackflow"))
    assert [one for one in world.outcomes if isinstance(one, Exception)] == []
    assert_in_step(world)
    assert_nobody_was_paged_twice(world)
    assert_no_write_came_back(world)


def assert_nobody_was_paged_twice(world):
    """Nor opened twice, which `assert_in_step` looks at."""
    paged = [(user, page.incident_id) for user, pages in world.pagerduty.notifications.items()
             for page in pages]
    assert len(paged) == len(set(paged)) > 0


def assert_no_write_came_back(world):
    """Two runs of one change may write the same at the same moment, never anything else."""
    for record in world.stackflow.incidents():
        written = world.sf_writes(record["number"])
        people = pagerduty_id_of_mark(record["description"]) is not None  # it came from PagerDuty
        assert set(written) <= ({"in_progress", "resolved", CANCELLED} if people else set())
        assert all(written.count(state) <= 2 for state in written)
    events = [(write.document["dedup_key"], write.document["event_action"])
              for write in world.pagerduty.writes if write.api == "events"]
    most = {one: events.count(one) for one in events}
    # A run that triggered sends what another run may have sent before it once more.
    assert all(count <= 4 for count in most.values()), most
