"""What goes wrong between two systems: doubles, wrong order, races, crashes, lost answers, lost
memory, merges.
"""

import itertools
import random
from datetime import timedelta

import pytest
from interleaving import Interleaved
from world import Crash, World

from dev.simulators.base import Response
from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.links import Links

GROUP = "Platform Engineering"
JANE = "jane@example.com"
KEY = "stackflow:acme.stackflow.example:"


@pytest.fixture
def world():
    return World()


def created(world, priority="P1", settle=True, **fields):
    number = world.stackflow.create_incident("Database timeout", priority, group=GROUP,
                                             category="api", **fields)
    if settle:
        world.settle()
    return number


def open_incidents(world, number):
    return [one for one in world.pagerduty.incidents()
            if one.status != "resolved" and any(
                alert.alert_key.startswith(KEY + number)
                for alert in world.pagerduty.alerts(one.id))]


def waiting(world):
    """The runs that deliveries caused and that have not run yet."""
    world.run(2)
    runs, world.queue = world.queue, []
    return runs


def assert_in_step(world, number, state):
    """Both sides show the same state, with one incident on each side, and nothing more to write."""
    world.settle()
    incidents = open_incidents(world, number)
    assert len(incidents) == (0 if state == "resolved" else 1)
    assert len(world.stackflow.incidents()) == 1
    if state == "resolved":
        assert world.stackflow.incident(number)["state"] in ("resolved", "closed", "cancelled")
    else:
        assert incidents[0].status == state
    before = (len(world.pagerduty.writes), len(world.stackflow.writes))
    for event in ("acknowledged", "resolved"):
        for one in world.pagerduty.incidents():
            world.act("set_stackflow_state", incident_id=one.id,
                      state="in_progress" if event == "acknowledged" else "resolved")
    assert (len(world.pagerduty.writes), len(world.stackflow.writes)) == before


# Doubles.

@pytest.mark.parametrize("change, state, writes", [
    (lambda world, number: None, "triggered", ["trigger"]),
    (lambda world, number: world.stackflow.assign(number, person=JANE), "acknowledged",
     ["trigger", "acknowledge"]),
    (lambda world, number: world.stackflow.set_state(number, "resolved"), "resolved",
     ["trigger", "resolve"])])
def test_the_same_stackflow_webhook_ten_times_writes_once(world, change, state, writes):
    number = created(world)
    change(world, number)
    world.run(2)
    runs = list(world.queue)
    world.queue = runs * 10
    world.settle()
    assert world.pd_writes() == writes
    assert_in_step(world, number, state)


def test_the_same_creation_ten_times_pages_once(world):
    number = created(world, settle=False)
    runs = waiting(world)
    world.queue = runs * 10
    world.settle()
    assert world.paged()[world.casey] == 1
    assert_in_step(world, number, "triggered")


def test_the_same_pagerduty_webhook_ten_times_makes_one_record(world):
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.queue = waiting(world) * 10
    world.settle()
    world.pagerduty.acknowledge(incident, world.casey)
    world.queue = waiting(world) * 10
    world.settle()
    world.pagerduty.resolve(incident, world.casey)
    world.queue = waiting(world) * 10
    world.settle()
    record, = world.records_of(incident)
    assert world.sf_writes(record["number"]) == ["in_progress", "resolved"]
    assert world.pd_writes() == []


# Wrong order.

@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_created_assigned_and_resolved_end_resolved_in_any_order(order):
    world = World()
    number = created(world, settle=False)
    runs = waiting(world)
    world.stackflow.assign(number, person=JANE)
    runs += waiting(world)
    world.stackflow.set_state(number, "resolved")
    runs += waiting(world)
    assert len(runs) == 3
    for position in order:
        world.run_one(runs[position])
        world.run(2)
    world.queue = []
    assert_in_step(world, number, "resolved")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_triggered_acknowledged_and_resolved_in_pagerduty_in_any_order(order):
    world = World()
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    runs = waiting(world)
    world.pagerduty.acknowledge(incident, world.casey)
    runs += waiting(world)
    world.pagerduty.resolve(incident, world.casey)
    runs += waiting(world)
    assert len(runs) == 3
    for position in order:
        world.run_one(runs[position])
    records = world.records_of(incident)
    assert [record["state"] for record in records] in ([], ["resolved"])
    assert world.pd_writes() == []


