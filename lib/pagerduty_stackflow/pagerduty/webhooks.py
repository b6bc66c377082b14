"""Check and read PagerDuty webhooks v3.

Follows developer.pagerduty.com, Webhooks: Overview and Verifying Signatures.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence

from ..deliveries import (as_object, check_signature, clean, digest_id, load_object, text,
                          time_text)

EVENT = "pagerduty_event"
PING = "pagey.ping"
"""The event that PagerDuty sends on request to test a subscription."""
SIGNATURE_HEADER = "X-PagerDuty-Signature"


def verify(body: bytes, header: Optional[str], secrets: Sequence[str]) -> int:
    """Return which secret signed the raw body, counted from 1 (Verifying Signatures).

    ``header`` is the value of `X-PagerDuty-Signature`: `v1=` and lower-case hex HMAC-SHA256,
    several separated by commas; other versions are ignored. Raises SignatureMissing,
    SignatureMismatch, or BadDelivery where the body is empty.
    """
    return check_signature(body, header, ("v1=",), secrets)


def parse(body: bytes) -> Dict[str, Any]:
    """Return the payload of the trigger `pagerduty_event`, without `stackflow_id` and `sync`.

    Parts that are absent or of a wrong type are null. An event without id gets a hash of the body,
    one without type the type "unknown". Raises BadDelivery if the body is not a JSON object.
    """
    event = as_object(load_object(body, cleaned=False).get("event"))
    data = as_object(event.get("data"))
    kind = data.get("type")
    incident = (data if kind == "incident" else as_object(data.get("incident")) or (
        data if kind == "incident_reference" else {}))
    return {
        "event_id": _text(event.get("id")) or digest_id(body),
        "event_type": _text(event.get("event_type")) or "unknown",
        "occurred_at": time_text(clean(event.get("occurred_at"))),
        "received_by": "webhook",
        "incident": incident_fields(incident) if incident else None,
        "agent": clean(as_object(event.get("agent"))) or None,
        "client": clean(as_object(event.get("client"))) or None,
        "note": {
            "id": _text(data.get("id")), "content": _text(data.get("content")),
            "trimmed": data.get("trimmed") is True} if kind == "incident_note" else None,
    }


def incident_fields(incident: Mapping[str, Any]) -> Dict[str, Any]:
    """Return an incident, of a webhook, a reference or REST, as the trigger shows it.

    `resolve_reason` is PagerDuty's own object: after a merge its `incident` holds the target's id.
    """
    service, priority = as_object(incident.get("service")), incident.get("priority")
    named = as_object(priority)
    return {
        "id": _text(incident.get("id")),
        "number": _number(incident.get("number")),
        "title": _text(incident.get("title")) or _text(incident.get("summary")),
        "status": _text(incident.get("status")),
        "urgency": _text(incident.get("urgency")),
        "priority": (_text(named.get("name")) or _text(named.get("summary")) or
                     _text(priority)),
        "service_id": _text(service.get("id")),
        "service_name": _text(service.get("summary")) or _text(service.get("name")),
        "html_url": _text(incident.get("html_url")),
        "created_at": _text(incident.get("created_at")),
        "resolve_reason": clean(as_object(incident.get("resolve_reason"))) or None,
    }


def _text(value: Any) -> Optional[str]:
    return text(clean(value))


def _number(value: Any) -> Optional[int]:
    digits = _text(value) or ""
    return int(digits) if digits.isdecimal() and len(digits) < 19 else None
