"""Checks of PagerDuty's webhooks: there, switched on, complete, signed with a known secret, and
not doubled.
"""

from __future__ import annotations

from itertools import combinations
from typing import List, Optional, Set, Tuple

from ..errors import PackError
from ..pagerduty.account import Service
from ..pagerduty.subscriptions import ACCOUNT, SERVICE, Subscription
from ..report import DUPLICATE_INCIDENTS, Finding, conclude, failed, skipped
from ..settings import Settings
from .facts import PAGERDUTY_PATH, Facts, is_live, parts, same_url, status_of

STATE_EVENTS = ("incident.acknowledged", "incident.reopened", "incident.resolved",
                "incident.service_updated")
VENDOR = "stackflow-tech.com"


def needed_events(settings: Settings) -> Set[str]:
    """The event types that the shipped rules, and the sensor's links, need with these settings."""
    found = {"incident.triggered"}
    if settings.bidirectional_sync:
        found.update(STATE_EVENTS)
    if settings.sync_notes:
        found.add("incident.annotated")
    return found


def covers(subscription: Subscription, service: Service) -> Optional[bool]:
    """Whether a subscription tells of a service's incidents; None where it does for a team that
    may be the service's.
    """
    if subscription.scope == SERVICE:
        return subscription.service_id == service.id
    return True if subscription.scope == ACCOUNT else None


def subscription(facts: Facts) -> Optional[Finding]:
    """A subscription calls the listener."""
    wanted, own = facts.listener_url(PAGERDUTY_PATH), facts.own_subscriptions()
    if wanted is None:
        return skipped("webhook_listener.public_url is not set; %d subscriptions call a path %s" %
                       (len(own), PAGERDUTY_PATH),
                       "set webhook_listener.public_url, unless PagerDuty is polled",
                       blocks=not own)
    if own:
        return None
    near = [parts(one.url).hostname or "" for one in facts.subscriptions()
            if parts(one.url).path == PAGERDUTY_PATH]
    also = "; there are such subscriptions at %s" % ", ".join(near) if near else ""
    if "PagerDutyPollingSensor" in facts.pack.links.polled_by():
        return skipped("no webhook subscription of PagerDuty calls %s; PagerDutyPollingSensor "
                       "polls" % wanted, "make sure that the sensor is enabled")
    return failed("no webhook subscription of PagerDuty calls %s%s" % (wanted, also),
                  "create one with manage_webhooks, or correct webhook_listener.public_url")


def _mapped(facts: Facts) -> Tuple[List[Service], List[str]]:
    """The mapped services, each once, and those that wait to be readable."""
    ids = list(dict.fromkeys(entry.service_id for _, entry in facts.entries()))
    found = {one: facts.found_service(one) for one in ids}
    return ([service for service in found.values() if service],
            ["%s, waits for pagerduty_services" % one for one in ids if not found[one]])


def active(facts: Facts) -> Optional[Finding]:
    """What tells of a mapped service is switched on."""
    own = facts.own_subscriptions()
    problems = []
    for one in own:
        silent = [service.id for service in _mapped(facts)[0] if covers(one, service) and
                  not any(is_live(other) and covers(other, service) for other in own)]
        if silent:  # so this one is not live
            problems.append("the webhook subscription %s is %s, so nothing is heard of %s" % (
                one.id, "temporarily disabled, as its deliveries were refused" if one.active else
                "not active", ", ".join(silent)))
    return conclude(problems, ("", "enable it with manage_webhooks; a refusal is counted in the "
                               "listener's /healthz"))


def coverage(facts: Facts) -> Optional[Finding]:
    """Some subscription tells of each mapped service."""
    services, left_out = _mapped(facts)
    problems = []
    for service in services:
        covered = [covers(one, service) for one in facts.own_subscriptions()]
        if None in covered and True not in covered:
            left_out.append("%s, which may be of the team of a subscription" % service.id)
        elif True not in covered:
            problems.append("no webhook subscription covers the service %s" % service.id)
    return conclude(problems, ("", "create one for the service with manage_webhooks"), left_out)


