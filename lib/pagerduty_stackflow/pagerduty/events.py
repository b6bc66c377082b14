"""PagerDuty Events API v2: trigger, acknowledge and resolve with the routing key of a service.

https://developer.pagerduty.com/docs/events-api-v2-overview (pages Send an Alert Event, Rate Limits)
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Dict, List, Mapping

from ..answers import PAGERDUTY
from ..errors import ApiError, BadInputError, CredentialsError, RoutingKeyError
from ..settings import Settings
from ..transport import Call, Transport

SUMMARY_LIMIT = 1024
"""Characters (Send an Alert Event, `payload.summary`)."""
EVENT_LIMIT = 512 * 1024
"""Bytes of a whole event (Events API v2 Overview)."""
PAYLOAD = ("timestamp", "component", "group", "class", "custom_details")
"""Optional fields of an event that go into its payload."""
CUT = "\u2026"
"""Ends a text that was cut."""
ROUTING_KEY = re.compile(r"[0-9A-Za-z]{32}")
REST_KEY_LENGTH = 20
RECOPY = "Re-copy the Integration Key from PagerDuty service -> Integrations"
"""StackFlow's guide "PagerDuty Integration", Troubleshooting."""


def fingerprint(routing_key: str) -> str:
    """Return a digest of a routing key, by which a link tells two keys apart."""
    return hashlib.sha256(b"routing key:" + routing_key.encode()).hexdigest()[:16]


def check_routing_key(routing_key: str, where: str) -> None:
    """Raise CredentialsError for a key that PagerDuty would refuse; it names ``where`` alone."""
    if not ROUTING_KEY.fullmatch(routing_key):
        problem = ("%s holds 20 characters: that is a REST API key, not an integration key" % where
                   if len(routing_key) == REST_KEY_LENGTH else
                   "%s is no integration key: it has %d characters, or others than letters and "
                   "digits" % (where, len(routing_key)))
        raise CredentialsError(problem, RECOPY + "; it has 32 letters and digits")


class EventsClient:
    """Sends alert events. Every event may be repeated: it carries a dedup key of ours."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._url = settings.pagerduty.events_url + "/v2/enqueue"
        self._transport = transport

    def trigger(self, routing_key: str, dedup_key: str, summary: str, source: str, severity: str,
                **optional: Any) -> List[str]:
        """Trigger an alert; returns warnings about what had to be cut.

        ``optional``: `timestamp`, `component`, `group`, `class`, `custom_details` of the payload,
        and `client`, `client_url`, `links` of the event.
        """
        event = {name: value for name, value in optional.items() if value}
        payload = {name: event.pop(name) for name in PAYLOAD if name in event}
        payload.update(summary=summary, source=source, severity=severity)
        return self._send(routing_key, dedup_key, "trigger", dict(event, payload=payload))

    def acknowledge(self, routing_key: str, dedup_key: str) -> None:
        """Acknowledge an alert; PagerDuty ignores it if none of both keys is open."""
        self._send(routing_key, dedup_key, "acknowledge", {})

    def resolve(self, routing_key: str, dedup_key: str) -> None:
        """Resolve an alert; PagerDuty ignores it if none of both keys is open."""
        self._send(routing_key, dedup_key, "resolve", {})

    def _send(self, routing_key: str, dedup_key: str, action: str,
              event: Mapping[str, Any]) -> List[str]:
        check_routing_key(routing_key, "the integration key")
        body = dict(event, routing_key=routing_key, dedup_key=dedup_key, event_action=action)
        warnings = fit(body) if "payload" in body else []
        try:
            self._transport.request(Call(PAGERDUTY, "POST", self._url, json=body))
        except ApiError as error:
            if error.status == 400 and re.search("routing.key", error.message, re.IGNORECASE):
                raise RoutingKeyError(error.message, RECOPY, False, PAGERDUTY, 400) from None
            raise
        return warnings


def fit(event: Dict[str, Any]) -> List[str]:
    """Cut an event to the documented limits, in place, and return warnings of the cuts. Raises
    BadInputError if the rest is too long.
    """
    warnings = []
    payload = event["payload"]
    summary = payload["summary"].strip() or "(no summary)"
    if len(summary) > SUMMARY_LIMIT:
        warnings.append("summary cut by %d characters to %d" % (
            len(summary) - SUMMARY_LIMIT + 1, SUMMARY_LIMIT))
        summary = summary[:SUMMARY_LIMIT - 1] + CUT
    payload["summary"] = summary
    details = dict(payload.get("custom_details") or {})
    if details:
        payload["custom_details"] = details
    for name in sorted(details, key=lambda name: size(details[name]), reverse=True):
        excess = size(event) - EVENT_LIMIT
        if excess <= 0:
            break
        text = details[name] if isinstance(details[name], str) else json.dumps(details[name])
        kept = fitting(text, size(details[name]) - excess - size(CUT))
        details[name] = text[:kept] + CUT
        warnings.append("custom detail %r cut by %d characters" % (name, len(text) - kept))
    if size(event) > EVENT_LIMIT:
        raise BadInputError("the event has %d bytes, %d are allowed" % (size(event), EVENT_LIMIT),
                            "leave out links, or custom details")
    return warnings


def size(value: Any) -> int:
    """Return the bytes that a value takes in the request."""
    return len(json.dumps(value).encode())


def fitting(text: str, limit: int) -> int:
    """Return how many characters of a text take at most ``limit`` bytes in the request."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= limit else (low, middle - 1)
    return low
