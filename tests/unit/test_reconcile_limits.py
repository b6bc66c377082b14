"""What a reconcile must not do, how far it comes in its time, and what it says of what it cannot
repair.
"""

import json

import pytest
from drifts import CASEY, GROUP, LATER, Deaf

from pagerduty_stackflow import reconcile as reconcile_module
from pagerduty_stackflow import commands, sync
from pagerduty_stackflow.datastore import PREFIX
from pagerduty_stackflow.errors import BadInputError, ConfigError, DatastoreError
from pagerduty_stackflow.pack import Pack
from pagerduty_stackflow.reconcile import OPEN_STATES, TIME_LIMIT, without_config
from pagerduty_stackflow.reconcile_report import LISTED, QUOTED
from world import Crash, PackClock, World

LISTS = 1 + len(OPEN_STATES) + 3


@pytest.fixture
def world():
    return Deaf()


def progress(world):
    return json.loads(world.store.values[PREFIX + "reconcile"][0])


# What was there before, and what is young.

def installed_beside(count):
    """A world with so many open incidents on each side, and the pack installed an hour later."""
    world = Deaf()
    del world.store.values[PREFIX + "start"]
    for at in range(count):
        world.stackflow.create_incident("Old %d" % at, "P1", group=GROUP, category="api")
        world.pagerduty.create_incident(world.api, "Old %d" % at, world.casey)
        world.clock.advance(5)
    world.run(3600)
    return world


def test_a_new_installation_beside_500_incidents_on_each_side_opens_nothing():
    world = installed_beside(500)
    paged, records = world.paged(), len(world.stackflow.incidents())
    for _ in range(3):
        result = world.reconcile()
        assert (result["done"], result["failures"], result["complete"]) == ([], [], True)
        world.run(300)
    assert world.written() == (0, 0)
    assert len(world.stackflow.incidents()) == records == 500
    assert {user: count for user, count in world.paged().items()} == paged
    assert result["requests"] == LISTS + 4 + 2  # looked for once, and never again; more pages


def test_pairs_from_before_a_loss_of_the_whole_datastore_are_joined_by_the_first_run(world):
    number, incident_id = world.pair()
    born, born_id = world.born_pair()
    world.store.values.clear()
    world.run(3600)
    assert world.reconcile()["done"] == []
    for one in (number, born):
        world.stackflow.set_state(one, "resolved")
    assert [entry["writes"] for entry in world.reconcile()["done"]] == [["resolve"]] * 2
    for one in (incident_id, born_id):
        assert world.pagerduty.incident(one).status == "resolved"


def test_since_opens_what_is_older_than_the_pack_or_young():
    world = installed_beside(2)
    world.reconcile()
    moment = world.stackflow.incident("INC0001002")["created_at"]
    record, incident_id = world.record(), world.born()
    dry = world.reconcile(since=moment, dry_run=True)
    result = world.reconcile(since=moment)
    assert result["done"] == dry["would"]
    assert sorted(entry["writes"] for entry in result["done"]) == (
        [["create"]] * 2 + [["trigger"]] * 2)
    assert world.incident_of(record).status == "triggered"
    assert len(world.records_of(incident_id)) == 1
    assert world.incident_of("INC0001002") and not world.pagerduty.incidents(
        dedup_key="stackflow:acme.stackflow.example:INC0001001")  # created before that time
    assert world.reconcile(since=moment)["done"] == []


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01T00:00:00Z", "12"])
def test_a_time_that_nobody_understands_is_refused_before_any_call(world, since):
    with pytest.raises(BadInputError) as caught:
        world.reconcile(since=since)
    assert since in caught.value.message and "2026-01-31T08:00:00Z" in caught.value.hint
    assert world.pagerduty.requests == world.stackflow.requests == []


def test_nothing_is_opened_for_an_incident_younger_than_two_minutes(world):
    number, incident_id = world.record(), world.born()
    world.run(114)
    assert world.reconcile()["done"] == []
    world.run(2)
    assert sorted(entry["writes"] for entry in world.reconcile()["done"]) == [
        ["create"], ["trigger"]]
    assert world.incident_of(number) and world.records_of(incident_id)