def events(facts: Facts) -> Optional[Finding]:
    """The subscriptions of a service have every event type that the rules need."""
    services, left_out = _mapped(facts)
    problems = []
    for service in services:
        covering = [one for one in facts.own_subscriptions() if covers(one, service)]
        heard = {event for one in covering for event in one.events}
        missing = sorted(needed_events(facts.settings) - heard)
        if not covering:
            left_out.append("%s, waits for webhook_coverage" % service.id)
        elif missing:
            problems.append("the subscriptions of %s (%s) lack %s" % (
                service.id, ", ".join(one.id for one in covering), ", ".join(missing)))
    return conclude(problems, ("", "add the event types to the subscription in PagerDuty, or "
                               "create it anew with manage_webhooks"), left_out)


def write_right(facts: Facts) -> Optional[Finding]:
    """The key may write. Only a write proves it, and a ping is the one that changes nothing."""
    unproved = skipped("only a write proves it, and there is no webhook subscription to ping",
                       "the first acknowledge or resolve by REST will show; the key has to be "
                       "Read/Write", blocks=False)
    try:
        return None if facts.pings() else unproved
    except PackError as error:  # what it is, the check of the webhook's secret says
        if status_of(error) != 403:
            return unproved
        return failed("the key may only read: %s" % error.message,
                      "generate a Read/Write API key in PagerDuty, and store it in its place",
                      error)


def secret(facts: Facts) -> Optional[Finding]:
    """A ping comes to the sensor, signed with a secret that it knows."""
    pings = facts.pings()
    live = [one.id for one in facts.own_subscriptions() if is_live(one)]
    if not live:
        return skipped("waits for webhook_active", "see there")
    lost = [one for one, received in pings.items() if not received]
    return conclude(["the ping of the subscription %s did not come to the sensor with a signature "
                     "that it knows" % one for one in lost],
                    ("", "put the secret, shown when the subscription was created, into "
                     "pagerduty.webhook_secrets and restart the sensor; if it is there, see that "
                     "WebhookSensor runs and is reached (/healthz counts refusals by reason)"),
                    ["%s, the time for pings is used up" % one for one in live
                     if one not in pings])


def duplicates(facts: Facts) -> Optional[Finding]:
    """No event of a mapped service comes twice, and nobody else acts on it."""
    services, left_out = _mapped(facts)
    own = [one for one in facts.own_subscriptions() if is_live(one)]
    problems = []
    for left, right in combinations(own, 2):
        both = [one.id for one in services if covers(left, one) and covers(right, one)]
        if both and set(left.events) & set(right.events):
            problems.append("the webhook subscriptions %s and %s both tell of %s" % (
                left.id, right.id, ", ".join(both)))
    for one in facts.subscriptions():
        if one not in own and is_live(one) and _acts(facts, one.url):
            problems += ["the webhook subscription %s tells StackFlow itself of %s" % (
                one.id, service.id) for service in services if covers(one, service)]
    mapped = {service.id for service in services}
    for extension in facts.extensions():
        at = sorted(mapped.intersection(extension.service_ids))
        if at and _acts(facts, extension.url):
            problems.append("the legacy V2 webhook extension %s on %s delivers every event once "
                            "more" % (extension.id, ", ".join(at)))
    return conclude(problems, (DUPLICATE_INCIDENTS[0], "delete what is too many, in PagerDuty or "
                               "with manage_webhooks (%s)" % DUPLICATE_INCIDENTS[1]),
                    left_out)


def _acts(facts: Facts, url: str) -> bool:
    """Whether a URL leads to StackFlow itself, or to this pack's listener."""
    host, own = parts(url).hostname or "", facts.listener_url(PAGERDUTY_PATH)
    return (host in (facts.settings.stackflow.host, VENDOR) or host.endswith("." + VENDOR) or
            own is not None and same_url(url, own))
