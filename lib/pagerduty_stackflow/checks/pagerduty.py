"""Checks of the PagerDuty account: the key, the mapped services and keys, and who is on call."""

from __future__ import annotations

from typing import Iterator

from ..errors import ApiError, CredentialsError, NotFoundError
from ..pagerduty.account import EVENTS_V2
from ..pagerduty.events import ROUTING_KEY, check_routing_key
from .facts import Facts, Skipped

URGENCIES = "urgencies"
"""An escalation sets the urgency of an incident; PagerDuty answers 402 without this ability."""
SILENT = {"disabled": "disabled: it drops every event",
          "maintenance": "in maintenance: nobody is paged"}


def secret(facts: Facts) -> None:
    """The REST key can be read from its place, not from a cache."""
    facts.pack.secrets.api_key(not facts.settings.pagerduty.api_key)


def reachable(facts: Facts) -> None:
    """PagerDuty answers, whatever the answer is."""
    try:
        facts.read(facts.pack.account.abilities)
    except CredentialsError:
        pass  # a refusal is an answer
    except ApiError as error:
        if error.status not in (400, 402, 403):
            raise


def api_key(facts: Facts) -> Iterator[str]:
    """PagerDuty accepts the key."""
    try:
        facts.read(facts.pack.account.abilities)
    except CredentialsError:
        yield "API key expired or revoked"


def account(facts: Facts) -> Iterator[str]:
    """The key belongs to the account that pagerduty.subdomain names."""
    host, wanted = facts.pack.account.host(), facts.settings.pagerduty.subdomain
    if host is None:
        raise Skipped("no service shows the address of the account",
                      "compare pagerduty.subdomain with the address of PagerDuty's pages")
    if host.split(".")[0] != wanted.lower():
        yield "the key belongs to %s, pagerduty.subdomain is %s" % (host, wanted)


def plan(facts: Facts) -> Iterator[str]:
    """The plan has the ability that an escalation needs."""
    if URGENCIES not in facts.read(facts.pack.account.abilities):
        yield "PagerDuty's plan lacks the ability %r, which an escalation needs" % URGENCIES


def from_email(facts: Facts) -> Iterator[str]:
    """PagerDuty knows the user who makes the REST writes."""
    wanted = facts.settings.pagerduty.from_email
    if not facts.pack.rest.user_email(wanted):
        yield "no user of PagerDuty has the e-mail %s" % wanted


def services(facts: Facts) -> Iterator[str]:
    """Every mapped service exists."""
    for name, entry in facts.entries():
        try:
            facts.read(facts.pack.account.service, entry.service_id)
        except NotFoundError:
            yield "%s: PagerDuty has no service with this id" % name


def service_names(facts: Facts) -> Iterator[str]:
    """Each mapped service has the name that the config gives it."""
    for name, entry, service in facts.known():
        if service.name.strip() != entry.service_name.strip():
            yield "%s is %r in PagerDuty, %r in the config" % (name, service.name,
                                                               entry.service_name)


def service_status(facts: Facts) -> Iterator[str]:
    """Each mapped service accepts events and pages for them."""
    for name, _, service in facts.known():
        if service.status in SILENT:
            yield "%s is %s" % (name, SILENT[service.status])


def key_format(facts: Facts) -> Iterator[str]:
    """Every integration key has the form of one."""
    for name, entry in facts.entries():
        keys = {"integration_key": entry.integration_key}
        keys.update(("previous_integration_keys[%d]" % at, key)
                    for at, key in enumerate(entry.previous_integration_keys))
        for place, key in keys.items():
            try:
                check_routing_key(key, "%s.%s" % (name, place))
            except CredentialsError as error:
                yield error.message


def integration_keys(facts: Facts) -> Iterator[str]:
    """Every key belongs to an Events API v2 integration of the service beside it."""
    known = facts.known()
    owners = {key: service.id for _, _, service in known for _, key in service.integrations if key}
    for name, entry, service in known:
        own = {key: kind for kind, key in service.integrations if key}
        kind, owner = own.get(entry.integration_key), owners.get(entry.integration_key)
        if not ROUTING_KEY.fullmatch(entry.integration_key):
            facts.left_out.append("%s, waits for integration_key_format" % name)
        elif kind is not None and kind != EVENTS_V2:
            yield "%s: its key is of an integration of the type %s, not Events API v2" % (
                name, kind)
        elif owner not in (None, service.id):
            yield "%s: its key belongs to service %s" % (name, owner)
        elif owner is None and service.integrations and not own:
            facts.left_out.append("%s, PagerDuty shows no keys to compare with" % name)
        elif owner is None:
            yield "%s: its key belongs to no integration of this service" % name


def escalation_policies(facts: Facts) -> Iterator[str]:
    """The escalation policies of mapped services, and those of escalation_mapping, exist."""
    for name, _, service in facts.known():
        if not service.policy_id:
            yield "%s has no escalation policy" % name
    for place, policy_id, exists in facts.escalations():
        if not exists:
            yield "%s: PagerDuty has no escalation policy %s" % (place, policy_id)


def on_call(facts: Facts) -> Iterator[str]:
    """Each of these policies has somebody on call now."""
    users = {service.policy_id: name for name, _, service in facts.known() if service.policy_id}
    for place, policy_id, exists in facts.escalations():
        if exists:
            users.setdefault(policy_id, place)
        else:
            facts.left_out.append("%s, waits for escalation_policies" % place)
    served = {one.policy_id for one in facts.pack.account.on_calls(sorted(users))}
    for policy_id, name in sorted(users.items()):
        if policy_id not in served:
            yield "nobody is on call for the escalation policy %s of %s" % (policy_id, name)
