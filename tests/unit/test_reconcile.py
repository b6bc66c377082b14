"""Drift of every kind: one reconcile repairs it, a dry run tells what that will write, and a second
one writes nothing.
"""

import itertools

import pytest
from drifts import CASEY, DRIFTS, LATER, OUTSIDER, Deaf, states
from interleaving import Interleaved
from world import Crash

from pagerduty_stackflow.datastore import PREFIX, Datastore
from pagerduty_stackflow.errors import NotFoundError
from pagerduty_stackflow.links import Links
from pagerduty_stackflow.pagerduty.events import fingerprint
from pagerduty_stackflow.reconcile import LEASE, OPEN_STATES

LISTS = 1 + len(OPEN_STATES) + 3
"""Requests of a run beside small systems: PagerDuty's list, StackFlow's open and finished states.
"""
STORE_CALLS = 9
"""Of such a run: lease read, taken and released; start, progress read and written; links, ids and
escalations listed.
"""
BY_NAME = {one.name: one for one in DRIFTS}


@pytest.fixture
def world():
    return Deaf()


def writes(result):
    return sorted(write for entry in result["done"] for write in entry["writes"])


def assert_at_rest(world):
    """Nothing is left to write: the second run writes to neither system, and the third, when what
    was written could be seen, not even to the datastore.
    """
    before = world.written()
    assert world.reconcile()["done"] == []
    stored = world.stored()
    result = world.reconcile()
    assert (world.written(), world.stored(), result["done"]) == (before, stored, [])


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda one: one.name)
def test_one_reconcile_repairs_what_a_dry_run_tells_and_a_second_one_writes_nothing(world, drift):
    check = drift.happen(world)
    world.run(LATER)
    before, values = world.written(), dict(world.store.values)
    dry = world.reconcile(dry_run=True)
    assert (world.written(), world.store.values) == (before, values)
    result = world.reconcile()
    assert result["done"] == dry["would"]
    assert writes(result) == sorted(drift.writes)
    assert result["failures"] == dry["failures"] == []
    assert result["requests"] == LISTS + drift.costs
    check()
    assert_at_rest(world)
    check()


def test_all_drifts_at_once_are_repaired_by_one_run(world):
    checks = [drift.happen(world) for drift in DRIFTS]
    world.run(LATER)
    dry = world.reconcile(dry_run=True)
    result = world.reconcile()
    assert result["done"] == dry["would"] and result["failures"] == []
    assert writes(result) == sorted(write for drift in DRIFTS for write in drift.writes)
    assert result["outcome"] == "done" and dry["outcome"] == "skipped"
    assert result["pairs"] == result["in_step"] + result["repaired"]
    for check in checks:
        check()
    assert_at_rest(world)


def test_pairs_in_step_cost_nothing_beyond_the_lists(world):
    for at in range(6):
        world.pair(person=CASEY if at % 2 else None)
        world.born_pair()
        world.record("P4")
    for _ in range(2):  # the first run remembers acknowledgements that it sees for the first time
        calls = world.store.calls
        result = world.reconcile()
        assert (result["pairs"], result["in_step"], result["requests"]) == (12, 12, LISTS)
        assert result["outcome"] == "already"
    assert world.store.calls - calls == STORE_CALLS


@pytest.mark.parametrize("name", [
    "created_with_a_person", "assigned_born_in_pagerduty", "resolved_born_in_pagerduty", "reopened",
    "opened_and_acknowledged_in_pagerduty", "reopened_in_pagerduty_beside_a_closed_record",
    "merged_into_another_pair_and_resolved", "forgotten_and_resolved"])
def test_a_crash_between_any_two_calls_is_mended_by_the_next_run(name):
    for at in itertools.count():
        world = Deaf()
        check = BY_NAME[name].happen(world)
        world.run(LATER)
        calls = itertools.count()

        def crash(what, calls=calls, at=at):
            if next(calls) >= at:  # a killed run gives nothing back, not even its lease
                raise Crash()
        world.before_call = crash
        try:
            world.reconcile()
        except Crash:
            world.before_call = lambda what: None
            world.run(LEASE)
            world.reconcile()
            check()
            assert_at_rest(world)
        else:
            break
    check()
    assert at > LISTS


def test_beside_the_run_of_an_event_one_record_is_made(world):
    incident_id = world.born()
    world.run(LATER)
    for order in ([0, 1] * 60, [0] * 25 + [1] * 60, [0] * 30 + [1] * 60, [0] * 34 + [1] * 60):
        runs = Interleaved(world, [
            lambda: world.act("reconcile"),
            lambda: world.act("create_stackflow_incident", incident_id=incident_id)])
        assert not [one for one in runs.go(order) if isinstance(one, Exception)]
        kept = [one for one in world.records_of(incident_id) if one["state"] != "cancelled"]
        assert len(kept) == 1


