"""What is decided about an escalation, from what is stored and what both sides show."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone

import pytest
from config_samples import changed
from hypothesis import given, strategies as st

from pagerduty_stackflow import settings
from pagerduty_stackflow.escalation import (
    ANSWERED, FIRST_RESPONSE, OVERDUE, RECONCILE, RECOVERED, RESOLUTION, RESOLVED, STARTING,
    UNANSWERED, WAITING, Escalation, Seen, begin_of, decode, encode, end_of, follow, is_started,
    mapping_of, metric_of, on_call_level, same_breach)
from pagerduty_stackflow.incidents import PagerDutyIncident

NOON = "2026-05-18T12:00:00Z"
LATER = "2026-05-18T12:10:00Z"
KEY = "stackflow:acme:INC1"
RUNNING = Escalation("INC1", "P1-Response-SLA", "run", RESOLUTION, WAITING, NOON, NOON,
                     pagerduty_id="Q1", dedup_key=KEY, resolves=1, acknowledges=1,
                     assignee="jane@example.com", level=1, assigned="1; PLEE " + NOON, at=NOON)


def entries(*kinds, at=NOON):
    return tuple({"type": kind + "_log_entry", "created_at": at} for kind in kinds)


def incident(**fields):
    given = {"id": "Q1", "status": "triggered", "urgency": "high",
             "escalation_policy": {"id": "PCOMMAN", "summary": "Command"},
             "assignments": [{"at": NOON, "assignee": {"id": "PLEE"}}]}
    return PagerDutyIncident.from_rest(dict(given, **fields))


HISTORY = entries("acknowledge", "resolve", "delegate")
SEEN = Seen(assignee="jane@example.com", dedup_key=KEY, incident=incident(), history=HISTORY)


def seen(**changes):
    return dataclasses.replace(SEEN, **changes)


def after(**changes):
    return dataclasses.replace(RUNNING, **changes)


@pytest.mark.parametrize("policy, metric, expected", [
    ("P1-Response-SLA", None, FIRST_RESPONSE), ("Time to first RESPONSE", "", FIRST_RESPONSE),
    ("P1-SLA", None, RESOLUTION), ("P1-Response-SLA", "resolution", RESOLUTION),
    ("P1-SLA", "first_response", FIRST_RESPONSE), ("P1-SLA", "{{ 7 * 7 }}", RESOLUTION)])
def test_the_metric_is_that_of_the_event_else_that_of_the_name(policy, metric, expected):
    assert metric_of(policy, metric) == expected


def test_the_entry_of_a_policy_is_found_by_its_kind_or_the_first_one_is_taken():
    config = changed(("escalation_mapping", [
        {"stackflow_sla_policy": "S", "pagerduty_escalation_policy_id": name, "trigger_on": kind}
        for name, kind in (("PA", "sla_breach"), ("PB", "sla_warning"))]))
    loaded = settings.load(config)
    found = {kind: mapping_of(loaded, "S", kind) for kind in (None, "", "sla_breach",
                                                              "sla_warning", "sla_recovery")}
    assert {kind: entry and entry.escalation_policy_id for kind, entry in found.items()} == {
        None: "PA", "": "PA", "sla_breach": "PA", "sla_warning": "PB", "sla_recovery": None}
    assert mapping_of(loaded, "s") is None and mapping_of(loaded, None) is None


@given(st.builds(Escalation, **{
    field.name: st.integers(0, 9) if isinstance(field.default, int) else
    st.text(min_size=1) if field.default is dataclasses.MISSING else
    st.text() if field.default == "" else st.none() | st.text(min_size=1)
    for field in dataclasses.fields(Escalation)}))
def test_an_escalation_is_read_as_it_was_written(escalation):
    assert decode(encode(escalation)) == escalation


@pytest.mark.parametrize("text", [
    None, "", "x", "[]", "7", "null", "{}", '{"number": "INC1"}', "[" * 99999,
    encode(RUNNING)[:-1] + ', "more": 1}', encode(RUNNING).replace('"level": 1', '"level": "1"'),
    encode(RUNNING).replace('"number": "INC1"', '"number": 1')])
def test_what_is_no_escalation_is_none(text):
    assert decode(text) is None


@pytest.mark.parametrize("changes, same", [
    ({}, True),
    ({"recovered": NOON}, False),
    ({"reopened_at": NOON}, False),
    ({"history": HISTORY + entries("resolve")}, False),
    ({"history": HISTORY + entries("acknowledge")}, True),
    ({"dedup_key": KEY + ":1", "incident": incident(id="Q2")}, False),
    ({"incident": incident(id="Q2"), "history": HISTORY + entries("resolve")}, True),  # a merge
    ({"incident": None, "history": (), "dedup_key": None}, True)])
def test_only_a_recovery_or_a_reopening_makes_it_another_breach(changes, same):
    assert same_breach(RUNNING, seen(**changes)) is same


def test_a_recovery_before_it_is_none_since():
    known = after(recovered=NOON)
    assert same_breach(known, seen(recovered=NOON)) and same_breach(known, seen())
    assert not same_breach(known, seen(recovered=LATER))


@pytest.mark.parametrize("changes, end", [
    ({}, None),
    ({"over": True, "recovered": NOON}, RESOLVED),
    ({"recovered": NOON}, RECOVERED),
    ({"history": HISTORY + entries("resolve")}, RESOLVED),
    ({"history": HISTORY + entries("acknowledge")}, ANSWERED),
    ({"assignee": "lee@example.com"}, ANSWERED),
    ({"assignee": None}, None),
    ({"responded": True}, None)])
def test_what_ends_an_escalation(changes, end):
    found = end_of(RUNNING, seen(**changes))
    assert (found[0] if found else None) == end


def test_any_response_ends_that_of_a_first_response():
    assert end_of(after(metric=FIRST_RESPONSE), seen(responded=True))[0] == ANSWERED
    assert end_of(after(metric=FIRST_RESPONSE), seen()) is None


@pytest.mark.parametrize("open_now", [True, False])
def test_what_was_there_at_the_start_is_no_answer(open_now):
    there = seen(recovered=NOON, reopened_at=NOON, incident=incident(
        status="triggered" if open_now else "resolved"))
    made = begin_of("INC1", "S", "run", None, "", NOON, there)
    assert (made.state, made.metric, made.trigger_on) == (STARTING, RESOLUTION, None)
    assert (made.pagerduty_id, made.dedup_key) == (("Q1", KEY) if open_now else (None, None))
    assert (made.acknowledges, made.resolves) == ((1, 1) if open_now else (0, 0))
    if open_now:
        assert end_of(made, there) is None and made.assigned == there.assigned


def test_it_goes_on_with_the_incident_that_was_opened_for_it():
    opened = after(pagerduty_id=None, dedup_key=None, acknowledges=0, resolves=0)
    found = follow(opened, seen())
    assert found == dataclasses.replace(opened, pagerduty_id="Q1", dedup_key=KEY)


def test_it_goes_on_with_the_target_of_a_merge_where_earlier_acknowledgements_are_no_answers():
    target = seen(incident=incident(id="Q2"), history=entries("acknowledge", "acknowledge") +
                  entries("acknowledge", at=LATER))
    found = follow(RUNNING, target)
    assert (found.pagerduty_id, found.state, found.acknowledges) == ("Q2", STARTING, 2)
    assert end_of(found, target)[0] == ANSWERED
    assert follow(after(state=UNANSWERED), target).state == UNANSWERED


def test_it_does_not_go_on_with_an_incident_of_the_next_key():
    reopened = seen(incident=incident(id="Q2"), dedup_key=KEY + ":1")
    assert follow(RUNNING, reopened) == RUNNING and end_of(RUNNING, reopened)[0] == RESOLVED


@pytest.mark.parametrize("changes, started", [
    ({}, True), ({"escalation_policy": {"id": "POTHER"}}, False), ({"urgency": "low"}, False)])
def test_a_policy_is_started_once_its_people_have_the_incident_and_it_climbs(changes, started):
    there = seen(incident=incident(**changes))
    before = after(assigned="0; PCASEY " + NOON)
    assert is_started(before, there.incident, there, "PCOMMAN") is started
    assert not is_started(after(assigned=there.assigned), there.incident, there, "PCOMMAN")


@pytest.mark.parametrize("change", [
    {"history": HISTORY + entries("escalate")}, {"history": HISTORY + entries("assign")},
    {"incident": incident(assignments=[{"at": LATER, "assignee": {"id": "PLEE"}}])},
    {"incident": incident(assignments=[{"at": NOON, "assignee": {"id": "PKIM"}}])},
    {"incident": incident(assignments=[])}])
def test_every_new_assignment_is_noticed(change):
    assert seen(**change).assigned != SEEN.assigned


@pytest.mark.parametrize("change", [
    {"history": HISTORY + entries("annotate", "notify", "acknowledge")},
    {"history": HISTORY[::-1]}, {"incident": incident(status="acknowledged", urgency="low")}])
def test_nothing_else_is_taken_for_one(change):
    assert seen(**change).assigned == SEEN.assigned


def test_people_in_another_order_are_the_same_people():
    people = [{"at": NOON, "assignee": {"id": name}} for name in ("PLEE", "PKIM")]
    one, two = (seen(incident=incident(assignments=rows)) for rows in (people, people[::-1]))
    assert one.assigned == two.assigned


@pytest.mark.parametrize("state, run, late, overdue", [
    (WAITING, "run", OVERDUE, True), (STARTING, "run", OVERDUE, True),
    (WAITING, "run", OVERDUE - timedelta(seconds=1), False),
    (WAITING, RECONCILE, timedelta(0), True), (WAITING, RECONCILE, timedelta(seconds=-1), False),
    (ANSWERED, "run", OVERDUE, False), (UNANSWERED, RECONCILE, OVERDUE, False)])
def test_what_stands_still_is_overdue(state, run, late, overdue):
    noon = datetime(2026, 5, 18, 12, tzinfo=timezone.utc)
    assert after(state=state, run=run).overdue(noon + late) is overdue
    assert after(state=state, run=run, look_at="?").overdue(noon) is (state in (WAITING, STARTING))


@pytest.mark.parametrize("people, level", [
    (["PLEE"], 1), (["PKIM"], 2), (["PLEE", "PKIM"], 2), (["PBOTH"], 3), (["PNOBODY"], 0), ([], 0)])
def test_the_level_of_an_incident_is_the_highest_of_its_people(people, level):
    on_call = [(1, "PLEE"), (2, "PKIM"), (1, "PBOTH"), (3, "PBOTH")]
    rows = [{"at": NOON, "assignee": {"id": name}} for name in people]
    assert on_call_level(on_call, incident(assignments=rows)) == level