def test_a_late_assignment_does_not_acknowledge_for_somebody_who_left(world):
    number = created(world)
    world.stackflow.assign(number, person=JANE)
    late = waiting(world)
    world.run(3600)
    world.stackflow.unassign(number)
    world.settle()
    for one in late:
        world.run_one(one)
    world.settle()
    assert world.status(number) == "triggered"


def test_a_late_assignment_acknowledges_as_whoever_has_the_record_by_then(world):
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    number = world.records_of(incident)[0]["number"]
    for person in ("casey@example.com", "robin@example.com"):
        world.run(1)
        world.stackflow.assign(number, person=person)
    world.settle()
    assert world.pagerduty.incident(incident).status == "acknowledged"
    assert world.pagerduty.incident(incident).assignees == [world.robin]


def test_a_late_resolve_does_not_undo_a_reopening(world):
    number = created(world)
    world.stackflow.set_state(number, "resolved")
    late = waiting(world)
    world.queue = list(late)
    world.settle()
    world.run(60)
    world.stackflow.reopen(number)
    world.settle()
    for one in late:
        world.run_one(one)
    world.settle()
    assert [one.status for one in open_incidents(world, number)] == ["triggered"]
    assert world.stackflow.incident(number)["state"] == "in_progress"


def test_a_late_pagerduty_resolve_does_not_undo_a_reopening(world):
    number = created(world)
    incident = world.pagerduty.incidents()[0].id
    world.pagerduty.resolve(incident, world.casey)
    late = waiting(world)
    world.queue = list(late)
    world.settle()
    world.run(60)
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    for one in late:
        world.run_one(one)
    world.settle()
    assert world.stackflow.incident(number)["state"] == "in_progress"
    assert world.pagerduty.incident(incident).status == "triggered"


def test_an_acknowledgement_while_the_record_is_being_created_is_not_lost(world):
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    creating, = waiting(world)

    def acknowledge(what):
        if what == "POST /prod/api/incidents":
            world.before_call = lambda what: None
            world.pagerduty.acknowledge(incident, world.casey)
            for one in waiting(world):
                assert "no StackFlow record yet" in world.run_one(one).reason

    world.before_call = acknowledge
    world.run_one(creating)
    assert world.records_of(incident)[0]["state"] == "in_progress"


# Both sides changed while nobody listened.

@pytest.mark.parametrize("here, there, end", [
    ("assigned", "resolved", "resolved"), ("resolved", "acknowledged", "resolved"),
    ("resolved", "resolved", "resolved"), ("assigned", "acknowledged", "acknowledged"),
    ("resolved", "resolved and reopened", "triggered")])
@pytest.mark.parametrize("first", ["stackflow", "pagerduty"])
def test_what_changed_on_both_sides_is_settled_by_precedence(here, there, end, first):
    world = World()
    number = created(world)
    incident = world.pagerduty.incidents()[0].id
    world.listening = False
    there_first, _, there_then = there.partition(" and ")
    here_first, _, here_then = here.partition(" and ")
    if there_first == "acknowledged":
        world.pagerduty.acknowledge(incident, world.casey)
    else:
        world.pagerduty.resolve(incident, world.casey)
    world.run(60)
    if here_first == "assigned":
        world.stackflow.assign(number, person=JANE)
    else:
        world.stackflow.set_state(number, "resolved")
    world.run(60)
    if here_then:
        world.stackflow.reopen(number)
    if there_then:
        world.pagerduty.reopen(incident, world.casey)
    world.listening = True
    world.run(1200)
    runs, world.queue = world.queue, []
    world.queue = sorted(runs, key=lambda run: not run.rule.startswith(first))
    world.settle()
    assert_in_step(world, number, end)


def test_a_reopening_in_stackflow_later_than_the_resolve_in_pagerduty_wins(world):
    number = created(world)
    world.listening = False
    world.pagerduty.resolve(world.pagerduty.incidents()[0].id, world.casey)
    world.run(60)
    world.stackflow.set_state(number, "resolved")
    world.run(60)
    world.stackflow.reopen(number)
    world.listening = True
    world.run(1200)
    world.queue.sort(key=lambda run: run.rule.startswith("pagerduty"))
    world.settle()
    assert_in_step(world, number, "triggered")


def test_a_reopening_pages_although_nobody_saw_the_resolve_before_it(world):
    number = created(world)
    world.pagerduty.outbox.lose(1)
    world.stackflow.outbox.lose(1)
    world.pagerduty.resolve(world.pagerduty.incidents()[0].id, world.casey)
    world.stackflow.set_state(number, "resolved")
    world.run(1)
    world.stackflow.reopen(number)
    world.settle()
    assert [one.status for one in open_incidents(world, number)] == ["triggered"]


