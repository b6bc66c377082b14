"""Keys, marks, URLs and times: how both sides' incidents are recognised again."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from pagerduty_stackflow.errors import BadInputError
from pagerduty_stackflow.incidents import (
    DEDUP_KEY_LIMIT, PagerDutyIncident, StackFlowIncident, dedup_key, format_time,
    is_stackflow_number, last_resort_key, mark, merge_target, number_of_key, number_of_url,
    pagerduty_id_of_mark, parse_time, reaches, record_of_key, record_url)

HOST = "acme.stackflow-tech.com"
NUMBER = "INC0001234"
PD_ID = "Q0ABCDEFGHIJKL"
LONG = "h" * 300
AT = datetime(2026, 5, 18, 14, 23, 11, tzinfo=timezone.utc)

numbers = st.integers(0, 10 ** 20 - 1).map("INC{:07d}".format)
hosts = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,300}", fullmatch=True) | st.just("::1")


@given(hosts, numbers, st.integers(0, 10 ** 6))
def test_a_dedup_key_leads_back_to_its_number(host, number, reopened):
    key = dedup_key(host, number, reopened)
    assert len(key) <= DEDUP_KEY_LIMIT
    assert number_of_key(key, host) == (number, reopened)
    assert number_of_key(key, "other." + host) is None


def test_the_form_of_a_dedup_key():
    assert dedup_key(HOST, NUMBER) == "stackflow:acme.stackflow-tech.com:INC0001234"
    assert dedup_key(HOST, NUMBER, 2) == "stackflow:acme.stackflow-tech.com:INC0001234:2"


def test_two_hosts_that_are_too_long_have_two_keys():
    keys = {dedup_key(host, NUMBER) for host in (LONG + "a", LONG + "b")}
    assert len(keys) == 2 and number_of_key(keys.pop(), LONG) is None


@given(hosts, numbers, st.integers(0, 10 ** 6))
def test_the_key_of_a_last_resort_leads_to_its_number_and_is_no_incidents_key(host, number, count):
    own = dedup_key(host, number, count)
    key = last_resort_key(host, number, own)
    assert len(key) <= DEDUP_KEY_LIMIT and key not in (own, dedup_key(host, number, count + 1))
    assert record_of_key(key, host) == record_of_key(own, host) == number
    assert number_of_key(key, host) is None and record_of_key(key, "other." + host) is None


def test_the_form_of_the_key_of_a_last_resort():
    for reopened, end in ((0, ""), (2, ":2")):
        assert last_resort_key(HOST, NUMBER, dedup_key(HOST, NUMBER, reopened)) == (
            "stackflow:acme.stackflow-tech.com:INC0001234%s:unanswered" % end)
    for born_in_pagerduty in (None, "somebody else's"):
        assert last_resort_key(HOST, NUMBER, born_in_pagerduty) == (
            "stackflow:acme.stackflow-tech.com:INC0001234:unanswered")


@pytest.mark.parametrize("key", [
    None, 7, "", "x", [], "stackflow", "stackflow:" + HOST, "stackflow:%s:" % HOST,
    "stackflow:%s:INC" % HOST, "stackflow:%s:INCx" % HOST, "stackflow:%s:INC1\n" % HOST,
    "stackflow:%s:INC1:" % HOST, "stackflow:%s:INC1:0" % HOST, "stackflow:%s:INC1:01" % HOST,
    "stackflow:%s:INC1:-1" % HOST, "stackflow:%s:INC1:1:unanswered" % HOST,
    "stackflow:%s:INC1:unanswered" % HOST, "stackflow:%s:INC1:\u00b2" % HOST,
    "stackflow:%s:INC1:\u0662" % HOST, "stackflow:%s:INC1:%s" % (HOST, "9" * 5000),
    "Stackflow:%s:INC1" % HOST, "stackflow:%s:INC1" % HOST.upper(),
    "stackflow:evil:%s:INC1" % HOST,
    "stackflow:%s:INC%s" % (HOST, "1" * 21)])
def test_anybody_elses_key_is_none_of_ours(key):
    assert number_of_key(key, HOST) is None


@pytest.mark.parametrize("given, stackflow", [
    ("INC0001234", True), ("INC1", True), ("Q0ABCDEFGHIJKL", False), ("PABC123", False)])
def test_ids_are_told_apart(given, stackflow):
    assert is_stackflow_number(given) is stackflow


@pytest.mark.parametrize("given", [
    "", None, 7, [], "inc1", "INC", "INC1 ", "INC1\n", "INC1/../users", "INC\u0661",
    "INC" + "1" * 21, "INCABC", "P", "P" * 41, "pabc123", "PABC123\n", "PABC/123", "PABC123?x",
    "INC1;Q0ABCDEF"])
def test_a_malformed_id_is_refused_with_a_hint(given):
    with pytest.raises(BadInputError) as caught:
        is_stackflow_number(given)
    assert "INC0001234" in caught.value.hint


@pytest.mark.parametrize("given", ["48213", "#48213", "7", "1" * 60])
def test_the_number_of_a_pagerduty_incident_is_no_id(given):
    with pytest.raises(BadInputError) as caught:
        is_stackflow_number(given)
    assert "looks like the number of a PagerDuty incident" in caught.value.message
    assert given in caught.value.message
    assert "at the end of the incident's address" in caught.value.hint
    assert pagerduty_id_of_mark(mark(given)) is None


def test_a_records_url_leads_back_to_its_number():
    for base in ("https://%s" % HOST, "https://%s:8443" % HOST.upper()):
        assert number_of_url(record_url(base, NUMBER), HOST) == NUMBER
    assert number_of_url("https://%s/itsm/incidents/INC1/?tab=notes#x" % HOST, HOST) == "INC1"
    assert number_of_url(record_url("http://[::1]:8080", NUMBER), "::1") == NUMBER


@pytest.mark.parametrize("url", [
    None, 7, "", "x", NUMBER, "https://evil.example/incidents/INC1",
    "https://[broken/incidents/INC1", "https://%s@evil.example/incidents/INC1" % HOST,
    "https://%s.evil.example/incidents/INC1" % HOST,
    "https://%s/incidents/" % HOST, "https://%s/incidents/INC1/notes" % HOST,
    "https://%s/?x=/incidents/INC1" % HOST, "https://%s/incidents/inc1" % HOST])
def test_any_other_url_has_no_number(url):
    assert number_of_url(url, HOST) is None


@pytest.mark.parametrize("description", [
    "{mark}", "text\n\nPagerDuty incident: https://x\n{mark}", "text\r\n{mark}\r\nmore",
    "{mark} \n", "{mark}\n\nadded by a person", "see PagerDuty-Incident-Id: Q0FORGED0 in\n{mark}",
    "PagerDuty-Incident-Id: Q0FORGED000000\nmiddle\n{mark}\n"])
def test_a_mark_is_a_line_of_its_own_and_the_last_one_counts(description):
    assert pagerduty_id_of_mark(description.format(mark=mark(PD_ID))) == PD_ID


@pytest.mark.parametrize("description", [
    None, 7, "", PD_ID, "x {mark}", "> {mark}", "{mark}x", "{mark} and more", "{mark}.",
    "pagerduty-incident-id: " + PD_ID, "PagerDuty-Incident-Id: q0abcdefghijkl",
    "PagerDuty-Incident-Id: " + "Q" * 41])
def test_what_only_looks_like_a_mark_is_none(description):
    text = description.format(mark=mark(PD_ID)) if isinstance(description, str) else description
    assert pagerduty_id_of_mark(text) is None


@given(st.text(), st.text())
def test_no_title_and_no_text_before_a_mark_can_forge_it(title, text):
    for forged in ("", mark("Q0FORGED000000")):
        description = "%s\n%s\n%s\n\nPagerDuty incident: x\n%s" % (title, text, forged, mark(PD_ID))
        assert pagerduty_id_of_mark(description) == PD_ID


@pytest.mark.parametrize("text, expected", [
    ("2026-05-18T14:23:11Z", AT), ("2026-05-18t14:23:11z", AT), ("2026-05-18T14:23:11+00:00", AT),
    ("2026-05-18T14:23:11+0000", AT), ("2026-05-18T16:23:11+02:00", AT),
    ("2026-05-18T10:23:11-0400", AT), ("2026-05-18 14:23:11", AT), ("2026-05-18T14:23:11", AT),
    ("2026-05-18 14:23:11 +0000", AT), (" 2026-05-18T14:23:11Z\n", AT),
    ("2026-05-18T14:23:11.5Z", AT + timedelta(milliseconds=500)),
    ("2026-05-18T14:23:11.123Z", AT + timedelta(milliseconds=123)),
    ("2026-05-18T14:23:11,123456Z", AT + timedelta(microseconds=123456)),
    ("2026-05-18T14:23:11.123456789+02:00",
     AT + timedelta(microseconds=123456) - timedelta(hours=2))])
def test_times_in_every_documented_form(text, expected):
    assert parse_time(text) == expected and parse_time(text).tzinfo is timezone.utc


@pytest.mark.parametrize("text", [
    None, 7, 1767607200, "", "yesterday", "2026-05-18", "2026-05-18T14:23Z", "2026-13-18T14:23:11Z",
    "2026-05-18T25:00:00Z", "2026-05-18T14:23:60Z", "2026-05-18T14:23:11+99:00",
    "26-05-18T14:23:11Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00", "2026-05-18T14:23:11Zulu", []])
def test_what_is_no_time_is_none(text):
    assert parse_time(text) is None


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(
    lambda one: one.replace(tzinfo=timezone.utc)), st.integers(-14, 14))
def test_a_time_is_written_as_it_is_read(stamp, hours):
    zone = timezone(timedelta(hours=hours))
    assert parse_time(format_time(stamp.astimezone(zone))) == stamp
    assert parse_time(stamp.astimezone(zone).isoformat()) == stamp


@pytest.mark.parametrize("priority, threshold, expected", [
    ("P1", "P2", True), ("P2", "P2", True), ("P3", "P2", False), ("P4", "P4", True),
    (None, "P4", False), ("", "P4", False), ("P0", "P4", False),
    ("p1", "P4", True), (" P1 ", "P4", True)])
def test_reaching_the_threshold(priority, threshold, expected):
    assert reaches(priority, threshold) is expected


def test_a_record_that_says_little():
    record = StackFlowIncident.from_record({"number": "INC1", "state": None, "priority": 1})
    assert (record.number, record.state) == ("INC1", "")
    assert record.priority is None and record.updated_at is None
    assert not record.is_complete and StackFlowIncident.from_record({"id": "INC2"}).number == "INC2"


def test_an_incident_that_says_little():
    for data in ({}, {"service": None, "priority": "P1", "escalation_policy": []}):
        found = PagerDutyIncident.from_rest(data)
        assert (found.id, found.status, found.service_id, found.merged_into) == ("", "", None, None)


@pytest.mark.parametrize("reason, target", [
    ({"type": "merge_resolve_reason", "incident": {"id": PD_ID}}, PD_ID), (None, None), ("x", None),
    ({"type": "other", "incident": {"id": PD_ID}}, None), ({"type": "merge_resolve_reason"}, None),
    ({"type": "merge_resolve_reason", "incident": {"id": 7}}, None)])
def test_a_merge_names_the_incident_that_carries_on(reason, target):
    assert merge_target(reason) == target
    assert PagerDutyIncident.from_rest({"resolve_reason": reason}).merged_into == target


@pytest.mark.parametrize("odd", [7, True, [], {}, ["x"], {"id": ["x"]}, 1.5])
def test_what_pagerduty_shows_in_another_shape_counts_as_absent(odd):
    names = ("id", "status", "title", "summary", "urgency", "html_url", "created_at", "assignments",
             "acknowledgements", "priority", "service", "escalation_policy", "resolve_reason")
    inner = {"id": odd, "summary": odd, "name": odd}
    for data in (dict.fromkeys(names, odd), {"service": inner, "priority": inner,
                                             "escalation_policy": inner}):
        found = PagerDutyIncident.from_rest(data)
        assert found == PagerDutyIncident.from_rest({})
