"""Outbound webhooks: who gets which event, in what body, signed how (api/webhooks.html).

The page is cut before it shows any of that; it states JSON, and HMAC-SHA256 with a shared secret.
Everything else here follows the switches.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, List, Optional, Tuple

from dev.simulators.outbox import Delivery, Outbox
from dev.simulators.stackflow.records import iso
from dev.simulators.stackflow.refusals import bad_request
from dev.simulators.stackflow.switches import Switches

SIGNATURE_HEADER = "X-StackFlow-Signature"  # on no page; the name is this simulator's choice
SECRET_HEADER = "X-StackFlow-Secret"  # integrations/connectors/datadog.html: a plain shared secret

# notifications/router.html and api/webhooks.html; sla.recovery after notifications/sla-alerts.html.
# incident.resolved and incident.acknowledged are on no page and are sent by switch only.
EVENTS = ("incident.created", "incident.assigned", "incident.state_changed",
          "incident.priority_changed", "incident.comment_added", "incident.resolved",
          "incident.acknowledged", "sla.warning", "sla.breach", "sla.recovery",
          "major_incident.declared")


@dataclass
class Event:
    """Something that happened to an incident; `extras` may hold previous, sla and note."""

    id: str
    name: str
    at: datetime
    record: Dict[str, Any]
    extras: Dict[str, Any] = field(default_factory=dict)


@dataclass
class Subscription:
    """An outbound webhook."""

    id: str
    name: str
    url: str
    events: Tuple[str, ...]
    created_at: datetime
    filters: List[Dict[str, Any]] = field(default_factory=list)
    secret: Optional[str] = field(default=None, repr=False)

    def wants(self, event: Event) -> bool:
        """Whether the event is among those subscribed to and passes every filter."""
        passes = all(_passes(rule, event.record) for rule in self.filters)
        return passes and event.name in self.events

    def view(self, switches: Switches, with_secret: bool = False) -> Dict[str, Any]:
        """As the API shows it; the secret is shown once, as with inbound webhooks."""
        shown = {"id": self.id, "name": self.name, "url": self.url,
                 "events": list(self.events), "filters": self.filters,
                 "created_at": iso(self.created_at, switches.time_precision)}
        if with_secret:
            shown["secret"] = self.secret
        return shown


def check_subscription(body: Dict[str, Any]) -> None:
    """400 for a body that lacks what api/webhooks.html prints, or names an event nobody knows."""
    for name in ("name", "url"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise bad_request("{} is required".format(name))
    events = body.get("events")
    if not isinstance(events, list) or not events:
        raise bad_request("events must be a list with one event at least")
    unknown = [str(event) for event in events if event not in EVENTS]
    if unknown:
        raise bad_request("Unknown event: {}".format(", ".join(unknown)))
    filters = body.get("filters", [])
    if not isinstance(filters, list) or not all(isinstance(rule, dict) for rule in filters):
        raise bad_request("filters must be a list of objects")


def document(event: Event, switches: Switches) -> Dict[str, Any]:
    """The body of a delivery in the form that the switches ask for."""
    body: Dict[str, Any] = {switches.event_key: event.name,
                            switches.time_key: iso(event.at, switches.time_precision)}
    if switches.id_key:
        body[switches.id_key] = event.id
    *way, last = switches.record_key.split(".")
    beside = body
    for name in way:
        beside = beside.setdefault(name, {})
    beside[last] = _record(event.record, switches)
    extras = {switches.note_key if name == "note" else name: value
              for name, value in event.extras.items()
              if name != "previous" or switches.send_previous}
    if extras:
        places = {"beside": beside, "top": body}
        place = places.get(switches.extras_place)
        if place is None:
            place = body.setdefault("data", {})
        place.update(extras)
    return body


def proof(body: bytes, secret: Optional[str], switches: Switches) -> Dict[str, str]:
    """The header that proves the sender: a signature of the raw body, or the secret."""
    if secret is None or switches.signature == "none":
        return {}
    if switches.signature == "static":
        return {SECRET_HEADER: secret}
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {SIGNATURE_HEADER: switches.signature_prefix + digest}


class FewRetries(Outbox):
    """Tries again after every answer but a 2xx, as often as the switch has delays."""

    def __init__(self, switches: Switches) -> None:
        super().__init__(keep_for=10.0 ** 9, is_retried=lambda _: self._tries <= len(self.delays))
        self._switches = switches
        self._tries = 0

    def settle(self, delivery: Delivery, status: Optional[int], now: datetime) -> None:
        """Note what came back: delivered, tried again later, or given up."""
        self.delays = list(self._switches.retry_delays)
        self._tries = len(delivery.attempts) + 1
        super().settle(delivery, status, now)


def _record(record: Dict[str, Any], switches: Switches) -> Dict[str, Any]:
    shown = {name: value for name, value in record.items() if name not in switches.record_omits}
    if switches.references_as_objects:
        for name, inner in (("assignment_group", "name"), ("assigned_to", "email")):
            if shown.get(name) is not None:
                shown[name] = {inner: shown[name]}
    return shown


def _passes(rule: Dict[str, Any], record: Dict[str, Any]) -> bool:
    """`{"field": "incident.priority", "operator": ..., "value": ...}`; three operators are printed.

    eq (api/webhooks.html), equals (itsm/sla.html), in (notifications/router.html); with any other
    operator nothing passes.
    """
    name = str(rule.get("field", ""))
    actual = record.get(name[len("incident."):] if name.startswith("incident.") else name)
    wanted = rule.get("value")
    if rule.get("operator") in ("eq", "equals"):
        return bool(actual == wanted)
    return rule.get("operator") == "in" and isinstance(wanted, list) and actual in wanted