@pytest.mark.parametrize("backwards", [False, True])
def test_resolved_and_reopened_within_one_second_ends_open_in_either_order(world, backwards):
    number = created(world)
    world.stackflow.set_state(number, "in_progress")
    world.settle()
    world.stackflow.set_state(number, "resolved")
    world.stackflow.reopen(number)
    world.run(0.5)
    world.run_queue(lambda queue: queue[::-1] if backwards else queue)
    world.settle()
    assert [one.status for one in open_incidents(world, number)] == ["triggered"]
    assert world.stackflow.incident(number)["state"] == "in_progress"


# Races.

def race(world, make, choose):
    """Two runs at once, switched at every call as ``choose`` says; returns what they returned."""
    one, two = make(world)
    at_once = Interleaved(world, [lambda: world.run_one(one), lambda: world.run_one(two)])
    return at_once.go(choose)


def trigger_beside(change):
    """The run that triggers, and the run of a change that came right after the creation."""
    def make(world):
        number = created(world, settle=False)
        first, = waiting(world)
        change(world, number)
        second, = waiting(world)
        return first, second
    return make


def acknowledge_beside_resolve(world):
    number = created(world)
    world.stackflow.assign(number, person=JANE)
    first, = waiting(world)
    world.stackflow.set_state(number, "resolved")
    second, = waiting(world)
    return first, second


def resolve_on_both_sides(world):
    number = created(world)
    world.pagerduty.resolve(world.pagerduty.incidents()[0].id, world.casey)
    first, = waiting(world)
    world.stackflow.set_state(number, "resolved")
    second, = waiting(world)
    return first, second


def create_twice(world):
    world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    first, = waiting(world)
    return first, first


RACES = {
    "trigger beside resolve": (trigger_beside(
        lambda world, number: world.stackflow.set_state(number, "resolved")), "resolved", 0),
    "trigger beside acknowledge": (trigger_beside(
        lambda world, number: world.stackflow.assign(number, person=JANE)), "acknowledged", 0),
    "acknowledge beside resolve": (acknowledge_beside_resolve, "resolved", 0),
    "resolve on both sides": (resolve_on_both_sides, "resolved", 1),
}


def schedules(count):
    """Orders of two runs: one after the other, strictly in turn, and ``count`` drawn ones."""
    yield [0] * 60
    yield [1] * 60
    yield [0, 1] * 60
    for seed in range(count):
        draw = random.Random(seed)
        yield [draw.randrange(2) for _ in range(80)]


def test_three_events_of_one_second_that_run_at_once_undo_no_resolve():
    for seed in range(150):
        world, draw = World(), random.Random(seed)
        number = created(world, settle=False)
        world.stackflow.assign(number, person=JANE)
        world.stackflow.set_state(number, "resolved")
        runs = waiting(world)
        draw.shuffle(runs)
        Interleaved(world, [lambda one=one: world.run_one(one) for one in runs]).go(
            [draw.randrange(len(runs)) for _ in range(120)])
        assert_in_step(world, number, "resolved")
        assert world.sf_writes(number) == [], seed


@pytest.mark.parametrize("seed", [0, 6])
def test_a_reopening_pages_although_a_third_run_wrote_over_the_resolve_that_was_expected(seed):
    world, draw = World(), random.Random(seed)
    number = created(world)
    for act in (lambda: world.stackflow.assign(number, person=JANE),
                lambda: world.stackflow.set_state(number, "resolved"),
                lambda: world.stackflow.reopen(number)):
        act()
        world.run(2)
    runs = waiting(world)
    draw.shuffle(runs)
    Interleaved(world, [lambda one=one: world.run_one(one) for one in runs]).go(
        [draw.randrange(len(runs)) for _ in range(150)])
    world.settle()
    assert [one.status for one in open_incidents(world, number)] == ["triggered"]
    assert world.sf_writes(number) == []


@pytest.mark.parametrize("name", sorted(RACES))
def test_two_runs_on_one_pair_at_once_end_in_step(name):
    make, state, most = RACES[name]
    for order in schedules(150):
        world = World()
        race(world, make, order)
        number = world.stackflow.incidents()[0]["number"]
        assert_in_step(world, number, state)
        assert len(world.sf_writes(number)) <= most, order
        assert world.paged()[world.casey] <= 1, order


