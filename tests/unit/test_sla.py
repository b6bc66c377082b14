"""An escalation under everything that can go wrong: crashes between any two calls, lost answers,
runs at the same time, runs that died.
"""

from __future__ import annotations

import random

import pytest
from interleaving import Interleaved
from sla_world import KEY, RESOLUTION, SlaWorld
from world import Crash

from pagerduty_stackflow import sla
from pagerduty_stackflow.errors import BadInputError, DatastoreError, NotFoundError
from pagerduty_stackflow.escalation import OVERDUE
from pagerduty_stackflow.links import EXPIRY

QUICK = {"acknowledge_timeout_minutes": 1}
LEVEL = 65
"""Seconds in which one level has had its time then."""
OPENED = ("P1", "P3")
"""With an incident that is open already, and with one that the escalation opens."""


class Calls:
    """Counts the calls of a workflow's tasks, and does something right before one of them."""

    def __init__(self, world, number, act):
        self._world, self._left, self._act = world, number, act
        self.happened = False
        world.before_call = self

    def __call__(self, what):
        self._left -= self._world.in_task
        if self._left == 0 and not self.happened:
            self.happened = True
            self._act()


def crash():
    raise Crash()


def follow(world, number, run="run", **given):
    return sla.follow_escalation(world.pack(), number, RESOLUTION, run, **given)


def assert_escalated_once(world, number, casey=1):
    """Everybody was paged once, one write each, notes once, and the last resort once."""
    workflow = world.workflows[0]
    assert workflow.status == "succeeded", workflow.results
    assert workflow.output["unanswered"] is True and workflow.output["level"] == 2
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], ["escalated"])
    assert [sorted(put) for put in world.puts()] == [["escalation_policy"], ["escalation_level"]]
    assert len(world.notes(number)) == len(world.incident(number).notes) == 2
    for end in ("", ":unanswered"):
        assert len(world.pagerduty.incidents(dedup_key=KEY + number + end)) == 1


def scenario(priority, disturb):
    """A whole escalation that nobody answers, disturbed before the breach is reported."""
    world = SlaWorld(escalation=QUICK)
    number = world.opened(priority)
    call = disturb(world)
    world.breach(number)
    world.wait(5 * LEVEL)
    return world, number, call


@pytest.mark.parametrize("priority", OPENED)
def test_a_process_that_is_killed_between_any_two_calls_changes_nothing_in_the_end(priority):
    reached, at = True, 0
    while reached:
        at += 1
        world, number, call = scenario(priority, lambda world: Calls(world, at, crash))
        assert_escalated_once(world, number)
        reached = call.happened
    assert at > 50


@pytest.mark.parametrize("priority", OPENED)
@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_an_answer_that_is_lost_at_any_request_doubles_no_write(side, priority):
    reached, at = True, 0
    while reached:
        at += 1
        world = SlaWorld(escalation=QUICK)
        number = world.opened(priority)
        simulator = getattr(world, side)
        handle, count = simulator.handle, [0]

        def lose(request):
            count[0] += 1
            answer = handle(request)
            if count[0] == at:
                raise ConnectionResetError("lost on the way back")
            return answer

        simulator.handle = lose
        world.breach(number)
        world.wait(4 * LEVEL)
        assert_escalated_once(world, number)
        reached = count[0] >= at
    assert at > 10


def in_the_middle(make):
    """For each call of a run: another run, from its beginning to its end, right before it."""
    reached, at = True, -1
    while reached:
        at += 1
        world, number, runs = make()
        at_once = Interleaved(world, runs)
        results = at_once.go([1] * at + [0] * 1000)
        world.settle()
        failed = [one for one in results if isinstance(one, Exception)]
        assert not failed
        reached = at_once.taken.count(1) > at
        yield world, number, results
    assert at > 10


