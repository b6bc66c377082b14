"""Checks of StackFlow: that it answers, what the account may do, and what the mapping names."""

from __future__ import annotations

import base64
from typing import Any, Iterator

from ..deliveries import loads
from ..errors import ApiError
from ..routing import nearest_groups
from .facts import STACKFLOW_PATH, Facts, Failed, Skipped, parts, same_url

ROLES = "super_admin or itsm_manager"
TOO_LITTLE = ("cloud_admin", "itsm_agent", "ai_engineer", "developer", "viewer")
"""Built-in roles that may not write every incident (admin/users.html)."""
ROLE_CLAIM = "custom:role"
"""Where the ID token holds the role (api/authentication.html)."""
GROUPS = "/groups"
OUTBOUND = "/webhooks/outbound"
COMPARE_GROUPS = "compare the groups of service_mapping with those in StackFlow"


def reachable(facts: Facts) -> None:
    """StackFlow answers `GET /health`, which needs no token (api/quickstart.html)."""
    facts.pack.stackflow.health()


def token(facts: Facts) -> None:
    """The configured credentials give a token."""
    facts.stackflow_token()


def sign_in(facts: Facts) -> None:
    """StackFlow accepts the token; another check is about what it may do."""
    try:
        facts.some_incidents()
    except ApiError as error:
        if error.status != 403:
            raise


def role(facts: Facts) -> None:
    """The role is the guide's: StackFlow forbids nothing that the pack reads."""
    fix = ("sign in under stackflow.auth with an account of the role %s, or give it this role in "
           "StackFlow" % ROLES)
    claimed = _claimed_role(facts.stackflow_token())
    if claimed in TOO_LITTLE:
        raise Failed("the role %s does not suffice" % claimed, fix)
    refusals = []
    for read in (facts.some_incidents, lambda: facts.rows(GROUPS), lambda: facts.rows(OUTBOUND)):
        try:
            read()
        except ApiError as error:
            if error.status == 403:
                refusals.append(error)
    if refusals:
        raise Failed("the role does not suffice: %s" % "; ".join(one.message for one in refusals),
                     "%s (%s)" % (fix, refusals[0].hint), *refusals)


def _claimed_role(token: str) -> Any:
    """Read the role of a JWT, without its signature; None if it is no JWT."""
    try:
        claims = token.split(".")[1]
        return loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))[ROLE_CLAIM]
    except (LookupError, TypeError, ValueError):
        return None


def groups(facts: Facts) -> Iterator[str]:
    """Every mapped assignment group exists, under exactly this name."""
    rows = facts.rows(GROUPS)
    known = [row["name"] for row in rows if isinstance(row.get("name"), str)]
    if rows and not known:
        raise Skipped("StackFlow's list of groups shows no names", COMPARE_GROUPS)
    for name, entry in facts.entries():
        if entry.assignment_group not in known:
            near = ", ".join(map(repr, nearest_groups(entry.assignment_group, known)))
            yield "%s: StackFlow has no assignment group %r%s" % (
                name, entry.assignment_group, near and "; nearest: " + near)


def outbound_webhook(facts: Facts) -> None:
    """StackFlow sends its events to the listener, unless the pack polls it."""
    wanted = facts.listener_url(STACKFLOW_PATH)
    if wanted is None:
        raise Skipped("webhook_listener.public_url is not set", "set webhook_listener.public_url; "
                      "see StackFlow's Admin -> Integrations -> Outbound Webhooks")
    if any(same_url(str(row.get("url") or ""), wanted) for row in facts.rows(OUTBOUND)):
        if not facts.settings.stackflow.webhook_secrets:
            raise Failed("stackflow.webhook_secrets is empty, so every delivery is answered 503",
                         "put into stackflow.webhook_secrets the secret of StackFlow's outbound "
                         "webhook, and restart the sensor")
        return
    facts.fail_unless_polled(
        "no outbound webhook of StackFlow calls %s" % wanted, "StackFlowPollingSensor",
        "correct webhook_listener.public_url; or add a webhook in StackFlow under Admin -> "
        "Integrations -> Outbound Webhooks, with its secret in stackflow.webhook_secrets")


def other_sender(facts: Facts) -> Iterator[str]:
    """No outbound webhook of StackFlow pages by itself."""
    events = parts(facts.settings.pagerduty.events_url).hostname
    own = facts.listener_url(STACKFLOW_PATH)
    for row in facts.rows(OUTBOUND):
        url = str(row.get("url") or "")
        host = parts(url).hostname or ""
        if own is not None and same_url(url, own):
            continue  # on one machine with PagerDuty's proxy, it may have the same host
        if host == events or host.endswith(".pagerduty.com"):
            yield "StackFlow's outbound webhook %r (%s) sends to %s: every incident pages twice" % (
                row.get("name"), row.get("id"), host)
