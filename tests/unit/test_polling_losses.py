"""Nothing is lost by polling: kills at every point, trouble of every kind, equal stamps, page
boundaries, wrong clocks.
"""

import pytest
import requests
from polling_site import CURSOR, Pollers
from world import World

from dev.simulators.pagerduty import call as simulated
from pagerduty_stackflow.errors import DatastoreError, PackError
from pagerduty_stackflow import polling_pagerduty as log
from pagerduty_stackflow.pagerduty import rest

GROUP = "Platform Engineering"
JANE = "jane@example.com"
KEY = "stackflow:acme.stackflow.example:"


def paged(world, pollers):
    number = world.stackflow.create_incident("Database timeout", "P1", group=GROUP, category="api")
    pollers.settle()
    return number


def born_in_pagerduty(world, pollers):
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    pollers.settle()
    return incident


def writes(world):
    return len(world.pagerduty.writes), len(
        [one for one in world.stackflow.writes if one.status < 300])


# Each: what is there before, what a person does, on which side it is polled, what it costs to write
# on PagerDuty and on StackFlow.
CHANGES = {
    "created": (None, lambda world, _: world.stackflow.create_incident(
        "Database timeout", "P1", group=GROUP, category="api", person=JANE), "stackflow", (2, 0)),
    "assigned": (paged, lambda world, number: world.stackflow.assign(number, person=JANE),
                 "stackflow", (1, 0)),
    "resolved": (paged, lambda world, number: world.stackflow.set_state(number, "resolved"),
                 "stackflow", (1, 0)),
    "opened there": (None, lambda world, _: world.pagerduty.create_incident(
        world.api, "Disk full", world.casey), "pagerduty", (0, 1)),
    "acknowledged there": (born_in_pagerduty, lambda world, incident: world.pagerduty.acknowledge(
        incident, world.casey), "pagerduty", (0, 1)),
    "resolved there": (born_in_pagerduty, lambda world, incident: world.pagerduty.resolve(
        incident, world.casey), "pagerduty", (0, 1)),
}


def changed(name):
    world = World()
    world.listening = False
    pollers = Pollers(world)
    pollers.settle()
    before, act, side, cost = CHANGES[name]
    there = before(world, pollers) if before else None
    started = writes(world)
    act(world, there)
    world.run(30)

    def carried_over():
        world.run_queue()
        pollers.settle()
        now = writes(world)
        failures = [one for one in world.outcomes if isinstance(one, Exception)]
        return (now[0] - started[0], now[1] - started[1]) == cost and failures == []
    return world, pollers, side, carried_over


@pytest.mark.parametrize("name", CHANGES)
def test_a_sensor_that_is_killed_at_any_point_of_a_poll_loses_nothing_and_writes_once(name):
    killed, step = True, 0
    while killed:
        world, pollers, side, carried_over = changed(name)
        killed = pollers.poll_and_crash(side, step)
        assert carried_over(), "killed before call %d" % step
        step += 1
    assert step > 5


@pytest.mark.parametrize("name", ["created", "acknowledged there"])
def test_a_datastore_that_fails_at_any_point_of_a_poll_loses_nothing_and_writes_once(name):
    failed, step = True, 0
    while failed:
        world, pollers, side, carried_over = changed(name)
        calls = iter(range(step, -1, -1))

        def fail(what):
            if what == "datastore" and next(calls, None) == 0:
                raise requests.exceptions.ConnectionError("the API is away")

        world.before_call = fail
        try:
            pollers.poll(side)
            failed = False
        except DatastoreError:
            pass
        world.before_call = lambda what: None
        assert carried_over(), "failed at datastore call %d" % step
        step += 1
    assert step > 3


def test_a_datastore_that_does_not_answer_is_not_taken_for_a_first_start():
    world, pollers, side, carried_over = changed("assigned")
    key = CURSOR + "StackFlowPollingSensor"
    cursor = world.store.values[key]
    world.store.unreachable = True
    for _ in range(3):
        pollers.start()
        with pytest.raises(DatastoreError):
            pollers.poll("stackflow")
    world.store.unreachable = False
    assert world.store.values[key] == cursor
    assert carried_over()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 5, "seen": [], "again": {"x": 1}}',
                                  '{"at": "2026-01-05T10:00:00Z", "seen": {"INC1": 5}, "sla": 1}'])
