"""The workflow verify_integration: green where all is well, red with the step that failed, and
nothing left open on either side.
"""

from __future__ import annotations

import dataclasses

import pytest

from dev.site import LocalSite, wait_for
from dev.simulators.stackflow.switches import DEFAULT_TRANSITIONS

STEPS = ["check_connection", "send_test_event", "wait_for_record", "acknowledge",
         "wait_for_in_progress", "resolve", "wait_for_resolved"]
PATIENCE = 90


@pytest.fixture(scope="module")
def running():
    with LocalSite(time_scale=0.1) as site:
        yield site


@pytest.fixture
def site(running):
    """The site of this module, put right again afterwards."""
    pagerduty, stackflow = running.pagerduty, running.stackflow
    switches, post = dataclasses.replace(stackflow.switches), pagerduty.outbox.post
    config, keys = dict(running.platform_config), dict(running.keys)
    yield running
    running.settle(running.idle)
    vars(stackflow.switches).update(vars(switches))
    pagerduty.outbox.post = post
    for simulator in (pagerduty, stackflow):
        simulator.faults.clear()
    running.platform_config.clear()
    running.platform_config.update(config)
    for name, value in keys.items():
        running.platform.datastore.set(name, value, secret=True)
    if keys["pagerduty_api_key"] not in pagerduty.account.api_keys:
        pagerduty.add_api_key(keys["pagerduty_api_key"])


def verify(site, looks=4, service="Production API"):
    """Execution, its output and the names of its tasks in order, once all is quiet."""
    before = len(site.platform.executions())
    execution = site.platform.run_action("pagerduty_stackflow.verify_integration",
                                         {"service": service, "looks": looks}, PATIENCE)
    site.settle(site.idle, PATIENCE)
    names = [one.task["task_id"] for one in site.platform.executions()[before:] if one.task]
    return execution, execution.result["output"], list(dict.fromkeys(names))


def nothing_open(site):
    """Neither an incident nor a record, whether it was there before or is due to the test."""
    return ([one.status for one in site.pagerduty.incidents() if one.status != "resolved"] == [] and
            {one["state"] for one in site.stackflow.incidents()} <= {"resolved", "cancelled"})


def fails_at(site, step, **options):
    execution, output, names = verify(site, **options)
    assert (execution.status, output["ok"], output["failed_step"]) == ("failed", False, step)
    assert output["left_open"] is False and nothing_open(site)
    return output, names


def lose(site, event_type):
    """PagerDuty's webhooks of this type get lost."""
    post = site.pagerduty.outbox.post

    def lossy(delivery):
        if b'"%s"' % event_type.encode() in delivery.body:
            site.pagerduty.outbox.lose()
        post(delivery)

    site.pagerduty.outbox.post = lossy


def test_all_is_well(site):
    execution, output, names = verify(site, looks=15)
    assert execution.status == "succeeded", execution.result
    incident = site.pagerduty.incident(output["pagerduty_incident_id"])
    (record,) = site.records_of(incident.id)
    assert output == {"ok": True, "failed_step": None, "left_open": False,
                      "pagerduty_incident_id": incident.id, "stackflow_id": record["number"]}
    assert names == STEPS
    assert (incident.status, record["state"]) == ("resolved", "resolved")
    assert {one.status for one in site.platform.executions()} == {"succeeded"}


def test_it_goes_on_after_the_engine_was_killed_between_any_two_tasks(site):
    execution = site.platform.start_action("pagerduty_stackflow.verify_integration",
                                           {"service": site.api})
    while execution.status not in ("succeeded", "failed"):
        site.platform.engine.stop()
        wait_for(lambda: not [one for one in site.platform.executions()
                              if one.task and one.status not in ("succeeded", "failed")],
                 PATIENCE, lambda: "the task to end")
        site.platform.engine.start()
    assert execution.status == "succeeded", execution.result
    assert nothing_open(site)


def test_a_service_that_is_not_mapped(site):
    output, names = fails_at(site, "send_test_event", service="Office Network")
    assert names == STEPS[:2] and output["pagerduty_incident_id"] is None


def test_a_wrong_integration_key(site):
    site.platform.datastore.set("pagerduty_key_production_api", "0123456789abcdef" * 2, secret=True)
    _, names = fails_at(site, "check_connection")
    assert names == STEPS[:1]


def test_no_webhook_subscription(site):
    (one,) = site.pagerduty.account.subscriptions.values()
    del site.pagerduty.account.subscriptions[one.id]
    try:
        fails_at(site, "check_connection")
    finally:
        site.pagerduty.account.subscriptions[one.id] = one


def test_a_revoked_rest_key(site):
    site.pagerduty.revoke_api_key(site.keys["pagerduty_api_key"])
    fails_at(site, "check_connection")


def test_a_service_whose_events_lead_nowhere(site):
    site.pagerduty.faults.add("/v2/enqueue", "status", status=400, times=99)
    fails_at(site, "send_test_event")


@pytest.mark.parametrize("event_type, step", [
    ("incident.triggered", "wait_for_record"),
    ("incident.acknowledged", "wait_for_in_progress"),
    ("incident.resolved", "wait_for_resolved"),
])
def test_a_lost_webhook(site, event_type, step):
    lose(site, event_type)
    output, names = fails_at(site, step)
    assert names[:STEPS.index(step) + 1] == STEPS[:STEPS.index(step) + 1]
    assert (output["stackflow_id"] is None) == (event_type == "incident.triggered")


def test_bidirectional_sync_switched_off(site):
    site.platform_config["bidirectional_sync"] = False
    output, _ = fails_at(site, "wait_for_record")
    assert output["stackflow_id"] is None


def test_an_acknowledgement_that_pagerduty_refuses(site):
    site.pagerduty.faults.add("PUT /incidents/", "status", status=400)
    fails_at(site, "acknowledge")


def test_a_stackflow_that_refuses_in_progress(site):
    site.stackflow.switches.transitions = dict(DEFAULT_TRANSITIONS, new=("resolved", "cancelled"))
    fails_at(site, "wait_for_in_progress")


def test_a_stackflow_that_refuses_resolved_is_told_of_what_stays_open(site):
    site.stackflow.switches.resolve_requires = ("close_code",)
    execution, output, names = verify(site)
    assert (execution.status, output["failed_step"]) == ("failed", "wait_for_resolved")
    assert output["left_open"] is True
    assert site.pagerduty.incident(output["pagerduty_incident_id"]).status == "resolved"
    site.stackflow.cancel(output["stackflow_id"])


def test_a_key_that_is_revoked_on_the_way_is_told_by_what_stays_open(site):
    site.stackflow.switches.transitions = dict(DEFAULT_TRANSITIONS, new=("resolved", "cancelled"))
    execution = site.platform.start_action("pagerduty_stackflow.verify_integration",
                                           {"service": site.api, "looks": 5})
    wait_for(lambda: any(one.task and one.task["task_id"] == "wait_for_in_progress"
                         for one in site.platform.executions() if one.parent is execution),
             PATIENCE, lambda: "the acknowledgement")
    site.pagerduty.revoke_api_key(site.keys["pagerduty_api_key"])
    wait_for(lambda: execution.status == "failed", PATIENCE, lambda: "the end")
    output = execution.result["output"]
    assert (output["failed_step"], output["left_open"]) == ("wait_for_in_progress", True)
    site.pagerduty.resolve(output["pagerduty_incident_id"], by=site.casey)
    site.stackflow.set_state(output["stackflow_id"], "resolved")