def test_a_run_whose_link_was_written_over_looks_again():
    world = World()
    race(world, acknowledge_beside_resolve, [1, 0] * 60)
    number = world.stackflow.incidents()[0]["number"]
    link = Links(Datastore(world.store)).read(number)
    assert link.here["state"] == "resolved" and link.closed


def test_the_echo_of_a_resolve_is_known_before_the_run_that_wrote_it_has_ended(world):
    created(world)
    world.pagerduty.resolve(world.pagerduty.incidents()[0].id, world.casey)
    one, = waiting(world)
    calls = []

    def deliver_at_once(what):
        if calls and calls[-1].startswith("PATCH"):
            calls.append(what)
            world.run(0.5)
        calls.append(what)

    world.before_call = deliver_at_once
    world.run_one(one)
    world.before_call = lambda what: None
    trigger, payload = world.payloads[-1]
    assert payload["event_type"] == "incident.resolved"
    assert payload["sync"] == {"apply": False, "reason": "an echo of the pack's own write"}
    assert world.queue == [] and world.pd_writes() == ["trigger"]


def test_an_acknowledgement_by_rest_never_reopens_what_was_resolved_meanwhile(world):
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    number = world.records_of(incident)[0]["number"]
    world.stackflow.assign(number, person="robin@example.com")
    one, = waiting(world)

    def resolve_meanwhile(what):
        if what.startswith("GET /users"):
            world.before_call = lambda what: None
            world.pagerduty.resolve(incident, world.casey)

    world.before_call = resolve_meanwhile
    world.run_one(one)
    world.settle()
    assert world.pagerduty.incident(incident).status == "resolved"
    assert world.pagerduty.incident(incident).reopened_at is None
    assert world.stackflow.incident(number)["state"] == "resolved"


def test_two_creations_at_once_leave_one_open_record_that_follows():
    for order in schedules(150):
        world = World()
        race(world, create_twice, order)
        world.settle()
        incident, = world.pagerduty.incidents()
        assert incident.status == "triggered", order
        kept, = [one for one in world.records_of(incident.id) if one["state"] != "cancelled"]
        assert kept["number"] == min(one["number"] for one in world.records_of(incident.id))
        world.pagerduty.resolve(incident.id, world.casey)
        world.settle()
        assert world.stackflow.incident(kept["number"])["state"] == "resolved", order


def ten_at_once(world, seed):
    """Ten copies of the one run that waits, switched at every call."""
    one, = waiting(world)
    draw = random.Random(seed)
    copies = Interleaved(world, [lambda: world.run_one(one)] * 10)
    return copies.go(draw.randrange(10) for _ in range(600))


@pytest.mark.parametrize("change, state", [
    (None, "triggered"),
    (lambda world, number: world.stackflow.assign(number, person=JANE), "acknowledged"),
    (lambda world, number: world.stackflow.set_state(number, "resolved"), "resolved")])
@pytest.mark.parametrize("seed", range(5))
def test_ten_copies_of_a_stackflow_webhook_at_once_leave_one_incident(change, state, seed):
    world = World()
    number = created(world, settle=change is not None)
    if change is not None:
        change(world, number)
    ten_at_once(world, seed)
    assert_in_step(world, number, state)
    assert len(world.pagerduty.incidents()) == 1 and world.paged()[world.casey] == 1
    assert world.sf_writes(number) == []


@pytest.mark.parametrize("seed", range(5))
def test_ten_copies_of_a_pagerduty_webhook_at_once_leave_one_open_record(seed):
    world = World()
    world.stackflow.switches.writes_per_minute = 10 ** 6
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    ten_at_once(world, seed)
    world.settle()
    kept, = [one for one in world.records_of(incident) if one["state"] != "cancelled"]
    assert kept["number"] == min(one["number"] for one in world.records_of(incident))
    assert world.pagerduty.incident(incident).status == "triggered"
    assert world.pd_writes() == []