def test_an_incident_whose_age_nobody_knows_is_not_opened(world):
    number = world.record()
    record = dict(world.stackflow.incident(number))
    del record["created_at"]
    world.run(LATER)
    world.stackflow.faults.add("GET /prod/api/incidents", status=200, times=8,
                               body={"data": [record]})
    world.stackflow.faults.add("GET /prod/api/incidents/" + number, status=200, body=record)
    result = world.reconcile()
    assert result["done"] == [] and world.pd_writes() == []
    failure, = result["failures"]
    assert (failure["incident_id"], failure["kind"]) == (number, "unreadable")
    assert "creation time" in failure["message"] and "created_at" in failure["hint"]


def test_a_reconcile_may_be_the_first_to_run():
    world = World(start=False)
    world.act("reconcile", dry_run=True)
    assert PREFIX + "start" not in world.store.values
    world.act("reconcile")
    assert world.store.values[PREFIX + "start"][0] == "2026-01-05T10:00:00.000000Z"


# Accepted, and never seen.

SILENT = [("maintenance", lambda world, on: world.pagerduty.maintenance(world.api, on)),
          ("disabled", lambda world, on: world.pagerduty.disable_service(world.api, on))]


@pytest.mark.parametrize("status, silence", SILENT, ids=[one[0] for one in SILENT])
def test_a_trigger_that_is_never_seen_is_reported_and_sent_once_more(world, status, silence):
    silence(world, True)
    number = world.record(person=CASEY)
    world.act("trigger_incident", incident_id=number)
    world.run(100)
    assert world.reconcile()["failures"] == []  # it may still become visible
    world.run(20)
    dry = world.reconcile(dry_run=True)
    result = world.reconcile()
    assert result["done"] == dry["would"] == [{
        "stackflow_id": number, "pagerduty_incident_id": None, "writes": ["note", "trigger"],
        "reason": result["failures"][0]["message"]}]
    assert result["failures"] == dry["failures"]
    failure, = result["failures"]
    assert (failure["incident_id"], failure["kind"]) == (number, "unseen")
    note, = world.stackflow.notes(number)
    for text in (note["note"], failure["message"]):
        assert "Production API (P1234AB) is " + status in text
    assert world.pd_writes() == ["trigger", "acknowledge"] * 2
    for _ in range(3):
        world.run(300)
        result = world.reconcile()
        assert result["done"] == [] and len(result["failures"]) == 1
    assert world.pd_writes() == ["trigger", "acknowledge"] * 2
    assert len(world.stackflow.notes(number)) == 1
    silence(world, False)
    world.reconcile()  # now it can page again
    assert world.incident_of(number).status == "acknowledged"
    assert len(world.stackflow.notes(number)) == 2
    assert world.reconcile()["failures"] == []
    assert world.pd_writes() == ["trigger", "acknowledge"] * 3


def test_a_trigger_with_a_key_that_belongs_to_no_service_is_reported_once(world):
    mapping = [dict(entry, integration_key="0" * 32) for entry in world.config["service_mapping"]]
    world.configure(service_mapping=mapping)
    number = world.record()
    world.act("trigger_incident", incident_id=number)
    world.run(LATER)
    for _ in range(3):
        failure, = world.reconcile()["failures"]
        world.run(LATER)
    assert "is active" in failure["message"] and "service_mapping" in failure["hint"]
    assert world.pd_writes() == ["trigger"] * 2 and len(world.stackflow.notes(number)) == 1


def keyed(world, key):
    entry, *others = world.config["service_mapping"]
    world.configure(service_mapping=[dict(entry, integration_key=key)] + others)


@pytest.mark.parametrize("silence, change, service", [
    (lambda world: world.pagerduty.disable_service(world.api, True),
     lambda world, number: world.stackflow.assign(number, group="Database Reliability"),
     "database"),
    (lambda world: keyed(world, "0" * 32),
     lambda world, number: keyed(world, world.api_key), "api")],
    ids=["handed to a team that can be paged", "the key was corrected"])
def test_what_was_never_seen_is_sent_by_another_key_too(world, silence, change, service):
    silence(world)
    number = world.record()
    world.act("trigger_incident", incident_id=number)
    for _ in range(2):
        world.run(LATER)
        world.reconcile()
    assert world.pagerduty.incidents() == [] and world.pd_writes().count("trigger") == 2
    change(world, number)
    dry = world.reconcile(dry_run=True)
    assert world.reconcile()["done"] == dry["would"] != []
    incident, = world.pagerduty.incidents()
    assert (incident.service_id, incident.status) == (getattr(world, service), "triggered")
    for _ in range(2):
        world.run(LATER)
        result = world.reconcile()
        assert result["done"] == result["failures"] == []
    assert world.pd_writes().count("trigger") == 3


