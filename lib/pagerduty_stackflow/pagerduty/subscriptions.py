"""PagerDuty REST API v2: webhook subscriptions.

https://developer.pagerduty.com/api-reference (Webhooks: List, Create, Get, Update, Delete, Enable
and Test a webhook subscription)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from ..deliveries import as_object
from .rest import RestClient, no_answer

ACCOUNT = "account"
SERVICE = "service"
PATH = "/webhook_subscriptions"
LIMIT_REACHED = 2019
"""Error code for the eleventh subscription of one service, team or account (REST API, Errors)."""


@dataclass(frozen=True)
class Subscription:
    """What is called, and for which events.

    ``scope`` is `account`, `service` or `team`, ``service_id`` the service in the second case;
    ``temporarily_disabled``: PagerDuty switched it off for 24 hours after three deliveries that the
    other side refused (Webhooks Overview).
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
        """From the `webhook_subscription` object; what is absent counts as empty."""
        method, scope = as_object(data.get("delivery_method")), as_object(data.get("filter"))
        kind = str(scope.get("type") or "").replace("_reference", "")
        return cls(id=str(data.get("id") or ""), url=str(method.get("url") or ""),
                   events=tuple(map(str, data.get("events") or ())), scope=kind,
                   service_id=scope.get("id") if kind == SERVICE else None,
                   active=data.get("active") is not False,
                   temporarily_disabled=bool(method.get("temporarily_disabled")))


class Subscriptions:
    """The subscriptions of the account. Every method raises ApiError or a subclass."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def all(self) -> List[Subscription]:
        """All that the key may see."""
        return [Subscription.from_rest(row) for row in
                self._rest.pages(PATH, "webhook_subscriptions", ())]

    def one(self, subscription_id: str) -> Subscription:
        """A subscription; NotFoundError where there is none."""
        return _read(self._rest.call("GET", "%s/%s" % (PATH, subscription_id)))[0]

    def create(self, url: str, events: Sequence[str], service_id: str,
               description: str) -> Tuple[Subscription, str]:
        """Subscribe to events of a service: the subscription, and its secret, which no other call
        shows.

        OutcomeUnknownError: it may have been made, and then nobody knows its secret.
        """
        wanted = {"type": "webhook_subscription", "active": True, "description": description,
                  "events": list(events), "filter": {"type": "service_reference", "id": service_id},
                  "delivery_method": {"type": "http_delivery_method", "url": url}}
        return _read(self._rest.call("POST", PATH, {"webhook_subscription": wanted}))

    def enable(self, subscription: Subscription) -> None:
        """Lift what PagerDuty switched off, and what a person did."""
        self._rest.call("POST", "%s/%s/enable" % (PATH, subscription.id))
        if not subscription.active:
            self._rest.call("PUT", "%s/%s" % (PATH, subscription.id),
                            {"webhook_subscription": {"active": True}})

    def ping(self, subscription_id: str) -> None:
        """Have PagerDuty send the event `pagey.ping`."""
        self._rest.call("POST", "%s/%s/ping" % (PATH, subscription_id))

    def delete(self, subscription_id: str) -> None:
        """Remove a subscription; NotFoundError where there is none."""
        self._rest.call("DELETE", "%s/%s" % (PATH, subscription_id))


def _read(body: Mapping[str, Any]) -> Tuple[Subscription, str]:
    data = as_object(body.get("webhook_subscription"))
    if not data.get("id"):
        raise no_answer("webhook_subscription")
    secret = as_object(data.get("delivery_method")).get("secret")
    return Subscription.from_rest(data), secret if isinstance(secret, str) else ""
