"""What is wrong with the set-up: every prerequisite, and every row of the guide's troubleshooting
table, as a named check.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, Set, Tuple

from .checks import pagerduty, stackflow, webhooks
from .checks.facts import Facts
from .errors import ConfigError, PackError
from .pack import Pack
from .report import FAILED, OK, SKIPPED, Check, Finding, Report, failed

CONFIG = "config"


class Step(NamedTuple):
    """A check and those that have to be in order before it can be made."""

    name: str
    look: Callable[[Facts], Optional[Finding]]
    needs: Tuple[str, ...] = ()


ACCOUNT = ("pagerduty_account",)
SIGNED_IN = ("stackflow_sign_in",)
SUBSCRIBED = ("webhook_subscription",)
STEPS = (
    Step("pagerduty_secret", pagerduty.secret),
    Step("pagerduty_reachable", pagerduty.reachable, ("pagerduty_secret",)),
    Step("pagerduty_api_key", pagerduty.api_key, ("pagerduty_reachable",)),
    Step("pagerduty_account", pagerduty.account, ("pagerduty_api_key",)),
    Step("pagerduty_plan", pagerduty.plan, ACCOUNT),
    Step("pagerduty_from_email", pagerduty.from_email, ACCOUNT),
    Step("pagerduty_services", pagerduty.services, ACCOUNT),
    Step("pagerduty_service_names", pagerduty.service_names, ACCOUNT),
    Step("pagerduty_service_status", pagerduty.service_status, ACCOUNT),
    Step("integration_key_format", pagerduty.key_format),
    Step("integration_keys", pagerduty.integration_keys, ACCOUNT),
    Step("escalation_policies", pagerduty.escalation_policies, ACCOUNT),
    Step("on_call", pagerduty.on_call, ACCOUNT),
    Step("stackflow_reachable", stackflow.reachable),
    Step("stackflow_token", stackflow.token),
    Step("stackflow_sign_in", stackflow.sign_in, ("stackflow_reachable", "stackflow_token")),
    Step("stackflow_role", stackflow.role, SIGNED_IN),
    Step("stackflow_groups", stackflow.groups, SIGNED_IN),
    Step("webhook_subscription", webhooks.subscription, ACCOUNT),
    Step("webhook_active", webhooks.active, SUBSCRIBED),
    Step("webhook_coverage", webhooks.coverage, SUBSCRIBED),
    Step("webhook_events", webhooks.events, SUBSCRIBED),
    Step("pagerduty_write_right", webhooks.write_right, ACCOUNT),
    Step("webhook_secret", webhooks.secret, SUBSCRIBED),
    Step("stackflow_webhook", stackflow.outbound_webhook, SIGNED_IN),
    Step("duplicate_webhooks", webhooks.duplicates, ACCOUNT),
    Step("other_sender", stackflow.other_sender, SIGNED_IN),
    Step("vendor_connector", stackflow.vendor_connector),
    Step("sns_subscriptions", stackflow.sns_subscriptions),
)
"""In the order of the report: what others need comes first."""


def check_connection(pack: Pack) -> Report:
    """Make every check that can be made.

    A check is skipped where it waits for one that is not in order, or where no API shows what it
    would have to look at. One failure is reported once: what fails for the same cause waits.
    Writes nothing but a `pagey.ping` to the pack's own webhook subscriptions.
    """
    facts = Facts(pack)
    checks = [Check(CONFIG, OK)]
    closed: Set[str] = set()
    reported: List[Tuple[PackError, str]] = []
    for step in STEPS:
        waiting = _waits([one for one in step.needs if one in closed])
        finding = waiting or _look(step, facts, reported)
        if finding is None:
            checks.append(Check(step.name, OK))
            continue
        if finding.blocks:
            closed.add(step.name)
        reported += [(error, step.name) for error in finding.errors]
        checks.append(Check(step.name, finding.status, finding.cause, finding.fix))
    return Report(tuple(checks))


def without_config(error: ConfigError) -> Report:
    """The report where the config is unusable, so that nothing else can be checked."""
    waiting = _waits([CONFIG])
    assert waiting is not None
    checks = [Check(CONFIG, FAILED, error.message, error.hint)]
    checks += [Check(step.name, SKIPPED, waiting.cause, waiting.fix) for step in STEPS]
    return Report(tuple(checks), error)


def _look(step: Step, facts: Facts,
          reported: List[Tuple[PackError, str]]) -> Optional[Finding]:
    try:
        return step.look(facts)
    except PackError as error:
        known = [name for other, name in reported if other is error]
        return _waits(known[:1]) or failed(error.message, error.hint, error)


def _waits(names: List[str]) -> Optional[Finding]:
    """The finding of a check that waits for others; None where it waits for none."""
    if not names:
        return None
    return Finding(SKIPPED, "waits for " + " and ".join(names), "see there")
