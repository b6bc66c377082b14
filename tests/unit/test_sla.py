"""An escalation under everything that can go wrong: crashes between any two calls, lost answers,
runs at the same time, runs that died, records of an earlier version.
"""

from __future__ import annotations

import json
import random

import pytest
from interleaving import Interleaved
from sla_world import KEY, RESOLUTION, SlaWorld
from world import Crash

from pagerduty_stackflow import sla
from pagerduty_stackflow.datastore import EXPIRY
from pagerduty_stackflow.errors import BadInputError, ConflictError, DatastoreError, NotFoundError
from pagerduty_stackflow.sla import OVERDUE

QUICK = {"unanswered_after_minutes": 1}
TIME = 65
"""Seconds in which people have had their time then."""
OPENED = ("P1", "P3")
"""With an incident that is open already, and with one that the escalation opens."""
BREACH = {"metric": "", "trigger_on": "sla_breach"}


def follow(world, number, breach=None):
    return sla.follow_escalation(world.pack(), number, RESOLUTION, breach)


def assert_escalated_once(world, number):
    """Lee was paged once, by one write; notes once, and the last resort once."""
    assert world.pages(world.lee) == ["delegated"]
    assert [sorted(put) for put in world.puts()] == [["escalation_policy"]]
    assert len(world.notes(number)) == len(world.incident(number).notes) == 2
    for end in ("", ":unanswered"):
        assert len(world.pagerduty.incidents(dedup_key=KEY + number + end)) == 1


def in_time(world, number):
    """A whole escalation that nobody answers, with the reconcile behind it."""
    world.breach(number)
    for _ in range(6):
        world.wait(300)
        world.act("reconcile")


@pytest.mark.parametrize("priority", OPENED)
def test_a_process_that_is_killed_between_any_two_calls_changes_nothing_in_the_end(priority):
    happened, at = True, 0
    while happened:
        at += 1
        world = SlaWorld(escalation=QUICK)
        number, left, happened = world.opened(priority), at, False

        def crash(what):
            nonlocal left, happened
            left -= world.in_task
            if left == 0 and not happened:
                happened = True
                raise Crash()

        world.before_call = crash
        in_time(world, number)
        assert_escalated_once(world, number)
    assert at > 40


@pytest.mark.parametrize("priority", OPENED)
@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_an_answer_that_is_lost_at_any_request_doubles_no_write(side, priority):
    lost, at = True, 0
    while lost:
        at += 1
        world = SlaWorld(escalation=QUICK)
        number, count = world.opened(priority), 0
        simulator = getattr(world, side)
        handle = simulator.handle

        def lose(request):
            nonlocal count
            count += 1
            answer = handle(request)
            if count == at:
                raise ConnectionResetError("lost on the way back")
            return answer

        simulator.handle = lose
        world.breach(number)
        world.wait(4 * TIME)
        assert_escalated_once(world, number)
        lost = count >= at
    assert at >= 8


def assert_started_once(world, number, results):
    """One of two runs goes on; the other had nothing to do, or is to be tried again."""
    assert world.pages(world.lee) == ["delegated"] and len(world.puts()) == 1
    assert len(world.pagerduty.incidents(dedup_key=KEY + number)) == 1
    assert len(world.notes(number)) == len(world.incident(number).notes) == 1
    refused = [one for one in results if isinstance(one, Exception)]
    assert all(isinstance(one, ConflictError) and one.retryable for one in refused)
    assert [one.go_on for one in results if one not in refused] in ([True], [True, False],
                                                                    [False, True])


@pytest.mark.parametrize("priority", OPENED)
def test_a_breach_that_another_run_escalates_in_between_is_started_once(priority):
    """For each call of a run: another run, from its beginning to its end, right before it."""
    reached, at = True, -1
    while reached:
        at += 1
        world = SlaWorld(escalation=QUICK)
        number = world.opened(priority)
        at_once = Interleaved(world, [lambda: follow(world, number, BREACH)] * 2)
        results = at_once.go([1] * at + [0] * 1000)
        world.settle()
        assert_started_once(world, number, results)
        reached = at_once.taken.count(1) > at
    assert at > 10


@pytest.mark.parametrize("priority", OPENED)
@pytest.mark.parametrize("seed", range(15))
def test_a_breach_that_two_runs_see_at_the_same_time_is_started_once(priority, seed):
    world = SlaWorld(escalation=QUICK)
    number = world.opened(priority)
    chance = random.Random(seed)
    results = Interleaved(world, [lambda: follow(world, number, BREACH)] * 2).go(
        chance.choice((0, 1)) for _ in range(4000))
    world.settle()
    assert_started_once(world, number, results)


