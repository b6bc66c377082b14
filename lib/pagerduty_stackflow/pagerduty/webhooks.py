"""PagerDuty webhooks v3: whether a delivery is genuine, and what it says.

Follows developer.pagerduty.com, Webhooks: Overview (envelope, event types) and Verifying
Signatures.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, Optional

from ..deliveries import (as_object, as_object_or_none, check_signature, clean, digest_id,
                          load_unclean, text, time_text)

EVENT = "pagerduty_event"
PING = "pagey.ping"
"""The event that PagerDuty sends on request to test a subscription."""
SIGNATURE_HEADER = "X-PagerDuty-Signature"


def verify(body: bytes, header: Optional[str], secrets: Iterable[str]) -> int:
    """Which secret signed the raw body, counted from 1 (Verifying Signatures).

    ``header`` is the value of `X-PagerDuty-Signature`: `v1=` and lower-case hex HMAC-SHA256,
    several separated by commas; other versions are ignored. Raises SignatureMissing,
    SignatureMismatch, or BadDelivery where the body is empty.
    """
    return check_signature(body, header, ("v1=",), tuple(secrets))


def parse(body: bytes) -> Dict[str, Any]:
    """The payload of the trigger `pagerduty_event`, without `stackflow_id` and `sync`.

    Everything in a delivery but its id and type may be absent, and what is of a wrong type is null.
    An event without id gets a hash of the body, one without type the type "unknown". Raises
    BadDelivery where the body is not a JSON object.
    """
    event = as_object(load_unclean(body).get("event"))
    data = as_object(event.get("data"))
    incident = _incident_of(data)
    return {
        "event_id": _text(event.get("id")) or digest_id(body),
        "event_type": _text(event.get("event_type")) or "unknown",
        "occurred_at": time_text(clean(event.get("occurred_at"))),
        "received_by": "webhook",
        "incident": None if incident is None else incident_fields(incident),
        "agent": clean(as_object_or_none(event.get("agent"))),
        "client": clean(as_object_or_none(event.get("client"))),
        "note": _note(data) if data.get("type") == "incident_note" else None,
    }


def incident_fields(incident: Mapping[str, Any]) -> Dict[str, Any]:
    """The incident as the trigger shows it, from a webhook, a reference or REST; absent parts are
    null.

    `resolve_reason` is PagerDuty's own object: after a merge its `incident` holds the target's id.
    """
    service = as_object(incident.get("service"))
    return {
        "id": _text(incident.get("id")),
        "number": _number(incident.get("number")),
        "title": _text(incident.get("title")) or _text(incident.get("summary")),
        "status": _text(incident.get("status")),
        "urgency": _text(incident.get("urgency")),
        "priority": _name(incident.get("priority")),
        "service_id": _text(service.get("id")),
        "service_name": _text(service.get("summary")) or _text(service.get("name")),
        "html_url": _text(incident.get("html_url")),
        "created_at": _text(incident.get("created_at")),
        "resolve_reason": clean(as_object_or_none(incident.get("resolve_reason"))),
    }


def _incident_of(data: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    if data.get("type") == "incident":
        return dict(data)
    if as_object(data.get("incident")):
        return as_object(data.get("incident"))
    return dict(data) if data.get("type") == "incident_reference" else None


def _note(data: Mapping[str, Any]) -> Dict[str, Any]:
    return {"id": _text(data.get("id")), "content": _text(data.get("content")),
            "trimmed": data.get("trimmed") is True}


def _text(value: Any) -> Optional[str]:
    return text(clean(value))


def _number(value: Any) -> Optional[int]:
    digits = _text(value) or ""
    return int(digits) if digits.isdecimal() and len(digits) < 19 else None


def _name(priority: Any) -> Optional[str]:
    if isinstance(priority, dict):
        return _text(priority.get("name")) or _text(priority.get("summary"))
    return _text(priority)
