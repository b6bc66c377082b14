"""Checks of StackFlow: whether it answers, who we are there, and what the mapping names."""

from __future__ import annotations

import base64
import binascii
from typing import List, Optional

from ..bounded_json import loads
from ..errors import ApiError, NotFoundError
from ..report import DUPLICATE_INCIDENTS, WRONG_GROUP, Finding, conclude, failed, skipped
from ..routing import nearest_groups
from .facts import STACKFLOW_PATH, Facts, parts, same_url, status_of

ROLES = "super_admin or itsm_manager"
TOO_LITTLE = ("cloud_admin", "itsm_agent", "ai_engineer", "developer", "viewer")
"""Built-in roles that may not write every incident (admin/users.html)."""
ROLE_CLAIM = "custom:role"
"""Where the ID token holds the role (api/authentication.html)."""
LOOK_AT_WEBHOOKS = "look at StackFlow's Admin -> Integrations -> Outbound Webhooks"


def reachable(facts: Facts) -> Optional[Finding]:
    """`GET /health`, which needs no token (api/quickstart.html)."""
    facts.pack.stackflow.health()
    return None


def token(facts: Facts) -> Optional[Finding]:
    """A token can be got with the configured credentials."""
    facts.stackflow_token()
    return None


def sign_in(facts: Facts) -> Optional[Finding]:
    """The token is accepted; what it may do is another check."""
    try:
        facts.some_incidents()
    except ApiError as error:
        if status_of(error) != 403:
            raise
    return None


def role(facts: Facts) -> Optional[Finding]:
    """The role is that of the guide: nothing that the pack reads is forbidden."""
    fix = "give the account the role %s in StackFlow" % ROLES
    claimed = _claimed_role(facts.stackflow_token())
    if claimed in TOO_LITTLE:
        return failed("the role %s does not suffice" % claimed, fix)
    refusals = []
    for read in (facts.some_incidents, facts.groups, facts.outbound_webhooks):
        try:
            read()
        except ApiError as error:
            if status_of(error) == 403:
                refusals.append(error)
    if not refusals:
        return None
    return failed("the role does not suffice: %s" % "; ".join(one.message for one in refusals),
                  "%s (%s)" % (fix, refusals[0].hint), *refusals)


def _claimed_role(token: str) -> Optional[str]:
    """The role in a JWT; None where the token is none or holds none. Its signature is not ours to
    check.
    """
    pieces = token.split(".")
    if len(pieces) != 3:
        return None
    try:
        text = base64.urlsafe_b64decode(pieces[1] + "=" * (-len(pieces[1]) % 4))
        found = loads(text).get(ROLE_CLAIM)
    except (binascii.Error, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def groups(facts: Facts) -> Optional[Finding]:
    """Every mapped assignment group exists, under exactly this name."""
    rows = facts.groups()
    known = [row["name"] for row in rows if isinstance(row.get("name"), str)]
    if rows and not known:
        return skipped("StackFlow's list of groups shows no names", "compare the groups of "
                       "service_mapping with those in StackFlow")
    return conclude(["%s: StackFlow has no assignment group %r%s" % (
        name, entry.assignment_group, _nearest(entry.assignment_group, known))
        for name, entry in facts.entries() if entry.assignment_group not in known], WRONG_GROUP)


def _nearest(group: str, known: List[str]) -> str:
    near = nearest_groups(group, known)
    return "; nearest: %s" % ", ".join(map(repr, near)) if near else ""


def outbound_webhook(facts: Facts) -> Optional[Finding]:
    """StackFlow tells the listener of its events, unless it is polled."""
    wanted = facts.listener_url(STACKFLOW_PATH)
    if wanted is None:
        return skipped("webhook_listener.public_url is not set", LOOK_AT_WEBHOOKS)
    try:
        urls = [str(row.get("url") or "") for row in facts.outbound_webhooks()]
    except NotFoundError:
        return skipped("this StackFlow does not list its webhooks", LOOK_AT_WEBHOOKS)
    called = any(same_url(url, wanted) for url in urls)
    if called and facts.settings.stackflow.webhook_secrets:
        return None
    if called:
        return failed("stackflow.webhook_secrets is empty, so every delivery is answered 503",
                      "put the secret of StackFlow's outbound webhook there and restart the sensor")
    if "StackFlowPollingSensor" in facts.pack.links.polled_by():
        return skipped("no outbound webhook of StackFlow calls %s; StackFlowPollingSensor polls" %
                       wanted, "make sure that the sensor is enabled")
    return failed("no outbound webhook of StackFlow calls %s" % wanted,
                  "add one under Admin -> Integrations -> Outbound Webhooks, with its secret in "
                  "stackflow.webhook_secrets, or correct webhook_listener.public_url")


def other_sender(facts: Facts) -> Optional[Finding]:
    """No outbound webhook of StackFlow pages by itself."""
    try:
        rows = facts.outbound_webhooks()
    except NotFoundError:
        return skipped("this StackFlow does not list its webhooks", LOOK_AT_WEBHOOKS)
    events = parts(facts.settings.pagerduty.events_url).hostname
    own = facts.listener_url(STACKFLOW_PATH)
    problems = []
    for row in rows:
        url = str(row.get("url") or "")
        host = parts(url).hostname or ""
        if own is not None and same_url(url, own):
            continue  # on one machine with PagerDuty's proxy, it may have the same host
        if host == events or host.endswith(".pagerduty.com"):
            problems.append("StackFlow's outbound webhook %r (%s) sends to %s: every incident "
                            "pages twice" % (row.get("name"), row.get("id"), host))
    return conclude(problems, (DUPLICATE_INCIDENTS[0], "switch the outbound webhook off in "
                               "StackFlow (%s)" % DUPLICATE_INCIDENTS[1]))


def vendor_connector(facts: Facts) -> Finding:
    """No API shows it."""
    return skipped("StackFlow's own PagerDuty connector is not visible by API; beside this pack it "
                   "pages and writes everything a second time",
                   "see that Admin -> Integration Hub -> PagerDuty is switched off in StackFlow")


def sns_subscriptions(facts: Facts) -> Finding:
    """No API of the two systems shows them."""
    return skipped("SNS subscriptions that call PagerDuty are not visible by API; they page a "
                   "second time",
                   "see in AWS that no topic of StackFlow's alerts has an HTTPS subscription to "
                   "events.pagerduty.com")
