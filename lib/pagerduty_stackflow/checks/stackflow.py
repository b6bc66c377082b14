"""Checks of StackFlow: that it answers, what the account may do, and what the mapping names."""

from __future__ import annotations

import base64
from typing import Iterator

from ..deliveries import loads
from ..errors import ApiError
from ..routing import nearest_groups
from .facts import STACKFLOW_PATH, Facts, Skipped, parts, same_url

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


def role(facts: Facts) -> Iterator[str]:
    """The role is the guide's: StackFlow forbids nothing that the pack reads."""
    try:  # where the token is a JWT, its claims tell
        claims = facts.stackflow_token().split(".")[1]
        claimed = loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))[ROLE_CLAIM]
    except (LookupError, TypeError, ValueError):
        claimed = None
    if claimed in TOO_LITTLE:
        yield "it is %s" % claimed
        return
    for read in (facts.some_incidents, lambda: facts.rows(GROUPS), lambda: facts.rows(OUTBOUND)):
        try:
            read()
        except ApiError as error:
            if error.status == 403:
                yield error.message


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


def outbound_webhook(facts: Facts) -> Iterator[str]:
    """StackFlow sends its events to the listener, unless the pack polls it."""
    wanted = facts.listener_url(STACKFLOW_PATH)
    if wanted is None:
        raise Skipped("webhook_listener.public_url is not set", "set webhook_listener.public_url; "
                      "see StackFlow's Admin -> Integrations -> Outbound Webhooks")
    if not any(same_url(str(row.get("url") or ""), wanted) for row in facts.rows(OUTBOUND)):
        yield facts.unless_polled("no outbound webhook of StackFlow calls %s" % wanted,
                                  "StackFlowPollingSensor")
    elif not facts.settings.stackflow.webhook_secrets:
        yield "stackflow.webhook_secrets is empty, so every delivery is answered 503"


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
