"""What happens in StackFlow is carried to PagerDuty, through webhooks, rules and actions."""

import pytest

from dev.site import CASEY, DATABASE, NOBODY, OUTSIDER, PLATFORM, ROBIN

PRIORITIES = ("P1", "P2", "P3", "P4")


@pytest.mark.parametrize("threshold", PRIORITIES)
def test_only_incidents_at_or_above_the_threshold_are_paged(scene, threshold):
    scene.configure(priority_threshold=threshold)
    numbers = {priority: scene.opened(priority) for priority in PRIORITIES}
    scene.settle()
    loud = PRIORITIES[:PRIORITIES.index(threshold) + 1]
    assert {priority: scene.status(number) for priority, number in numbers.items()} == {
        priority: "triggered" if priority in loud else "none" for priority in PRIORITIES}
    for payload in scene.payloads("incident.created"):
        assert payload["sync"]["apply"] == (payload["incident"]["priority"] in loud)
    assert len(scene.executions()) == len(loud)


def test_a_created_incident_triggers_on_the_service_of_its_group_and_pages_who_is_on_call(scene):
    before = len(scene.pagerduty.notifications[scene.site.casey])
    with scene.change() as change:
        number = scene.opened("P2")
    incident = scene.site.paged(number)
    assert change.to_pagerduty == ["trigger"]
    assert change.to_stackflow == []
    assert incident.service_id == scene.site.api
    assert incident.title == number + ": Checkout is down"
    assert [page.incident_id for page in
            scene.pagerduty.notifications[scene.site.casey][before:]] == [incident.id]


@pytest.mark.parametrize("priority, severity", [("P1", "critical"), ("P2", "error")])
def test_the_priority_gives_the_severity(scene, priority, severity):
    number, _ = scene.pair(priority=priority)
    alert, = scene.pagerduty.alerts(dedup_key=scene.site.dedup_key(number))
    assert alert.severity == severity


@pytest.mark.parametrize("threshold, below", [("P1", "P2"), ("P2", "P3"), ("P3", "P4")])
def test_a_priority_raised_to_the_threshold_later_triggers(scene, threshold, below):
    scene.configure(priority_threshold=threshold)
    number = scene.opened(below)
    scene.settle()
    assert scene.status(number) == "none"
    with scene.change() as change:
        scene.stackflow.set_priority(number, threshold)
    assert scene.status(number) == "triggered"
    assert change.to_pagerduty == ["trigger"]
    assert [one.rule for one in change.executions] == ["stackflow_priority_raised"]


def test_a_priority_raised_but_still_under_the_threshold_stays_silent(scene):
    number = scene.opened("P4")
    with scene.change() as change:
        scene.stackflow.set_priority(number, "P3")
    assert (scene.status(number), change.to_pagerduty, change.executions) == ("none", [], [])


def test_a_pair_is_kept_in_step_when_its_priority_falls_under_the_threshold(scene):
    number, incident = scene.pair()
    scene.stackflow.set_priority(number, "P4")
    scene.settle()
    assert incident.status == "triggered"
    scene.stackflow.set_state(number, "resolved")
    scene.settle()
    assert incident.status == "resolved"


def test_a_person_assigned_acknowledges(scene):
    number, incident = scene.pair()
    with scene.change() as change:
        scene.stackflow.assign(number, CASEY)
    assert incident.status == "acknowledged"
    assert change.to_pagerduty == ["acknowledge"]
    assert scene.state(number) == "new"


def test_a_person_without_a_pagerduty_account_acknowledges_as_well(scene):
    number, incident = scene.pair()
    scene.stackflow.assign(number, OUTSIDER)
    scene.settle()
    assert incident.status == "acknowledged"


def test_with_auto_acknowledge_off_a_person_assigned_acknowledges_nothing(scene):
    scene.configure(auto_acknowledge=False)
    number, incident = scene.pair()
    with scene.change() as change:
        scene.stackflow.assign(number, CASEY)
    assert (incident.status, change.to_pagerduty) == ("triggered", [])
    assert change.executions == []
    with scene.change() as change:
        scene.stackflow.set_state(number, "resolved")
    assert (incident.status, change.to_pagerduty) == ("resolved", ["resolve"])


@pytest.mark.parametrize("setting, status, writes", [
    (True, "acknowledged", ["trigger", "acknowledge"]), (False, "triggered", ["trigger"])])
def test_what_is_opened_with_a_person_is_paged_and_acknowledged_by_auto_acknowledge_alone(
        scene, setting, status, writes):
    scene.configure(auto_acknowledge=setting)
    with scene.change() as change:
        number = scene.opened(person=CASEY)
    assert (scene.status(number), change.to_pagerduty) == (status, writes)


