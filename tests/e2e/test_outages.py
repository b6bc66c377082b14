"""A broken config, and a listener that was away: nothing is lost, and the operator is told."""

import pytest

from dev.site import CASEY

WRONG_CONFIG = (
    "priority_threshold: is none of the known values: give the lowest priority that opens a "
    "PagerDuty incident, P1 to P4",
    "stackflow.webhook_secrets[0]: came back empty: store a value under its datastore key")


def attempts(simulator, since):
    """Statuses of all attempts at webhooks that were made later than the first so many."""
    return [status for one in simulator.deliveries[since:] for _, status in one.attempts]


def test_with_a_broken_config_nothing_is_lost_and_everything_names_the_same_problems(scene):
    scene.target.delete("stackflow_webhook_secret")
    scene.configure("config_error", priority_threshold="P9")
    problems = scene.site.healthz()["error"].splitlines()
    assert problems == sorted(WRONG_CONFIG, key=problems.index)

    incident_id = scene.pagerduty.create_incident(scene.site.api, "Node is gone", scene.site.casey)
    number = scene.opened()
    for simulator in (scene.stackflow, scene.pagerduty):
        scene.wait(lambda: simulator.deliveries[-1].attempts, "an attempt at a webhook")
        assert set(attempts(simulator, -1)) == {503}
    assert "Retry-After" in scene.site.post("/webhooks/stackflow", b"{}", {})[1]
    error = scene.failure(scene.target.run("get_incident", incident_id=number))
    assert error["kind"] == "config"
    assert error["message"].splitlines() == problems
    assert scene.payloads() == []

    scene.target.set("stackflow_webhook_secret", scene.site.keys["stackflow_webhook_secret"], True)
    scene.configure()
    scene.settle()
    assert scene.status(number) == "triggered"
    assert scene.record_of(scene.pagerduty.incident(incident_id))["state"] == "new"


def test_with_a_broken_config_an_action_of_a_user_fails_with_that_one_message(scene):
    mapping = scene.site.config()["service_mapping"]
    del mapping[0]["pagerduty_service_id"]
    scene.configure("config_error", service_mapping=mapping, bidirectional_synch=True)
    messages = {scene.failure(scene.target.run(action, **parameters))["message"]
                for action, parameters in (
                    ("trigger_incident", {"incident_id": "INC0001001"}),
                    ("set_stackflow_state", {"incident_id": "INC0001001", "state": "resolved"}),
                    ("create_stackflow_incident", {"incident_id": "Q0123456789AB"}))}
    message, = messages
    lines = message.splitlines()
    assert len(lines) == 2
    assert any(line.startswith("service_mapping[0] (Production API).pagerduty_service_id: is "
                               "missing") for line in lines)
    assert "bidirectional_synch: is not a known key: did you mean bidirectional_sync?" in lines


def test_what_comes_while_a_killed_sensor_is_away_is_delivered_again(scene):
    number, incident = scene.pair()
    since = len(scene.stackflow.deliveries)
    scene.target.kill_sensor()
    scene.wait(lambda: scene.site.healthz() is None, "the listener to be gone")
    scene.stackflow.assign(number, CASEY)
    scene.settle()
    assert attempts(scene.stackflow, since)[0] is None
    assert incident.status == "acknowledged"
    assert scene.site.healthz()["status"] == "ok"


def test_what_comes_on_both_sides_while_the_sensor_is_off_is_applied_when_it_is_on(scene):
    number, incident = scene.pair()
    first = len(scene.stackflow.deliveries), len(scene.pagerduty.deliveries)
    scene.target.stop_sensor()
    scene.stackflow.set_state(number, "resolved")
    opened = scene.pagerduty.create_incident(scene.site.database, "Replica lags", scene.site.dana)
    for simulator, since in zip((scene.stackflow, scene.pagerduty), first):
        scene.wait(lambda: attempts(simulator, since), "an attempt at a webhook")
        assert set(attempts(simulator, since)) == {None}
    scene.target.start_sensor()
    scene.settle()
    assert incident.status == "resolved"
    assert scene.record_of(scene.pagerduty.incident(opened))["state"] == "new"


def test_a_lost_resolve_is_made_good_by_the_next_event_of_the_pair(scene):
    number, incident = scene.pair()
    scene.stackflow.outbox.lose()
    scene.stackflow.set_state(number, "resolved")
    scene.settle()
    assert incident.status == "triggered"
    with scene.change() as change:
        scene.pagerduty.acknowledge(incident.id, scene.site.casey)
    assert (scene.state(number), incident.status) == ("resolved", "resolved")
    assert (change.to_pagerduty, change.to_stackflow) == (["resolve"], [])


def test_losing_the_datastore_makes_no_duplicate(scene):
    number, incident = scene.pair()
    for key in scene.target.keys("pagerduty_stackflow."):
        if not key.endswith(".start"):
            scene.target.delete(key)
    with scene.change() as change:
        scene.stackflow.assign(number, CASEY)
        scene.pagerduty.resolve(incident.id, scene.site.casey)
    assert "trigger" not in change.to_pagerduty
    assert (scene.state(number), incident.status) == ("resolved", "resolved")
    assert scene.site.records_of(incident.id) == []


@pytest.mark.parametrize("kind", ["reset", "drop_answer", "status", "not_json"])
def test_trouble_on_the_way_to_pagerduty_is_tried_again(scene, kind):
    scene.pagerduty.faults.add("POST /v2/enqueue", kind, status=503, headers={"Retry-After": "0"})
    number, incident = scene.pair()
    assert scene.pages(incident) == 1
    assert scene.status(number) == "triggered"


@pytest.mark.parametrize("kind", ["reset", "drop_answer", "status", "half_body"])
def test_trouble_while_a_record_is_made_leaves_exactly_one(scene, kind):
    scene.stackflow.faults.add("POST /prod/api/incidents", kind, status=503,
                               headers={"Retry-After": "0"})
    number, incident = scene.pair_born_in_pagerduty()
    assert scene.record_of(incident)["number"] == number
