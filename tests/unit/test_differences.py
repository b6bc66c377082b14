"""What happened to an incident: what it is now, compared with its link record."""

from datetime import datetime, timedelta, timezone

import pytest
from config_samples import BASE, changed

from pagerduty_stackflow import settings
from pagerduty_stackflow.differences import pagerduty_events, stackflow_event
from pagerduty_stackflow.incidents import PagerDutyIncident, StackFlowIncident, format_time
from pagerduty_stackflow.links import Link
from pagerduty_stackflow.merge import ABSENT, ACKNOWLEDGED, OPEN, RESOLVED

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=timezone.utc)
START = NOW - timedelta(days=1)
SETTINGS = settings.load(BASE)
NUMBER, INCIDENT = "INC0001001", "Q0INCIDENT0001"
API, DATABASE = "P1234AB", "P5678CD"
JANE = "jane@example.com"


def seconds(number):
    return format_time(NOW + timedelta(seconds=number))


def incident(status, service=API, created=-60):
    return PagerDutyIncident.from_rest({"id": INCIDENT, "status": status,
                                        "service": {"id": service},
                                        "created_at": seconds(created)})


def link(stackflow=OPEN, pagerduty=OPEN, **fields):
    values = dict({"pagerduty_id": INCIDENT, "service_id": API, "stackflow": stackflow,
                   "pagerduty": pagerduty, "stackflow_at": seconds(-10)}, **fields)
    return Link(NUMBER, **values)


def events(status, known, told=(), service=API, created=-60, config=SETTINGS):
    return pagerduty_events(incident(status, service, created), known, told, config, START, NOW)


@pytest.mark.parametrize("agreed, status, expected", [
    (OPEN, "triggered", []), (ACKNOWLEDGED, "acknowledged", []), (RESOLVED, "resolved", []),
    (OPEN, "acknowledged", ["incident.acknowledged"]), (OPEN, "resolved", ["incident.resolved"]),
    (ACKNOWLEDGED, "triggered", ["incident.unacknowledged"]),
    (ACKNOWLEDGED, "resolved", ["incident.resolved"]),
    (RESOLVED, "triggered", ["incident.reopened"]),
    (RESOLVED, "acknowledged", ["incident.reopened"]),
    (ABSENT, "triggered", ["incident.triggered"]), (ABSENT, "resolved", ["incident.resolved"])])
def test_a_linked_incident_is_compared_with_the_last_agreement(agreed, status, expected):
    assert events(status, link(pagerduty=agreed)) == expected


@pytest.mark.parametrize("agreed, status", [(ACKNOWLEDGED, "triggered"), (RESOLVED, "triggered"),
                                            (RESOLVED, "acknowledged")])
def test_what_was_just_sent_may_not_be_visible_yet(agreed, status):
    assert events(status, link(pagerduty=agreed, sent_at=seconds(-20))) == []
    assert len(events(status, link(pagerduty=agreed, sent_at=seconds(-61)))) == 1


def test_a_person_may_be_ahead_of_what_was_just_sent():
    assert events("resolved", link(pagerduty=ACKNOWLEDGED, sent_at=seconds(-20))) == [
        "incident.resolved"]


@pytest.mark.parametrize("fields, expected", [
    ({}, ["incident.service_updated"]), ({"service_id": DATABASE}, []), ({"moving": DATABASE}, []),
    ({"service_id": None}, []), ({"shared": True}, [])])
def test_another_service_than_the_last_agreed_one_is_a_move(fields, expected):
    assert events("triggered", link(**fields), service=DATABASE) == expected


def test_a_move_and_a_change_of_state_are_two_events_and_what_is_resolved_does_not_move():
    assert events("acknowledged", link(), service=DATABASE) == [
        "incident.acknowledged", "incident.service_updated"]
    assert events("resolved", link(), service=DATABASE) == ["incident.resolved"]


def test_an_earlier_incident_of_a_record_is_told_as_it_goes():
    newer = link(pagerduty_id="Q0INCIDENT0002")
    assert events("triggered", newer, ["incident.triggered", "incident.unacknowledged"]) == [
        "incident.unacknowledged"]
    assert events("resolved", newer, ["incident.resolved"]) == []


@pytest.mark.parametrize("status", ["triggered", "acknowledged"])
def test_an_open_incident_without_a_record_is_told_as_triggered_whatever_its_entries_say(status):
    assert events(status, None, ["incident.acknowledged"]) == ["incident.triggered"]
    assert events(status, None) == ["incident.triggered"]