@pytest.mark.parametrize("order", [[0, 1] * 60, [0] * 60, [1] * 60, [0, 0, 1] * 60])
def test_a_reopening_while_two_runs_carry_the_resolve_is_never_undone(order):
    for count in range(1, 30):
        world = World()
        incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
        world.settle()
        number = world.records_of(incident)[0]["number"]
        world.pagerduty.acknowledge(incident, world.casey)
        runs = waiting(world)
        world.pagerduty.resolve(incident, world.casey)
        runs += waiting(world)
        calls = itertools.count(1)
        at_once = Interleaved(world, [lambda: world.run_one(runs[0]),
                                      lambda: world.run_one(runs[1])])
        pause = at_once._pause

        def reopen_then_pause(what):
            if next(calls) == count:
                world.pagerduty.reopen(incident, world.casey)
            pause(what)

        at_once._pause = reopen_then_pause
        at_once.go(order)
        if world.pagerduty.incident(incident).reopened_at is None:
            break
        world.settle()
        assert world.pagerduty.incident(incident).status != "resolved", count
        assert world.stackflow.incident(number)["state"] in ("new", "in_progress"), count


# Crashes and lost answers.

CHANGES = {
    "created": lambda world, number: None,
    "assigned": lambda world, number: world.stackflow.assign(number, person=JANE),
    "resolved": lambda world, number: world.stackflow.set_state(number, "resolved"),
    "acknowledged there": lambda world, number: world.pagerduty.acknowledge(
        world.pagerduty.incidents()[0].id, world.casey),
    "resolved there": lambda world, number: world.pagerduty.resolve(
        world.pagerduty.incidents()[0].id, world.casey),
    "reopened": lambda world, number: (
        world.stackflow.set_state(number, "resolved"), world.settle(),
        world.stackflow.reopen(number)),
}
ENDS = {"created": "triggered", "assigned": "acknowledged", "resolved": "resolved",
        "acknowledged there": "acknowledged", "resolved there": "resolved",
        "reopened": "triggered"}


def run_of(world, change):
    """The one run that a change causes, and the number of its record."""
    number = created(world, settle=change != "created")
    CHANGES[change](world, number)
    runs = waiting(world)
    assert len(runs) == 1
    return number, runs[0]


def crash_at(world, count):
    """Kill the run that makes the next calls before its ``count``-th; returns a function that tells
    whether it came so far.
    """
    calls = itertools.count(1)
    reached = []

    def hook(what):
        if next(calls) == count:
            reached.append(what)
            raise Crash()

    world.before_call = hook
    return lambda: bool(reached)


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_crash_between_any_two_calls_is_made_good_by_the_same_event_or_the_reconcile(change):
    """The link expects a write before it is sent: that it was not shows when PagerDuty shows
    nothing of it for some time.
    """
    for count in itertools.count(1):
        world = World()
        number, one = run_of(world, change)
        reached = crash_at(world, count)
        try:
            world.run_one(one)
        except Crash:
            pass
        world.before_call = lambda what: None
        world.run(2)
        world.run_one(one)
        world.run(130)
        world.act("reconcile")
        assert_in_step(world, number, ENDS[change])
        if not reached():
            assert count > 3
            return


@pytest.mark.parametrize("by_casey", [False, True])
def test_only_a_person_in_pagerduty_sets_a_record_to_work_of_which_nothing_is_remembered(world,
                                                                                         by_casey):
    number = created(world, person=JANE)
    for name in [name for name in world.store.values if "link." in name]:
        del world.store.values[name]  # the run was killed before it remembered
    world.stackflow.unassign(number)
    if by_casey:
        world.pagerduty.acknowledge(world.pagerduty.incidents()[0].id, world.casey)
    world.settle()
    world.act("reconcile")
    assert world.stackflow.incident(number)["state"] == ("in_progress" if by_casey else "new")
    assert world.pagerduty.incidents()[0].status == "acknowledged"


def test_a_crash_while_a_record_is_created_leaves_one_record_when_the_event_comes_again():
    for count in itertools.count(1):
        world = World()
        incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
        one, = waiting(world)
        reached = crash_at(world, count)
        try:
            world.run_one(one)
        except Crash:
            pass
        world.before_call = lambda what: None
        world.run(2)
        world.run_one(one)
        world.settle()
        assert len(world.records_of(incident)) == 1, count
        assert world.pd_writes() == [], count
        if not reached():
            assert count > 5
            return


@pytest.mark.parametrize("kind", ["drop_answer", "reset", "status", "half_body", "not_json"])
@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_lost_answer_to_any_write_is_neither_lost_nor_doubled(change, kind):
    world = World()
    number, one = run_of(world, change)
    for match in ("POST /v2/enqueue", "PATCH /prod/api/incidents", "PUT /incidents"):
        world.pagerduty.faults.add(match, kind, status=200 if kind == "not_json" else 503)
        world.stackflow.faults.add(match, kind, status=200 if kind == "not_json" else 503)
    world.run_one(one)
    world.pagerduty.faults.clear()
    world.stackflow.faults.clear()
    assert_in_step(world, number, ENDS[change])
    assert len(world.sf_writes(number)) <= 1