@pytest.mark.parametrize("seed", range(10))
def test_two_runs_that_find_no_answer_send_one_last_resort(seed):
    world = SlaWorld(escalation=QUICK)
    number = world.opened()
    follow(world, number, BREACH)
    world.run(TIME)
    chance = random.Random(seed)
    Interleaved(world, [lambda: follow(world, number)] * 2).go(
        chance.choice((0, 1)) for _ in range(4000))
    assert_escalated_once(world, number)


@pytest.fixture
def world():
    return SlaWorld(escalation=QUICK)


@pytest.fixture
def number(world):
    return world.opened()


@pytest.mark.parametrize("started", [True, False])
def test_the_reconcile_takes_up_an_escalation_that_stands_still(world, number, started):
    if not started:
        world.before_call = lambda what: what.startswith("PUT") and crash_now()
    try:
        follow(world, number, BREACH)
    except Crash:
        world.before_call = lambda what: None
    world.run(OVERDUE + (TIME if started else 0) - 10)
    assert world.act("reconcile").repairs == []
    world.run(10)
    would = world.act("reconcile", dry_run=True).repairs
    assert [one["writes"] for one in would] == [["escalate"]]
    assert world.act("reconcile").repairs == would
    if not started:
        assert world.pages(world.lee) == ["delegated"]
        world.run(OVERDUE + TIME)
        assert len(world.act("reconcile").repairs) == 1
    assert_escalated_once(world, number)
    assert world.act("reconcile").repairs == []
    assert follow(world, number).outcome == "already"


def crash_now():
    raise Crash()


def test_the_reconcile_ends_what_was_answered_without_a_last_resort(world, number):
    follow(world, number, BREACH)
    world.pagerduty.acknowledge(world.incident(number).id, world.lee)
    world.run(OVERDUE + TIME)
    assert ["escalate"] in [one["writes"] for one in world.act("reconcile").repairs]
    assert world.incident(number, ":unanswered") is None and sla.overdue(world.pack()) == []


def test_a_report_takes_up_what_died_before_the_start(world, number):
    world.before_call = lambda what: what.startswith("PUT") and crash_now()
    with pytest.raises(Crash):
        follow(world, number, BREACH)
    world.before_call = lambda what: None
    assert follow(world, number, BREACH).go_on
    assert not follow(world, number, BREACH).go_on
    assert world.pages(world.lee) == ["delegated"]


def test_the_lease_of_a_killed_run_expires(world, number):
    world.pack().leases.take("sla." + number, OVERDUE, world.clock)
    with pytest.raises(ConflictError, match="another run is at work"):
        follow(world, number, BREACH)
    world.run(OVERDUE)
    assert follow(world, number, BREACH).go_on


OLD = {"number": "", "policy": RESOLUTION, "run": "65b9", "metric": "resolution",
       "trigger_on": "sla_breach", "pagerduty_id": "", "dedup_key": ""}
"""What version 0.1.0 stored of every escalation."""


def store_old(world, number, **fields):
    incident = world.incident(number)
    old = dict(OLD, number=number, pagerduty_id=incident.id, dedup_key=KEY + number, **fields)
    follow(world, number, BREACH)
    key, = [name for name in world.store.values if ".sla." in name]
    world.store.set_value(key, json.dumps(old))


def stamp(world):
    return world.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize("answer", [True, False])
def test_an_escalation_that_version_0_1_0_was_following_goes_on(world, number, answer):
    world.pagerduty.acknowledge(world.incident(number).id, world.casey)
    world.run(5)
    begun = stamp(world)
    store_old(world, number, state="waiting", begun=begun, look_at=begun, acknowledges=1, level=1,
              at=begun[:19] + "Z", assigned="1; PLEE000 " + begun[:19] + "Z")
    assert follow(world, number, BREACH).reason == "escalated already: waiting"
    assert follow(world, number).go_on and len(world.puts()) == 1
    if answer:
        world.run(5)
        world.pagerduty.acknowledge(world.incident(number).id, world.lee)
    world.run(OVERDUE + TIME)
    world.act("reconcile")
    assert bool(world.incident(number, ":unanswered")) is not answer
    assert len(world.puts()) == 1