@pytest.mark.parametrize("priority", OPENED)
def test_a_breach_that_another_run_escalates_in_between_is_escalated_once(priority):
    def make():
        world = SlaWorld(escalation=QUICK)
        number = world.opened(priority)
        return world, number, [lambda run=run: follow(world, number, run, begin=True)
                               for run in ("one", "two")]

    for world, number, _ in in_the_middle(make):
        assert world.pages(world.lee) == ["delegated"]
        assert len(world.pagerduty.incidents(dedup_key=KEY + number)) == 1
        assert len(world.notes(number)) == len(world.incident(number).notes) == 1
        world.run(LEVEL)
        following = [follow(world, number, run) for run in ("one", "two")]
        assert [one.go_on for one in following].count(True) == 1
        assert world.pages(world.kim) == ["escalated"]


def test_a_level_that_another_run_alerts_in_between_is_alerted_once():
    """But for one request's width: between the last read of one run and its write."""
    def make():
        world = SlaWorld(escalation=QUICK)
        number = world.opened()
        follow(world, number, begin=True)
        world.run(LEVEL)
        return world, number, [lambda: follow(world, number)] * 2

    twice = 0
    for world, number, results in in_the_middle(make):
        assert [one.level for one in results] == [2, 2]
        twice += len(world.pages(world.kim)) - 1
        assert follow(world, number).go_on
    assert twice == 1


@pytest.mark.parametrize("priority", OPENED)
@pytest.mark.parametrize("seed", range(15))
def test_a_breach_that_two_runs_see_at_the_same_time_is_escalated_once(priority, seed):
    world = SlaWorld(escalation=QUICK)
    number = world.opened(priority)
    chance = random.Random(seed)
    runs = [lambda run=run: follow(world, number, run, begin=True) for run in ("one", "two")]
    at_once = Interleaved(world, runs)
    results = at_once.go(chance.choice((0, 1)) for _ in range(2000))
    world.settle()
    assert world.pages(world.lee) == ["delegated"], at_once.taken
    assert len(world.pagerduty.incidents(dedup_key=KEY + number)) == 1
    assert not [one for one in results if isinstance(one, Exception)]
    world.run(LEVEL)
    following = [follow(world, number, run) for run in ("one", "two")]
    assert [one.go_on for one in following].count(True) == 1
    assert world.pages(world.kim) == ["escalated"]


@pytest.fixture
def world():
    return SlaWorld(escalation=QUICK)


@pytest.fixture
def number(world):
    return world.opened()


def test_an_escalation_is_followed_by_one_run(world, number):
    assert follow(world, number, "one", begin=True).go_on
    for begin in (True, False):
        other = follow(world, number, "two", begin=begin)
        assert (other.outcome, other.go_on) == ("already", False)
    assert follow(world, number, "one", begin=True).go_on
    assert world.pages(world.lee) == ["delegated"] and len(world.puts()) == 1


def test_a_run_that_died_is_taken_up_where_it_stands_by_the_next_report(world, number):
    follow(world, number, "one", begin=True)
    world.run(LEVEL + OVERDUE.total_seconds() - 10)
    assert not follow(world, number, "two", begin=True).go_on and len(world.puts()) == 1
    world.run(10)
    taken = follow(world, number, "two", begin=True)
    assert taken.go_on and taken.level == 2 and world.pages(world.kim) == ["escalated"]
    assert not follow(world, number, "one").go_on
    assert len(world.notes(number)) == 1


def test_a_run_that_died_at_its_start_is_taken_up_too(world, number):
    world.before_call = lambda what: what.startswith("PUT") and crash()
    with pytest.raises(Crash):
        follow(world, number, "one", begin=True)
    world.before_call = lambda what: None
    assert not follow(world, number, "two", begin=True).go_on
    assert sla.overdue(world.pack()) == []
    world.run(OVERDUE.total_seconds())
    assert sla.overdue(world.pack()) == [(number, RESOLUTION)]
    assert follow(world, number, "two", begin=True).go_on
    assert world.pages(world.lee) == ["delegated"]