TOLD = ["incident.triggered", "incident.acknowledged"]
OFF = settings.load(changed(("bidirectional_sync", False)))


@pytest.mark.parametrize("told, expected", [(TOLD, TOLD[1:]), (TOLD[:1], TOLD[:1]), ([], [])])
@pytest.mark.parametrize("fields", [{"service": "P0000ZZ"}, {"config": OFF}])
def test_where_no_record_is_to_be_made_the_last_entry_is_told(fields, told, expected):
    assert events("acknowledged", None, told, **fields) == expected


def test_what_is_older_than_the_pack_is_never_told_as_triggered():
    older = -2 * 86400
    assert events("acknowledged", None, TOLD, created=older) == TOLD[1:]
    assert events("triggered", None, TOLD[:1], created=older) == []
    assert events("triggered", None, created=older) == []


def record(state="new", priority="P1", person=None, group="Platform Engineering", updated=0,
           created=-60):
    return StackFlowIncident.from_record({
        "number": NUMBER, "state": state, "priority": priority, "assigned_to": person,
        "assignment_group": group, "created_at": seconds(created), "updated_at": seconds(updated)})


def event(shown, known, new=False, before=None, config=SETTINGS):
    return stackflow_event(shown, known, new, before or {}, config, START)


@pytest.mark.parametrize("shown, known, expected", [
    (record(), link(), None),
    (record("in_progress"), link(), None),
    (record("on_hold"), link(pagerduty=ACKNOWLEDGED), None),
    (record(person=JANE), link(ACKNOWLEDGED, ACKNOWLEDGED, assignee=JANE), None),
    (record("closed"), link(RESOLVED, RESOLVED), None),
    (record("resolved", person=JANE), link(RESOLVED, RESOLVED), None),
    (record("cancelled"), link(), ("incident.resolved", {})),
    (record("resolved"), link(ACKNOWLEDGED, ACKNOWLEDGED), ("incident.resolved", {})),
    (record("in_progress", person=JANE), link(RESOLVED, RESOLVED),
     ("incident.reopened", {"state": "resolved"})),
    (record(), link(RESOLVED, ABSENT, pagerduty_id=None),
     ("incident.reopened", {"state": "resolved"})),
    (record(person=JANE), link(), ("incident.state_changed", {"assigned_to": None})),
    (record(person=JANE), link(ACKNOWLEDGED, ACKNOWLEDGED, assignee="lee@example.com"),
     ("incident.state_changed", {"assigned_to": "lee@example.com"})),
    (record(group="Database Reliability"), link(group="Platform Engineering"),
     ("incident.state_changed", {"assignment_group": "Platform Engineering"})),
    (record(group="Database Reliability"), link(), None)])
def test_a_linked_record_is_compared_with_the_last_agreement(shown, known, expected):
    assert event(shown, known) == expected


def test_a_record_that_was_read_before_a_change_that_is_applied_already_tells_nothing():
    known = link(RESOLVED, RESOLVED, stackflow_at=seconds(5))
    assert event(record(), known) is None
    assert event(record(updated=5), known) is not None


def test_a_person_is_no_event_where_auto_acknowledge_is_off():
    off = settings.load(changed(("auto_acknowledge", False)))
    assert event(record(person=JANE), link(), config=off) is None
    assert event(record(person=JANE), link(), before={"assigned_to": None}, config=off) == (
        "incident.state_changed", {"assigned_to": None})


@pytest.mark.parametrize("shown, new, before, expected", [
    (record(), True, {}, ("incident.created", {})),
    (record(priority="P4"), True, {}, ("incident.created", {})),
    (record("resolved"), True, {}, ("incident.resolved", {})),
    (record(), False, {}, ("incident.priority_changed", {})),
    (record(), False, {"priority": "P4"}, ("incident.priority_changed", {"priority": "P4"})),
    (record(priority="P4"), False, {}, None),
    (record(priority=None), False, {}, None),
    (record(priority="P4"), False, {"priority": "P3"},
     ("incident.priority_changed", {"priority": "P3"})),
    (record("on_hold", "P4"), False, {"state": "new", "priority": "P3"},
     ("incident.state_changed", {"state": "new", "priority": "P3"})),
    (record(created=-2 * 86400), True, {}, None),
    (record(created=-2 * 86400), False, {}, None),
    (record("closed", created=-2 * 86400), False, {}, ("incident.resolved", {}))])
def test_a_record_without_a_link_is_told_where_it_is_new_or_is_to_be_opened(
        shown, new, before, expected):
    assert event(shown, None, new, before) == expected
