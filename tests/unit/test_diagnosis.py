"""check_connection: a healthy set-up passes, and each thing that can be wrong fails one check."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from many_services import LONGEST_ADDRESS, longest_address
from misconfigured import (GUIDE_GROUP, GUIDE_TWICE, NOT_OFFERED, REST_KEY, WRONG, Site,
                           datastore_away, few_events, hidden_keys, listener_down, misspelt_group,
                           narrow_subscription, no_extensions, no_subscription, nobody_on_call,
                           outbound_at_pagerduty, refused_client, revoke_key, second_subscription,
                           silent_stackflow, subscription_of_a_team, swapped_integration_key)
from world import LISTENER

from pagerduty_stackflow import diagnosis, secrets_manager, settings
from pagerduty_stackflow.checks import facts
from pagerduty_stackflow.checks.webhooks import needed_events
from pagerduty_stackflow.errors import CredentialsError

ROOT = Path(__file__).resolve().parents[2]
ALWAYS_SKIPPED = {"vendor_connector", "sns_subscriptions"}
HERE = re.compile(r"service_mapping|escalation_mapping|manage_webhooks|"
                  r"\b(pagerduty|stackflow|webhook_listener)\.[a-z]")
"""A place in this pack: a key of its config, or the action that mends it."""
THERE = re.compile(r"Integration Hub|Admin ->|StackFlow's guide|"
                   r"\b(in|of|from) (PagerDuty|StackFlow)\b|PagerDuty (service )?->")
"""A place in one of the two systems."""


def by_status(result):
    found = {"ok": {}, "failed": {}, "skipped": {}}
    for check in result["checks"]:
        warned = check["name"] == "config" and "cause" in check  # of retired keys
        assert set(check) == {"name", "status"} | ({"cause"} if warned else set()) | (
            set() if check["status"] == "ok" else {"cause", "fix"})
        found[check["status"]][check["name"]] = check
    return found


def waiting(result):
    """The checks that wait for another, by the name of that."""
    return {name: check["cause"] for name, check in by_status(result)["skipped"].items()
            if "waits for" in check["cause"]}


def test_a_healthy_set_up_passes_and_names_what_no_api_shows():
    site = Site()
    result = site.diagnose()
    found = by_status(result)
    assert result["ok"] is True and found["failed"] == {}
    assert set(found["skipped"]) == ALWAYS_SKIPPED
    assert all(check["cause"] and check["fix"] for check in found["skipped"].values())
    assert [check["name"] for check in result["checks"]] == (
        ["config"] + [step.name for step in diagnosis.STEPS])


def test_a_run_writes_nothing_but_pings():
    site = Site()
    site.diagnose()
    calls = ["%s %s" % (one.method, one.path)
             for one in site.pagerduty.requests + site.stackflow.requests]
    assert [call for call in calls if not call.startswith("GET ")] == [
        "POST /webhook_subscriptions/%s/ping" % site.own.id]
    assert len(calls) == len(set(calls)), "every fact is read once"


@pytest.mark.parametrize("seed, name, cause, fix", [one[:4] for one in WRONG],
                         ids=["%s-%s" % (one.seed.__name__, one.check) for one in WRONG])
def test_one_thing_wrong_fails_one_check(seed, name, cause, fix):
    site = Site()
    seed(site)
    result = site.diagnose()
    found = by_status(result)
    assert result["ok"] is False
    assert set(found["failed"]) == {name}, found["failed"]
    assert cause in found["failed"][name]["cause"], found["failed"]
    assert found["failed"][name]["fix"] and fix in found["failed"][name]["fix"], found["failed"]
    unproved = set(found["skipped"]) - ALWAYS_SKIPPED - set(waiting(result))
    assert unproved <= {"pagerduty_write_right"}, "without a ping nothing proves it"
    secrets = [site.api_key, site.database_key, site.webhook_secret, REST_KEY, "stackflow-token",
               "5" * 32]
    assert not any(secret in json.dumps(result) for secret in secrets)


@pytest.mark.parametrize("seed", dict.fromkeys([one.seed for one in WRONG] + [refused_client]),
                         ids=lambda seed: seed.__name__)
def test_a_fix_names_the_place_in_this_pack_before_that_in_a_vendors(seed):
    site = Site()
    seed(site)
    for check in by_status(site.diagnose())["failed"].values():
        here, there = HERE.search(check["fix"]), THERE.search(check["fix"])
        assert here, check["fix"]
        assert there is None or here.start() < there.start(), check["fix"]


@pytest.mark.parametrize("seed, names, reason", NOT_OFFERED, ids=lambda value: getattr(
    value, "__name__", None))
def test_a_list_that_is_not_offered_skips_its_checks_with_the_reason(seed, names, reason):
    site = Site()
    seed(site)
    result = site.diagnose()
    found = by_status(result)
    assert result["ok"] is True and found["failed"] == {}
    unproved = set(found["skipped"]) - ALWAYS_SKIPPED - {"pagerduty_write_right"}
    assert names == unproved - set(waiting(result))
    for name in names:
        assert reason in found["skipped"][name]["cause"]
        assert found["skipped"][name]["fix"] not in ("", "see there")


def test_a_duplicate_is_found_also_where_extensions_are_not_listed():
    site = Site()
    no_extensions(site)
    second_subscription(site)
    assert set(by_status(site.diagnose())["failed"]) == {"duplicate_webhooks"}


def test_four_hundred_services_are_asked_for_in_addresses_that_every_front_accepts():
    site = Site()
    site.map_services(400)
    assert site.diagnose()["ok"] is True
    calls = site.pagerduty.requests
    assert longest_address(calls) < LONGEST_ADDRESS
    asked = [policy for one in calls if one.path == "/oncalls"
             for policy in one.every("escalation_policy_ids[]")]
    assert len(asked) == len(set(asked)) == 401


def test_every_check_that_can_fail_is_seen_failing():
    assert {one.check for one in WRONG} == {step.name for step in diagnosis.STEPS} - (
        ALWAYS_SKIPPED | {"stackflow_token"})  # that needs a method other than token, see below


def test_a_sign_in_that_is_refused_fails_for_the_token():
    site = Site()
    refused_client(site)
    found = by_status(site.diagnose())
    assert set(found["failed"]) == {"stackflow_token"}
    assert "wrong-secret" not in json.dumps(found["failed"])
    assert found["skipped"]["stackflow_groups"]["cause"] == "waits for stackflow_sign_in"


@pytest.mark.parametrize("cached", [False, True])
def test_the_key_is_read_where_it_is_kept_and_not_from_the_cache(monkeypatch, cached):
    site = Site()
    site.change("pagerduty", api_key=None)
    monkeypatch.setattr(secrets_manager, "fetch", lambda name, settings: REST_KEY)
    if cached:
        assert site.diagnose()["ok"] is True

    def refuse(name, settings):
        raise CredentialsError("the secret was not found", "create the secret")
    monkeypatch.setattr(secrets_manager, "fetch", refuse)
    found = by_status(site.diagnose())
    assert set(found["failed"]) == {"pagerduty_secret"}
    assert found["failed"]["pagerduty_secret"]["fix"] == (
        "look at pagerduty.api_key or pagerduty.api_key_secret in the config; create the secret")


def test_what_depends_on_a_failed_check_waits_and_the_rest_is_made():
    site = Site()
    revoke_key(site)
    result = site.diagnose()
    assert waiting(result)["pagerduty_account"] == "waits for pagerduty_api_key"
    assert waiting(result)["webhook_secret"] == "waits for webhook_subscription"
    made = set(by_status(result)["ok"])
    assert {"integration_key_format", "stackflow_role", "stackflow_groups", "other_sender"} <= made


def test_a_service_that_is_unknown_does_not_hide_what_is_wrong_with_another():
    site = Site()
    site.entry(pagerduty_service_id="P9999XX")
    site.entry(1, integration_key="0" * 32)
    found = by_status(site.diagnose())
    assert set(found["failed"]) == {"pagerduty_services", "integration_keys"}
    assert "service_mapping[0] (P9999XX), waits for" in found["skipped"][
        "pagerduty_service_names"]["cause"]


def test_several_faults_are_several_failed_checks_and_one_error():
    site = Site()
    for spoil in (swapped_integration_key, misspelt_group, nobody_on_call, outbound_at_pagerduty):
        spoil(site)
    report = diagnosis.check_connection(site.pack())
    failed = {"integration_keys", "stackflow_groups", "on_call", "other_sender"}
    assert set(by_status(report.as_result())["failed"]) == failed
    error = report.error.as_result()
    assert error["kind"] == "check_failed" and error["retryable"] is False
    assert error["message"].startswith("4 of %d checks failed" % len(report.checks))
    assert all(name in error["message"] for name in failed)
    assert GUIDE_GROUP[1] in error["hint"] and GUIDE_TWICE[1] in error["hint"]


def test_an_unusable_config_is_the_one_failed_check():
    with pytest.raises(settings.ConfigError) as caught:
        settings.load({"pagerduty": {}})
    report = diagnosis.without_config(caught.value)
    found = by_status(report.as_result())
    assert report.error is caught.value
    assert found["failed"]["config"]["cause"] == caught.value.message
    assert set(found["failed"]) == {"config"} and found["ok"] == {}
    assert {check["cause"] for check in found["skipped"].values()} == {"waits for config"}


def test_a_retired_key_of_the_config_is_named_and_fails_nothing():
    site = Site(sla={"targets": {}}, escalation={"max_levels": 2})
    result = site.diagnose()
    config = by_status(result)["ok"]["config"]
    assert result["ok"] is True
    assert [line.split(": ")[:2] for line in config["cause"].split("\n")] == [
        ["sla.targets", "is no longer used"], ["escalation.max_levels", "is no longer used"]]


def test_a_site_without_a_public_url_is_judged_by_the_path_of_the_subscriptions():
    site = Site(webhook_listener={})
    found = by_status(site.diagnose())
    assert found["failed"] == {}
    assert set(found["skipped"]) - ALWAYS_SKIPPED == {"webhook_subscription", "stackflow_webhook"}
    few_events(site)
    assert set(by_status(site.diagnose())["failed"]) == {"webhook_events"}


def test_a_site_that_polls_needs_no_webhooks():
    site = Site()
    no_subscription(site)
    silent_stackflow(site)
    for name in ("PagerDutyPollingSensor", "StackFlowPollingSensor"):
        site.store.set_value("pagerduty_stackflow.cursor." + name, "x", local=False)
    result = site.diagnose()
    assert result["ok"] is True
    found = by_status(result)["skipped"]
    assert "PagerDutyPollingSensor polls" in found["webhook_subscription"]["cause"]
    assert "StackFlowPollingSensor polls" in found["stackflow_webhook"]["cause"]
    assert found["webhook_events"]["cause"] == "waits for webhook_subscription"


def test_webhooks_that_stackflow_does_not_list_are_for_a_person_to_look_at():
    site = Site()
    site.stackflow.faults.add("GET /prod/api/webhooks/outbound", status=404, times=9)
    result = site.diagnose()
    assert result["ok"] is True
    assert "Outbound Webhooks" in by_status(result)["skipped"]["other_sender"]["fix"]


def test_a_subscription_that_is_off_does_no_harm_beside_one_that_is_on():
    site = Site()
    site.pagerduty.subscribe(LISTENER + "/webhooks/pagerduty", service=site.database)
    list(site.pagerduty.account.subscriptions.values())[1].active = False
    assert site.diagnose()["ok"] is True


def test_two_subscriptions_with_different_events_double_nothing():
    site = Site()
    few_events(site)
    site.change("pagerduty", webhook_secrets=[site.webhook_secret, site.pagerduty.subscribe(
        LISTENER + "/webhooks/pagerduty", ["incident.service_updated"])[1]])
    assert site.diagnose()["ok"] is True


def test_state_events_are_not_needed_where_nothing_is_written_to_stackflow():
    site = Site(bidirectional_sync=False)
    few_events(site)
    assert site.diagnose()["ok"] is True


def test_an_account_that_shows_no_address_is_compared_by_a_person():
    site = Site()
    for service in (site.api, site.database):  # first, as the path of the list matches these too
        site.answers("/services/%s?include[]=integrations" % service, lambda body: None)
    site.answers("/services?limit=1", lambda body: body["services"][0].pop("html_url"))
    found = by_status(site.diagnose())
    assert found["failed"] == {}
    assert set(found["skipped"]) - ALWAYS_SKIPPED == {"pagerduty_account"}


def test_one_subscription_for_each_service_is_enough_and_each_is_pinged():
    site = Site()
    narrow_subscription(site)
    secret = site.pagerduty.subscribe(LISTENER + "/webhooks/pagerduty", service=site.database)[1]
    found = by_status(site.diagnose())
    assert set(found["failed"]) == {"webhook_secret"}, "the second secret is not known"
    second = list(site.pagerduty.account.subscriptions)[1]
    assert second in found["failed"]["webhook_secret"]["cause"]
    site.change("pagerduty", webhook_secrets=[site.webhook_secret, secret])
    assert site.diagnose()["ok"] is True


def test_a_subscription_of_a_team_may_cover_a_service():
    site = Site()
    subscription_of_a_team(site)
    found = by_status(site.diagnose())
    assert found["failed"] == {}
    assert "may be of the team" in found["skipped"]["webhook_coverage"]["cause"]


def test_keys_that_pagerduty_does_not_show_cannot_be_compared():
    site = Site()
    hidden_keys(site)
    found = by_status(site.diagnose())
    assert found["failed"] == {}
    assert "shows no keys" in found["skipped"]["integration_keys"]["cause"]


def test_a_datastore_that_is_away_is_told_by_the_check_that_needs_it():
    site = Site()
    datastore_away(site)
    found = by_status(site.diagnose())
    assert set(found["failed"]) == {"webhook_secret"}
    assert "datastore did not answer" in found["failed"]["webhook_secret"]["cause"]


def test_pings_end_in_time_however_many_are_lost(monkeypatch):
    site = Site()
    listener_down(site)
    for _ in range(5):
        site.pagerduty.subscribe(LISTENER + "/webhooks/pagerduty", service=site.database)
    before = site.clock.now()
    found = by_status(site.diagnose())
    assert "webhook_secret" in found["failed"]
    limit = facts.PINGS_SECONDS + facts.PING_SECONDS
    assert (site.clock.now() - before).total_seconds() <= limit


def test_a_ping_for_which_no_time_is_left_is_not_called_lost(monkeypatch):
    site = Site()
    narrow_subscription(site)
    site.pagerduty.subscribe(LISTENER + "/webhooks/pagerduty", service=site.database)
    monkeypatch.setattr(facts, "PINGS_SECONDS", facts.PING_STEP)
    found = by_status(site.diagnose())
    assert found["failed"] == {}
    assert "time for pings is used up" in found["skipped"]["webhook_secret"]["cause"]


@pytest.mark.parametrize("bidirectional, notes", [(True, False), (True, True), (False, False)])
def test_the_events_that_are_needed_are_those_of_the_shipped_rules(bidirectional, notes):
    site = Site(bidirectional_sync=bidirectional, sync_notes=notes)
    needed = needed_events(site.settings)
    rules = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "rules").glob("*.yaml"))]
    asked = {rule["criteria"]["trigger.event_type"]["pattern"] for rule in rules
             if rule["trigger"]["type"].endswith(".pagerduty_event")} - {"incident.updated"}
    if bidirectional:
        assert asked - {"incident.annotated"} <= needed
    assert ("incident.annotated" in needed) is notes
    assert needed <= asked | {"incident.triggered", "incident.service_updated",
                              "incident.annotated"}


@pytest.mark.parametrize("left, right, same", [
    ("https://a.example/x", "https://A.example:443/x/", True),
    ("https://user:word@a.example/x", "https://a.example/x", True),
    ("https://a.example/x", "http://a.example/x", False),
    ("https://a.example/x", "https://a.example:8443/x", False),
    ("https://a.example/x", "https://a.example/y", False),
    ("https://a.example:nine/x", "https://a.example:nine/x", False),
    ("", "", False)])
def test_urls_are_compared_by_where_they_lead(left, right, same):
    assert facts.same_url(left, right) is same