@pytest.mark.parametrize("lost", ["trigger", "resolve"])
def test_what_was_sent_by_a_clock_that_was_set_back_since_is_missed_all_the_same(world, lost):
    ahead = Pack(world.settings, world.store, PackClock(world, 3600), world.session)
    if lost == "trigger":
        world.pagerduty.maintenance(world.api)
        sync.trigger_incident(ahead, world.record())
    else:
        number, incident_id = world.pair()
        world.stackflow.set_state(number, "resolved")
        open_alerts, world.pagerduty.account.open_alerts = world.pagerduty.account.open_alerts, {}
        commands.resolve_incident(ahead, number, incident=world.stackflow.incident(number))
        world.run(2)
        world.pagerduty.account.open_alerts = open_alerts
        assert world.pagerduty.incident(incident_id).open
    world.run(LATER)
    result = world.reconcile()
    if lost == "trigger":
        assert [one["kind"] for one in result["failures"]] == ["unseen"]
    else:
        assert world.pagerduty.incident(incident_id).status == "resolved"


def test_what_was_never_seen_and_has_no_entry_any_more_fails_without_a_note(world):
    world.pagerduty.maintenance(world.api)
    number = world.record()
    world.act("trigger_incident", incident_id=number)
    world.stackflow.assign(number, group="Nobody Mapped")
    world.run(LATER)
    for _ in range(2):
        failure, = world.reconcile()["failures"]
        assert failure["kind"] == "routing"
    assert world.stackflow.notes(number) == [] and world.pd_writes() == ["trigger"]


def test_what_was_never_seen_and_is_resolved_by_now_pages_nobody(world):
    world.pagerduty.maintenance(world.api)
    number = world.record()
    world.act("trigger_incident", incident_id=number)
    world.run(LATER)
    world.stackflow.set_state(number, "resolved")
    assert world.reconcile()["failures"] == []
    world.pagerduty.maintenance(world.api, False)
    world.run(LATER)
    assert world.reconcile()["done"] == [] and world.pagerduty.incidents() == []


# Time.

def drifted_pairs(world, count):
    """Pairs that PagerDuty resolved, unnoticed."""
    numbers = []
    for _ in range(count):
        number, incident_id = world.pair()
        world.pagerduty.resolve(incident_id, world.casey)
        numbers.append(number)
    return numbers


def states(world, numbers):
    return [world.stackflow.incident(number)["state"] for number in numbers]


def slow(world, seconds):
    """Every call that a run makes takes so long."""
    def hook(what):
        if not what.startswith("datastore"):
            world.before_call = lambda what: None
            world.run(seconds)
            world.before_call = hook
    world.before_call = hook


def test_a_run_stops_at_its_time_limit_and_the_next_ones_go_on_where_it_was(world):
    numbers = drifted_pairs(world, 60)
    world.run(LATER)
    slow(world, 4)
    stops = []
    for _ in range(10):
        begun = world.clock.now()
        result = world.reconcile()
        stops.append((world.clock.now() - begun).total_seconds())
        if result["complete"]:
            break
        assert "next run goes on" in result["reason"] and result["outcome"] == "done"
    assert len(stops) > 2 and max(stops) < TIME_LIMIT + 20
    assert states(world, numbers) == ["resolved"] * 60
    assert [world.sf_writes(number) for number in numbers] == [["resolved"]] * 60
    assert set(progress(world)) == {"complete_at"}


def test_those_that_fail_do_not_keep_the_others_from_their_turn(world):
    numbers = drifted_pairs(world, 80)
    world.stackflow.switches.resolve_requires = ("resolution_code",)
    for number in numbers[60:]:
        world.stackflow.desk.incidents[number].fields["resolution_code"] = "fixed"
    world.run(LATER)
    slow(world, 4)
    for _ in range(4):
        world.reconcile()
        world.run(300)
    assert states(world, numbers) == ["new"] * 60 + ["resolved"] * 20