def test_a_trigger_sent_again_after_a_resolve_is_followed_to_its_end(world):
    number = created(world, settle=False)
    one, = waiting(world)
    world.pagerduty.faults.add("POST /v2/enqueue", "drop_answer")
    asked = []

    def resolve_before_it_is_sent_again(what):
        asked.append(what)
        if asked.count("POST /v2/enqueue") == 2:
            world.before_call = lambda what: None
            world.pagerduty.resolve(world.pagerduty.incidents()[0].id, world.casey)

    world.before_call = resolve_before_it_is_sent_again
    world.run_one(one)
    assert_in_step(world, number, "triggered")
    _, again = world.pagerduty.incidents(dedup_key=KEY + number)
    world.pagerduty.resolve(again.id, world.casey)
    assert_in_step(world, number, "resolved")


def test_an_event_of_an_earlier_incident_does_not_stand_for_one_that_is_not_visible_yet(world):
    world.pagerduty.switches.event_delay = 30
    number = created(world)
    world.run(40)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.run(40)
    world.settle()
    world.stackflow.reopen(number)
    world.settle()
    first, = world.pagerduty.incidents()
    world.act("set_stackflow_state", incident_id=first.id, state="resolved")
    assert world.sf_writes(number) == []
    world.run(40)
    assert_in_step(world, number, "triggered")


@pytest.mark.parametrize("kind", ["drop_answer", "reset", "status", "half_body", "not_json"])
@pytest.mark.parametrize("call", ["POST /prod/api/incidents", "GET /prod/api/incidents"])
def test_a_lost_answer_while_a_record_is_created_makes_no_second_one(call, kind):
    world = World()
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    one, = waiting(world)
    world.stackflow.faults.add(call, kind, status=200 if kind == "not_json" else 503)
    assert world.run_one(one).outcome in ("done", "already")
    assert len(world.records_of(incident)) == 1


@pytest.mark.parametrize("kind", ["drop_answer", "reset", "status"])
def test_a_lost_answer_to_a_rest_resolve_of_an_incident_born_there(kind):
    world = World()
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    number = world.records_of(incident)[0]["number"]
    world.stackflow.set_state(number, "resolved")
    one, = waiting(world)
    world.pagerduty.faults.add("PUT /incidents", kind, status=502)
    world.run_one(one)
    world.settle()
    assert world.pagerduty.incident(incident).status == "resolved"
    assert [write.api for write in world.pagerduty.writes] == ["rest"]
    assert world.stackflow.incident(number)["state"] == "resolved"


# Lost memory.

@pytest.mark.parametrize("forget_after", range(5))
@pytest.mark.parametrize("born", ["stackflow", "pagerduty"])
def test_losing_all_links_between_any_two_events_makes_no_duplicate(born, forget_after):
    world = World()

    def forget():
        for name in [name for name in world.store.values if not name.endswith(".start")]:
            del world.store.values[name]

    if born == "stackflow":
        number = created(world)
        incident = world.pagerduty.incidents()[0].id
    else:
        incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
        world.settle()
        number = world.records_of(incident)[0]["number"]
    events = [lambda: world.pagerduty.acknowledge(incident, world.casey),
              lambda: world.stackflow.set_priority(number, "P1"),
              lambda: world.stackflow.assign(number, person="robin@example.com"),
              lambda: world.pagerduty.resolve(incident, world.casey)]
    for count, event in enumerate(events):
        if forget_after in (count, len(events)):
            forget()
        event()
        world.settle()
    assert world.stackflow.incident(number)["state"] == "resolved"
    assert len(world.stackflow.incidents()) == 1
    assert len(world.pagerduty.incidents()) == 1


def test_links_lost_before_a_resolve_in_stackflow_are_found_again(world):
    number = created(world)
    world.store.values.clear()
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.status(number) == "resolved"


def test_links_lost_before_a_reopening_give_the_next_key(world):
    number = created(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.store.values.clear()
    world.stackflow.reopen(number)
    world.settle()
    again, = world.pagerduty.incidents(dedup_key=KEY + number + ":1")
    assert again.status == "triggered"


def test_a_copied_description_does_not_keep_a_new_incident_from_paging(world):
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    original = world.records_of(incident)[0]
    number = created(world, description=original["description"])
    assert world.status(number) == "triggered"
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident).status == "triggered"


