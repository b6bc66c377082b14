"""Checks of the PagerDuty account: the key, the services and keys of the mapping, who is on call.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

from ..errors import ApiError, CredentialsError, NotFoundError
from ..pagerduty.account import EVENTS_V2, Service
from ..pagerduty.events import check_routing_key
from ..report import (EVENTS_NOT_REACHING, UNAUTHORIZED, WRONG_GROUP, Finding, conclude, failed,
                      skipped)
from ..settings import ServiceMapping
from .facts import Facts, is_refused, status_of

NEEDED_ABILITIES = ("urgencies",)
"""An escalation sets the urgency of an incident; a call for it is answered 402 without this."""


def secret(facts: Facts) -> Optional[Finding]:
    """The REST key can be read from where it is kept."""
    facts.pagerduty_key()
    return None


def reachable(facts: Facts) -> Optional[Finding]:
    """PagerDuty answers, whatever it says."""
    try:
        facts.abilities()
    except ApiError as error:
        if status_of(error) not in (400, 401, 402, 403):
            raise
    except CredentialsError:
        pass  # whoever refuses the key has answered
    return None


def api_key(facts: Facts) -> Optional[Finding]:
    """The key is accepted."""
    try:
        facts.abilities()
    except (ApiError, CredentialsError) as error:
        if not is_refused(error):
            raise
        settings = facts.settings.pagerduty
        place = "; here that is the datastore key behind pagerduty.api_key" * bool(settings.api_key)
        return failed("401 on API calls: %s" % UNAUTHORIZED[0],
                      "%s%s; or correct pagerduty.region (now %s)" % (
                          UNAUTHORIZED[1], place, settings.region), error)
    return None


def account(facts: Facts) -> Optional[Finding]:
    """The key is of the account that pagerduty.subdomain names."""
    host, wanted = facts.account_host(), facts.settings.pagerduty.subdomain
    if host is None:
        return skipped("no service shows the address of the account", "compare pagerduty.subdomain "
                       "with the address of PagerDuty's pages", blocks=False)
    if host.split(".")[0] == wanted.lower():
        return None
    return failed("the key belongs to %s, pagerduty.subdomain is %s" % (host, wanted),
                  "use a key of the account %s, or correct pagerduty.subdomain" % wanted)


def plan(facts: Facts) -> Optional[Finding]:
    """The plan has the abilities that the pack uses."""
    found = facts.abilities()
    return conclude(["PagerDuty's plan lacks the ability %r" % one for one in NEEDED_ABILITIES
                     if one not in found],
                    ("", "change to PagerDuty's plan Professional or Enterprise"))


def from_email(facts: Facts) -> Optional[Finding]:
    """REST writes are made as a user whom PagerDuty knows."""
    wanted = facts.settings.pagerduty.from_email
    if facts.pack.rest.user_email(wanted):
        return None
    return failed("no user of PagerDuty has the e-mail %s" % wanted,
                  "set pagerduty.from_email to the e-mail of a PagerDuty user")


def services(facts: Facts) -> Optional[Finding]:
    """Every mapped service exists."""
    problems = []
    for name, entry in facts.entries():
        try:
            facts.service(entry.service_id)
        except NotFoundError:
            problems.append("%s: PagerDuty knows no service of this id" % name)
    return conclude(problems, WRONG_GROUP)


def _known(facts: Facts) -> Tuple[List[Tuple[str, ServiceMapping, Service]], List[str]]:
    """The entries whose service could be read, and those that wait for that."""
    known, left_out = [], []
    for name, entry in facts.entries():
        service = facts.found_service(entry.service_id)
        if service is None:
            left_out.append("%s, waits for pagerduty_services" % name)
        else:
            known.append((name, entry, service))
    return known, left_out


def service_names(facts: Facts) -> Optional[Finding]:
    """A mapped service has the name that the config gives it."""
    known, left_out = _known(facts)
    return conclude(["%s is %r in PagerDuty, %r in the config" % (name, service.name,
                                                                 entry.service_name)
                     for name, entry, service in known
                     if service.name.strip() != entry.service_name.strip()],
                    WRONG_GROUP, left_out)


def service_status(facts: Facts) -> Optional[Finding]:
    """A mapped service takes events and pages for them."""
    known, left_out = _known(facts)
    states = {"disabled": "disabled: it drops every event", "maintenance":
              "in maintenance: nobody is paged"}
    return conclude(["%s is %s" % (name, states[service.status]) for name, _, service in known
                     if service.status in states],
                    ("", "enable the service, or end its maintenance window, in PagerDuty"),
                    left_out)


def key_format(facts: Facts) -> Optional[Finding]:
    """Every integration key has the form of one."""
    problems = []
    for name, entry in facts.entries():
        keys = [("integration_key", entry.integration_key)]
        keys += [("previous_integration_keys[%d]" % at, key)
                 for at, key in enumerate(entry.previous_integration_keys)]
        for field, key in keys:
            problems.append(_malformed("%s.%s" % (name, field), key))
    return conclude(list(filter(None, problems)), EVENTS_NOT_REACHING)


def _malformed(where: str, key: str) -> str:
    """What is wrong with the form of an integration key; "" for nothing."""
    try:
        check_routing_key(key, where)
    except CredentialsError as error:
        return error.message
    return ""


def integration_keys(facts: Facts) -> Optional[Finding]:
    """Every key is of an Events API v2 integration of the service beside it."""
    known, left_out = _known(facts)
    owners = {integration.key: service.id for _, _, service in known
              for integration in service.integrations if integration.key}
    problems = []
    for name, entry, service in known:
        if _malformed(name, entry.integration_key):
            left_out.append("%s, waits for integration_key_format" % name)
            continue
        types = [one.type for one in service.integrations if one.key == entry.integration_key]
        if types and types[0] != EVENTS_V2:
            problems.append("%s: its key is of an integration of the type %s, not Events API v2" %
                            (name, types[0]))
        elif not types and entry.integration_key in owners:
            problems.append("%s: its key belongs to service %s" % (
                name, owners[entry.integration_key]))
        elif not types and service.integrations and not any(
                one.key for one in service.integrations):
            left_out.append("%s, PagerDuty shows no keys to compare with" % name)
        elif not types:
            problems.append("%s: its key is of no integration of this service" % name)
    return conclude(problems, EVENTS_NOT_REACHING, left_out)


def escalation_policies(facts: Facts) -> Optional[Finding]:
    """The policies of the mapped services, and those of escalation_mapping, exist."""
    known, left_out = _known(facts)
    problems = ["%s has no escalation policy" % name for name, _, service in known
                if not service.policy_id]
    for at, entry in enumerate(facts.settings.escalation_mapping):
        if not facts.policy_exists(entry.escalation_policy_id):
            problems.append("escalation_mapping[%d]: PagerDuty knows no escalation policy %s" % (
                at, entry.escalation_policy_id))
    return conclude(problems, ("", "take the id from the address of the policy's page in "
                               "PagerDuty, and give every service a policy"), left_out)


def on_call(facts: Facts) -> Optional[Finding]:
    """Each of these policies has somebody on call now."""
    known, left_out = _known(facts)
    users = {service.policy_id: name for name, _, service in known if service.policy_id}
    for at, entry in enumerate(facts.settings.escalation_mapping):
        place = "escalation_mapping[%d]" % at
        if facts.policy_exists(entry.escalation_policy_id):
            users.setdefault(entry.escalation_policy_id, place)
        else:
            left_out.append("%s, waits for escalation_policies" % place)
    served = {one.policy_id for one in facts.on_calls(sorted(users))}
    return conclude(["nobody is on call for the escalation policy %s of %s" % (policy, name)
                     for policy, name in sorted(users.items()) if policy not in served],
                    ("", "put somebody on call in PagerDuty, on a schedule or by name"), left_out)
