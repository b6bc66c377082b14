"""Events, incidents, paging and moves on the PagerDuty simulator go as its documentation says."""

from __future__ import annotations

import pytest

from dev.simulators.base import Request, run
from pagerduty_site import RECEIVER, Site, code, reference


@pytest.fixture
def site():
    return Site()


@pytest.mark.parametrize("changes, error", [
    ({"routing_key": "0123456789abcdef0123"}, "Length of 'routing_key' is incorrect"),
    ({"routing_key": "0123456789abcdef-0123456789abcde"}, "non-alphanumeric"),
    ({"payload": {"summary": "s", "source": "s", "severity": "High"}}, "'payload.severity'"),
    ({"payload": {"summary": "s" * 1025, "source": "s", "severity": "info"}}, "too long"),
    ({"payload": None}, "'payload'"), ({"event_action": "close"}, "'event_action'"),
    ({"event_action": "resolve", "dedup_key": ""}, "'dedup_key'"),
    ({"dedup_key": "k" * 256}, "'dedup_key' is too long")])
def test_an_invalid_event_is_refused_with_its_reason(site, changes, error):
    response = site.event("trigger", **changes)
    assert response.status == 400 and error in " ".join(response.json()["errors"])
    assert site.pd.incidents() == [] and site.pd.writes == []


def test_an_event_that_is_not_json_is_refused(site):
    response = site.pd.handle(Request.build("POST", "/v2/enqueue", {}, b"{"))
    assert (response.status, response.json()["errors"]) == (400, ["JSON parse error"])


def test_an_event_is_accepted_first_and_processed_later(site):
    body = {"routing_key": site.key, "event_action": "trigger",
            "payload": {"summary": "s", "source": "s", "severity": "info"}}
    response = site.pd.handle(Request.build("POST", "/v2/enqueue", {}, body))
    assert response.status == 202 and site.pd.incidents() == []
    run([site.pd], 1)
    assert [one.status for one in site.pd.incidents(response.json()["dedup_key"])] == ["triggered"]


def test_a_second_trigger_joins_the_open_alert_without_paging(site):
    site.pd.subscribe(RECEIVER)
    incident = site.opened()
    changed = {"summary": "Disk fuller", "source": "db1", "severity": "info"}
    site.event("trigger", payload=changed)
    (alert,) = site.pd.alerts(dedup_key="k1")
    assert len(site.pd.incidents()) == 1 and site.pages(site.ann) == ["triggered"]
    assert (alert.summary, alert.severity) == ("Disk fuller", "critical")
    assert [one.type for one in incident.log].count("trigger_log_entry") == 2
    assert site.names() == ["incident.triggered"]


def test_dedup_is_per_routing_key(site):
    site.opened()
    site.event("trigger", key=site.second_key)
    site.event("resolve", key="0" * 32)
    assert [one.status for one in site.pd.incidents("k1")] == ["triggered", "triggered"]
    site.event("resolve", key=site.second_key)
    assert [one.status for one in site.pd.incidents("k1")] == ["triggered", "resolved"]


def test_a_trigger_after_the_resolve_opens_another_incident(site):
    first = site.opened()
    site.event("resolve")
    second = site.opened()
    assert second.id != first.id and first.status == "resolved" and second.number == 2


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_without_an_open_alert_nothing_is_created(site, action):
    assert site.event(action).status == 202
    assert site.pd.incidents() == []


@pytest.mark.parametrize("prepare", [
    lambda site: site.pd.disable_service(site.service),
    lambda site: site.pd.maintenance(site.service),
    lambda site: [site.pd.set_on_call(site.policy, level, []) for level in (1, 2)],
    lambda site: site.pd.remove_integration(site.integration)])
def test_accepted_is_no_proof_of_an_incident(site, prepare):
    prepare(site)
    assert site.event("trigger").status == 202 and site.pd.incidents() == []


def test_an_unknown_routing_key_may_be_refused():
    site = Site(unknown_key_status=400)
    assert site.event("trigger", key="0" * 32).json()["errors"] == ["Invalid routing key"]