# Nobody is silenced.

def by_timeout(world, incident):
    world.run(1900)


def by_hand(world, incident):
    world.pagerduty.unacknowledge(incident, world.casey)


def by_snooze(world, incident):
    world.pagerduty.snooze(incident, 600, world.casey)
    world.run(700)


def by_reassignment(world, incident):
    world.pagerduty.reassign(incident, world.robin, world.casey)


@pytest.mark.parametrize("undo", [by_timeout, by_hand, by_snooze, by_reassignment])
@pytest.mark.parametrize("forget", [False, True])
def test_what_pagerduty_un_acknowledges_is_never_acknowledged_again(undo, forget):
    world = World()
    world.pagerduty.account.services[world.api].acknowledgement_timeout = 1800
    number = created(world)
    world.stackflow.assign(number, person=JANE)
    world.settle()
    incident = world.pagerduty.incidents()[0].id
    undo(world, incident)
    world.settle()
    writes = (world.pd_writes(), world.sf_writes(number))
    paged = sum(world.paged().values())
    assert world.status(number) == "triggered" and paged >= 2
    if forget:
        world.store.values.clear()
    for _ in range(10):
        world.act("set_stackflow_state", incident_id=incident, state="in_progress")
        world.act("trigger_incident", incident_id=number)
        world.settle()
    assert (world.pd_writes(), world.sf_writes(number)) == writes
    world.run(360)
    assert sum(world.paged().values()) > paged or undo is by_reassignment  # still climbing


def test_a_new_assignee_acknowledges_once_more(world):
    number = created(world)
    world.stackflow.assign(number, person=JANE)
    world.settle()
    world.pagerduty.unacknowledge(world.pagerduty.incidents()[0].id, world.casey)
    world.settle()
    world.stackflow.assign(number, person="robin@example.com")
    world.settle()
    assert world.status(number) == "acknowledged"


# Merges.

def merged(world):
    """Two records, the incident of the first merged into that of the second."""
    first = created(world)
    second = created(world)
    source, target = [one.id for one in world.pagerduty.incidents()]
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    return first, second, target


def test_a_merge_is_not_a_fix_and_the_targets_resolve_resolves_all(world):
    first, second, target = merged(world)
    assert world.stackflow.incident(first)["state"] == "new"
    world.pagerduty.resolve(target, world.casey)
    world.settle()
    assert world.stackflow.incident(first)["state"] == "resolved"
    assert world.stackflow.incident(second)["state"] == "resolved"
    assert world.sf_writes(first) == world.sf_writes(second) == ["resolved"]


def test_the_resolve_of_a_follower_closes_that_record_alone(world):
    follower, owner, target = merged(world)
    world.stackflow.set_state(follower, "resolved")
    world.settle()
    world.run(600)
    world.act("reconcile")
    assert world.pagerduty.incident(target).status == "triggered"
    assert world.stackflow.incident(owner)["state"] == "new"
    world.stackflow.set_state(owner, "resolved")
    world.settle()
    assert world.pagerduty.incident(target).status == "resolved"


def test_the_resolve_of_the_targets_own_record_resolves_all(world):
    follower, owner, target = merged(world)
    world.stackflow.set_state(owner, "resolved")
    world.settle()
    assert world.pagerduty.incident(target).status == "resolved"
    assert world.stackflow.incident(follower)["state"] == "resolved"


def test_a_person_who_resolves_by_a_follower_is_told_which_record_has_the_incident(world):
    follower, owner, target = merged(world)
    outcome = world.act("resolve_incident", incident_id=follower)
    assert outcome.outcome == "skipped"
    assert "%s belongs to %s" % (target, owner) in outcome.reason
    assert world.pagerduty.incident(target).status != "resolved"
    assert world.act("resolve_incident", incident_id=owner).outcome == "done"
    assert world.pagerduty.incident(target).status == "resolved"


@pytest.mark.parametrize("which", [0, 1])
def test_a_person_acknowledges_a_shared_incident_by_any_of_its_records(world, which):
    numbers = merged(world)
    outcome = world.act("acknowledge_incident", incident_id=numbers[which])
    world.settle()
    assert outcome.outcome == "done"
    assert world.pagerduty.incident(numbers[2]).status == "acknowledged"


