"""check_connection: a healthy set-up passes, and each thing that can be wrong fails one check."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml
from world import LISTENER, World

from dev.simulators.base import Request
from pagerduty_stackflow import diagnosis, secrets_manager, settings
from pagerduty_stackflow.checks import facts
from pagerduty_stackflow.checks.webhooks import needed_events
from pagerduty_stackflow.deliveries import SignatureMismatch
from pagerduty_stackflow.errors import CredentialsError
from pagerduty_stackflow.incidents import format_time
from pagerduty_stackflow.pagerduty import webhooks

ROOT = Path(__file__).resolve().parents[2]
REST_KEY = "rest-key-0123456789x"
GUIDE_KEY = ("Integration key invalid",
             "Re-copy the Integration Key from PagerDuty service -> Integrations")
GUIDE_401 = ("API key expired or revoked",
             "Generate a new API key in PagerDuty and update in Secrets Manager")
GUIDE_TWICE = ("Both directions triggering simultaneously",
               "Enable dedup key in Integration Hub settings; check webhook filter conditions")
GUIDE_GROUP = ("Service mapping misconfigured",
               "Review service mapping in Integration Hub; verify PagerDuty service IDs")
ALWAYS_SKIPPED = {"vendor_connector", "sns_subscriptions"}


class Site(World):
    """The usual world with a listener that answers pings as the sensor does."""

    def __init__(self, **config):
        config.setdefault("webhook_listener", {"public_url": LISTENER})
        config.setdefault("http", {"timeout_seconds": 1, "total_seconds": 5})
        super().__init__(**config)

    def _receive(self, url, headers, body):
        if not (self.listening and url == LISTENER + "/webhooks/pagerduty"):
            raise OSError("nobody is there")
        named = {name.lower(): value for name, value in headers.items()}
        try:
            number = webhooks.verify(body, named["x-pagerduty-signature"],
                                     self.settings.pagerduty.webhook_secrets)
        except SignatureMismatch:
            return 503
        if webhooks.parse(body)["event_type"] == webhooks.PING:
            word = {"received_at": format_time(self.clock.now()), "secret": number}
            self.store.set_value("pagerduty_stackflow.ping", json.dumps(word), local=False)
        return 202

    def change(self, section, **values):
        """Change keys of one section of the config."""
        self.configure(**{section: dict(self.config[section], **values)})

    def entry(self, at=0, **values):
        """Change an entry of service_mapping."""
        entries = [dict(one) for one in self.config["service_mapping"]]
        entries[at].update(values)
        self.configure(service_mapping=entries)

    @property
    def own(self):
        """The subscription that calls the listener."""
        return next(iter(self.pagerduty.account.subscriptions.values()))

    def answers(self, path, change):
        """From now on PagerDuty answers GET on this path with what ``change`` makes of it."""
        request = Request.build("GET", path, {
            "Authorization": "Token token=" + REST_KEY,
            "Accept": "application/vnd.pagerduty+json;version=2"})
        body = self.pagerduty.handle(request).json()
        change(body)
        self.pagerduty.faults.add("GET " + path.partition("?")[0], status=200, times=99, body=body)

    def diagnose(self):
        """The report of a run, as StackStorm would store it."""
        return json.loads(json.dumps(diagnosis.check_connection(self.pack()).as_result()))


def by_status(result):
    found = {"ok": {}, "failed": {}, "skipped": {}}
    for check in result["checks"]:
        assert set(check) == {"name", "status", "cause", "fix"}
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
    assert all(check["cause"] == check["fix"] == "" for check in found["ok"].values())
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


# Each: what is wrong, the check that fails, words of its cause and of its fix.

def revoke_key(site):
    site.pagerduty.revoke_api_key(REST_KEY)


def forbidden_key(site):
    site.pagerduty.faults.add("GET /abilities", status=403, times=9)


def no_key(site):
    site.change("pagerduty", api_key="x" * 32)


def pagerduty_down(site):
    site.pagerduty.faults.add("/", "reset", times=999)


def pagerduty_broken(site):
    site.pagerduty.faults.add("GET /", status=500, times=999)


def other_account(site):
    site.change("pagerduty", subdomain="acne")


def poor_plan(site):
    site.pagerduty.drop_ability("urgencies")


def unknown_from(site):
    site.change("pagerduty", from_email="nobody@example.com")


def unknown_service(site):
    site.entry(pagerduty_service_id="P9999XX")


def renamed_service(site):
    site.entry(pagerduty_service_name="Produktion API")


def disabled_service(site):
    site.pagerduty.disable_service(site.database)


def service_in_maintenance(site):
    site.pagerduty.maintenance(site.api)


def rest_key_as_integration_key(site):
    site.entry(integration_key="k" * 20)


def cut_previous_key(site):
    site.entry(1, previous_integration_keys=["abc123def456..."])


def unknown_integration_key(site):
    site.entry(integration_key="0" * 32)


def swapped_integration_key(site):
    site.entry(1, integration_key=site.api_key)


def events_v1_integration(site):
    def change(body):
        body["service"]["integrations"][0]["type"] = "generic_events_api_inbound_integration"
    site.answers("/services/%s?include[]=integrations" % site.api, change)


def unknown_policy(site):
    site.configure(escalation_mapping=[{
        "stackflow_sla_policy": "P1-Response-SLA", "pagerduty_escalation_policy_id": "PXXXXXX",
        "trigger_on": "sla_breach"}])


def nobody_on_call(site):
    site.pagerduty.set_on_call(site.policy, 1, [])
    site.pagerduty.set_on_call(site.policy, 2, [])


def nobody_on_call_for_a_breach(site):
    empty = site.pagerduty.add_escalation_policy("Management", [(5, [])], id="PEMPTY0")
    site.configure(escalation_mapping=[{
        "stackflow_sla_policy": "P1-Response-SLA", "pagerduty_escalation_policy_id": empty,
        "trigger_on": "sla_breach"}])


def stackflow_down(site):
    site.stackflow.faults.add("/", "reset", times=999)


def wrong_path(site):
    site.change("stackflow", api_path="/stage/api")


def revoked_token(site):
    site.stackflow.revoke("stackflow-token")


def agent_role(site):
    site.stackflow.add_token("stackflow-token", role="itsm_agent")


def foreign_role(site):
    site.stackflow.add_token("stackflow-token", role="developer")


def viewer_by_claim(site):
    claims = base64.urlsafe_b64encode(b'{"custom:role": "viewer"}').rstrip(b"=").decode()
    token = "e30.%s.c2ln" % claims
    site.stackflow.add_token(token)
    site.change("stackflow", auth={"method": "token", "token": token})


def misspelt_group(site):
    site.entry(stackflow_assignment_group="Platform Enginering")


def no_subscription(site):
    site.pagerduty.account.subscriptions.clear()


def subscription_elsewhere(site):
    site.own.url = "https://old.example/webhooks/pagerduty"


def inactive_subscription(site):
    site.own.active = False


def disabled_subscription(site):
    site.own.disabled_until = site.clock.now().replace(year=2027)


def narrow_subscription(site):
    site.own.filter_type, site.own.filter_id = "service_reference", site.api


def few_events(site):
    site.own.events.remove("incident.service_updated")


def no_annotations(site):
    site.own.events.remove("incident.annotated")
    site.configure(sync_notes=True)


def read_only_key(site):
    site.pagerduty.add_api_key(REST_KEY, read_only=True)


def wrong_webhook_secret(site):
    site.change("pagerduty", webhook_secrets=["another"])


def listener_down(site):
    site.listening = False


def second_subscription(site):
    site.change("pagerduty", webhook_secrets=[site.webhook_secret, site.pagerduty.subscribe(
        LISTENER + "/webhooks/pagerduty", service=site.database)[1]])


def vendor_subscription(site):
    site.pagerduty.subscribe("https://acme.stackflow.example/prod/api/webhooks/inbound/pagerduty")


def vendor_extension(site):
    site.pagerduty.add_extension(site.api, "StackFlow", "https://acme.stackflow-tech.com/x")


def extension_at_listener(site):
    site.pagerduty.add_extension(site.database, "Old", LISTENER + "/webhooks/pagerduty")


def silent_stackflow(site):
    del site.stackflow.subscriptions[:]


def outbound_at_pagerduty(site):
    site.stackflow.subscribe("https://events.pagerduty.com/v2/enqueue", name="Notify PagerDuty")


def outbound_with_a_key(site):
    site.stackflow.subscribe("https://events.eu.pagerduty.com/integration/%s/enqueue" % ("5" * 32))


def outbound_at_the_events_proxy(site):
    site.change("pagerduty", events_url="https://pages.example")
    site.stackflow.subscribe("https://pages.example/v2/enqueue")


WRONG = [
    (revoke_key, "pagerduty_api_key", GUIDE_401[0], GUIDE_401[1]),
    (forbidden_key, "pagerduty_api_key", "403", "may not do this"),
    (no_key, "pagerduty_secret", "an integration key, not a REST API key", "API Access Keys"),
    (pagerduty_down, "pagerduty_reachable", "GET /abilities", "base URL of PagerDuty"),
    (pagerduty_broken, "pagerduty_reachable", "500", "PagerDuty has trouble"),
    (other_account, "pagerduty_account", "belongs to acme.pagerduty.com", "account acne"),
    (poor_plan, "pagerduty_plan", "'urgencies'", "Professional or Enterprise"),
    (unknown_from, "pagerduty_from_email", "nobody@example.com", "pagerduty.from_email"),
    (unknown_service, "pagerduty_services", GUIDE_GROUP[0], GUIDE_GROUP[1]),
    (renamed_service, "pagerduty_service_names", GUIDE_GROUP[0], GUIDE_GROUP[1]),
    (disabled_service, "pagerduty_service_status", "(P5678CD) is disabled", "enable the service"),
    (service_in_maintenance, "pagerduty_service_status", "(P1234AB) is in maintenance",
     "maintenance window"),
    (rest_key_as_integration_key, "integration_key_format", GUIDE_KEY[0], GUIDE_KEY[1]),
    (cut_previous_key, "integration_key_format", "previous_integration_keys[0]", GUIDE_KEY[1]),
    (unknown_integration_key, "integration_keys", GUIDE_KEY[0], GUIDE_KEY[1]),
    (swapped_integration_key, "integration_keys", "belongs to service P1234AB", GUIDE_KEY[1]),
    (events_v1_integration, "integration_keys", "not Events API v2", GUIDE_KEY[1]),
    (unknown_policy, "escalation_policies", "escalation_mapping[0]", "take the id"),
    (nobody_on_call, "on_call", "nobody is on call", "put somebody on call"),
    (nobody_on_call_for_a_breach, "on_call", "PEMPTY0 of escalation_mapping[0]",
     "put somebody on call"),
    (stackflow_down, "stackflow_reachable", "/prod/api/health", "base URL of StackFlow"),
    (wrong_path, "stackflow_reachable", "/stage/api/health", ""),
    (revoked_token, "stackflow_sign_in", "StackFlow refuses the token", "stackflow.auth.token"),
    (agent_role, "stackflow_role", "403", "super_admin or itsm_manager"),
    (foreign_role, "stackflow_role", "403", "super_admin or itsm_manager"),
    (viewer_by_claim, "stackflow_role", "viewer", "super_admin or itsm_manager"),
    (misspelt_group, "stackflow_groups", "nearest: 'Platform Engineering'", GUIDE_GROUP[1]),
    (misspelt_group, "stackflow_groups", GUIDE_GROUP[0], GUIDE_GROUP[1]),
    (no_subscription, "webhook_subscription", LISTENER + "/webhooks/pagerduty",
     "manage_webhooks"),
    (subscription_elsewhere, "webhook_subscription", "at old.example", "public_url"),
    (inactive_subscription, "webhook_active", "not active", "enable it"),
    (disabled_subscription, "webhook_active", "temporarily disabled", "enable it"),
    (narrow_subscription, "webhook_coverage", "service P5678CD", "manage_webhooks"),
    (few_events, "webhook_events", "lack incident.service_updated", "event types"),
    (no_annotations, "webhook_events", "lack incident.annotated", "event types"),
    (read_only_key, "pagerduty_write_right", "may only read", "Read/Write"),
    (wrong_webhook_secret, "webhook_secret", "did not come to the sensor",
     "pagerduty.webhook_secrets"),
    (listener_down, "webhook_secret", "did not come to the sensor", "WebhookSensor"),
    (second_subscription, "duplicate_webhooks", GUIDE_TWICE[0], GUIDE_TWICE[1]),
    (vendor_subscription, "duplicate_webhooks", "tells StackFlow itself", GUIDE_TWICE[1]),
    (vendor_extension, "duplicate_webhooks", "legacy V2 webhook extension", GUIDE_TWICE[1]),
    (extension_at_listener, "duplicate_webhooks", "on P5678CD", GUIDE_TWICE[1]),
    (silent_stackflow, "stackflow_webhook", LISTENER + "/webhooks/stackflow", "Outbound Webhooks"),
    (outbound_at_pagerduty, "other_sender", "'Notify PagerDuty'", GUIDE_TWICE[1]),
    (outbound_at_the_events_proxy, "other_sender", "pages.example", GUIDE_TWICE[1]),
    (outbound_with_a_key, "other_sender", GUIDE_TWICE[0], GUIDE_TWICE[1]),
]


@pytest.mark.parametrize("spoil, name, cause, fix", WRONG,
                         ids=["%s-%s" % (one[0].__name__, one[1]) for one in WRONG])
def test_one_thing_wrong_fails_one_check(spoil, name, cause, fix):
    site = Site()
    spoil(site)
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


def test_every_check_that_can_fail_is_seen_failing():
    assert {one[1] for one in WRONG} == {step.name for step in diagnosis.STEPS} - (
        ALWAYS_SKIPPED | {"stackflow_token"})  # that needs a method other than token, see below


def test_a_sign_in_that_is_refused_fails_for_the_token():
    site = Site()
    site.change("stackflow", auth={
        "method": "client_credentials", "client_id": "pack", "client_secret": "wrong-secret",
        "token_url": "https://acme.stackflow.example/oauth2/token"})
    site.stackflow.add_client("pack", "right-secret")
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
    assert found["failed"]["pagerduty_secret"]["fix"] == "create the secret"


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
    site.own.filter_type = "team_reference"
    site.own.filter_id = site.pagerduty.add_team("Operations")
    found = by_status(site.diagnose())
    assert found["failed"] == {}
    assert "may be of the team" in found["skipped"]["webhook_coverage"]["cause"]


def test_keys_that_pagerduty_does_not_show_cannot_be_compared():
    site = Site()

    def hide(body):
        for one in body["service"]["integrations"]:
            del one["integration_key"]
    site.answers("/services/%s?include[]=integrations" % site.api, hide)
    found = by_status(site.diagnose())
    assert found["failed"] == {}
    assert "shows no keys" in found["skipped"]["integration_keys"]["cause"]


def test_a_datastore_that_is_away_is_told_by_the_check_that_needs_it():
    site = Site()
    site.store.unreachable = True
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
             if rule["trigger"]["type"].endswith(".pagerduty_event")}
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