def test_a_cursor_that_somebody_edited_begins_anew_and_writes_nothing_twice(text):
    world, pollers, side, carried_over = changed("assigned")
    for sensor in ("StackFlowPollingSensor", "PagerDutyPollingSensor"):
        world.store.set_value(CURSOR + sensor, text)
    assert carried_over()


@pytest.mark.parametrize("side, match", [("pagerduty", "GET /log_entries"),
                                         ("stackflow", "GET /prod/api/incidents")])
@pytest.mark.parametrize("kind", ["status", "reset", "half_body", "not_json"])
def test_a_side_that_is_away_is_polled_later(side, match, kind):
    world, pollers, _, carried_over = changed(
        "resolved" if side == "stackflow" else "resolved there")
    getattr(world, side).faults.add(match, kind, status=503, times=1000)
    with pytest.raises(PackError):
        pollers.poll(side)
    getattr(world, side).faults.clear()
    assert carried_over()


# Equal stamps.

def test_changes_of_one_record_within_one_second_are_all_carried_over():
    world = World()
    world.listening = False
    pollers = Pollers(world)
    number = world.stackflow.create_incident("Database timeout", "P1", group=GROUP, category="api")
    pollers.poll()
    world.stackflow.assign(number, person=JANE)
    pollers.poll()
    world.stackflow.set_state(number, "on_hold")
    pollers.poll()
    world.stackflow.set_state(number, "resolved")
    pollers.poll()
    assert pollers.events() == ["incident.created!"] + ["incident.updated!"] * 3
    world.run_queue()
    pollers.settle()
    assert [one.status for one in world.pagerduty.incidents()] in ([], ["resolved"])


def test_log_entries_of_one_second_are_all_seen():
    world = World()
    world.listening = False
    pollers = Pollers(world)
    incident = born_in_pagerduty(world, pollers)
    world.pagerduty.add_note(incident, "Looking", world.casey)
    second = world.clock.now()
    world.run(10)
    pollers.poll()
    before = len(world.payloads)
    world.clock.advance((second - world.clock.now()).total_seconds())
    world.pagerduty.acknowledge(incident, world.casey)
    world.pagerduty.add_note(incident, "Mine", world.casey)
    world.run(10)
    pollers.poll()
    assert pollers.events(before) == ["incident.updated!", "incident.annotated"]


def test_more_than_a_page_of_equal_stamps_is_carried_over():
    world = World()
    world.listening = False
    pollers = Pollers(world)
    for _ in range(230):
        world.stackflow.create_incident("Database timeout", "P1", group=GROUP, category="api")
    for _ in range(130):
        world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.run(30)
    pollers.poll()
    assert pollers.events().count("incident.created!") == 230
    assert pollers.events().count("incident.triggered!") == 130
    world.run(30)
    before = len(world.payloads)
    pollers.poll()
    assert pollers.events(before) == []


@pytest.mark.parametrize("side, many, create", [
    ("stackflow", 250, lambda world: world.stackflow.create_incident(
        "Database timeout", "P1", group=GROUP, category="api")),
    ("pagerduty", 150, lambda world: world.pagerduty.create_incident(
        world.api, "Disk full", world.casey))])
def test_what_happens_while_pages_are_read_is_carried_over(side, many, create):
    world = World()
    world.listening = False
    pollers = Pollers(world)
    for _ in range(many):
        create(world)
        world.run(0.2)
    world.run(30)

    def meanwhile(what):
        if "page=2" in what or "offset=100" in what:
            for _ in range(3):
                create(world)

    world.before_call = meanwhile
    pollers.poll(side)
    world.before_call = lambda what: None
    world.run(30)
    pollers.poll(side)
    ids = {payload["incident"]["id"] for _, payload in world.payloads}
    assert len(ids) == many + 3


