"""verify_integration against everything that can be wrong: it is red, names the step, and leaves
nothing open.
"""

from __future__ import annotations

import pytest
from conducted import conduct
from misconfigured import (NOT_OFFERED, RECORD, SEND, UNSEEN, WRONG, Site, datastore_away,
                           foreign_role, refused_client, revoke_key, revoked_token, stackflow_down,
                           wrong_path)

from dev.simulators.stackflow.switches import DEFAULT_TRANSITIONS

CHECK = "check_connection"
STEPS = [CHECK, SEND, RECORD, "acknowledge", "wait_for_in_progress", "resolve",
         "wait_for_resolved"]
UNREADABLE = (stackflow_down, wrong_path, revoked_token, foreign_role)
"""What goes wrong half-way and hides whether a record has stayed open; then the output says so."""


def name_of(value):
    return getattr(getattr(value, "seed", value), "__name__", None)


def verify(site, service="Production API", **options):
    return conduct(site, "verify_integration", {"service": service, "looks": 4,
                                                "from_email": "sync@example.com"}, **options)


def left_open(site):
    return ([one.id for one in site.pagerduty.incidents() if one.status != "resolved"] +
            [one["number"] for one in site.stackflow.incidents()
             if one["state"] not in ("resolved", "cancelled")])


def error_of(run):
    """The last error in the result of a run, as a person reads it."""
    return [one for one in run.errors if "result" in one][-1]["result"]["result"]["error"]


def fails_at(site, step, **options):
    run = verify(site, **options)
    assert (run.status, run.output["ok"], run.output["failed_step"]) == ("failed", False, step)
    assert [one for one in run.tasks if one in STEPS] == STEPS[:STEPS.index(step) + 1]
    error = error_of(run)
    assert error["message"] and error["hint"]
    if step not in (CHECK, SEND):
        assert error["kind"] == "verification"
        assert error["message"].startswith("%s: the test incident %s " % (
            step, run.output["pagerduty_incident_id"]))
        assert ("may be open still" in error["message"]) is run.output["left_open"]
        assert ("by hand" in error["hint"]) is run.output["left_open"]
    return run.output


def fails_clean_at(site, step, **options):
    output = fails_at(site, step, **options)
    assert output["left_open"] is False and left_open(site) == []
    return output


def test_a_healthy_site_is_green():
    site = Site()
    run = verify(site)
    assert (run.status, run.tasks, left_open(site)) == ("succeeded", STEPS, [])
    assert run.errors == []


@pytest.mark.parametrize("seed", [one[0] for one in NOT_OFFERED], ids=name_of)
def test_a_list_that_is_not_offered_does_not_stop_it(seed):
    site = Site()
    seed(site)
    assert verify(site).status == "succeeded"


@pytest.mark.parametrize("seed", [one.seed for one in WRONG] + [
    refused_client, datastore_away], ids=name_of)
def test_what_a_check_finds_stops_it_before_anybody_is_paged(seed):
    site = Site()
    seed(site)
    fails_clean_at(site, CHECK)
    assert site.pagerduty.incidents() == [] and not any(site.paged().values())


def test_an_unusable_config_stops_it_there_too():
    site = Site()
    site.config["pagerduty"] = {}
    fails_clean_at(site, CHECK)


@pytest.mark.parametrize("seed, check, step", UNSEEN, ids=name_of)
def test_what_no_check_can_see_is_told_by_the_step_that_needs_it(seed, check, step):
    site = Site()
    seed(site)
    assert check in {one["name"] for one in site.diagnose()["checks"]
                     if one["status"] == "skipped"}
    fails_clean_at(site, step)


@pytest.mark.parametrize("wrong", [one for one in WRONG if one.later], ids=name_of)
def test_what_goes_wrong_after_the_checks_is_told_by_the_step_that_needs_it(wrong):
    site = Site()
    output = fails_at(site, wrong.later, before={SEND: lambda: wrong.seed(site)})
    assert output["left_open"] is (wrong.seed in UNREADABLE) and left_open(site) == []


@pytest.mark.parametrize("wrong", [one for one in WRONG if not one.later], ids=name_of)
def test_what_a_run_can_do_without_does_not_stop_it_half_way(wrong):
    site = Site()
    run = verify(site, before={SEND: lambda: wrong.seed(site)})
    assert (run.status, run.tasks, left_open(site)) == ("succeeded", STEPS, [])


@pytest.mark.parametrize("event_type, step", [
    ("incident.triggered", RECORD), ("incident.acknowledged", "wait_for_in_progress"),
    ("incident.resolved", "wait_for_resolved")])
def test_a_lost_webhook(event_type, step):
    site = Site()
    post = site.pagerduty.outbox.post

    def lossy(delivery):
        if b'"%s"' % event_type.encode() in delivery.body:
            site.pagerduty.outbox.lose()
        post(delivery)

    site.pagerduty.outbox.post = lossy
    run = verify(site)
    assert (run.status, run.output["failed_step"], left_open(site)) == ("failed", step, [])
    assert (run.output["stackflow_id"] is None) == (step == RECORD)
    error = error_of(run)
    assert "/healthz" in error["hint"] and "manage_webhooks" in error["hint"]
    assert [one["task_id"] for one in run.errors] == ["explain"]


def test_a_service_that_is_not_mapped():
    output = fails_clean_at(Site(), SEND, service="Unmapped")
    assert output["pagerduty_incident_id"] is None


def test_a_service_whose_events_lead_nowhere():
    site = Site()
    site.pagerduty.faults.add("/v2/enqueue", "status", status=400, times=99)
    fails_clean_at(site, SEND)


def test_bidirectional_sync_switched_off():
    site = Site(bidirectional_sync=False)
    run = verify(site)
    assert (run.output["failed_step"], run.output["stackflow_id"]) == (RECORD, None)
    assert left_open(site) == []
    assert "bidirectional_sync" in error_of(run)["hint"]


def test_an_acknowledgement_that_pagerduty_refuses():
    site = Site()
    site.pagerduty.faults.add("PUT /incidents/", "status", status=400)
    fails_clean_at(site, "acknowledge")


def test_a_stackflow_that_refuses_in_progress():
    site = Site()
    site.stackflow.switches.transitions = dict(DEFAULT_TRANSITIONS, new=("resolved", "cancelled"))
    fails_clean_at(site, "wait_for_in_progress")


def test_a_stackflow_that_refuses_resolved_is_told_of_what_stays_open():
    site = Site()
    site.stackflow.switches.resolve_requires = ("close_code",)
    output = fails_at(site, "wait_for_resolved")
    assert output["left_open"] is True
    assert left_open(site) == [output["stackflow_id"]]


def test_a_key_that_is_revoked_on_the_way_is_told_by_what_stays_open():
    site = Site()
    output = fails_at(site, "wait_for_in_progress",
                      before={"wait_for_in_progress": lambda: revoke_key(site)})
    assert output["left_open"] is True
    assert left_open(site) == [output["stackflow_id"]]


def test_an_alert_that_cannot_be_resolved_again_is_told_by_what_stays_open():
    site = Site(bidirectional_sync=False)
    output = fails_at(site, RECORD, before={"clean_up_pagerduty": lambda: site.pagerduty.faults.add(
        "/v2/enqueue", status=400, times=99)})
    assert output["left_open"] is True
    assert left_open(site) == [output["pagerduty_incident_id"]]
