"""Check and read StackFlow's outbound webhooks.

docs.stackflow-tech.com, api/webhooks.html, states JSON and HMAC-SHA256 with a shared secret;
header, body and names are not shown, so every form that the vendor's pages suggest is understood.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..deliveries import (as_object, check_shared_secret, check_signature, clean, digest_id,
                          load_object, text, time_text)
from ..decide import DONE_STATES
from ..settings import StackFlowSettings
from .records import canonical_record, note_fields

EVENT = "stackflow_event"
SLA_EVENT = "stackflow_sla_event"
CHANGES = ("incident.assigned", "incident.state_changed", "incident.priority_changed",
           "incident.resolved", "incident.acknowledged")
"""Events that say that a record changed; what changed decides about the event's type."""
BESIDE = ("sla", "previous", "note", "comment")
NAME_KEYS = ("event", "event_type", "detail-type")
TIME_KEYS = ("timestamp", "time", "occurred_at")


def verify(body: bytes, headers: Mapping[str, str], settings: StackFlowSettings,
           secrets: Optional[Sequence[str]] = None) -> int:
    """Return which of ``secrets`` (by default `stackflow.webhook_secrets`) the delivery proves to
    know, counted from 1.

    By `stackflow.webhook_auth`: lower-case hex HMAC-SHA256 of the raw body, optionally behind
    `sha256=` or `v1=` (api/webhooks.html); or the secret itself, as connectors/datadog.html prints
    it. Raises SignatureMissing, SignatureMismatch, or BadDelivery if a signed body is empty.
    """
    given = {name.lower(): value for name, value in headers.items()}
    secrets = settings.webhook_secrets if secrets is None else secrets
    if settings.webhook_auth == "shared_secret":
        return check_shared_secret(given.get(settings.webhook_shared_secret_header.lower()),
                                   secrets)
    return check_signature(body, given.get(settings.webhook_signature_header.lower()),
                           ("", "sha256=", "v1="), secrets)


def parse(body: bytes, settings: StackFlowSettings) -> Tuple[str, Dict[str, Any]]:
    """Return a trigger's name and its payload, without `pagerduty_incident_id` and `sync`.

    Raises BadDelivery if the body is not a JSON object.
    """
    return event_of(load_object(body), settings, digest_id(body), "webhook")


def event_of(document: Mapping[str, Any], settings: StackFlowSettings, fallback_id: str,
             received_by: str) -> Tuple[str, Dict[str, Any]]:
    """Do what :func:`parse` does, for a document that came another way in.

    An event without an id has the ``fallback_id``, one without a name the type "unknown", one
    without a record a null `incident`. Parts of a wrong type are null.
    """
    document = dict(document)
    places = [document, as_object(document.get("data")), as_object(document.get("detail"))]
    name = (_first(document, *NAME_KEYS) or "unknown").strip().lower()
    record = _record(places)
    fields = canonical_record(record, settings.states) if record is not None else {}
    occurred_at = next(filter(None, (time_text(document.get(key)) for key in TIME_KEYS)),
                       fields.get("updated_at"))
    event_id = _first(document, "event_id", "id")
    if event_id is None or event_id == fields.get("number"):  # that is the record's id
        event_id = fallback_id
    payload: Dict[str, Any] = {
        "event_id": event_id, "event_type": name, "occurred_at": occurred_at,
        "received_by": received_by, "incident": None if record is None else fields}
    if name.startswith("sla."):
        payload["sla"] = _sla(_beside(places, "sla"))
    else:
        given = as_object(_beside(places, "previous"))
        before = canonical_record(given, settings.states)
        previous = {key: before[key] for key in given}
        note = _beside(places, "note", "comment")
        note = {"text": note} if text(note) else as_object(note)
        payload.update(event_type=_classify(name, fields, previous),
                       assigned_to_person=_person_assigned(name, fields, previous),
                       previous=previous or None, note=note_fields(note) if note else None)
    if occurred_at and record is not None:  # a record may come without its times
        fields["updated_at"] = fields.get("updated_at") or occurred_at
        if payload["event_type"] == "incident.reopened":
            fields["reopened_at"] = fields.get("reopened_at") or occurred_at
    return (SLA_EVENT if name.startswith("sla.") else EVENT), payload


def _record(places: List[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    for place in places:
        found = place.get("incident")
        if isinstance(found, dict):
            return found
        if text(found):
            return {"number": found}
    for place in places[1:]:
        if text(place.get("number")) or text(place.get("id")):
            return {name: value for name, value in place.items() if name not in BESIDE}
    return None


def _first(place: Mapping[str, Any], *names: str) -> Optional[str]:
    return next(filter(None, (text(place.get(name)) for name in names)), None)


def _beside(places: List[Dict[str, Any]], *names: str) -> Any:
    return next((place[name] for place in places for name in names
                 if place.get(name) is not None), None)


def _classify(name: str, fields: Mapping[str, Any], previous: Mapping[str, Any]) -> str:
    """Return the event's type by what changed."""
    if name not in CHANGES:
        return name
    state, before = fields.get("state"), previous.get("state")
    changed = {key for key in previous if previous[key] != fields.get(key)}
    state_changed = before is not None and "state" in changed
    may_have_changed = state_changed or (
        before is None and name in ("incident.state_changed", "incident.acknowledged"))
    if name == "incident.resolved" or (state in DONE_STATES and may_have_changed):
        return "incident.resolved"
    if before in DONE_STATES and state is not None and state not in DONE_STATES:
        return "incident.reopened"
    if name == "incident.priority_changed":
        return name
    if "assignment_group" in changed:
        return "incident.regrouped"
    if "assigned_to" in changed:
        return "incident.assigned"
    if name == "incident.assigned" and not state_changed:
        group_alone = fields.get("assignment_group") and not fields.get("assigned_to")
        return "incident.regrouped" if group_alone and not previous else name
    return "incident.state_changed"


def _person_assigned(name: str, fields: Mapping[str, Any], previous: Mapping[str, Any]) -> bool:
    """Return whether a person was newly assigned, as far as a record without assignee tells."""
    person = fields.get("assigned_to")
    if "assigned_to" not in fields:
        return name == "incident.assigned" or "assigned_to" in previous
    if not person or "assigned_to" in previous:
        return bool(person) and person != previous.get("assigned_to")
    return not previous and name in ("incident.assigned", "incident.created")


def _sla(value: Any) -> Optional[Dict[str, Any]]:
    facts = {"policy": value} if text(value) else as_object(value)
    if not facts:
        return None
    policy, metric = facts.get("policy"), text(facts.get("metric"))
    return {"policy": text(policy.get("name") if isinstance(policy, dict) else policy),
            "metric": metric and metric.strip().lower().replace(" ", "_").replace("-", "_"),
            "elapsed_percent": _percent(facts.get("elapsed_percent")),
            "breached_at": time_text(facts.get("breached_at"))}


def _percent(value: Any) -> Optional[float]:
    try:
        found: Optional[float] = clean(float((text(value) or repr(value)).rstrip(" %")))
        return found
    except ValueError:
        return None