def test_an_entry_that_shows_up_late_is_seen():
    world = World()
    world.listening = False
    pollers = Pollers(world)
    world.run(30)
    late = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    entries = list(world.pagerduty.account.log)
    world.run(20)
    del world.pagerduty.account.log[:]
    world.pagerduty.create_incident(world.api, "Node is gone", world.casey)
    world.run(20)
    pollers.poll()
    world.pagerduty.account.log[:0] = entries
    pollers.poll()
    assert world.payloads[-1][1]["incident"]["id"] == late
    assert len(world.payloads) == 2


def test_a_record_whose_stamp_is_late_is_seen():
    world = World()
    world.listening = False
    pollers = Pollers(world)
    world.run(30)
    late = world.stackflow.create_incident("Database timeout", "P1", group=GROUP)
    record = world.stackflow.desk.incidents.pop(late)
    world.run(20)
    world.stackflow.create_incident("Another", "P1", group=GROUP)
    pollers.poll()
    world.stackflow.desk.incidents[late] = record
    pollers.poll()
    assert [payload["incident"]["number"] for _, payload in world.payloads][1:] == [late]


# Clocks.

@pytest.mark.parametrize("ahead", [-120, 120])
def test_a_clock_that_is_two_minutes_off_loses_nothing(ahead):
    world = World()
    world.listening = False
    pollers = Pollers(world, ahead)
    world.run(300)
    for _ in range(2):  # the second begins when the first was seen
        number = world.stackflow.create_incident("Database timeout", "P1", group=GROUP,
                                                 category="api")
        incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
        world.run(10)
        pollers.poll()
    pollers.settle(8)
    assert world.pd_writes() == ["trigger"] * 2
    assert len(world.stackflow.incidents()) == 4
    world.stackflow.assign(number, person=JANE)
    world.pagerduty.acknowledge(incident, world.casey)
    pollers.settle(8)
    ours, = world.pagerduty.incidents(dedup_key=KEY + number)
    record, = world.records_of(incident)
    assert (ours.status, record["state"]) == ("acknowledged", "in_progress")
    world.stackflow.set_state(number, "resolved")
    world.pagerduty.resolve(incident, world.casey)
    pollers.settle(8)
    assert ours.status == "resolved"
    assert world.records_of(incident)[0]["state"] == "resolved"
    assert world.pd_writes() == ["trigger", "trigger", "acknowledge", "resolve"]
    assert world.sf_writes(record["number"]) == ["in_progress", "resolved"]


def test_a_stamp_of_the_far_future_does_not_hide_what_comes_after_it():
    world = World()
    world.listening = False
    pollers = Pollers(world)
    strange = world.stackflow.create_incident("From the future", "P4", group=GROUP)
    record = world.stackflow.desk.incidents[strange]
    record.updated_at = record.updated_at.replace(year=2036)
    pollers.settle()
    number = paged(world, pollers)
    pollers.settle()
    assert world.status(number) == "triggered"
    assert pollers.events().count("incident.created") == 1


def test_a_long_time_of_more_entries_than_pagerduty_gives_is_read_in_halves(monkeypatch):
    for module in (rest, log):
        monkeypatch.setattr(module, "OFFSET_LIMIT", 300)
    monkeypatch.setattr(simulated, "DEEPEST_ROW", 300)
    world = World()
    world.listening = False
    pollers = Pollers(world)
    incidents = []
    for _ in range(700):
        incidents.append(world.pagerduty.create_incident(world.api, "Disk full", world.casey,
                                                         urgency="low"))
        world.clock.advance(7)
    world.run(30)
    world.pagerduty.faults.add("GET /log_entries", "status", status=400)
    with pytest.raises(PackError):
        pollers.poll("pagerduty")
    calls = []
    world.before_call = lambda what: calls.append(what)
    pollers.poll("pagerduty")
    told = [payload["incident"]["id"] for _, payload in world.payloads]
    assert told == incidents
    windows = [call for call in calls if call.startswith("GET /log_entries")]
    assert len(windows) < 30
    first = calls.index("dispatch")
    assert any(call.startswith("GET /log_entries") for call in calls[first:]), "progress is kept"
