"""Check the set-up: every prerequisite, and every row of the guide's troubleshooting table."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from .checks import pagerduty, stackflow, webhooks
from .checks.facts import Facts, Skipped
from .errors import ApiError, ConfigError, CredentialsError, PackError
from .pack import Pack

CONFIG = "config"
FAILED = "failed"
NOT_OFFERED = (402, 403, 404, 405, 410, 501)
"""Statuses for a list that the account, its plan or its key does not have."""


class ChecksFailedError(PackError):
    """Checks of check_connection failed."""

    kind = "check_failed"


class Report:
    """The checks of one run, in order; ``reason`` is an error to fail with in place of our own."""

    def __init__(self, checks: List[Dict[str, str]], reason: Optional[PackError] = None) -> None:
        self.checks = checks
        failures = [check for check in checks if check["status"] == FAILED]
        self.ok = not failures
        self.error = reason or ChecksFailedError(
            "%d of %d checks failed: %s" % (len(failures), len(checks), "; ".join(
                "%s: %s" % (check["name"], check["cause"]) for check in failures)),
            "; ".join(dict.fromkeys(check["fix"] for check in failures)))

    def as_result(self) -> Dict[str, Any]:
        """Return `{ok, checks: [{name, status}]}`; a check that did not pass has cause and fix."""
        return {"ok": self.ok, "checks": self.checks}


class Step(NamedTuple):
    """A check, and the checks that have to pass before it.

    ``look`` yields problems, or raises Skipped; without it no API shows them. ``cause`` stands
    before the problems, and ``fix`` is what to do, with "{0}" for the facts. ``by_hand``: the check
    is skipped where the list that it reads is not offered, and a person can check so.
    """

    name: str
    look: Optional[Callable[[Facts], Optional[Iterable[str]]]]
    needs: Tuple[str, ...] = ()
    fix: str = ""
    cause: str = ""
    by_hand: str = ""


# Causes of StackFlow's "PagerDuty Integration" guide, Troubleshooting. The place in this pack comes
# first in a fix; the guide's own words follow, as they are about StackFlow's own connector.
EVENTS_NOT_REACHING = (
    "correct integration_key of this entry of service_mapping, or the datastore key behind it "
    "(StackFlow's guide: Re-copy the Integration Key from PagerDuty service -> Integrations)",
    "Integration key invalid")
WRONG_GROUP = (
    "correct this entry of service_mapping in the pack's config (StackFlow's guide: Review service "
    "mapping in Integration Hub; verify PagerDuty service IDs)", "Service mapping misconfigured")
TWICE = ("StackFlow's guide: Enable dedup key in Integration Hub settings; check webhook filter "
         "conditions", "Both directions triggering simultaneously")
ACCOUNT = ("pagerduty_account",)
ROLE = ("stackflow_sign_in", "stackflow_role")
SUBSCRIBED = ("webhook_subscription",)
SUBSCRIPTIONS = "compare webhook_listener with PagerDuty's Integrations -> Generic Webhooks"
OUTBOUND = "compare webhook_listener with StackFlow's Admin -> Integrations -> Outbound Webhooks"
STEPS = (
    Step("pagerduty_secret", pagerduty.secret),
    Step("pagerduty_reachable", pagerduty.reachable, ("pagerduty_secret",)),
    Step("pagerduty_api_key", pagerduty.api_key, ("pagerduty_reachable",),
         "store a new key in {0.key_place}, or correct pagerduty.region, now "
         "{0.settings.pagerduty.region} (StackFlow's guide: Generate a new API key in PagerDuty "
         "and update in Secrets Manager)", "401 on API calls"),
    Step("pagerduty_account", pagerduty.account, ("pagerduty_api_key",),
         "correct pagerduty.subdomain, or store a key of the account "
         "{0.settings.pagerduty.subdomain} in {0.key_place}"),
    Step("pagerduty_plan", pagerduty.plan, ACCOUNT,
         "leave escalation_mapping empty, or change to PagerDuty's plan Professional or "
         "Enterprise"),
    Step("pagerduty_from_email", pagerduty.from_email, ACCOUNT,
         "set pagerduty.from_email to the e-mail of a PagerDuty user"),
    Step("pagerduty_services", pagerduty.services, ACCOUNT, *WRONG_GROUP),
    Step("pagerduty_service_names", pagerduty.service_names, ACCOUNT, *WRONG_GROUP),
    Step("pagerduty_service_status", pagerduty.service_status, ACCOUNT,
         "remove this entry of service_mapping if the service is retired; else enable the service, "
         "or end its maintenance window, in PagerDuty"),
    Step("integration_key_format", pagerduty.key_format, (), *EVENTS_NOT_REACHING),
    Step("integration_keys", pagerduty.integration_keys, ACCOUNT, *EVENTS_NOT_REACHING),
    Step("escalation_policies", pagerduty.escalation_policies, ACCOUNT,
         "correct escalation_mapping: the id is in the address of the policy's page in PagerDuty; "
         "give each service a policy there"),
    Step("on_call", pagerduty.on_call, ACCOUNT,
         "correct that entry of service_mapping or escalation_mapping if it names the wrong one; "
         "else put somebody on call in PagerDuty, on a schedule or by name",
         by_hand="see in PagerDuty's People -> On-Call Shifts that each policy has somebody"),
    Step("stackflow_reachable", stackflow.reachable),
    Step("stackflow_token", stackflow.token),
    Step("stackflow_sign_in", stackflow.sign_in, ("stackflow_reachable", "stackflow_token")),
    Step("stackflow_role", stackflow.role, ("stackflow_sign_in",),
         "sign in under stackflow.auth with an account of the role super_admin or itsm_manager, "
         "or give it this role in StackFlow", "the role does not suffice"),
    Step("stackflow_groups", stackflow.groups, ROLE, *WRONG_GROUP,
         by_hand=stackflow.COMPARE_GROUPS),
    Step("webhook_subscription", webhooks.subscription, ACCOUNT,
         "create one with manage_webhooks, or correct webhook_listener.public_url",
         by_hand=SUBSCRIPTIONS),
    Step("webhook_active", webhooks.active, SUBSCRIBED,
         "enable it with manage_webhooks; the listener's /healthz counts by reason which "
         "deliveries it refused"),
    Step("webhook_coverage", webhooks.coverage, SUBSCRIBED,
         "create one for the service with manage_webhooks"),
    Step("webhook_events", webhooks.events, SUBSCRIBED,
         "delete the subscription and create it again with manage_webhooks, or add the event types "
         "to it in PagerDuty"),
    Step("pagerduty_write_right", webhooks.write_right, ACCOUNT,
         "store a Read/Write key in {0.key_place}; generate it in PagerDuty -> Integrations -> API "
         "Access Keys", "the key may only read", webhooks.READ_WRITE),
    Step("webhook_secret", webhooks.secret, (*SUBSCRIBED, "pagerduty_write_right"),
         "put into pagerduty.webhook_secrets the secret that PagerDuty showed when the "
         "subscription was created, and restart the sensor; if it is there, see that WebhookSensor "
         "runs and can be reached (/healthz counts refusals by reason)"),
    Step("stackflow_webhook", stackflow.outbound_webhook, ROLE,
         "correct webhook_listener.public_url; or add a webhook in StackFlow under Admin -> "
         "Integrations -> Outbound Webhooks, put its secret into stackflow.webhook_secrets, and "
         "restart the sensor", by_hand=OUTBOUND),
    Step("duplicate_webhooks", webhooks.duplicates, ACCOUNT,
         "delete the extra one with manage_webhooks, or in PagerDuty (%s)" % TWICE[0], TWICE[1],
         SUBSCRIPTIONS),
    Step("other_sender", stackflow.other_sender, ROLE,
         "service_mapping pages for its groups already: switch the outbound webhook off in "
         "StackFlow (%s)" % TWICE[0], TWICE[1], OUTBOUND),
    Step("vendor_connector", None, (),
         "see that Admin -> Integration Hub -> PagerDuty is switched off in StackFlow",
         "StackFlow's own PagerDuty connector is not visible by API; beside this pack it pages and "
         "writes everything a second time"),
    Step("sns_subscriptions", None, (),
         "see in AWS that no topic of StackFlow's alerts has an HTTPS subscription to "
         "events.pagerduty.com",
         "no API shows SNS subscriptions that call PagerDuty; they page a second time"),
)
"""In the order of the report: what others need comes first."""


def check_connection(pack: Pack) -> Report:
    """Make every check that can be made.

    A check is skipped if it waits for one that did not pass, or cannot be made. A cause is reported
    once: other checks that meet it wait. It writes nothing but pings of the pack's subscriptions.
    """
    facts = Facts(pack)
    checks = [_row(CONFIG, None)]
    if pack.settings.warnings:
        checks[0]["cause"] = "\n".join(pack.settings.warnings)
    closed: Set[str] = set()
    reported: List[Tuple[PackError, str]] = []
    for step in STEPS:
        waits = [_waits_for(one) for one in step.needs if one in closed]
        found = waits[0] if waits else _look(step, facts, reported)
        if found is not None and getattr(found, "blocks", True):
            closed.add(step.name)
        checks.append(_row(step.name, found))
    return Report(checks)


def without_config(error: ConfigError) -> Report:
    """Report an unusable config, without which nothing else can be checked."""
    checks = [_row(CONFIG, error)]
    return Report(checks + [_row(step.name, _waits_for(CONFIG)) for step in STEPS], error)


def _row(name: str, found: Optional[PackError]) -> Dict[str, str]:
    """Describe one check by the error that ended it; None if it passed."""
    if found is None:
        return {"name": name, "status": "ok"}
    status = "skipped" if isinstance(found, Skipped) else FAILED
    return {"name": name, "status": status, "cause": found.message, "fix": found.hint}


def _waits_for(name: str) -> Skipped:
    """Skip a check that waits for another one."""
    return Skipped("waits for " + name, "see there", blocks=True)


def _look(step: Step, facts: Facts, reported: List[Tuple[PackError, str]]) -> Optional[PackError]:
    """Make a check; return the error that ended it, or None if it passed."""
    facts.left_out.clear()
    if step.look is None:
        return Skipped(step.cause, step.fix)
    try:
        problems = "; ".join(step.look(facts) or ())
    except PackError as error:
        return _ended(step, error, reported)
    if problems:
        return PackError(": ".join(filter(None, (step.cause, problems))), step.fix.format(facts))
    if facts.left_out:
        return Skipped("not checked: %s" % "; ".join(dict.fromkeys(facts.left_out)),
                       "fix the checks that are named there; compare the rest in PagerDuty")
    return None


def _ended(step: Step, error: PackError, reported: List[Tuple[PackError, str]]) -> PackError:
    """Return the error to report: a check that had the same error before comes first."""
    known = [_waits_for(name) for other, name in reported if other is error]
    if known:
        return known[0]
    status = getattr(error, "status", None)
    if step.by_hand and status in NOT_OFFERED:
        return Skipped("not offered: %s" % error.message, step.by_hand, blocks=True)
    reported.append((error, step.name))
    if isinstance(error, CredentialsError) or status in (401, 403):
        keys = "pagerduty.api_key or pagerduty.api_key_secret", "stackflow.auth"
    elif isinstance(error, ApiError):
        keys = ("pagerduty.api_url and pagerduty.region",
                "stackflow.instance_url and stackflow.api_path")
    else:
        return error
    return PackError(error.message, "look at %s in the config; %s" % (
        keys[step.name.startswith("stackflow")], error.hint))
