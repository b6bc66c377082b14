"""A site for check_connection, and everything that can be wrong with one: each row is seeded in the
simulators or the config, and found by one check.
"""

from __future__ import annotations

import base64
import json
from typing import Callable, NamedTuple

from many_services import mapped_services
from world import LISTENER, World

from dev.simulators.base import Request
from pagerduty_stackflow import diagnosis
from pagerduty_stackflow.deliveries import SignatureMismatch
from pagerduty_stackflow.incidents import format_time
from pagerduty_stackflow.pagerduty import webhooks

REST_KEY = "rest-key-0123456789x"
GUIDE_KEY = ("Integration key invalid",
             "Re-copy the Integration Key from PagerDuty service -> Integrations")
GUIDE_401 = ("API key expired or revoked",
             "Generate a new API key in PagerDuty and update in Secrets Manager")
GUIDE_TWICE = ("Both directions triggering simultaneously",
               "Enable dedup key in Integration Hub settings; check webhook filter conditions")
GUIDE_GROUP = ("Service mapping misconfigured",
               "Review service mapping in Integration Hub; verify PagerDuty service IDs")


class Site(World):
    """The usual world with a listener at its own address, which answers pings as the sensor does.
    """

    def __init__(self, **config):
        config.setdefault("webhook_listener", {"public_url": LISTENER})
        config.setdefault("http", {"timeout_seconds": 1, "total_seconds": 5})
        super().__init__(**config)

    def _receive(self, url, headers, body):
        if not (self.listening and url.startswith(LISTENER + "/")):
            raise OSError("nobody is there")
        if not url.endswith("/webhooks/pagerduty"):
            known = self.settings.stackflow.webhook_secrets
            return super()._receive(url, headers, body) if known else 503
        named = {name.lower(): value for name, value in headers.items()}
        try:
            number = webhooks.verify(body, named["x-pagerduty-signature"],
                                     self.settings.pagerduty.webhook_secrets)
        except SignatureMismatch:
            return 503
        if webhooks.parse(body)["event_type"] != webhooks.PING:
            return super()._receive(url, headers, body)
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

    def map_services(self, count):
        """Map so many more services."""
        more = mapped_services(self.pagerduty, self.stackflow, self.casey, count)
        self.configure(service_mapping=self.config["service_mapping"] + more)

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


def no_stackflow_secret(site):
    site.change("stackflow", webhook_secrets=[])


def outbound_at_pagerduty(site):
    site.stackflow.subscribe("https://events.pagerduty.com/v2/enqueue", name="Notify PagerDuty")


def outbound_with_a_key(site):
    site.stackflow.subscribe("https://events.eu.pagerduty.com/integration/%s/enqueue" % ("5" * 32))


def outbound_at_the_events_proxy(site):
    site.change("pagerduty", events_url="https://pages.example")
    site.stackflow.subscribe("https://pages.example/v2/enqueue")


def refused_client(site):
    site.change("stackflow", auth={
        "method": "client_credentials", "client_id": "pack", "client_secret": "wrong-secret",
        "token_url": "https://acme.stackflow.example/oauth2/token"})
    site.stackflow.add_client("pack", "right-secret")


def datastore_away(site):
    site.store.unreachable = True


def hidden_keys(site):
    def hide(body):
        for one in body["service"]["integrations"]:
            del one["integration_key"]
    site.answers("/services/%s?include[]=integrations" % site.api, hide)


def hidden_wrong_key(site):
    hidden_keys(site)
    unknown_integration_key(site)


def no_extensions(site):
    site.pagerduty.faults.add("GET /extensions", status=404, times=99)


def no_on_calls(site):
    site.pagerduty.faults.add("GET /oncalls", status=404, times=99)


def no_list_of_subscriptions(site):
    site.pagerduty.faults.add("GET /webhook_subscriptions", status=403, times=99)


def no_list_of_groups(site):
    site.stackflow.faults.add("GET /prod/api/groups", status=404, times=99)


