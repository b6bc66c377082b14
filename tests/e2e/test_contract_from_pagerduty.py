"""What happens in PagerDuty is carried to StackFlow, through webhooks, rules and actions."""

import pytest

from dev.site import CASEY, DATABASE, PLATFORM


def test_an_incident_triggered_there_makes_one_record_in_the_mapped_group_and_category(scene):
    with scene.change() as change:
        incident = scene.pagerduty.incident(scene.pagerduty.create_incident(
            scene.site.database, "Replica lags", scene.site.dana))
    record = scene.record_of(incident)
    assert (record["assignment_group"], record["category"]) == (DATABASE, "database")
    assert record["short_description"] == "Replica lags"
    assert record["state"] == "new"
    assert change.to_stackflow == ["created"]
    assert change.to_pagerduty == []
    assert incident.status == "triggered"


@pytest.mark.parametrize("given, priority", [
    ({"priority": "P3"}, "P3"), ({"urgency": "high"}, "P2"), ({"urgency": "low"}, "P4")])
def test_a_record_born_there_takes_the_priority_or_the_urgency(scene, given, priority):
    number, incident = scene.pair_born_in_pagerduty(**given)
    assert scene.stackflow.incident(number)["priority"] == priority
    assert incident.status == "triggered"


def test_an_incident_on_a_service_without_an_entry_makes_no_record_and_starts_no_process(scene):
    incident_id = scene.pagerduty.create_incident(scene.site.unmapped, "Wi-Fi is slow",
                                                  scene.site.casey)
    scene.settle()
    assert scene.site.records_of(incident_id) == []
    assert scene.executions() == []


def test_acknowledged_there_sets_in_progress(scene):
    number, incident = scene.pair()
    with scene.change() as change:
        scene.pagerduty.acknowledge(incident.id, scene.site.casey)
    assert change.to_stackflow == ["in_progress"]
    assert change.to_pagerduty == []
    assert scene.state(number) == "in_progress"


@pytest.mark.parametrize("state", ["on_hold", "pending_customer", "pending_vendor"])
def test_acknowledged_there_leaves_a_record_that_waits_as_it_is(scene, state):
    number, incident = scene.pair()
    scene.stackflow.set_state(number, state)
    scene.settle()
    with scene.change() as change:
        scene.pagerduty.acknowledge(incident.id, scene.site.casey)
    assert (change.to_stackflow, scene.state(number)) == ([], state)


@pytest.mark.parametrize("born", ["StackFlow", "PagerDuty"])
def test_resolved_there_resolves_the_record(scene, born):
    number, incident = scene.pair() if born == "StackFlow" else scene.pair_born_in_pagerduty()
    with scene.change() as change:
        scene.pagerduty.resolve(incident.id, scene.site.casey)
    assert change.to_stackflow == ["resolved"]
    assert change.to_pagerduty == []
    assert scene.state(number) == "resolved"


def test_moved_there_hands_the_record_to_the_group_and_category_of_the_service(scene):
    number, incident = scene.pair()
    with scene.change() as change:
        scene.pagerduty.move(incident.id, scene.site.database, scene.site.casey)
    record = scene.stackflow.incident(number)
    assert (record["assignment_group"], record["category"]) == (DATABASE, "database")
    assert (change.to_pagerduty, change.to_stackflow) == ([], [])


def test_reopened_there_sets_in_progress(scene):
    number, incident = scene.pair()
    scene.pagerduty.resolve(incident.id, scene.site.casey)
    scene.settle()
    scene.site.next_second()
    with scene.change() as change:
        scene.pagerduty.reopen(incident.id, scene.site.casey)
    assert change.to_stackflow == ["in_progress"]
    assert change.to_pagerduty == []
    assert incident.status == "triggered"


def test_reopened_there_after_the_record_was_closed_makes_a_new_record_and_a_note(scene):
    number, incident = scene.pair()
    scene.pagerduty.resolve(incident.id, scene.site.casey)
    scene.settle()
    scene.stackflow.close(number)
    scene.settle()
    scene.site.next_second()
    with scene.change() as change:
        scene.pagerduty.reopen(incident.id, scene.site.casey)
    new = scene.record_of(incident)["number"]
    assert change.to_stackflow == ["created"]
    assert (scene.state(number), scene.state(new)) == ("closed", "new")
    assert new in scene.stackflow.notes(number)[-1]["note"]
    scene.pagerduty.resolve(incident.id, scene.site.casey)
    scene.settle()
    assert (scene.state(number), scene.state(new)) == ("closed", "resolved")


def test_unacknowledged_there_writes_nothing(scene):
    number, incident = scene.pair()
    scene.pagerduty.acknowledge(incident.id, scene.site.casey)
    scene.settle()
    with scene.change() as change:
        scene.pagerduty.unacknowledge(incident.id, scene.site.casey)
    assert (change.to_pagerduty, change.to_stackflow) == ([], [])
    assert (incident.status, scene.state(number)) == ("triggered", "in_progress")


def test_with_bidirectional_sync_off_nothing_is_written_to_stackflow(scene):
    scene.configure(bidirectional_sync=False)
    with scene.change() as change:
        alone = scene.pagerduty.create_incident(scene.site.api, "Node is gone", scene.site.casey)
    assert scene.site.records_of(alone) == []
    number, incident = scene.pair()
    with scene.change() as change:
        scene.pagerduty.acknowledge(incident.id, scene.site.casey)
    assert (change.to_stackflow, scene.state(number)) == ([], "new")
    with scene.change() as change:
        scene.pagerduty.resolve(incident.id, scene.site.casey)
        scene.settle()
        run = scene.target.run("set_stackflow_state", incident_id=incident.id, state="resolved")
    assert (change.to_stackflow, scene.state(number)) == ([], "new")
    assert "bidirectional_sync is off" in run.result["reason"]


def test_with_bidirectional_sync_off_the_way_to_pagerduty_stays_open(scene):
    scene.configure(bidirectional_sync=False)
    number, incident = scene.pair()
    scene.stackflow.assign(number, CASEY)
    scene.settle()
    assert incident.status == "acknowledged"
    scene.stackflow.set_state(number, "resolved")
    scene.settle()
    assert incident.status == "resolved"


def test_a_doubled_webhook_makes_one_record(scene):
    scene.pagerduty.outbox.double()
    _, incident = scene.pair_born_in_pagerduty()
    assert len(scene.payloads("incident.triggered")) == 2
    assert scene.record_of(incident)["assignment_group"] == PLATFORM


def test_an_acknowledgement_that_overtakes_the_record_is_not_lost(scene):
    incident_id = scene.pagerduty.create_incident(scene.site.api, "Node is gone", scene.site.casey)
    scene.pagerduty.acknowledge(incident_id, scene.site.casey)
    scene.settle()
    record = scene.record_of(scene.pagerduty.incident(incident_id))
    assert record["state"] == "in_progress"