def test_the_reconcile_follows_what_stands_still_to_its_end(world, number):
    follow(world, number, "one", begin=True)
    assert sla.overdue(world.pack()) == []
    assert sla.look(world.pack(), number, RESOLUTION).reason == "another run follows it"
    world.run(LEVEL + OVERDUE.total_seconds())
    for _ in range(2):
        assert sla.overdue(world.pack()) == [(number, RESOLUTION)]
        would = world.act("reconcile", dry_run=True).repairs
        assert [one["writes"] for one in would] == [["escalate"]]
        assert world.act("reconcile").repairs == would
        assert sla.overdue(world.pack()) == [] and world.act("reconcile").repairs == []
        world.run(LEVEL)
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], ["escalated"])
    assert world.incident(number, ":unanswered").status == "triggered"
    assert sla.look(world.pack(), number, RESOLUTION).outcome == "skipped"


def test_a_late_workflow_leaves_alone_what_the_reconcile_follows(world, number):
    follow(world, number, "one", begin=True)
    world.run(LEVEL + OVERDUE.total_seconds())
    sla.look(world.pack(), number, RESOLUTION)
    assert not follow(world, number, "one").go_on


def test_nothing_is_written_while_the_datastore_is_away(world, number):
    world.store.unreachable = True
    with pytest.raises(DatastoreError):
        follow(world, number, begin=True)
    assert world.puts() == [] and world.notes(number) == []


@pytest.mark.parametrize("broken", ["", "x", "[]", "{}", "null", '{"number": 7}', "[" * 9999])
def test_a_stored_escalation_that_somebody_broke_is_none(world, number, broken):
    follow(world, number, begin=True)
    key, = [name for name in world.store.values if ".sla." in name]
    world.store.set_value(key, broken)
    assert follow(world, number).outcome == "skipped"
    assert sla.overdue(world.pack()) == []
    assert follow(world, number, begin=True).go_on


def test_a_breach_that_is_reported_again_and_again_stays_known(world, number):
    follow(world, number, begin=True)
    world.pagerduty.acknowledge(world.incident(number).id, world.lee)
    follow(world, number)
    for _ in range(3):
        world.clock.advance(EXPIRY - 3600)
        assert follow(world, number, "later", begin=True).outcome == "already"
    assert world.pages(world.lee) == ["delegated"]


def test_a_recovery_that_is_forgotten_is_no_new_one(world, number):
    world.stackflow.recover_sla(number, RESOLUTION)
    world.settle()
    follow(world, number, begin=True)
    world.pagerduty.acknowledge(world.incident(number).id, world.lee)
    world.clock.advance(EXPIRY - 3600)
    follow(world, number)
    world.clock.advance(7200)
    assert follow(world, number, "later", begin=True).outcome == "already"


def test_a_recovery_that_is_reported_twice_allows_one_escalation(world, number):
    for times in (1, 2):
        follow(world, number, "run %d" % times, begin=True)
        world.pagerduty.acknowledge(world.incident(number).id, world.lee)
        follow(world, number, "run %d" % times)
        if times == 1:
            world.stackflow.outbox.double()
            world.stackflow.recover_sla(number, RESOLUTION)
        world.settle(30)
    assert len(world.pages(world.lee)) == 2
    assert follow(world, number, "run 3", begin=True).outcome == "already"


def test_a_record_that_is_deleted_while_it_waits_ends_it(world, number):
    follow(world, number, begin=True)
    world.stackflow.desk.delete(number)
    step = follow(world, number)
    assert (step.go_on, step.reason) == (False, "resolved")


def test_either_id_is_taken_and_an_unknown_one_is_an_error(world, number):
    assert follow(world, world.incident(number).id, begin=True).stackflow_id == number
    for incident_id, error in (("INC9999999", NotFoundError), ("QUNKNOWN000000", NotFoundError),
                               ("nonsense", BadInputError)):
        with pytest.raises(error):
            follow(world, incident_id, begin=True)


def test_a_policy_that_is_not_mapped_is_skipped(world, number):
    step = sla.follow_escalation(world.pack(), number, "Other", "run", begin=True)
    assert (step.outcome, step.go_on) == ("skipped", False) and "'Other'" in step.reason


def test_a_policy_that_pagerduty_does_not_take_is_an_error(world, number):
    world.pagerduty.lifecycle.delegate = lambda *_: None
    with pytest.raises(sla.PackError, match="shows another one"):
        follow(world, number, begin=True)
