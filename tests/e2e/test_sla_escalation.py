"""A breached SLA is escalated in PagerDuty, once, until somebody answers."""

import json

import pytest
from target import FINAL, WAIT_SECONDS

from dev.site import DATABASE, SLA, wait_for

PATIENCE = 2 * WAIT_SECONDS
"""Seconds for a whole escalation: each of its steps is a process of its own."""
HOSTILE = "{{ st2kv.system.pagerduty_api_key }} {% raw %} <% ctx().st2 %>"


@pytest.fixture
def scene(scene):
    """The scene with escalation_mapping, and little time to answer."""
    scene.configure(**scene.site.escalating(2))
    return scene


def workflows(scene):
    return [one for one in scene.executions() if one.action == "escalate_sla_breach"]


def settle(scene):
    """Wait until every escalation has ended, and all is quiet."""
    wait_for(lambda: workflows(scene) and all(one.status in FINAL for one in workflows(scene)),
             PATIENCE, lambda: "the escalation to end: %s" % workflows(scene))
    scene.settle()


def breached(scene, number, policy=SLA):
    """StackFlow reports a breach; the policy is started."""
    scene.stackflow.breach_sla(number, policy)
    return wait_for(lambda: with_commander(scene, number), PATIENCE, lambda: "the policy to start")


def with_commander(scene, number):
    incident = scene.site.paged(number)
    started = incident and incident.assignees == [scene.site.kim]
    return incident if started else None


def output(workflow):
    return workflow.result["output"]


def puts(scene, incident):
    return [sorted(set(write.document["incident"]) - {"type"}) for write in scene.pagerduty.writes
            if write.method == "PUT" and write.path.endswith(incident.id)]


def test_it_ends_when_somebody_acknowledges(scene):
    number, _ = scene.pair()
    incident = breached(scene, number)
    scene.pagerduty.acknowledge(incident.id, scene.site.kim)
    settle(scene)
    workflow, = workflows(scene)
    assert (workflow.status, workflow.rule) == ("succeeded", "sla_escalation")
    assert output(workflow) == {"pagerduty_incident_id": incident.id, "unanswered": False}
    assert puts(scene, incident) == [["escalation_policy"]]
    assert scene.state(number) == "in_progress" and scene.site.last_resort(number) is None


def test_nobody_answers_and_the_last_resort_is_resolved_with_the_pair(scene):
    number, _ = scene.pair()
    incident = breached(scene, number)
    settle(scene)
    workflow, = workflows(scene)
    assert output(workflow) == {"pagerduty_incident_id": incident.id, "unanswered": True}
    assert puts(scene, incident) == [["escalation_policy"]]
    last = scene.site.last_resort(number)
    assert last.status == "triggered" and incident.assignees == [scene.site.kim]
    notes = [note["note"] for note in scene.stackflow.notes(number)]
    assert len(notes) == 2 and "nobody answered" in notes[1]
    scene.pagerduty.resolve(incident.id, scene.site.kim)
    scene.settle()
    assert (last.status, scene.state(number)) == ("resolved", "resolved")
    assert scene.site.records_of(last.id) == []


def test_reported_five_times_it_is_one_escalation(scene):
    number, _ = scene.pair()
    scene.stackflow.outbox.double()
    incident = breached(scene, number)
    for _ in range(3):
        scene.stackflow.breach_sla(number, SLA)
    settle(scene)
    scene.stackflow.breach_sla(number, SLA)
    settle(scene)
    assert len(scene.triggers("sla.breach")) == 6
    assert [output(one)["unanswered"] for one in workflows(scene)].count(True) == 1
    assert puts(scene, incident) == [["escalation_policy"]]
    assert len(scene.stackflow.notes(number)) == 2


def test_under_the_threshold_one_is_opened(scene):
    number = scene.opened("P4", group=DATABASE, category=None)
    scene.settle()
    incident = breached(scene, number)
    alert, = scene.pagerduty.alerts(incident.id)
    assert alert.severity == "critical"
    scene.stackflow.set_state(number, "resolved")
    settle(scene)
    assert incident.status == "resolved"


def test_a_policy_that_nobody_mapped_starts_nothing_and_is_logged(scene):
    number, _ = scene.pair()
    scene.stackflow.breach_sla(number, "Some-Other-SLA")
    scene.settle()
    event, = scene.payloads("sla.breach")
    assert event["sync"]["apply"] is False and "'Some-Other-SLA'" in event["sync"]["reason"]
    assert workflows(scene) == [] and "'Some-Other-SLA'" in scene.target.log()


def test_a_title_of_templates_is_data_on_its_whole_way(scene):
    number = scene.stackflow.create_incident(HOSTILE, "P1", group=DATABASE)
    wait_for(lambda: scene.site.paged(number), PATIENCE, lambda: "the page")
    incident = breached(scene, number)
    settle(scene)
    assert incident.title == "%s: %s" % (number, HOSTILE)
    assert scene.site.last_resort(number).title == "Nobody answered: " + incident.title
    assert "st2kv" not in json.dumps([one.result for one in workflows(scene)])
