"""The built-in SLA clock: what is due, from records and the time."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from pagerduty_stackflow.incidents import StackFlowIncident, format_time
from pagerduty_stackflow.settings import SlaTarget
from pagerduty_stackflow.sla_clock import BREACH, KEPT, RECOVERY, WARNING, SlaClock

START = datetime(2026, 1, 5, 10, 0, tzinfo=timezone.utc)
JANE = "jane@example.com"


def target(policy, priority, metric, minutes):
    return SlaTarget(policy=policy, priority=priority, metric=metric, minutes=minutes)


RESPONSE = target("P1-Response-SLA", "P1", "first_response", 20)
RESOLUTION = target("P1-Resolution-SLA", "P1", "resolution", 100)


def at(minutes):
    return START + timedelta(minutes=minutes)


def record(minutes=0.0, state="new", priority="P1", person=None, created=0.0, number="INC0001001"):
    """A record as it was after its last change, so many minutes after the start."""
    return StackFlowIncident.from_record({
        "number": number, "id": number, "state": state, "priority": priority,
        "assigned_to": person, "created_at": format_time(at(created)),
        "updated_at": format_time(at(minutes))})


def clock(*targets, stored=None):
    return SlaClock(targets or (RESPONSE, RESOLUTION), START, stored or {})


def told(one, minutes):
    """What is reported after so many minutes, as policy and type, and counts as dispatched."""
    alerts = one.due(at(minutes))
    for alert in alerts:
        one.told(alert)
    return [(alert.policy, alert.payload["event_type"]) for alert in alerts]


def policies(one, minutes, policy):
    return [event for name, event in told(one, minutes) if name == policy]


def test_a_warning_at_three_quarters_and_a_breach_at_the_end_each_once():
    one = clock(RESOLUTION)
    one.look(record())
    moments = (0, 74, 74.99, 75, 76, 99, 100, 101, 500)
    assert [told(one, minutes) for minutes in moments] == [
        [], [], [], [(RESOLUTION.policy, WARNING)], [], [], [(RESOLUTION.policy, BREACH)], [], []]


def test_a_breach_that_is_seen_late_is_told_without_the_warning():
    one = clock(RESOLUTION)
    one.look(record())
    assert told(one, 300) == [(RESOLUTION.policy, BREACH)]
    assert told(one, 301) == []


@pytest.mark.parametrize("answer", [dict(state="in_progress"), dict(state="on_hold"),
                                    dict(state="pending_vendor"), dict(person=JANE),
                                    dict(state="resolved"), dict(state="cancelled")])
def test_a_first_response_is_a_person_or_any_state_but_new(answer):
    in_time, late = clock(RESPONSE), clock(RESPONSE)
    in_time.look(record())
    in_time.look(record(5, **answer))
    assert [told(in_time, minutes) for minutes in (10, 30)] == [[], []]
    late.look(record())
    assert told(late, 21) == [(RESPONSE.policy, BREACH)]
    late.look(record(25, **answer))
    assert told(late, 26) == [(RESPONSE.policy, RECOVERY)]
    assert told(late, 27) == []


def test_a_state_that_nobody_knows_is_no_response():
    one = clock(RESPONSE)
    one.look(record(1, state="triaged"))
    assert told(one, 21) == [(RESPONSE.policy, BREACH)]


def test_a_person_who_answered_and_left_has_answered():
    one = clock(RESPONSE)
    one.look(record(1, person=JANE))
    one.look(record(2))
    assert told(one, 60) == []
    again = clock(RESPONSE, stored=one.to_store())
    again.look(record(2))
    assert told(again, 61) == []


@pytest.mark.parametrize("state", ["resolved", "closed", "cancelled"])
def test_a_finished_state_ends_it_and_what_was_breached_recovers(state):
    one = clock(RESOLUTION)
    one.look(record())
    assert told(one, 101) == [(RESOLUTION.policy, BREACH)]
    one.look(record(110, state=state))
    assert told(one, 111) == [(RESOLUTION.policy, RECOVERY)]
    assert told(one, 10000) == []


def test_what_was_only_warned_of_ends_in_silence():
    one = clock(RESOLUTION)
    one.look(record())
    assert told(one, 80) == [(RESOLUTION.policy, WARNING)]
    one.look(record(90, state="resolved"))
    assert told(one, 500) == []


def test_pending_customer_stops_it_and_the_time_does_not_count():
    one = clock(RESOLUTION)
    one.look(record())
    one.look(record(50, state="pending_customer"))
    assert told(one, 400) == []
    one.look(record(250, state="in_progress"))  # 200 minutes do not count
    moments = (274, 276, 299, 301)
    assert [told(one, minutes) for minutes in moments] == [
        [], [(RESOLUTION.policy, WARNING)], [], [(RESOLUTION.policy, BREACH)]]


def test_changes_while_it_is_stopped_do_not_count_twice():
    one = clock(RESOLUTION)
    one.look(record())
    for minutes in (50, 60, 70):
        one.look(record(minutes, state="pending_customer"))
    one.look(record(80, state="in_progress"))
    assert told(one, 104) == []
    assert told(one, 106) == [(RESOLUTION.policy, WARNING)]


def test_pending_vendor_and_on_hold_do_not_stop_it():
    one = clock(RESOLUTION)
    one.look(record())
    one.look(record(10, state="pending_vendor"))
    one.look(record(20, state="on_hold"))
    assert told(one, 100) == [(RESOLUTION.policy, BREACH)]


def test_a_deadline_that_passed_before_it_was_stopped_is_a_breach():
    one = clock(RESOLUTION)
    one.look(record())
    one.look(record(101, state="pending_customer"))
    assert told(one, 102) == [(RESOLUTION.policy, BREACH)]


def test_a_reopened_incident_starts_anew():
    one = clock(RESOLUTION)
    one.look(record())
    assert told(one, 101) == [(RESOLUTION.policy, BREACH)]
    one.look(record(110, state="resolved"))
    assert told(one, 111) == [(RESOLUTION.policy, RECOVERY)]
    one.look(record(200, state="in_progress"))
    moments = (274, 276, 301)
    assert [told(one, minutes) for minutes in moments] == [
        [], [(RESOLUTION.policy, WARNING)], [(RESOLUTION.policy, BREACH)]]


def test_only_targets_of_the_present_priority_count():
    one = clock(target("P1-SLA", "P1", "resolution", 100),
                target("P2-SLA", "P2", "resolution", 200))
    one.look(record(priority="P2"))
    assert told(one, 120) == []
    one.look(record(130, priority="P1"))
    assert told(one, 131) == [("P1-SLA", BREACH)]
    one.look(record(140, priority="P4"))
    assert told(one, 1000) == []
    one.look(record(1010, priority="P4", state="resolved"))
    assert told(one, 1011) == [("P1-SLA", RECOVERY)]


def test_incidents_of_other_priorities_and_finished_ones_are_not_kept():
    one = clock()
    one.look(record(priority="P3"))
    one.look(record(state="closed", number="INC0001002"))
    assert one.due(at(1000)) == [] and one.to_store() == {}


def test_what_is_older_than_the_pack_is_left_out():
    one = clock()
    one.look(record(created=-1))
    assert told(one, 1000) == []


@pytest.mark.parametrize("spoiled", [{"created_at": None}, {"created_at": "yesterday"},
                                     {"number": None, "id": None}, {"updated_at": None}])
def test_a_record_that_lacks_something_breaks_nothing(spoiled):
    one = clock()
    one.look(StackFlowIncident.from_record(dict(record().fields, **spoiled)))
    expected = 2 if "updated_at" in spoiled else 0
    assert len(told(one, 1000)) == expected


def test_an_alert_comes_again_with_the_same_id_until_it_was_dispatched():
    one = clock(RESOLUTION)
    one.look(record())
    first, again = one.due(at(101)), one.due(at(103))
    assert [alert.payload["event_id"] for alert in first] == [
        alert.payload["event_id"] for alert in again]
    one.told(again[0])
    assert one.due(at(104)) == []


def test_the_payload_holds_the_facts():
    one = clock(RESOLUTION)
    one.look(record())
    warning, = one.due(at(80))
    one.told(warning)
    breach, = one.due(at(110))
    one.told(breach)
    one.look(record(120, state="resolved"))
    recovery, = one.due(at(125))
    assert [alert.payload["sla"] for alert in (warning, breach, recovery)] == [
        {"policy": RESOLUTION.policy, "metric": "resolution", "elapsed_percent": percent,
         "breached_at": breached_at} for percent, breached_at in (
             (80.0, None), (110.0, format_time(at(100))), (120.0, None))]
    assert [alert.payload["occurred_at"] for alert in (warning, breach, recovery)] == [
        format_time(at(minutes)) for minutes in (75, 100, 120)]
    assert {alert.payload["received_by"] for alert in (warning, breach, recovery)} == {"clock"}
    assert breach.payload["incident"]["number"] == "INC0001001"


CHANGES = ((0, {}), (10, dict(state="pending_customer")), (40, dict(state="in_progress")),
           (60, dict(state="pending_customer")), (70, dict(state="new")),
           (150, dict(state="resolved")), (300, dict(state="in_progress")),
           (450, dict(state="closed")))


@pytest.mark.parametrize("every", [1, 7])
def test_a_restart_at_any_time_forgets_nothing(every):
    def story(restarts):
        one, events = clock(), []
        for minutes in range(0, 500):
            changes = [change for change in CHANGES if change[0] <= minutes]
            changed, fields = changes[-1]
            if restarts and minutes % every == 0:
                one = clock(stored=json.loads(json.dumps(one.to_store())))
                if fields.get("state") not in ("resolved", "closed"):
                    one.look(record(changed, **fields))  # the listing of a start
            if changed == minutes:
                one.look(record(changed, **fields))
            events += [(minutes, event) for event in told(one, minutes)]
        return events

    assert story(True) == story(False) != []


def test_what_ended_long_ago_and_what_is_not_open_any_more_is_forgotten():
    one = clock()
    one.look(record())
    one.look(record(10, state="resolved"))
    assert one.to_store() != {}
    one.due(at(10) + KEPT + timedelta(minutes=1))
    assert one.to_store() == {}
    gone = clock(stored={"INC0001009": {"told": {RESOLUTION.policy: BREACH}}})
    gone.due(at(1))
    assert gone.to_store() == {}


@pytest.mark.parametrize("stored", [5, {"stopped": "x", "told": []},
                                    {"since": 5, "stopped_at": {}, "told": {"a": 1}}])
def test_a_memory_that_somebody_edited_is_read_as_far_as_it_goes(stored):
    one = clock(stored={"INC0001001": stored})
    one.look(record())
    assert len(told(one, 101)) == 2