def test_another_group_moves_the_incident_and_pages_its_team_once(scene):
    number, incident = scene.pair()
    before = scene.pages(incident)
    with scene.change() as change:
        scene.stackflow.assign(number, group=DATABASE, person=ROBIN)
    assert (incident.service_id, incident.status) == (scene.site.database, "triggered")
    assert scene.pages(incident) == before + 1 and change.to_stackflow == []
    with scene.change() as change:
        scene.stackflow.set_state(number, "resolved")
    assert (incident.status, change.to_pagerduty) == ("resolved", ["resolved"])


def test_a_group_that_nobody_mapped_fails_loudly_and_the_old_team_keeps_it(scene):
    number, incident = scene.pair()
    with scene.change() as change:
        scene.stackflow.assign(number, group=NOBODY)
    assert (incident.service_id, change.to_pagerduty) == (scene.site.api, [])
    error = scene.failure(change.executions[0])
    assert error["kind"] == "routing" and NOBODY in error["message"] and error["hint"]


def test_a_group_assigned_without_a_person_acknowledges_nothing(scene):
    number = scene.opened("P1", group=PLATFORM)
    scene.settle()
    with scene.change() as change:
        scene.stackflow.assign(number, group=DATABASE)
    assert scene.site.paged(number).status == "triggered"
    assert "acknowledge" not in change.to_pagerduty


def test_in_progress_without_a_person_acknowledges_nothing(scene):
    number, incident = scene.pair()
    with scene.change() as change:
        scene.stackflow.set_state(number, "in_progress")
    assert (incident.status, change.to_pagerduty) == ("triggered", [])


@pytest.mark.parametrize("state", ["resolved", "closed", "cancelled"])
def test_resolved_closed_and_cancelled_resolve(scene, state):
    table = scene.stackflow.switches.transitions
    scene.turn(scene.stackflow.switches, transitions=dict(table, new=table["new"] + ("closed",)))
    number, incident = scene.pair()
    with scene.change() as change:
        scene.stackflow.set_state(number, state)
    assert incident.status == "resolved"
    assert change.to_pagerduty == ["resolve"]
    assert scene.state(number) == state
    assert [one.rule for one in change.executions if one.action == "resolve_incident"] == [
        "stackflow_resolved"]


def test_opened_again_after_resolved_triggers_a_new_alert_under_the_next_key(scene):
    number, first = scene.pair()
    for count in (1, 2):
        scene.stackflow.set_state(number, "resolved")
        scene.settle()
        scene.site.next_second()
        with scene.change() as change:
            scene.stackflow.reopen(number)
        assert change.to_pagerduty == ["trigger"]
        assert scene.status(number, count) == "triggered"
    assert [scene.status(number, count) for count in (0, 1, 2)] == [
        "resolved", "resolved", "triggered"]
    assert scene.state(number) == "in_progress"


def test_a_group_without_an_entry_fails_loudly_with_its_name_and_the_nearest(scene):
    number = scene.opened("P1", group="Platform Enginering")
    scene.settle()
    created, = scene.triggers("incident.created")
    execution, = scene.target.caused_by(created)
    assert execution.rule == "stackflow_created"
    error = scene.failure(execution)
    assert error["kind"] == "routing"
    assert "'Platform Enginering'" in error["message"]
    assert "nearest: 'Platform Engineering'" in error["message"]
    assert "default_pagerduty_service_id" in error["hint"]
    assert scene.status(number) == "none"


def test_the_default_service_serves_a_group_without_an_entry(scene):
    scene.configure(default_pagerduty_service_id=scene.site.database)
    number, incident = scene.pair(group=NOBODY, category=None)
    assert incident.service_id == scene.site.database
    scene.stackflow.set_state(number, "resolved")
    scene.settle()
    assert incident.status == "resolved"


def test_the_category_decides_between_two_entries_of_one_group(scene):
    site = scene.site
    scene.configure(service_mapping=[
        site.entry(site.api, "Production API", PLATFORM, "api", "pagerduty_key_production_api"),
        site.entry(site.database, "Database Service", PLATFORM, "database",
                   "pagerduty_key_database_service")])
    services = [scene.pair(group=PLATFORM, category=category)[1].service_id
                for category in ("api", "database")]
    assert services == [site.api, site.database]


def test_a_doubled_webhook_pages_once(scene):
    scene.stackflow.outbox.double()
    number, incident = scene.pair()
    assert len(scene.payloads("incident.created")) == 2
    assert scene.pages(incident) == 1
    scene.stackflow.outbox.double()
    scene.stackflow.set_state(number, "resolved")
    scene.settle()
    assert incident.status == "resolved"
    assert scene.status(number, 1) == "none"


def test_webhooks_in_the_wrong_order_end_in_the_newest_state(scene):
    scene.stackflow.outbox.hold()
    number = scene.opened()
    scene.stackflow.assign(number, CASEY)
    scene.stackflow.set_state(number, "resolved")
    scene.stackflow.outbox.reorder()
    scene.stackflow.outbox.release()
    scene.settle()
    assert scene.state(number) == "resolved"
    assert scene.status(number) in ("none", "resolved")
