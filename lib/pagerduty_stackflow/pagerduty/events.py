"""PagerDuty Events API v2: trigger, acknowledge, resolve. Needs no key but the routing key of the
service.

https://developer.pagerduty.com/docs/events-api-v2-overview (pages Send an Alert Event, Rate Limits)
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Dict, List, Mapping, Tuple

from ..answers import PAGERDUTY
from ..errors import BadInputError, CredentialsError
from ..settings import Settings
from ..transport import Transport

SUMMARY_LIMIT = 1024
"""Characters (Send an Alert Event, `payload.summary`)."""
EVENT_LIMIT = 512 * 1024
"""Bytes of a whole event (Events API v2 Overview)."""
MARGIN = 8
"""Bytes that the sign for what was cut may take."""
ROUTING_KEY = re.compile(r"[0-9A-Za-z]{32}")
REST_KEY_LENGTH = 20


def fingerprint(routing_key: str) -> str:
    """What a link remembers of a routing key: enough to tell two apart, too little to use."""
    return hashlib.sha256(b"routing key:" + routing_key.encode()).hexdigest()[:16]


def check_routing_key(routing_key: str, where: str) -> None:
    """CredentialsError for a key that PagerDuty would refuse; the message names ``where``, never
    the key.
    """
    if ROUTING_KEY.fullmatch(routing_key):
        return
    hint = ("re-copy the Integration Key from the PagerDuty service -> Integrations; "
            "it has 32 letters and digits")
    if len(routing_key) == REST_KEY_LENGTH:
        raise CredentialsError("%s holds 20 characters: that is a REST API key, not an "
                               "integration key" % where, hint)
    raise CredentialsError("%s is no integration key: it has %d characters, or others than letters "
                           "and digits" % (where, len(routing_key)), hint)


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
        payload = {name: optional[name] for name in
                   ("timestamp", "component", "group", "class", "custom_details")
                   if optional.get(name)}
        payload.update(summary=summary, source=source, severity=severity)
        event: Dict[str, Any] = {"payload": payload}
        event.update({name: optional[name] for name in ("client", "client_url", "links")
                      if optional.get(name)})
        return self._send(routing_key, dedup_key, "trigger", event)

    def acknowledge(self, routing_key: str, dedup_key: str) -> None:
        """Acknowledge; PagerDuty drops it silently where no alert of this key and routing key is
        open.
        """
        self._send(routing_key, dedup_key, "acknowledge", {})

    def resolve(self, routing_key: str, dedup_key: str) -> None:
        """Resolve; dropped silently like an acknowledge."""
        self._send(routing_key, dedup_key, "resolve", {})

    def _send(self, routing_key: str, dedup_key: str, action: str,
              event: Mapping[str, Any]) -> List[str]:
        check_routing_key(routing_key, "the integration key")
        body = dict(event, routing_key=routing_key, dedup_key=dedup_key, event_action=action)
        warnings = fit(body) if "payload" in body else []
        self._transport.request(PAGERDUTY, "POST", self._url, {}, data=body)
        return warnings


def cut(text: str, limit: int) -> Tuple[str, int]:
    """Text of at most ``limit`` characters, and how many were cut."""
    if len(text) <= limit:
        return text, 0
    kept = max(0, limit - 1)
    return text[:kept] + "\u2026", len(text) - kept


def fit(event: Dict[str, Any]) -> List[str]:
    """Bring an event under the documented limits, in place; says what was cut. Raises BadInputError
    where what is over them is not the summary or a custom detail.
    """
    warnings = []
    payload = event["payload"]
    summary, lost = cut(payload["summary"].strip() or "(no summary)", SUMMARY_LIMIT)
    payload["summary"] = summary
    if lost:
        warnings.append("summary cut by %d characters to %d" % (lost, SUMMARY_LIMIT))
    details = payload["custom_details"] = dict(payload.get("custom_details") or {})
    if not details:
        del payload["custom_details"]
    for name in sorted(details, key=lambda name: _size(details[name]), reverse=True):
        if _size(event) <= EVENT_LIMIT:
            break
        value = details[name]
        details[name] = text = value if isinstance(value, str) else json.dumps(value)
        details[name], lost = cut(text, len(text) - (_size(event) - EVENT_LIMIT) - MARGIN)
        warnings.append("custom detail %r cut by %d characters" % (name, lost))
    if _size(event) > EVENT_LIMIT:
        raise BadInputError("the event has %d bytes, %d are allowed" % (_size(event), EVENT_LIMIT),
                            "leave out links, or custom details")
    return warnings


def _size(value: Any) -> int:
    return len(json.dumps(value).encode())
