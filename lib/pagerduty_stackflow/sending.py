"""Events of users' own rules, sent through a mapped service."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from .errors import BadInputError
from .incidents import DEDUP_KEY_LIMIT, is_own_key
from .pack import DONE, Outcome, Pack
from .routing import service_named
from .settings import SEVERITIES

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITY = "critical"
SOURCE = "StackStorm"


def send_event(pack: Pack, event_action: str, service: str, summary: Optional[str] = None,
               severity: Optional[str] = None, source: Optional[str] = None,
               dedup_key: Optional[str] = None, custom_details: Optional[Mapping[str, Any]] = None,
               links: Optional[List[Dict[str, Any]]] = None) -> Outcome:
    """Send an event of the Events API v2 with the routing key of a mapped service (id or name).

    A trigger without a dedup key gets a new one, so that it can be repeated. Raises BadInputError
    for an event that PagerDuty would refuse, and for a dedup key of the pack's own pairs.
    """
    entry = service_named(pack.settings, service)
    _check_choice("event_action", event_action, ACTIONS)
    _check_key(pack, event_action, dedup_key)
    key = dedup_key or "stackstorm:%s" % uuid.uuid4()
    warnings: List[str] = []
    if event_action == "trigger":
        _check_payload(summary, severity, custom_details, links)
        warnings = pack.events.trigger(
            entry.integration_key, key, summary or "", source or SOURCE, severity or SEVERITY,
            custom_details=custom_details, links=links)
    else:
        send = pack.events.acknowledge if event_action == "acknowledge" else pack.events.resolve
        send(entry.integration_key, key)
    return Outcome(DONE, "%s accepted by PagerDuty for %s (%s)" % (
        event_action, entry.service_name, entry.service_id), dedup_key=key, warnings=warnings)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise BadInputError("%s is %r" % (name, value), "give one of " + ", ".join(choices))


def _check_key(pack: Pack, event_action: str, dedup_key: Optional[str]) -> None:
    if not dedup_key:
        if event_action != "trigger":
            raise BadInputError("%s needs a dedup_key" % event_action,
                                "give the key under which the alert was triggered")
        return
    if len(dedup_key) > DEDUP_KEY_LIMIT:
        raise BadInputError("dedup_key has %d characters" % len(dedup_key),
                            "give at most %d" % DEDUP_KEY_LIMIT)
    if is_own_key(dedup_key, pack.settings.stackflow.host):
        raise BadInputError("%r is a key of this pack's own pairs" % dedup_key,
                            "use trigger_incident, acknowledge_incident or resolve_incident, or "
                            "another key")


def _check_payload(summary: Optional[str], severity: Optional[str],
                   custom_details: Optional[Mapping[str, Any]],
                   links: Optional[List[Dict[str, Any]]]) -> None:
    """Events API v2, Send an Alert Event."""
    if not summary or not summary.strip():
        raise BadInputError("trigger needs a summary", "give one; it is the incident's title")
    _check_choice("severity", severity or SEVERITY, SEVERITIES)
    if custom_details and not isinstance(custom_details, Mapping):
        raise BadInputError("custom_details is no object", "give names with their values")
    for link in links or []:
        if not isinstance(link, Mapping) or not _is_url(link.get("href")) or not isinstance(
                link.get("text", ""), str):
            raise BadInputError("%r is no link" % (link,), "give objects with an https or http URL "
                                "in href, and a text if wanted")


def _is_url(value: Any) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        return bool(parts and parts.scheme in ("http", "https") and parts.hostname)
    except ValueError:
        return False
