"""The rows of the sync table, in one process: who does what, and what the other side does then."""

import pytest
from world import World

from pagerduty_stackflow.errors import BadInputError, NotFoundError, RoutingError

GROUP = "Platform Engineering"


@pytest.fixture
def world():
    return World()


def created(world, priority="P1", **fields):
    number = world.stackflow.create_incident("Database timeout", priority,
                                             group=fields.pop("group", GROUP),
                                             category=fields.pop("category", "api"), **fields)
    world.settle()
    return number


def born_in_pagerduty(world, service=None, **fields):
    incident = world.pagerduty.create_incident(service or world.api, "Disk full", world.casey,
                                               **fields)
    world.settle()
    return incident


@pytest.mark.parametrize("priority, threshold, pages", [
    ("P1", "P2", True), ("P2", "P2", True), ("P3", "P2", False), ("P4", "P4", True),
    ("P2", "P1", False), ("P1", "P1", True)])
def test_an_incident_at_or_above_the_threshold_pages_once(priority, threshold, pages):
    world = World(priority_threshold=threshold)
    created(world, priority)
    assert world.paged()[world.casey] == (1 if pages else 0)
    assert len(world.pagerduty.incidents()) == (1 if pages else 0)


def test_a_priority_raised_to_the_threshold_pages(world):
    number = created(world, "P3")
    world.stackflow.set_priority(number, "P2")
    world.settle()
    assert world.status(number) == "triggered"


def test_a_pair_once_joined_is_kept_in_step_whatever_its_priority_becomes(world):
    number = created(world, "P1")
    world.stackflow.set_priority(number, "P4")
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.status(number) == "resolved"


def test_a_person_assigned_acknowledges_and_nothing_comes_back(world):
    number = created(world)
    world.stackflow.assign(number, person="jane@example.com")
    world.settle()
    assert world.status(number) == "acknowledged"
    assert world.pd_writes() == ["trigger", "acknowledge"]
    assert world.sf_writes(number) == []


def test_a_group_assigned_without_a_person_acknowledges_nothing(world):
    number = created(world)
    world.stackflow.assign(number, group="Nobody Mapped")
    world.settle()
    assert world.status(number) == "triggered"


def test_auto_acknowledge_off_leaves_pagerduty_triggered():
    world = World(auto_acknowledge=False)
    number = created(world)
    world.stackflow.assign(number, person="jane@example.com")
    world.settle()
    assert world.status(number) == "triggered"


def test_an_incident_created_with_a_person_is_paged_and_acknowledged(world):
    number = created(world, person="jane@example.com")
    assert world.status(number) == "acknowledged"
    assert world.pd_writes() == ["trigger", "acknowledge"]


@pytest.mark.parametrize("ending", ["resolved", "cancelled"])
def test_resolved_and_cancelled_resolve(world, ending):
    number = created(world)
    world.stackflow.set_state(number, ending)
    world.settle()
    assert world.status(number) == "resolved"
    assert world.sf_writes(number) == []


def test_closed_straight_from_open_resolves(world):
    world.stackflow.switches.transitions["in_progress"] += ("closed",)
    number = created(world)
    world.stackflow.set_state(number, "in_progress")
    world.stackflow.set_state(number, "closed")
    world.settle()
    assert world.status(number) == "resolved"


def test_acknowledged_in_pagerduty_sets_in_progress_and_nothing_comes_back(world):
    number = created(world)
    incident = world.pagerduty.incidents()[0].id
    world.pagerduty.acknowledge(incident, world.casey)
    world.settle()
    assert world.sf_writes(number) == ["in_progress"]
    assert world.pd_writes() == ["trigger"]


@pytest.mark.parametrize("state", ["on_hold", "pending_customer", "pending_vendor"])
def test_an_acknowledgement_leaves_a_pending_record_as_it_is(world, state):
    number = created(world)
    world.stackflow.set_state(number, state)
    world.pagerduty.acknowledge(world.pagerduty.incidents()[0].id, world.casey)
    world.settle()
    assert world.sf_writes(number) == []


