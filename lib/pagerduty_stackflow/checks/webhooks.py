"""Checks of PagerDuty's webhooks: present, enabled, complete, signed, and each event once."""

from __future__ import annotations

from itertools import combinations
from typing import Iterator, Mapping, Set

from ..errors import ApiError, PackError
from ..events import EVENTS
from ..fields import PAGERDUTY
from ..settings import Settings
from .facts import PAGERDUTY_PATH, Facts, Skipped, parts, same_url

VENDOR = "stackflow-tech.com"
READ_WRITE = "make sure that the key is Read/Write; the first write by REST proves it"


def needed_events(settings: Settings) -> Set[str]:
    """Return the event types that the shipped rules, and the sensor's links, need."""
    return {kind.name for kind in EVENTS if kind.side == PAGERDUTY and kind.is_needed(settings)}


def subscription(facts: Facts) -> Iterator[str]:
    """A subscription calls the listener."""
    wanted, own = facts.listener_url(PAGERDUTY_PATH), facts.own_subscriptions()
    if wanted is None:
        raise Skipped("webhook_listener.public_url is not set; %d subscriptions call a path %s" %
                      (len(own), PAGERDUTY_PATH),
                      "set webhook_listener.public_url, unless the pack polls PagerDuty",
                      blocks=not own)
    if not own:
        near = [parts(one.url).hostname or "" for one in facts.subscriptions()
                if parts(one.url).path == PAGERDUTY_PATH]
        yield facts.unless_polled(
            "no webhook subscription of PagerDuty calls %s%s" % (wanted, near and (
                "; there are such subscriptions at %s" % ", ".join(near)) or ""),
            "PagerDutyPollingSensor")


def active(facts: Facts) -> Iterator[str]:
    """Each mapped service with a subscription has one that delivers."""
    for service, covering in facts.covering():
        if covering and not any(one.is_live for one in covering):
            yield "no event of %s arrives, as %s" % (service, " and ".join(
                "the webhook subscription %s is %s" % (
                    one.id, "temporarily disabled, as its deliveries were refused"
                    if one.active else "not active") for one in covering))


def coverage(facts: Facts) -> Iterator[str]:
    """A subscription covers each mapped service."""
    of_a_team = any(one.covers("") is None for one in facts.own_subscriptions())
    for service, covering in facts.covering():
        if not covering and of_a_team:
            facts.left_out.append("%s, which may be of the team of a subscription" % service)
        elif not covering:
            yield "no webhook subscription covers the service %s" % service


def events(facts: Facts) -> Iterator[str]:
    """The subscriptions of each service have every event type that the rules need."""
    for service, covering in facts.covering():
        missing = needed_events(facts.settings).difference(*(one.events for one in covering))
        if not covering:
            facts.left_out.append("%s, waits for webhook_coverage" % service)
        elif missing:
            yield "the subscriptions of %s (%s) lack %s" % (
                service, ", ".join(one.id for one in covering), ", ".join(sorted(missing)))


def write_right(facts: Facts) -> Iterator[str]:
    """The key may write. Only a write proves it, and a ping is the write that changes nothing."""
    facts.subscriptions()  # a refusal of the list proves nothing
    pings: Mapping[str, bool] = {}
    try:
        pings = facts.pings()
    except PackError as error:  # the check of the webhook's secret reports any other error
        if getattr(error, "status", None) == 403:
            yield error.message
            return
    if not pings:
        raise Skipped("only a write proves it, and there is no webhook subscription to ping",
                      READ_WRITE)


def secret(facts: Facts) -> Iterator[str]:
    """A ping comes to the sensor, signed with a secret that it knows."""
    pings, live = facts.pings(), [one.id for one in facts.live_subscriptions()]
    if not live:
        raise Skipped("waits for webhook_active", "see there")
    for one in live:
        if one not in pings:
            facts.left_out.append("%s, the time for pings is used up" % one)
        elif not pings[one]:
            yield ("the ping of the subscription %s did not come to the sensor with a signature "
                   "that it knows" % one)


def duplicates(facts: Facts) -> Iterator[str]:
    """No event of a mapped service comes twice, and nobody else acts on it."""
    services, own = facts.services(), facts.live_subscriptions()
    for left, right in combinations(own, 2):
        both = [one for one in services if left.covers(one) and right.covers(one)]
        if both and set(left.events) & set(right.events):
            yield "the webhook subscriptions %s and %s both report events of %s" % (
                left.id, right.id, ", ".join(both))
    for one in facts.subscriptions():
        covered = [service for service in services if one.covers(service)]
        if covered and one not in own and one.is_live and _acts(facts, one.url):
            yield "the webhook subscription %s reports events of %s to StackFlow itself" % (
                one.id, ", ".join(covered))
    try:
        extensions = facts.pack.account.extensions()
    except ApiError as error:
        extensions = []
        facts.left_out.append("legacy V2 webhook extensions: %s" % error.message)
    for extension_id, url, service_ids in extensions:
        at = sorted(service_ids.intersection(services))
        if at and _acts(facts, url):
            yield "the legacy V2 webhook extension %s on %s delivers every event once more" % (
                extension_id, ", ".join(at))


def _acts(facts: Facts, url: str) -> bool:
    """Return whether a URL leads to StackFlow itself, or to this pack's listener."""
    host, own = parts(url).hostname or "", facts.listener_url(PAGERDUTY_PATH)
    return (host in (facts.settings.stackflow.host, VENDOR) or host.endswith("." + VENDOR) or
            own is not None and same_url(url, own))