def test_an_escalation_that_version_0_1_0_was_starting_is_started(world, number):
    world.pagerduty.acknowledge(world.incident(number).id, world.casey)
    world.run(5)
    incident = world.incident(number)
    begun = stamp(world)
    store_old(world, number, state="starting", begun=begun, look_at=begun, acknowledges=1,
              assigned="0; PCASEY0 2026-01-05T10:00:01Z")
    step = follow(world, number)
    assert (step.go_on, step.reason) == (True, "the escalation policy was started")
    assert world.pages(world.lee) == ["delegated"] and incident.policy_id == world.command


@pytest.mark.parametrize("state", ["answered", "unanswered", "resolved", "dropped"])
def test_a_breach_that_version_0_1_0_escalated_stays_known(world, number, state):
    begun = stamp(world)
    store_old(world, number, state=state, begun=begun, look_at=begun, at=begun[:19] + "Z")
    puts = len(world.puts())
    assert follow(world, number, BREACH).outcome == "already" and len(world.puts()) == puts
    world.stackflow.recover_sla(number, RESOLUTION)
    world.settle()
    assert follow(world, number, BREACH).go_on


def test_nothing_is_written_while_the_datastore_is_away(world, number):
    world.store.unreachable = True
    with pytest.raises(DatastoreError):
        follow(world, number, BREACH)
    assert world.puts() == [] and world.notes(number) == []


@pytest.mark.parametrize("broken", ["", "x", "[]", "{}", "null", '{"number": 7}', "[" * 9999])
def test_a_stored_escalation_that_somebody_broke_is_none(world, number, broken):
    follow(world, number, BREACH)
    key, = [name for name in world.store.values if ".sla." in name]
    world.store.set_value(key, broken)
    assert follow(world, number).outcome == "skipped"
    assert sla.overdue(world.pack()) == []
    assert follow(world, number, BREACH).go_on


def test_a_recovery_that_is_forgotten_is_no_new_one(world, number):
    world.stackflow.recover_sla(number, RESOLUTION)
    world.settle()
    world.clock.advance(EXPIRY - 3600)
    follow(world, number, BREACH)
    world.pagerduty.acknowledge(world.incident(number).id, world.lee)
    follow(world, number)
    world.clock.advance(7200)
    assert follow(world, number, BREACH).outcome == "already"


def test_a_recovery_that_is_reported_twice_allows_one_escalation(world, number):
    for times in (1, 2):
        follow(world, number, BREACH)
        world.run(2)
        world.pagerduty.acknowledge(world.incident(number).id, world.lee)
        follow(world, number)
        if times == 1:
            world.stackflow.outbox.double()
            world.stackflow.recover_sla(number, RESOLUTION)
        world.settle(30)
    assert len(world.pages(world.lee)) == 2
    assert follow(world, number, BREACH).outcome == "already"


def test_a_breach_right_after_a_reopening_is_new_before_its_incident_is_visible(world, number):
    follow(world, number, BREACH)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert follow(world, number).reason == "resolved"
    world.pagerduty.switches.event_delay = 5
    world.stackflow.reopen(number)
    world.run(0.5)
    world.run_queue()
    assert world.incident(number, ":1") is None
    assert follow(world, number, BREACH).go_on
    assert world.incident(number, ":1").policy_id == world.command


def test_a_record_that_is_deleted_while_it_waits_ends_it(world, number):
    follow(world, number, BREACH)
    world.stackflow.desk.delete(number)
    step = follow(world, number)
    assert (step.go_on, step.reason) == (False, "resolved")


def test_either_id_is_taken_and_an_unknown_one_is_an_error(world, number):
    assert follow(world, world.incident(number).id, BREACH).stackflow_id == number
    for incident_id, error in (("INC9999999", NotFoundError), ("QUNKNOWN000000", NotFoundError),
                               ("nonsense", BadInputError)):
        with pytest.raises(error):
            follow(world, incident_id, BREACH)


def test_a_policy_that_is_not_mapped_is_skipped(world, number):
    step = sla.follow_escalation(world.pack(), number, "Other", BREACH)
    assert (step.outcome, step.go_on) == ("skipped", False) and "'Other'" in step.reason


def test_what_is_resolved_while_an_incident_is_opened_for_it_is_resolved_in_pagerduty_too(world):
    number = world.opened("P3")
    world.stackflow.outbox.lose(9)

    def resolve(what):
        if what.endswith("/v2/enqueue"):
            world.before_call = lambda what: None
            world.stackflow.set_state(number, "resolved")

    world.before_call = resolve
    follow(world, number, BREACH)
    world.run(1)
    assert world.incident(number).status == "resolved"
    assert follow(world, number).reason == "resolved"