def test_merged_records_born_in_pagerduty_are_resolved_together(world):
    source, target = [world.pagerduty.create_incident(world.api, title, world.casey)
                      for title in ("one", "two")]
    world.settle()
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    assert [one["state"] for one in world.stackflow.incidents()] == ["new", "new"]
    world.pagerduty.resolve(target, world.casey)
    world.settle()
    assert [one["state"] for one in world.stackflow.incidents()] == ["resolved", "resolved"]


def test_a_merge_whose_webhook_was_lost_is_followed_from_the_records(world):
    first = created(world)
    created(world)
    source, target = [one.id for one in world.pagerduty.incidents()]
    world.pagerduty.outbox.lose(1)
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    world.act("set_stackflow_state", incident_id=source, state="resolved")
    assert world.stackflow.incident(first)["state"] == "new"
    world.pagerduty.resolve(target, world.casey)
    world.settle()
    assert world.stackflow.incident(first)["state"] == "resolved"


# Keys.

def test_what_the_old_integration_key_opened_is_resolved_while_the_new_one_is_configured(world):
    number = created(world)
    new_key = world.pagerduty.add_integration(world.api)[1]
    entries = world.config["service_mapping"]
    entries[0] = dict(entries[0], integration_key=new_key,
                      previous_integration_keys=[world.api_key])
    world.configure(service_mapping=entries)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.status(number) == "resolved"
    assert {write.api for write in world.pagerduty.writes} == {"events"}


def test_without_the_old_key_in_the_config_rest_resolves(world):
    number = created(world)
    entries = world.config["service_mapping"]
    entries[0] = dict(entries[0], integration_key=world.pagerduty.add_integration(world.api)[1])
    world.configure(service_mapping=entries)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.status(number) == "resolved"
    assert world.pagerduty.writes[-1].api == "rest"


# Caches.

def cached(world, number, seconds=4.0):
    """For so long, StackFlow answers reads of a record from a cache that holds it as it is now."""
    answers, handle = [], world.stackflow.handle
    end = world.clock.now() + timedelta(seconds=seconds)

    def from_cache(request):
        read = request.method == "GET" and request.path.endswith("/incidents/" + number)
        if not read or world.clock.now() > end:
            return handle(request)
        answers[:] = answers or [handle(request)]
        return answers[0]

    world.stackflow.handle = from_cache
    world.pack().stackflow.incident(number)


def search_behind(world, seconds=3.0):
    """StackFlow's full-text search finds a record so many seconds after its creation."""
    handle, created_at = world.stackflow.handle, {}

    def searched(request):
        try:
            answer = handle(request)
        finally:
            for record in world.stackflow.incidents():
                created_at.setdefault(record["number"], world.clock.now())
        if request.one("q") is None:
            return answer
        end = world.clock.now() - timedelta(seconds=seconds)
        return Response.of(200, {"data": [row for row in answer.json()["data"]
                                          if created_at[row["number"]] <= end]})

    world.stackflow.handle = searched


@pytest.mark.parametrize("kind", ["drop_answer", "half_body"])
def test_a_lost_answer_makes_no_second_record_although_the_search_is_behind(world, kind):
    search_behind(world)
    world.stackflow.faults.add("POST /prod/api/incidents", kind)
    world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    assert len(world.stackflow.incidents()) == 1


def test_a_move_is_carried_out_although_a_cache_shows_the_group_before(world):
    number = created(world)
    cached(world, number)
    world.clock.advance(1)
    world.stackflow.assign(number, group="Database Reliability")
    world.settle()
    assert world.pagerduty.incidents()[0].service_id == world.database


def test_a_resolve_in_the_second_of_an_assignment_is_carried_out_although_a_cache_hides_it(world):
    number = created(world)
    world.clock.advance(1)
    world.stackflow.assign(number, person=JANE)
    cached(world, number)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.status(number) == "resolved"


def test_reopened_in_pagerduty_counts_although_a_cache_hides_that_the_record_was_resolved(world):
    number = created(world)
    incident = world.pagerduty.incidents()[0].id
    world.clock.advance(1)
    cached(world, number)
    world.pagerduty.resolve(incident, world.casey)
    world.run(1)
    world.run_queue()
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    assert world.stackflow.incident(number)["state"] == "in_progress"
    world.act("reconcile")
    assert world.status(number) == "triggered"


def test_a_record_that_is_older_than_its_event_is_not_waited_for_once_the_event_is_old(world):
    number = created(world)
    cached(world, number, 3600.0)
    world.stackflow.assign(number, group="Database Reliability")
    world.run(10)
    before = world.clock.now()
    world.run_queue()
    assert world.clock.now() == before