def test_resolved_in_pagerduty_resolves_the_record_and_nothing_comes_back(world):
    number = created(world)
    world.pagerduty.resolve(world.pagerduty.incidents()[0].id, world.casey)
    world.settle()
    assert world.sf_writes(number) == ["resolved"]
    assert world.pd_writes() == ["trigger"]


def test_an_incident_born_in_pagerduty_gets_one_record_in_the_mapped_group(world):
    incident = born_in_pagerduty(world, world.database, priority="P1")
    record, = world.records_of(incident)
    assert record["assignment_group"] == "Database Reliability"
    assert record["category"] == "database"
    assert record["priority"] == "P1"
    assert world.pd_writes() == []
    assert len(world.pagerduty.incidents()) == 1


@pytest.mark.parametrize("urgency, priority", [("high", "P2"), ("low", "P4")])
def test_without_a_priority_the_urgency_decides(world, urgency, priority):
    incident = born_in_pagerduty(world, urgency=urgency)
    assert world.records_of(incident)[0]["priority"] == priority


def test_an_incident_born_in_pagerduty_follows_to_the_end(world):
    incident = born_in_pagerduty(world)
    number = world.records_of(incident)[0]["number"]
    world.pagerduty.acknowledge(incident, world.casey)
    world.settle()
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    assert world.sf_writes(number) == ["in_progress", "resolved"]
    assert world.pd_writes() == []


def test_resolving_the_record_resolves_an_incident_born_in_pagerduty_by_rest(world):
    incident = born_in_pagerduty(world)
    world.stackflow.set_state(world.records_of(incident)[0]["number"], "resolved")
    world.settle()
    assert world.pagerduty.incident(incident).status == "resolved"
    assert [write.api for write in world.pagerduty.writes] == ["rest"]


def test_assigning_a_pagerduty_user_acknowledges_an_incident_born_there_as_that_person(world):
    incident = born_in_pagerduty(world)
    world.stackflow.assign(world.records_of(incident)[0]["number"], person="robin@example.com")
    world.settle()
    found = world.pagerduty.incident(incident)
    assert found.status == "acknowledged"
    assert found.assignees == [world.robin]


def test_assigning_somebody_unknown_to_pagerduty_writes_a_note_and_keeps_the_assignees(world):
    incident = born_in_pagerduty(world)
    world.stackflow.assign(world.records_of(incident)[0]["number"], person="jane@example.com")
    world.settle()
    found = world.pagerduty.incident(incident)
    assert found.status == "triggered"
    assert found.assignees == [world.casey]
    assert [note.content for note in found.notes] == ["Taken in StackFlow by jane@example.com"]
    assert "skipped" in [outcome.outcome for outcome in world.outcomes]


def test_bidirectional_sync_off_writes_nothing_to_stackflow():
    world = World(bidirectional_sync=False)
    number = created(world)
    world.pagerduty.acknowledge(world.pagerduty.incidents()[0].id, world.casey)
    world.settle()
    world.pagerduty.resolve(world.pagerduty.incidents()[0].id, world.casey)
    world.settle()
    incident = born_in_pagerduty(world)
    assert world.sf_writes(number) == []
    assert world.records_of(incident) == []


def test_an_incident_of_a_service_that_is_not_mapped_gets_no_record(world):
    incident = born_in_pagerduty(world, world.other)
    assert world.records_of(incident) == []
    assert world.outcomes == []


def test_reopened_in_stackflow_pages_again_under_the_next_key(world):
    number = created(world)
    for count in (1, 2):
        world.stackflow.set_state(number, "resolved")
        world.settle()
        world.stackflow.reopen(number)
        world.settle()
        again, = world.pagerduty.incidents(
            dedup_key="stackflow:acme.stackflow.example:%s:%d" % (number, count))
        assert again.status == "triggered"
    assert world.sf_writes(number) == []