def meanwhile(world, call, act):
    """Let somebody act right before the first call whose name begins so."""
    def hook(what):
        if what.startswith(call):
            world.before_call = lambda what: None
            act()
    world.before_call = hook


def test_what_is_resolved_while_the_lists_are_read_stays_resolved(world):
    number, incident_id = world.pair()

    def resolve():
        world.settled(number, incident_id, "resolved")
    meanwhile(world, "GET /prod/api/incidents?state=resolved", resolve)
    result = world.reconcile()
    assert result["done"] == [] and result["failures"] == []
    assert world.stackflow.incident(number)["state"] == "resolved"
    assert world.pagerduty.incident(incident_id).status == "resolved"
    assert world.sf_writes(number) == []


def test_what_pagerduty_took_back_while_the_lists_are_read_is_not_carried_over(world):
    number, incident_id = world.pair()
    world.pagerduty.acknowledge(incident_id, world.casey)
    meanwhile(world, "GET /prod/api/incidents?state=resolved",
              lambda: world.pagerduty.unacknowledge(incident_id, world.casey))
    assert world.reconcile()["done"] == []
    assert world.stackflow.incident(number)["state"] == "new"


def test_what_an_event_opened_while_the_lists_are_read_is_not_opened_again(world):
    number = world.record()
    world.run(LATER)
    meanwhile(world, "GET /prod/api/incidents?state=new",
              lambda: (world.act("trigger_incident", incident_id=number), world.run(2)))
    assert world.reconcile()["done"] == []
    assert world.pd_writes() == ["trigger"]


def test_a_row_that_an_events_run_overtook_is_no_reopening(world):
    number, incident_id = world.pair()
    world.pagerduty.resolve(incident_id, world.casey)

    def event():
        world.act("set_stackflow_state", incident_id=incident_id, state="resolved")
    meanwhile(world, "GET /prod/api/incidents?state=new", lambda: meanwhile(
        world, "datastore", event))  # the list shows it open, and then it is not
    assert world.reconcile()["done"] == []
    assert world.sf_writes(number) == ["resolved"]
    assert world.pd_writes() == ["trigger"]


def test_a_row_that_is_older_than_the_last_look_is_not_remembered(world):
    number, incident_id = world.pair()

    def event():
        world.run(2)
        world.pagerduty.acknowledge(incident_id, world.casey)
        world.act("set_stackflow_state", incident_id=incident_id, state="in_progress")
    meanwhile(world, "GET /incidents?", lambda: meanwhile(world, "datastore", event))
    assert world.reconcile()["done"] == []
    link = Links(Datastore(world.store)).read(number)[0]
    assert link.there["state"] == "acknowledged"
    assert world.sf_writes(number) == ["in_progress"]


def test_a_row_that_an_events_run_overtook_is_not_remembered(world):
    number, incident_id = world.pair(person=CASEY)  # an acknowledgement that no look has shown

    def event():
        world.stackflow.assign(number, OUTSIDER)
        world.act("acknowledge_incident", incident_id=number,
                  incident=world.stackflow.incident(number))
    meanwhile(world, "GET /prod/api/incidents?state=new", lambda: meanwhile(
        world, "datastore", event))  # the list shows the person before
    world.reconcile()
    link = Links(Datastore(world.store)).read(number)[0]
    assert link.here["acknowledgement"] == OUTSIDER


def test_a_resolve_is_repeated_by_rest_when_it_is_not_visible_after_a_minute(world):
    number, incident_id = world.pair()
    alert, = world.pagerduty.alerts(incident_id)
    world.pagerduty.account.open_alerts.clear()  # so it is dropped
    world.stackflow.set_state(number, "resolved")
    world.act("resolve_incident", incident_id=number, incident=world.stackflow.incident(number))
    world.run(50)
    assert world.reconcile()["done"] == []  # it may still be on its way
    world.run(10)
    result = world.reconcile()
    assert writes(result) == ["resolve"]
    assert world.pagerduty.incident(incident_id).status == "resolved"
    assert world.pagerduty.writes[-1].api == "rest"
    assert_at_rest(world)


def test_an_incident_whose_routing_key_was_taken_away_is_resolved_by_rest(world):
    number, incident_id = world.pair()
    mapping = [dict(entry, integration_key="0" * 32) for entry in world.config["service_mapping"]]
    world.configure(service_mapping=mapping)
    world.stackflow.set_state(number, "resolved")
    assert writes(world.reconcile()) == ["resolve"]
    assert world.pagerduty.incident(incident_id).status == "resolved"


@pytest.mark.parametrize("name, written", [
    ("acknowledged_in_pagerduty", []), ("resolved_in_pagerduty_beside_new", []),
    ("opened_in_pagerduty", []), ("reopened_in_pagerduty", []),
    ("reopened_in_pagerduty_beside_a_closed_record", []), ("created", ["trigger"]),
    ("resolved", ["resolve"]), ("assigned", ["acknowledge"])])
