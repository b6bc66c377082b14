"""What surrounds incidents in a PagerDuty account: services, policies, on-calls, webhooks.

PagerDuty REST API (https://developer.pagerduty.com/api-reference): Services, Escalation Policies,
On-Calls, Abilities, Extensions, Webhooks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple
from urllib.parse import quote, urlsplit

from ..deliveries import as_object, text
from .rest import RestClient, batches, no_answer, objects

EVENTS_V2 = "events_api_v2_inbound_integration"
"""Type of the integrations whose key is a routing key of the Events API v2."""
SILENT = ("disabled", "maintenance")
"""Statuses of a service that opens no incidents (REST API, Service, `status`)."""
ACCOUNT = "account"
SERVICE = "service"
SUBSCRIPTIONS = "/webhook_subscriptions"
LIMIT_REACHED = 2019
"""Error code for the eleventh subscription of one service, team or account (REST API, Errors)."""


@dataclass(frozen=True)
class Service:
    """A service; ``integrations`` are pairs of a type and a key, None if PagerDuty hides it."""

    id: str
    name: str
    status: str
    policy_id: Optional[str]
    policy_name: Optional[str]
    integrations: Tuple[Tuple[str, Optional[str]], ...] = field(repr=False)


class OnCall(NamedTuple):
    """A person on call now at a level, from 1, of a policy; ``until`` is None without an end."""

    policy_id: str
    level: int
    user_id: str
    name: str
    html_url: Optional[str]
    schedule: Optional[str]
    until: Optional[str]


@dataclass(frozen=True)
class Subscription:
    """A webhook subscription; ``scope`` is `account`, `service` or `team`.

    ``temporarily_disabled``: PagerDuty switched it off for 24 hours after three refused deliveries.
    """

    id: str
    url: str = field(repr=False)
    events: Tuple[str, ...]
    scope: str
    service_id: Optional[str]
    active: bool
    temporarily_disabled: bool

    @classmethod
    def from_rest(cls, data: Mapping[str, Any]) -> Subscription:
        """Read a `webhook_subscription` object; what is absent counts as empty."""
        method, scope = as_object(data.get("delivery_method")), as_object(data.get("filter"))
        kind = str(scope.get("type") or "").replace("_reference", "")
        return cls(id=str(data.get("id") or ""), url=str(method.get("url") or ""),
                   events=tuple(map(str, data.get("events") or ())), scope=kind,
                   service_id=scope.get("id") if kind == SERVICE else None,
                   active=data.get("active") is not False,
                   temporarily_disabled=bool(method.get("temporarily_disabled")))

    @property
    def is_live(self) -> bool:
        """Whether it delivers."""
        return self.active and not self.temporarily_disabled

    def covers(self, service_id: str) -> Optional[bool]:
        """Return whether it reports a service's events; None for a team, perhaps the service's."""
        if self.scope == SERVICE:
            return self.service_id == service_id
        return True if self.scope == ACCOUNT else None


class Account:
    """Calls about the account of ``rest``; each raises ApiError or CredentialsError."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def abilities(self) -> List[str]:
        """Return what the account's plan has (List abilities)."""
        return [one for one in self._rest.get("/abilities", "abilities", list)
                if isinstance(one, str)]

    def host(self) -> Optional[str]:
        """Return the account's web host, such as acme.pagerduty.com, if its first service shows it.
        """
        found = objects(self._rest.get("/services", "services", list, (("limit", "1"),)))
        try:
            return urlsplit(text(found[0].get("html_url")) or "").hostname if found else None
        except ValueError:
            return None

    def service(self, service_id: str) -> Service:
        """Return a service with its integrations; NotFoundError if there is none."""
        data = self._rest.get("/services/" + quote(service_id, safe=""), "service", dict,
                              (("include[]", "integrations"),))
        policy = as_object(data.get("escalation_policy"))
        return Service(
            text(data.get("id")) or service_id,
            text(data.get("name")) or text(data.get("summary")) or "",
            text(data.get("status")) or "", text(policy.get("id")), text(policy.get("summary")),
            tuple((text(one.get("type")) or "", text(one.get("integration_key")))
                  for one in objects(data.get("integrations"))))

    def policy_name(self, policy_id: str) -> str:
        """Return the name of an escalation policy; NotFoundError if there is none."""
        policy = self._rest.get("/escalation_policies/" + quote(policy_id, safe=""),
                                "escalation_policy", dict)
        return text(policy.get("name")) or policy_id

    def on_calls(self, policy_ids: Iterable[str]) -> List[OnCall]:
        """Return who is on call now for these policies: one list, as it has its own rate limit."""
        rows = [row for batch in batches("escalation_policy_ids[]", policy_ids)
                for row in self._rest.pages("/oncalls", "oncalls", batch)]
        return sorted(map(_on_call, rows), key=lambda one: (one.policy_id, one.level, one.name))

    def extensions(self) -> List[Tuple[str, str, Set[str]]]:
        """Return all extensions, among them legacy V2 webhooks: id, URL and ids of services."""
        return [(text(row.get("id")) or "", text(row.get("endpoint_url")) or "",
                 {text(one.get("id")) or "" for one in objects(row.get("extension_objects"))})
                for row in self._rest.pages("/extensions", "extensions")]

    def subscriptions(self) -> List[Subscription]:
        """Return all webhook subscriptions that the key may see."""
        return list(map(Subscription.from_rest,
                        self._rest.pages(SUBSCRIPTIONS, "webhook_subscriptions")))

    def subscription(self, subscription_id: str) -> Subscription:
        """Return a webhook subscription; NotFoundError if there is none."""
        return _subscription(self._rest.call("GET", "%s/%s" % (SUBSCRIPTIONS, subscription_id)))[0]

    def subscribe(self, url: str, events: Sequence[str], service_id: str,
                  description: str) -> Tuple[Subscription, str]:
        """Subscribe to events of a service; return the subscription and its secret, which no other
        call shows. After OutcomeUnknownError there may be a subscription without a known secret.
        """
        wanted = {"type": "webhook_subscription", "active": True, "description": description,
                  "events": list(events), "filter": {"type": "service_reference", "id": service_id},
                  "delivery_method": {"type": "http_delivery_method", "url": url}}
        return _subscription(self._rest.call("POST", SUBSCRIPTIONS,
                                             {"webhook_subscription": wanted}))

    def enable(self, subscription: Subscription) -> None:
        """Enable a subscription that PagerDuty or a person disabled."""
        self._rest.call("POST", "%s/%s/enable" % (SUBSCRIPTIONS, subscription.id))
        if not subscription.active:
            self._rest.call("PUT", "%s/%s" % (SUBSCRIPTIONS, subscription.id),
                            {"webhook_subscription": {"active": True}})

    def ping(self, subscription_id: str) -> None:
        """Have PagerDuty send the event `pagey.ping`."""
        self._rest.call("POST", "%s/%s/ping" % (SUBSCRIPTIONS, subscription_id))

    def unsubscribe(self, subscription_id: str) -> None:
        """Delete a subscription; NotFoundError if there is none."""
        self._rest.call("DELETE", "%s/%s" % (SUBSCRIPTIONS, subscription_id))


def _subscription(body: Mapping[str, Any]) -> Tuple[Subscription, str]:
    data = as_object(body.get("webhook_subscription"))
    if not data.get("id"):
        raise no_answer("webhook_subscription")
    secret = as_object(data.get("delivery_method")).get("secret")
    return Subscription.from_rest(data), secret if isinstance(secret, str) else ""


def _on_call(row: Mapping[str, Any]) -> OnCall:
    policy, user, schedule = (as_object(row.get(name))
                              for name in ("escalation_policy", "user", "schedule"))
    level, user_id = row.get("escalation_level"), text(user.get("id")) or ""
    return OnCall(
        text(policy.get("id")) or "", level if isinstance(level, int) else 0, user_id,
        text(user.get("name")) or text(user.get("summary")) or user_id,
        text(user.get("html_url")), text(schedule.get("summary")), text(row.get("end")))