def no_list_of_outbound_webhooks(site):
    site.stackflow.faults.add("GET /prod/api/webhooks/outbound", status=404, times=99)


def subscription_of_a_team(site):
    site.own.filter_type = "team_reference"
    site.own.filter_id = site.pagerduty.add_team("Operations")


def no_subscription_and_no_public_url(site):
    site.configure(webhook_listener={})
    no_subscription(site)


def polling_that_stopped(site):
    no_subscription(site)
    site.store.set_value("pagerduty_stackflow.cursor.PagerDutyPollingSensor", "x", local=False)


class Wrong(NamedTuple):
    """``seed`` makes it wrong. ``check`` is the one that fails for it, and with it the first step
    of verify_integration; ``cause`` and ``fix`` are words of what it says. ``later`` is the step
    that fails where it goes wrong right after that first one; empty where the rest does without it.
    """

    seed: Callable[[Site], None]
    check: str
    cause: str
    fix: str
    later: str = ""


SEND, RECORD = "send_test_event", "wait_for_record"
WRONG = [
    Wrong(revoke_key, "pagerduty_api_key", GUIDE_401[0], GUIDE_401[1], SEND),
    Wrong(revoke_key, "pagerduty_api_key", GUIDE_401[0], "datastore key behind pagerduty.api_key",
          SEND),
    Wrong(forbidden_key, "pagerduty_api_key", "403", "may not do this"),
    Wrong(no_key, "pagerduty_secret", "an integration key, not a REST API key", "API Access Keys",
          SEND),
    Wrong(pagerduty_down, "pagerduty_reachable", "GET /abilities", "base URL of PagerDuty", SEND),
    Wrong(pagerduty_broken, "pagerduty_reachable", "500", "PagerDuty has trouble", SEND),
    Wrong(other_account, "pagerduty_account", "belongs to acme.pagerduty.com", "account acne"),
    Wrong(poor_plan, "pagerduty_plan", "'urgencies'", "Professional or Enterprise"),
    Wrong(unknown_from, "pagerduty_from_email", "nobody@example.com", "pagerduty.from_email",
          "resolve"),
    Wrong(unknown_service, "pagerduty_services", GUIDE_GROUP[0], GUIDE_GROUP[1], SEND),
    Wrong(renamed_service, "pagerduty_service_names", GUIDE_GROUP[0], GUIDE_GROUP[1], SEND),
    Wrong(disabled_service, "pagerduty_service_status", "(P5678CD) is disabled",
          "enable the service"),
    Wrong(service_in_maintenance, "pagerduty_service_status", "(P1234AB) is in maintenance",
          "maintenance window", SEND),
    Wrong(rest_key_as_integration_key, "integration_key_format", GUIDE_KEY[0], GUIDE_KEY[1], SEND),
    Wrong(cut_previous_key, "integration_key_format", "previous_integration_keys[0]", GUIDE_KEY[1]),
    Wrong(unknown_integration_key, "integration_keys", GUIDE_KEY[0], GUIDE_KEY[1], SEND),
    Wrong(swapped_integration_key, "integration_keys", "belongs to service P1234AB", GUIDE_KEY[1]),
    Wrong(events_v1_integration, "integration_keys", "not Events API v2", GUIDE_KEY[1]),
    Wrong(unknown_policy, "escalation_policies", "escalation_mapping[0]",
          "correct escalation_mapping"),
    Wrong(nobody_on_call, "on_call", "nobody is on call", "put somebody on call", SEND),
    Wrong(nobody_on_call_for_a_breach, "on_call", "PEMPTY0 of escalation_mapping[0]",
          "put somebody on call"),
    Wrong(stackflow_down, "stackflow_reachable", "/prod/api/health", "base URL of StackFlow",
          RECORD),
    Wrong(wrong_path, "stackflow_reachable", "/stage/api/health", "", RECORD),
    Wrong(revoked_token, "stackflow_sign_in", "StackFlow refuses the token",
          "stackflow.auth.token", RECORD),
    Wrong(agent_role, "stackflow_role", "403", "super_admin or itsm_manager"),
    Wrong(foreign_role, "stackflow_role", "403", "super_admin or itsm_manager", RECORD),
    Wrong(viewer_by_claim, "stackflow_role", "viewer", "super_admin or itsm_manager"),
    Wrong(misspelt_group, "stackflow_groups", "nearest: 'Platform Engineering'", GUIDE_GROUP[1],
          RECORD),
    Wrong(misspelt_group, "stackflow_groups", GUIDE_GROUP[0],
          "correct this entry of service_mapping", RECORD),
    Wrong(no_subscription, "webhook_subscription", LISTENER + "/webhooks/pagerduty",
          "manage_webhooks", RECORD),
    Wrong(subscription_elsewhere, "webhook_subscription", "at old.example", "public_url", RECORD),
    Wrong(inactive_subscription, "webhook_active", "not active", "enable it", RECORD),
    Wrong(disabled_subscription, "webhook_active", "temporarily disabled", "enable it", RECORD),
    Wrong(narrow_subscription, "webhook_coverage", "service P5678CD", "manage_webhooks"),
    Wrong(few_events, "webhook_events", "lack incident.service_updated", "event types"),
    Wrong(no_annotations, "webhook_events", "lack incident.annotated", "event types"),
    Wrong(read_only_key, "pagerduty_write_right", "may only read", "Read/Write", "acknowledge"),
    Wrong(wrong_webhook_secret, "webhook_secret", "did not come to the sensor",
          "pagerduty.webhook_secrets", RECORD),
    Wrong(listener_down, "webhook_secret", "did not come to the sensor", "WebhookSensor", RECORD),
    Wrong(second_subscription, "duplicate_webhooks", GUIDE_TWICE[0], GUIDE_TWICE[1]),
    Wrong(vendor_subscription, "duplicate_webhooks", "to StackFlow itself", GUIDE_TWICE[1]),
    Wrong(vendor_extension, "duplicate_webhooks", "legacy V2 webhook extension", GUIDE_TWICE[1]),
    Wrong(extension_at_listener, "duplicate_webhooks", "on P5678CD", GUIDE_TWICE[1]),
    Wrong(silent_stackflow, "stackflow_webhook", LISTENER + "/webhooks/stackflow",
          "Outbound Webhooks"),
    Wrong(no_stackflow_secret, "stackflow_webhook", "stackflow.webhook_secrets is empty",
          "restart the sensor"),
    Wrong(outbound_at_pagerduty, "other_sender", "'Notify PagerDuty'", GUIDE_TWICE[1]),
    Wrong(outbound_at_the_events_proxy, "other_sender", "pages.example", GUIDE_TWICE[1], SEND),
    Wrong(outbound_with_a_key, "other_sender", GUIDE_TWICE[0], GUIDE_TWICE[1]),
]

NOT_OFFERED = [
    (no_extensions, {"duplicate_webhooks"}, "GET /extensions: 404"),
    (no_on_calls, {"on_call"}, "GET /oncalls: 404"),
    (no_list_of_subscriptions, {"webhook_subscription", "duplicate_webhooks"},
     "GET /webhook_subscriptions: 403"),
    (no_list_of_groups, {"stackflow_groups"}, "GET /prod/api/groups: 404"),
    (no_list_of_outbound_webhooks, {"stackflow_webhook", "other_sender"},
     "GET /prod/api/webhooks/outbound: 404"),
]
"""Lists that the pack works without: the seed that takes one away, the checks that are skipped for
it, and words of the reason.
"""

UNSEEN = [
    (hidden_wrong_key, "integration_keys", SEND),
    (subscription_of_a_team, "webhook_coverage", RECORD),
    (no_subscription_and_no_public_url, "webhook_subscription", RECORD),
    (polling_that_stopped, "webhook_subscription", RECORD),
]
"""What check_connection cannot tell from what is in order: the check that it skips for it, and the
step of verify_integration that fails.
"""