def test_without_bidirectional_sync_only_pagerduty_is_written_to(world, name, written):
    check = BY_NAME[name].happen(world)
    world.run(LATER)
    world.configure(bidirectional_sync=False)
    before = world.written()
    result = world.reconcile()
    assert writes(result) == written and result["failures"] == []
    assert world.written() == (before[0] + len(written), before[1])
    if written:
        check()
    assert_at_rest(world)


def last_resort(world, number, heard):
    """The id of a pair's alert of last resort; ``heard``: its webhook was."""
    links = Links(Datastore(world.store))
    key = "stackflow:acme.stackflow.example:%s:unanswered" % number
    links.remember_last_resort(number, fingerprint(world.database_key))
    world.pack().events.trigger(world.database_key, key, "Nobody answered", "x", "critical")
    world.run(LATER)
    incident, = world.pagerduty.incidents(dedup_key=key)
    if heard:
        links.join(incident.id, number)
    return incident.id


@pytest.mark.parametrize("heard", [False, True])
def test_the_alert_of_last_resort_gets_no_record(world, heard):
    number, _ = world.pair()
    last_resort(world, number, heard)
    result = world.reconcile()
    assert result["done"] == [] and len(world.stackflow.incidents()) == 1
    assert [one.status for one in world.pagerduty.incidents()] == ["triggered"] * 2
    assert_at_rest(world)


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("here", [False, True])
def test_the_alert_of_last_resort_is_resolved_with_its_pair(world, heard, here):
    number, incident_id = world.pair()
    last_resort(world, number, heard)
    if here:
        world.stackflow.set_state(number, "resolved")
    else:
        world.pagerduty.resolve(incident_id, world.casey)
    dry = world.reconcile(dry_run=True)
    result = world.reconcile()
    assert result["done"] == dry["would"]
    assert writes(result) == ["last_resort", "resolve" if here else "resolved"]
    assert [one.status for one in world.pagerduty.incidents()] == ["resolved"] * 2
    assert world.stackflow.incident(number)["state"] == "resolved"
    assert_at_rest(world)


def test_a_record_resolved_beside_another_that_a_merge_put_on_its_incident_costs_nothing(world):
    first, target = world.pair()
    second, source = world.pair()
    world.pagerduty.merge(target, [source], world.casey)
    world.reconcile()
    world.stackflow.set_state(second, "resolved")
    world.reconcile()
    result = world.reconcile()
    assert (result["done"], result["requests"], result["in_step"]) == ([], LISTS, 2)
    assert world.pagerduty.incident(target).status == "triggered"
    world.pagerduty.resolve(target, world.casey)
    assert writes(world.reconcile()) == ["resolved"]
    assert world.stackflow.incident(first)["state"] == "resolved"
    assert_at_rest(world)


# One pair.

@pytest.mark.parametrize("side", [0, 1])
def test_one_pair_is_repaired_by_the_id_of_either_side_and_no_other(world, side):
    pair, other = world.pair(), world.pair()
    for number, _ in (pair, other):
        world.stackflow.set_state(number, "resolved")
    dry = world.reconcile(incident_id=pair[side], dry_run=True)
    result = world.reconcile(incident_id=pair[side])
    assert result["done"] == dry["would"] == [{
        "stackflow_id": pair[0], "pagerduty_incident_id": pair[1], "writes": ["resolve"],
        "reason": "resolved in StackFlow"}]
    assert [world.pagerduty.incident(one).status for _, one in (pair, other)] == [
        "resolved", "triggered"]
    assert PREFIX + "reconcile" not in world.store.values


def test_one_incident_without_a_record_gets_one_however_young_it_is(world):
    incident_id = world.born()
    assert world.reconcile()["done"] == []
    assert writes(world.reconcile(incident_id=incident_id)) == ["create"]
    assert len(world.records_of(incident_id)) == 1


@pytest.mark.parametrize("incident_id", ["INC9999999", "Q0UNKNOWN0000"])
def test_an_incident_that_neither_side_knows_is_not_found(world, incident_id):
    with pytest.raises(NotFoundError) as caught:
        world.reconcile(incident_id=incident_id)
    assert incident_id in caught.value.message and caught.value.hint


def test_a_resolve_that_a_move_away_and_back_kept_from_its_incident_is_sent_by_rest():
    world = Deaf()
    world.pagerduty.switches.moved_alert_follows_key = False
    number, incident_id = world.pair()
    for service in (world.database, world.api):
        world.pagerduty.move(incident_id, service, world.casey)
        world.run(3)
    world.stackflow.set_state(number, "cancelled")
    world.run(LATER)
    assert writes(world.reconcile()) == ["resolve"]  # an event, which reaches nothing
    assert writes(world.reconcile()) == []  # it may still be on its way
    world.run(LATER)
    assert writes(world.reconcile()) == ["resolve"]
    assert states(world, number, incident_id) == ("cancelled", "resolved")