def test_what_changes_behind_the_place_of_a_stop_is_found_in_the_next_round(world):
    first, _ = world.pair()
    numbers = drifted_pairs(world, 60)
    world.run(3 * 86400)
    slow(world, 4)
    assert world.reconcile()["complete"] is False
    begun = progress(world)["round_at"]
    world.stackflow.set_state(first, "resolved")
    while not world.reconcile()["complete"]:
        assert progress(world)["round_at"] == begun
    assert progress(world) == {"complete_at": begun}
    world.reconcile()
    assert world.incident_of(first).status == "resolved"
    assert states(world, numbers) == ["resolved"] * 60


def test_both_rate_limits_are_kept(world):
    world.stackflow.add_token("stackflow-token", role="itsm_manager")
    world.pagerduty.switches.rest_limit = 100
    numbers = drifted_pairs(world, 130)
    world.run(LATER)
    for simulator in (world.stackflow, world.pagerduty):
        del simulator.requests[:]
    begun = world.clock.now()
    assert world.reconcile()["complete"] is True
    assert states(world, numbers) == ["resolved"] * 130
    assert {one.status for one in world.stackflow.requests + world.pagerduty.requests} == {200}
    assert 120 <= (world.clock.now() - begun).total_seconds() < TIME_LIMIT  # 60 writes a minute


def test_a_row_that_waited_for_its_turn_is_read_again(world):
    pairs = [world.pair() for _ in range(2)]
    for _, incident_id in pairs:
        world.pagerduty.acknowledge(incident_id, world.casey)

    def hook(what):
        if what == "PATCH /prod/api/incidents/" + pairs[0][0]:
            world.before_call = lambda what: None
            world.stackflow.set_state(pairs[1][0], "resolved")
            world.run(4)
    world.before_call = hook
    result = world.reconcile()
    assert [entry["writes"] for entry in result["done"]] == [["in_progress"], ["resolve"]]
    assert states(world, [number for number, _ in pairs]) == ["in_progress", "resolved"]


# What cannot be repaired.

def test_errors_of_one_pair_do_not_stop_the_others_and_fail_the_run_until_they_are_gone(world):
    unmapped = [world.record(group="Nobody Mapped", category=None) for _ in range(5)]
    number = world.record()
    world.run(LATER)
    for count in (5, 5):
        dry = world.act("reconcile", dry_run=True)
        tally = world.act("reconcile")
        result = tally.as_result()
        assert not tally.ok and tally.error.kind == "out_of_step"
        assert "Nobody Mapped" in tally.error.message and "service_mapping" in tally.error.hint
        assert tally.error.message.count("INC") == QUOTED
        assert [one["incident_id"] for one in result["failures"]] == unmapped
        assert (result["failed"], result["complete"]) == (count, True)
        assert dry.as_result()["failures"] == result["failures"]
        world.run(2)
    assert world.incident_of(number).status == "triggered"
    for one in unmapped:
        world.stackflow.assign(one, group=GROUP)
    assert world.reconcile()["repaired"] == 5
    assert world.reconcile()["failures"] == []


def test_a_record_handed_to_a_group_without_an_entry_fails_until_it_has_one(world):
    number, incident_id = world.pair()
    world.stackflow.assign(number, CASEY, group="Nobody Mapped")
    for _ in range(2):
        dry = world.reconcile(dry_run=True)
        result = world.reconcile()
        failure, = result["failures"]
        assert dry["failures"] == [failure] and result["done"] == []
        assert (failure["kind"], failure["incident_id"]) == ("routing", number)
    assert world.pagerduty.incident(incident_id).status == "triggered"  # and nobody took it
    world.stackflow.assign(number, group="Database Reliability")
    assert [entry["writes"] for entry in world.reconcile()["done"]] == [["move"]]
    assert world.pagerduty.incident(incident_id).status == "triggered"
    assert world.reconcile()["failures"] == []


def test_what_else_is_out_of_step_is_repaired_beside_a_group_without_an_entry(world):
    number, incident_id = world.pair()
    world.stackflow.assign(number, group="Nobody Mapped")
    world.pagerduty.acknowledge(incident_id, world.casey)
    dry = world.reconcile(dry_run=True)
    result = world.reconcile()
    assert (dry["would"], dry["failures"]) == (result["done"], result["failures"])
    assert [entry["writes"] for entry in result["done"]] == [["in_progress"]]
    assert (result["repaired"], result["failed"]) == (0, 1)
    assert states(world, [number]) == ["in_progress"]


