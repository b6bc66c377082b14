"""v3 webhooks: what is sent to whom, how it is signed, and when a subscription is switched off."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any, Dict, List, Optional

from dev.simulators.base import Simulator
from dev.simulators.outbox import Delivery, Outbox
from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.model import (
    Agent, Incident, Note, Refused, Subscription, Switches)
from dev.simulators.pagerduty.shapes import Shapes

# [developer-docs, webhooks/02] gives the 48 hours; the schedule within them is not published.
KEEP_SECONDS = 48 * 3600
RETRY_SECONDS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
DROPS_BEFORE_DISABLED = 3
DISABLED_SECONDS = 24 * 3600
LARGEST_BODY = 256 * 1024
# [support: webhooks] ten subscriptions per service, team and account scope.
LARGEST_SCOPE = 10
FILTERS = ("account_reference", "service_reference", "team_reference")

EVENT_TYPES = tuple("incident." + name for name in (
    "acknowledged", "annotated", "delegated", "escalated", "priority_updated", "reassigned",
    "reopened", "resolved", "service_updated", "triggered", "unacknowledged"))


def sign(secret: str, body: bytes) -> str:
    """HMAC-SHA256 of the raw body, the secret used as it is [developer-docs, webhooks/04]."""
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def new_outbox() -> Outbox:
    """Other 4xx are dropped; no answer, 429 and 5xx are retried [developer-docs, webhooks/02]."""
    return Outbox(delays=RETRY_SECONDS, keep_for=KEEP_SECONDS)


class Webhooks:
    """Turns changes into deliveries in the simulator's outbox."""

    def __init__(self, simulator: Simulator, account: Account, shapes: Shapes,
                 switches: Switches) -> None:
        self._simulator = simulator
        self._account = account
        self._shapes = shapes
        self._switches = switches
        simulator.outbox.on_settled = self._settled

    def subscribe(self, url: str, events: List[str], filter_type: str = "account_reference",
                  filter_id: Optional[str] = None, description: str = "",
                  headers: Optional[Dict[str, str]] = None, active: bool = True) -> Subscription:
        """Raises Refused with code 2019 beyond ten per scope [support: webhooks]."""
        siblings = [one for one in self._account.subscriptions.values()
                    if (one.filter_type, one.filter_id) == (filter_type, filter_id)]
        if len(siblings) >= LARGEST_SCOPE:
            raise Refused(2019, "Product limit reached")
        made = Subscription(self._account.new_id(), url, list(events), filter_type, filter_id,
                            self._account.new_secret(), description, active, dict(headers or {}))
        self._account.subscriptions[made.id] = made
        return made

    def enable(self, subscription: Subscription) -> None:
        subscription.drops = 0
        subscription.disabled_until = None

    def is_disabled(self, subscription: Subscription) -> bool:
        """For 24 hours after three drops in a row [developer-docs, webhooks/02]."""
        until = subscription.disabled_until
        if until is not None and until <= self._simulator.now():
            self.enable(subscription)
        return subscription.disabled_until is not None

    def remove(self, subscription: Subscription) -> None:
        self._simulator.outbox.discard(subscription.id)
        del self._account.subscriptions[subscription.id]

    def ping(self, subscription: Subscription, agent: Optional[Agent]) -> None:
        """Sent whatever events are subscribed to; the agent has id and type only."""
        reference = None
        if agent is not None and not self._switches.ping_agent_is_null:
            reference = {"id": agent.id, "type": "user_reference"}
        data = {"message": "Hello from your friend Pagey!", "type": "ping"}
        self._post(subscription, self._event("pagey.ping", reference, None, data), None)

    def incident(self, event_type: str, incident: Incident, agent: Optional[Agent],
                 client: Optional[Dict[str, Any]] = None) -> None:
        """Tell of a change of an incident, as it is now."""
        data = self._shapes.webhook_incident(incident)
        self._emit(event_type, incident, agent, client, data)

    def note(self, incident: Incident, note: Note, agent: Optional[Agent]) -> None:
        """`incident.annotated`: a long text is cut; at what length is not documented."""
        limit = self._switches.note_trimmed_at
        data = {"id": note.id, "type": "incident_note", "content": note.content[:limit],
                "trimmed": len(note.content) > limit,
                "incident": self._shapes.incident_reference(incident, numbered=False)}
        self._emit("incident.annotated", incident, agent, None, data)

    def _emit(self, event_type: str, incident: Incident, agent: Optional[Agent],
              client: Optional[Dict[str, Any]], data: Dict[str, Any]) -> None:
        if agent is not None and agent.kind == "integration" and self._switches.agent_is_null:
            agent = None
        if self._switches.client_is_null:
            client = None
        event = self._event(event_type, self._shapes.agent(agent), client, data)
        for subscription in list(self._account.subscriptions.values()):
            if event_type in subscription.events and self._wants(subscription, incident):
                self._post(subscription, event, incident.id)

    def _wants(self, subscription: Subscription, incident: Incident) -> bool:
        # What happens while it is disabled is lost for good [developer-docs, webhooks/02].
        if not subscription.active or self.is_disabled(subscription):
            return False
        if subscription.filter_type == "service_reference":
            return subscription.filter_id == incident.service_id
        if subscription.filter_type == "team_reference":
            team = self._account.team_of(incident)
            return team is not None and subscription.filter_id == team.id
        return True

    def _event(self, event_type: str, agent: Any, client: Any,
               data: Dict[str, Any]) -> Dict[str, Any]:
        return {"event_type": event_type, "resource_type": event_type.split(".")[0],
                "occurred_at": _milliseconds(self._simulator.now()),
                "agent": agent, "client": client, "data": data}

    def _post(self, subscription: Subscription, event: Dict[str, Any],
              resource: Optional[str]) -> None:
        now = self._simulator.now()
        event = {"id": self._account.new_event_id(), **event}
        text = json.dumps({"event": event}, ensure_ascii=False, separators=(",", ":"))
        body = text.encode("utf-8", "backslashreplace")  # half a surrogate pair as JSON writes it
        if len(body) > LARGEST_BODY:
            return
        # Order is kept per subscription and incident [developer-docs, webhooks/02].
        queue = "{}:{}".format(subscription.id, resource) if resource else None
        headers = self._headers(subscription, body)
        self._simulator.outbox.post(Delivery(
            headers["x-webhook-id"], subscription.id, queue, subscription.url, headers, body, now,
            due=now))

    def _headers(self, subscription: Subscription, body: bytes) -> Dict[str, str]:
        secrets = [subscription.secret] + subscription.more_secrets
        return {"content-type": "application/json", "accept": "application/json",
                "user-agent": "PagerDuty-Webhook/V3.0",
                "x-pagerduty-signature": ",".join(sign(secret, body) for secret in secrets),
                "x-webhook-id": self._account.new_uuid(),
                "x-webhook-subscription": subscription.id, **subscription.headers}

    def _settled(self, delivery: Delivery) -> None:
        """Three drops in a row disable for a day; what waits is lost [webhooks/02]."""
        subscription = self._account.subscriptions.get(delivery.scope)
        if subscription is None:
            return
        if delivery.state == "delivered":
            subscription.drops = 0
            return
        subscription.drops += 1
        if subscription.drops >= DROPS_BEFORE_DISABLED:
            until = self._simulator.clock.now() + timedelta(seconds=DISABLED_SECONDS)
            subscription.disabled_until = until
            self._simulator.outbox.discard(subscription.id)


def _milliseconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "{:03d}Z".format(moment.microsecond // 1000)