def test_a_record_born_in_pagerduty_and_reopened_in_stackflow_starts_at_one(world):
    incident = born_in_pagerduty(world)
    number = world.records_of(incident)[0]["number"]
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    world.stackflow.reopen(number)
    world.settle()
    key = "stackflow:acme.stackflow.example:%s:1" % number
    assert [one.status for one in world.pagerduty.incidents(dedup_key=key)] == ["triggered"]
    assert world.pagerduty.incident(incident).status == "resolved"
    assert len(world.stackflow.incidents()) == 1


def test_reopened_in_pagerduty_sets_the_resolved_record_to_in_progress(world):
    number = created(world)
    incident = world.pagerduty.incidents()[0].id
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    assert world.sf_writes(number) == ["resolved", "in_progress"]
    assert world.pagerduty.incident(incident).status == "triggered"


def test_what_was_reopened_in_pagerduty_is_resolved_again_from_stackflow(world):
    number = created(world)
    incident = world.pagerduty.incidents()[0].id
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident).status == "resolved"
    assert world.stackflow.incident(number)["state"] == "resolved"


def test_reopened_in_pagerduty_after_the_record_was_closed_gets_a_note_and_a_new_record(world):
    number = created(world)
    incident = world.pagerduty.incidents()[0].id
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    world.stackflow.close(number)
    world.settle()
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    record, = world.records_of(incident)
    assert record["state"] in ("new", "in_progress")
    assert world.stackflow.incident(number)["state"] == "closed"
    assert record["number"] in world.stackflow.notes(number)[-1]["note"]
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    assert world.stackflow.incident(record["number"])["state"] == "resolved"
    assert len(world.stackflow.incidents()) == 2


def test_an_unmapped_group_fails_and_names_the_nearest_entries(world):
    created(world, group="Nobody Mapped")
    error, = world.outcomes
    assert isinstance(error, RoutingError)
    assert "'Nobody Mapped'" in error.message and "nobody would be paged" in error.message
    assert "Platform Engineering" in error.message or "Database Reliability" in error.message
    assert world.pagerduty.incidents() == []


def test_the_default_service_opens_incidents_of_groups_without_an_entry():
    world = World(default_pagerduty_service_id="P5678CD")
    number = created(world, group="Nobody Mapped")
    assert world.pagerduty.incidents()[0].service_id == world.database
    assert world.status(number) == "triggered"


def test_the_category_decides_between_two_entries_of_one_group(world):
    entries = world.config["service_mapping"]
    entries[1] = dict(entries[1], stackflow_assignment_group=GROUP)
    world.configure(service_mapping=entries)
    created(world, category="database")
    created(world, category="api")
    assert [one.service_id for one in world.pagerduty.incidents()] == [world.database, world.api]


@pytest.mark.parametrize("switches", [
    {"agent_is_null": True}, {"client_is_null": True},
    {"agent_is_null": True, "client_is_null": True}])
def test_no_echo_comes_back_when_webhooks_do_not_tell_who_it_was(switches):
    world = World(pagerduty=switches)
    number = created(world)
    world.stackflow.assign(number, person="jane@example.com")
    world.settle()
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pd_writes() == ["trigger", "acknowledge", "resolve"]
    assert world.sf_writes(number) == []
    assert len(world.stackflow.incidents()) == 1 and len(world.pagerduty.incidents()) == 1


def test_what_was_open_before_the_first_run_pages_nobody_and_gets_no_record():
    world = World(start=False)
    world.listening = False
    number = world.stackflow.create_incident("Old", "P3", group=GROUP)
    incident = world.pagerduty.create_incident(world.api, "Old", world.casey)
    world.run(3600)
    world.pagerduty.outbox.lose(10)
    world.stackflow.outbox.lose(10)
    world.listening = True
    world.store.set_value("pagerduty_stackflow.start", "2026-01-05T10:30:00.000000Z")
    before = world.paged()
    world.stackflow.set_priority(number, "P1")
    world.settle()
    assert world.act("trigger_incident", incident_id=number).outcome == "skipped"
    assert world.act("create_stackflow_incident", incident_id=incident).outcome == "skipped"
    assert world.paged() == before and world.records_of(incident) == []
    assert world.act("trigger_incident", incident_id=number, force=True).outcome == "done"
    world.settle()
    assert world.status(number) == "triggered"