def test_events_are_limited_per_minute_and_routing_key():
    site = Site(events_limit=2)
    burst = [site.event("resolve").status for _ in range(3)]
    assert burst == [202, 202, 429] and site.event("resolve", key=site.second_key).status == 202
    site.pd.clock.advance(61)
    assert site.event("resolve").status == 202


def test_acknowledging_by_event_leaves_the_assignees(site):
    incident = site.opened()
    site.event("acknowledge")
    assert (incident.status, incident.assignees) == ("acknowledged", [site.ann])


def test_acknowledging_by_rest_assigns_to_the_requester(site):
    incident = site.opened()
    body = site.put(incident, status="acknowledged").json()["incident"]
    assert body["assignments"][0]["assignee"]["id"] == site.bot
    assert body["acknowledgements"][0]["acknowledger"]["id"] == site.bot
    assert [one["type"] for one in body["pending_actions"]] == ["unacknowledge"]
    assert code(site.put(incident, status="acknowledged")) == (400, 1002)


def test_resolving_the_incident_resolves_its_alerts(site):
    incident = site.opened()
    assert site.put(incident, status="resolved").json()["incident"]["assignments"] == []
    assert [one.status for one in site.pd.alerts(incident.id)] == ["resolved"]
    assert code(site.put(incident, status="resolved")) == (400, 1001)


@pytest.mark.parametrize("status", ["acknowledged", "triggered"])
def test_writing_an_open_status_by_rest_reopens_a_resolved_incident(site, status):
    site.pd.subscribe(RECEIVER)
    incident = site.opened()
    site.event("resolve")
    assert site.put(incident, status=status).json()["incident"]["status"] == status
    assert incident.reopened_at and not incident.resolved_at
    assert incident.assignees == [site.bot] and site.names()[-1] == "incident.reopened"
    log = site.rest("GET", "/log_entries?is_overview=true").json()["log_entries"]
    assert log[0]["type"] == "resolve_log_entry"


def test_unanswered_high_urgency_climbs_the_policy_and_stops_at_its_end(site):
    incident = site.opened()
    run([site.pd], 300)
    assert (incident.level, site.pages(site.bob)) == (2, ["escalated"])
    run([site.pd], 7200)
    assert site.pages(site.ann) == ["triggered"] and site.pages(site.bob) == ["escalated"]


def test_a_policy_that_loops_starts_again_from_its_first_level(site):
    site.pd.account.policies[site.policy].num_loops = 1
    site.opened()
    run([site.pd], 7200)
    assert site.pages(site.ann) == ["triggered", "escalated"]


@pytest.mark.parametrize("calm", [
    lambda site, one: site.event("acknowledge"),
    lambda site, one: site.pd.set_urgency(one.id, "low", site.ann),
    lambda site, one: [site.pd.reassign(one.id, site.cy, site.ann), site.event("acknowledge"),
                       site.pd.unacknowledge(one.id, site.cy)]])
def test_acknowledged_low_or_directly_assigned_does_not_climb(site, calm):
    incident = site.opened()
    calm(site, incident)
    run([site.pd], 1200)
    assert site.pages(site.bob) == []


def test_low_urgency_climbs_once_it_is_raised(site):
    site.pd.account.services[site.service].urgency = "severity_based"
    payload = {"summary": "s", "source": "s", "severity": "warning"}
    site.event("trigger", payload=payload)
    incident = site.pd.incidents()[0]
    run([site.pd], 1200)
    assert (incident.urgency, site.pages(site.bob)) == ("low", [])
    site.put(incident, urgency="high")
    run([site.pd], 300)
    assert site.pages(site.bob) == ["escalated"]


def test_escalating_by_rest_pages_the_level_and_refuses_what_the_policy_lacks(site):
    incident = site.opened()
    site.put(incident, escalation_level=2)
    assert site.pages(site.bob) == ["escalated"]
    assert code(site.put(incident, escalation_level=3)) == (400, 1006)


