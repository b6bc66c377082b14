"""Chat commands from the words of a person to the answer that is read."""

from __future__ import annotations

import pytest
from scene import Scene

from dev.site import API, PLATFORM


def say(scene: Scene, command: str, status: str = "succeeded") -> str:
    """Say it; the last message that came back."""
    execution, messages = scene.target.chat(command, "casey")
    assert execution.status == status, execution
    if status == "failed":
        scene.failure(execution)
    return messages[-1]


def links(scene: Scene, number: str, incident_id: str = "") -> str:
    """The lines with which an answer leads to both sides."""
    lines = ["%s/incidents/%s" % (scene.site.stackflow_url, number)]
    lines += ["https://acme.pagerduty.com/incidents/" + incident_id] if incident_id else []
    return "".join(line + "\n" for line in lines)


def test_an_incident_is_triggered_taken_noted_and_resolved_in_chat(scene: Scene) -> None:
    number = scene.opened(priority="P4")
    scene.settle()
    assert say(scene, "pd trigger " + number).endswith(links(scene, number))
    scene.settle()
    assert scene.status(number) == "triggered"
    say(scene, "pd ack " + number)
    scene.settle()
    assert (scene.status(number), scene.state(number)) == ("acknowledged", "in_progress")
    incident = scene.site.paged(number)
    answer = say(scene, "pd note %s {{ x }} \"new\" disk" % number)
    assert answer == "%s: done, note written in PagerDuty on %s\n" % (
        number, incident.id) + links(scene, number, incident.id)
    assert [note.content for note in incident.notes] == ["casey: {{ x }} \"new\" disk"]
    say(scene, "pd note %s looking side=stackflow" % incident.id)
    assert scene.stackflow.notes(number)[-1]["note"] == "casey: looking"
    answer = say(scene, "pd resolve %s because the disk is new" % incident.id)
    assert answer.endswith(links(scene, number, incident.id))
    scene.settle()
    assert (scene.status(number), scene.state(number)) == ("resolved", "resolved")
    assert "Resolution Note: Resolved in StackFlow by casey: the disk is new" in [
        note.content for note in incident.notes]


def test_an_incident_climbs_its_policy_or_another_one_in_chat(scene: Scene) -> None:
    number, incident = scene.pair()
    answer = say(scene, "pd escalate " + number)
    assert answer.startswith("%s: done, Escalated by request" % number)
    assert answer.endswith(links(scene, number, incident.id))
    assert [note.content.rpartition(": ")[2] for note in incident.notes] == [
        "asked in chat by casey"]
    say(scene, "pd escalate %s to %s" % (incident.id, scene.site.database_policy))
    assert incident.policy_id == scene.site.database_policy
    scene.pagerduty.resolve(incident.id, scene.site.casey)


def test_drift_is_shown_and_repaired_in_chat(scene: Scene) -> None:
    number, incident = scene.pair()
    assert say(scene, "pd status " + number).splitlines() == [
        "StackFlow: %s new, P1, %s, nobody is assigned %s" % (
            number, PLATFORM, links(scene, number).strip()),
        "PagerDuty: %s triggered on %s %s" % (
            incident.id, API, links(scene, number, incident.id).splitlines()[1]), "In sync."]
    scene.target.stop_sensor()
    scene.pagerduty.acknowledge(incident.id, scene.site.casey)
    for command in ("pd status " + incident.id, "pd reconcile dry run"):
        answer = say(scene, command)
        assert "in_progress" in answer and scene.state(number) == "new"
    answer = say(scene, "pd reconcile")
    assert "1 repaired" in answer and "%s: " % number in answer
    assert scene.state(number) == "in_progress"
    assert say(scene, "pd status " + number).splitlines()[-1] == "In sync."
    scene.target.start_sensor()


def test_a_status_says_why_nothing_would_be_done_and_what_was_merged(scene: Scene) -> None:
    low = scene.opened("P3")
    assert say(scene, "pd status " + low).splitlines()[-1] == (
        "A reconcile would do nothing: under the priority threshold")
    (_, source), (_, target) = scene.pair(), scene.pair()
    scene.pagerduty.merge(target.id, [source.id], scene.site.casey)
    scene.settle()
    assert "resolved, merged into %s, on" % target.id in say(scene, "pd status " + source.id)


def test_what_is_open_who_is_on_call_and_where_a_group_leads_can_be_asked(scene: Scene) -> None:
    number, incident = scene.pair()
    answer = say(scene, "pd list")
    for line in ("Checkout is down (P1, %s)" % PLATFORM,
                 "- StackFlow new, nobody is assigned: " + links(scene, number).strip(),
                 "- PagerDuty triggered: https://acme.pagerduty.com/incidents/" + incident.id):
        assert line in answer.splitlines()
    answer = say(scene, "pd oncall platform engineering")
    assert answer.splitlines()[0] == "%s (api), %s: Platform on-call" % (PLATFORM, API)
    assert "- level 1: Casey Oncall https://acme.pagerduty.com/users/" in answer
    assert "Dana Database" in say(scene, "pd oncall") and "Dana Database" not in answer
    answer = say(scene, "pd route Platform Engineering category api priority P3").splitlines()
    assert answer[0] == "%s leads to %s, Platform on-call %s" % (
        PLATFORM, API, "https://acme.pagerduty.com/service-directory/" + scene.site.api)
    assert "P3 is under the threshold P2" in answer[1]


def test_the_connection_is_checked_and_a_service_tested_in_chat(scene: Scene) -> None:
    execution, messages = scene.target.chat("pd check")
    assert execution.status == "succeeded" and len(messages) == 2
    assert "checks are ok, 0 failed" in messages[1]
    assert "vendor_connector was skipped: StackFlow's own PagerDuty connector" in messages[1]
    _, messages = scene.target.chat("pd test production api")
    assert messages[0].startswith("Sending a test event to production api")
    incident, = [one for one in scene.pagerduty.incidents() if one.id in messages[1]]
    assert messages[1].endswith("https://acme.pagerduty.com/incidents/%s\n" % incident.id)
    scene.pagerduty.resolve(incident.id, scene.site.casey)


@pytest.mark.parametrize("command, message, hint", [
    ("pd trigger INC9999999", "StackFlow does not know INC9999999", "check the number"),
    ("pd ack everything", "'everything' is neither", "give a number such as INC0001234"),
    ("pd note Q0UNKNOWN0000 hello", "Q0UNKNOWN0000", "check the id"),
    ("pd oncall Facilities", "has no entry in service_mapping", "add the group"),
    ("pd route Facilities", "has no entry in service_mapping", "add the group"),
    ("pd test Billing", "service 'Billing' is not in service_mapping", "give one of P1234AB")])
def test_a_failure_says_what_to_do(scene: Scene, command: str, message: str, hint: str) -> None:
    first, second = say(scene, command, "failed").splitlines()
    assert message in first and second.startswith("What to do: ") and hint in second


@pytest.mark.parametrize("command", [
    "pd", "pd ack", "pd note INC0001234 seen on host=db1", "pd note INC0001234 hello author=boss"])
def test_words_that_fit_nothing_start_nothing(scene: Scene, command: str) -> None:
    with pytest.raises(ValueError):
        scene.target.chat(command)
    assert scene.executions() == []