def test_a_server_that_refuses_one_write_does_not_stop_the_others(world):
    numbers = drifted_pairs(world, 3)
    world.stackflow.faults.add("PATCH /prod/api/incidents/" + numbers[1], status=422, times=9,
                               body={"error": "Not on a Sunday", "code": "RULE"})
    result = world.reconcile()
    assert states(world, numbers) == ["resolved", "new", "resolved"]
    failure, = result["failures"]
    assert failure["incident_id"] == numbers[1] and "Not on a Sunday" in failure["message"]
    world.stackflow.faults.clear()
    assert world.reconcile()["repaired"] == 1


def test_a_defect_in_one_pair_does_not_stop_the_others(world, monkeypatch):
    numbers = drifted_pairs(world, 3)
    real = reconcile_module.settle

    def settle(pack, pair, *arguments, **named):
        if pair.link.number == numbers[0]:
            raise KeyError("a defect")
        return real(pack, pair, *arguments, **named)
    monkeypatch.setattr(reconcile_module, "settle", settle)
    failure, = world.reconcile()["failures"]
    assert (failure["incident_id"], failure["kind"]) == (numbers[0], "defect")
    assert "KeyError" in failure["message"] and "a defect" not in failure["message"]
    assert states(world, numbers) == ["new", "resolved", "resolved"]


@pytest.mark.parametrize("match", ["GET /incidents", "GET /prod/api/incidents"])
def test_a_list_that_cannot_be_read_fails_the_run_and_the_next_one_repairs(world, match):
    world.configure(http={"timeout_seconds": 5, "total_seconds": 5})
    numbers = drifted_pairs(world, 2)
    world.reconcile()
    numbers += drifted_pairs(world, 2)
    stored = progress(world)
    simulator = world.stackflow if "prod" in match else world.pagerduty
    simulator.faults.add(match, status=503, times=999)
    tally = world.act("reconcile")
    assert (tally.ok, tally.complete, tally.error.status) == (False, False, 503)
    assert progress(world) == stored
    simulator.faults.clear()
    assert world.reconcile()["repaired"] == 2
    assert states(world, numbers) == ["resolved"] * 4


def test_a_refused_key_ends_the_run_with_what_was_done_by_then(world):
    numbers = drifted_pairs(world, 2)

    def hook(what):
        if what.startswith("PATCH"):
            world.pagerduty.revoke_api_key("rest-key-0123456789x")
            world.before_call = lambda what: None
    world.before_call = hook
    tally = world.act("reconcile")
    assert (tally.error.kind, tally.repaired, tally.complete) == ("credentials", 1, False)
    assert states(world, numbers) == ["resolved", "new"]


def test_a_datastore_that_is_away_ends_the_run_and_nothing_is_opened(world):
    world.record()
    world.run(LATER)
    world.store.unreachable = True
    with pytest.raises(DatastoreError):
        world.reconcile()
    assert world.pd_writes() == []


def test_lists_of_a_result_are_bounded_and_the_counts_go_on(world):
    tally = reconcile_module.ReconcileReport(False)
    for at in range(LISTED + 3):
        tally.add_writes("INC%d" % at, None, ("resolve",), "resolved in StackFlow")
        tally.add_failure("INC%d" % at, BadInputError("no", "yes"))
    result = tally.as_result()
    assert (len(result["done"]), len(result["failures"])) == (LISTED, LISTED)
    assert result["failed"] == result["repaired"] == result["pairs"] / 2 == LISTED + 3


def test_a_state_that_an_instance_does_not_know_is_a_warning(world):
    world.stackflow.switches.state_names = {"on_hold": "Waiting"}
    numbers = drifted_pairs(world, 1)
    result = world.reconcile()
    assert states(world, numbers) == ["resolved"] and result["complete"]
    warning, = result["warnings"]
    assert "on_hold" in warning and "stackflow.states" in warning
    world.stackflow.switches.state_names = {"new": "Fresh"}
    assert world.act("reconcile").error.status == 400


def test_without_a_usable_config_it_is_skipped():
    outcome = without_config(ConfigError("pagerduty: is missing: give it"))
    assert (outcome.outcome, outcome.reason) == (
        "skipped", "not configured: pagerduty: is missing: give it")


def test_progress_that_somebody_edited_counts_as_none(world):
    numbers = drifted_pairs(world, 1)
    for value in ("", "[]", "{", '{"place": "x"}', '{"place": ["x", 1]}', '{"complete_at": 7}'):
        world.store.values[PREFIX + "reconcile"] = (value, None)
        assert world.reconcile()["complete"] is True
    assert states(world, numbers) == ["resolved"]