def test_an_acknowledgement_times_out_and_pages_again(site):
    site.pd.subscribe(RECEIVER)
    incident = site.opened()
    site.event("acknowledge")
    run([site.pd], 1800)
    assert incident.status == "triggered" and site.pages(site.ann) == ["triggered",
                                                                       "unacknowledged"]
    assert site.received[-1][1]["event"]["agent"] is None


def test_a_snooze_acknowledges_and_triggers_again_at_its_end(site):
    incident = site.opened()
    path = "/incidents/{}/snooze".format(incident.id)
    assert code(site.rest("POST", path, {"duration": 0})) == (400, 1013)
    assert site.rest("POST", path, {"duration": 60}).status == 201
    assert incident.status == "acknowledged"
    run([site.pd], 61)
    assert incident.status == "triggered" and site.pages(site.bot) == ["unacknowledged"]


def test_a_merge_resolves_the_source_and_moves_its_alerts(site):
    site.pd.subscribe(RECEIVER)
    target, source = site.opened("k1"), site.opened("k2")
    body = {"source_incidents": [reference(source.id, "incident")]}
    path = "/incidents/{}/merge".format(target.id)
    assert site.rest("PUT", path, body).status == 200
    event = site.received[-1][1]["event"]
    assert event["event_type"] == "incident.resolved" and event["data"]["id"] == source.id
    assert event["data"]["resolve_reason"]["type"] == "merge_resolve_reason"
    assert site.pd.incidents("k2") == [target] and target.status == "triggered"
    site.event("resolve", "k1")
    assert target.status == "triggered"
    site.event("resolve", "k2")
    assert target.status == "resolved"
    assert code(site.rest("PUT", path, body)) == (400, 1001)


@pytest.mark.parametrize("switches, service, policy, status, paged", [
    ({}, "Net", "Net", "triggered", ["moved"]),
    ({"move_refused": True}, "Web", "Web", "acknowledged", []),
    ({"move_takes_service_policy": False}, "Net", "Web", "triggered", []),
    ({"move_reassigns": False}, "Net", "Net", "triggered", []),
    ({"move_keeps_acknowledgement": True}, "Net", "Net", "acknowledged", [])])
def test_what_a_move_does_beyond_the_service_is_a_switch(switches, service, policy, status, paged):
    site = Site(**switches)
    incident = site.opened()
    site.event("acknowledge")
    body = site.put(incident, service=reference(site.other_service)).json()["incident"]
    assert (body["service"]["summary"], body["escalation_policy"]["summary"]) == (service, policy)
    assert (body["status"], site.pages(site.cy)) == (status, paged)


def test_a_policy_sent_with_the_service_may_be_ignored_until_sent_alone():
    site = Site(move_needs_second_put=True, move_takes_service_policy=False)
    incident = site.opened()
    policy = reference(site.other_policy, "escalation_policy")
    site.put(incident, service=reference(site.other_service), escalation_policy=policy)
    assert (incident.service_id, incident.policy_id) == (site.other_service, site.policy)
    site.put(incident, escalation_policy=policy)
    assert incident.policy_id == site.other_policy and site.pages(site.cy) == ["delegated"]


@pytest.mark.parametrize("follows, status", [(True, "resolved"), (False, "triggered")])
def test_whether_events_reach_a_moved_incident_is_a_switch(follows, status):
    site = Site(moved_alert_follows_key=follows)
    incident = site.opened()
    site.pd.move(incident.id, site.other_service, site.ann)
    site.event("resolve")
    assert incident.status == status


@pytest.mark.parametrize("allowed", [False, True])
def test_whether_a_level_may_be_asked_for_at_low_urgency_is_a_switch(allowed):
    site = Site(low_urgency_escalates=allowed)
    incident = site.opened()
    site.put(incident, urgency="low")
    answer = site.put(incident, escalation_level=2)
    assert (answer.status == 200) is allowed
    assert site.pages(site.bob) == (["escalated"] if allowed else [])
    site.put(incident, escalation_level=2, urgency="high")
    assert "escalated" in site.pages(site.bob) and incident.level == 2