def test_a_person_forces_a_page_for_an_incident_under_the_threshold(world):
    number = created(world, "P4")
    assert world.act("trigger_incident", incident_id=number).outcome == "skipped"
    assert world.act("trigger_incident", incident_id=number, force=True).outcome == "done"
    world.settle()
    assert world.status(number) == "triggered"


def test_a_person_acknowledges_and_resolves_by_either_id(world):
    number = created(world)
    incident = world.pagerduty.incidents()[0].id
    assert world.act("acknowledge_incident", incident_id=number).outcome == "done"
    world.settle()
    assert world.status(number) == "acknowledged"
    assert world.stackflow.incident(number)["state"] == "in_progress"
    assert world.act("resolve_incident", incident_id=incident, resolution="Rebooted",
                     by="jane@example.com").outcome == "done"
    world.settle()
    assert world.status(number) == "resolved"
    assert world.stackflow.incident(number)["state"] == "resolved"
    assert world.act("resolve_incident", incident_id=number).outcome == "already"


@pytest.mark.parametrize("action", ["acknowledge_incident", "resolve_incident"])
def test_nothing_is_written_for_an_unknown_or_malformed_id(world, action):
    for incident_id, error in (("INC9999999", NotFoundError), ("nonsense", BadInputError),
                               ("INC12; drop", BadInputError), ("QUNKNOWN000000", NotFoundError)):
        with pytest.raises(error) as raised:
            world.act(action, incident_id=incident_id)
        assert raised.value.hint
    assert world.pagerduty.writes == [] and world.stackflow.writes == []


def test_a_state_is_written_as_a_person_asks_and_final_records_stay(world):
    number = created(world)
    world.act("set_stackflow_state", incident_id=number, state="in_progress", note="On it",
              by="Casey")
    assert world.stackflow.incident(number)["state"] == "in_progress"
    assert world.stackflow.notes(number)[-1]["note"] == "Casey: On it"
    world.act("set_stackflow_state", incident_id=number, state="resolved")
    world.settle()
    assert world.status(number) == "resolved"
    world.stackflow.close(number)
    world.settle()
    result = world.act("set_stackflow_state", incident_id=number, state="in_progress")
    assert result.outcome == "skipped" and "final" in result.reason
    with pytest.raises(BadInputError):
        world.act("set_stackflow_state", incident_id=number, state="closed")


def test_a_state_for_an_incident_without_a_record_is_skipped_with_that_reason(world):
    world.listening = False
    incident = born_in_pagerduty(world)
    result = world.act("set_stackflow_state", incident_id=incident, state="in_progress")
    assert result.outcome == "skipped" and "no StackFlow record yet" in result.reason


def test_who_was_assigned_before_a_reopening_in_pagerduty_acknowledges_nothing(world):
    number = created(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.stackflow.assign(number, person="jane@example.com")
    world.settle()
    world.pagerduty.reopen(world.pagerduty.incidents()[0].id, world.casey)
    world.settle()
    assert world.stackflow.incident(number)["state"] == "in_progress"
    world.act("acknowledge_incident", incident_id=number, incident=world.stackflow.incident(number))
    world.run()
    assert world.status(number) == "triggered"


def test_a_change_of_state_under_the_threshold_starts_no_run(world):
    number = created(world, "P4")
    world.stackflow.set_state(number, "in_progress")
    world.run(2)
    assert world.queue == []
    assert world.payloads[-1][1]["event_type"] == "incident.state_changed"
    assert "threshold" in world.payloads[-1][1]["sync"]["reason"]