def test_progress_is_told_while_it_runs(world):
    said = []
    drifted_pairs(world, 1)
    pack = world.pack()
    pack.say = said.append
    reconcile_module.reconcile(pack)
    assert len(said) >= 3
    assert "1 links" in said[0] and "resolved in PagerDuty" in " ".join(said)


# One run at a time.

def test_a_run_beside_another_one_is_skipped_and_writes_nothing(world):
    numbers = drifted_pairs(world, 1)
    told = []

    def hook(what):
        if what.startswith("GET /incidents?"):
            world.before_call = lambda what: None
            before = world.written()
            told.append(world.act("reconcile").as_result())
            assert world.written() == before
            told.append(world.act("reconcile", incident_id=numbers[0], dry_run=True).as_result())
            told.append(world.act("reconcile", dry_run=True).as_result())
    world.before_call = hook
    assert world.reconcile()["repaired"] == 1
    assert [one["outcome"] for one in told] == ["skipped"] * 3
    assert "another reconcile is in progress" in told[0]["reason"]
    for one in told[1:]:  # one pair, and a dry run, need no lease
        assert [entry["writes"] for entry in one["would"]] == [["resolved"]]
    assert world.reconcile()["done"] == []  # it was given back


def test_a_run_that_fails_gives_its_lease_back(world):
    numbers = drifted_pairs(world, 1)
    world.pagerduty.faults.add("GET /incidents", status=403, times=1)
    assert not world.act("reconcile").ok
    assert world.reconcile()["repaired"] == 1
    assert states(world, numbers) == ["resolved"]


def test_the_lease_of_a_run_that_was_killed_ends_before_the_next_run_but_one(world):
    numbers = drifted_pairs(world, 1)

    def kill(what):
        if what.startswith("GET /incidents?"):
            world.killed = True
        if getattr(world, "killed", False):
            raise Crash(what)
    world.before_call = kill
    with pytest.raises(Crash):
        world.act("reconcile")
    world.before_call = lambda what: None
    assert world.act("reconcile").outcome == "skipped"
    world.run(300)  # the rule starts a run every five minutes
    assert world.reconcile()["repaired"] == 1
    assert states(world, numbers) == ["resolved"]


# What nobody can judge.

def unreadable(world, number, incident_id, change):
    """What a run over all pairs and one over this pair say; neither writes anything."""
    change(world, number, incident_id)
    world.run(LATER)
    before, failures = world.written(), []
    for parameters in ({}, {"incident_id": number}, {"incident_id": number, "dry_run": True}):
        result = world.act("reconcile", **parameters).as_result()
        failures += result["failures"]
        assert result["in_step"] == 0
    assert world.written() == before
    return failures


def respell(name, value):
    def change(world, number, incident_id):
        world.stackflow.desk.incidents[number].fields[name] = value
    return change


@pytest.mark.parametrize("priority", ["Sev1", "critical", "7"])
def test_an_unknown_priority_is_a_failure_that_names_the_record(world, priority):
    number = world.record()
    failures = unreadable(world, number, None, respell("priority", priority))
    assert [(one["incident_id"], one["kind"]) for one in failures] == [(number, "unreadable")] * 3
    for one in failures:
        assert number in one["message"] and priority in one["message"] and "P1" in one["hint"]


def test_an_unknown_priority_of_a_pair_or_of_what_is_resolved_holds_nothing_up(world):
    number, incident_id = world.pair()
    respell("priority", "Sev1")(world, number, incident_id)
    old = world.record()
    respell("priority", "Sev1")(world, old, None)
    world.stackflow.set_state(old, "resolved")
    world.pagerduty.resolve(incident_id, world.casey)
    world.run(LATER)
    result = world.reconcile()
    assert result["failures"] == []
    assert states(world, [number]) == ["resolved"]


def test_an_unknown_state_is_a_failure_that_names_the_record(world):
    number, incident_id = world.pair()
    failures = unreadable(world, number, incident_id, respell("state", "limbo"))
    assert [(one["incident_id"], one["kind"]) for one in failures] == [(number, "unreadable")] * 3
    for one in failures:
        assert number in one["message"] and "limbo" in one["message"]
        assert "stackflow.states" in one["hint"]
