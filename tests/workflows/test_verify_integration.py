"""The workflow verify_integration on the local platform: green where all is well, red with the step
that failed, and nothing left open on either side.
"""

from __future__ import annotations

import pytest

from dev.site import LocalSite, wait_for

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
    post = running.pagerduty.outbox.post
    yield running
    running.settle(running.idle)
    running.pagerduty.outbox.post = post
    for name, value in running.keys.items():
        running.platform.datastore.set(name, value, secret=True)


def verify(site, looks):
    """Execution, its output and the names of its tasks in order, once all is quiet."""
    before = len(site.platform.executions())
    execution = site.platform.run_action("pagerduty_stackflow.verify_integration",
                                         {"service": "Production API", "looks": looks}, PATIENCE)
    site.settle(site.idle, PATIENCE)
    names = [one.task["task_id"] for one in site.platform.executions()[before:] if one.task]
    return execution, execution.result["output"], list(dict.fromkeys(names))


def nothing_open(site):
    """Neither an incident nor a record, whether it was there before or is due to the test."""
    return ([one.status for one in site.pagerduty.incidents() if one.status != "resolved"] == [] and
            {one["state"] for one in site.stackflow.incidents()} <= {"resolved", "cancelled"})


def fails_at(site, step):
    execution, output, names = verify(site, looks=4)
    assert (execution.status, output["ok"], output["failed_step"]) == ("failed", False, step)
    assert output["left_open"] is False and nothing_open(site)
    failures = [one["result"] for one in execution.result["errors"] if "result" in one]
    error = failures[-1]["result"]["error"]
    assert error["message"] and error["hint"]
    return output, names, error


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


def test_a_wrong_integration_key(site):
    site.platform.datastore.set("pagerduty_key_production_api", "0123456789abcdef" * 2, secret=True)
    _, names, error = fails_at(site, "check_connection")
    assert names == STEPS[:1] and error["kind"] == "check_failed"


def test_lost_webhooks(site):
    post = site.pagerduty.outbox.post

    def lossy(delivery):
        if b'"incident.acknowledged"' in delivery.body:
            site.pagerduty.outbox.lose()
        post(delivery)

    site.pagerduty.outbox.post = lossy
    output, names, error = fails_at(site, "wait_for_in_progress")
    assert "StackFlow did not show in_progress" in error["message"]
    assert "/healthz" in error["hint"] and "manage_webhooks" in error["hint"]
    assert names == STEPS[:5] + ["clean_up_pagerduty", "look_for_record", "clean_up_stackflow",
                                 "explain"]
    assert output["stackflow_id"] is not None
