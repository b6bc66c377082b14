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
    """Name of the trigger and its payload, without `pagerduty_incident_id` and `sync`.

    Raises BadDelivery where the body is not a JSON object.
    """
    return event_of(load_object(body), settings, digest_id(body), "webhook")


def event_of(document: Mapping[str, Any], settings: StackFlowSettings, fallback_id: str,
             received_by: str) -> Tuple[str, Dict[str, Any]]:
    """Like :func:`parse`, for a document of :func:`deliveries.load_object` that came another way
    in.

    ``fallback_id`` is the event's id where the document brings none. An event without a name has
    the type "unknown", one without a record a null `incident`; what is of a wrong type is null.
    """
    document = dict(document)
    places = [document, as_object(document.get("data")), as_object(document.get("detail"))]
    name = (_first([document], *NAME_KEYS) or "unknown").strip().lower()
    occurred_at = next(filter(None, (time_text(document.get(key)) for key in TIME_KEYS)), None)
    record = _record(places)
    fields = None if record is None else canonical_record(record, settings.states)
    payload: Dict[str, Any] = {
        "event_id": _event_id(document, fields) or fallback_id,
        "event_type": name,
        "occurred_at": occurred_at or (fields or {}).get("updated_at"),
        "received_by": received_by,
        "incident": fields,
    }
    if name.startswith("sla."):
        payload["sla"] = _sla(_beside(places, "sla"))
    else:
        previous = _previous(_beside(places, "previous"), settings)
        payload["event_type"] = _classify(name, fields or {}, previous)
        payload["assigned_to_person"] = _person_assigned(name, fields or {}, previous)
        payload["previous"] = previous or None
        payload["note"] = _note(_beside(places, "note", "comment"))
    if fields is not None:
        _stamp(fields, payload)
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


def _event_id(document: Dict[str, Any], fields: Optional[Mapping[str, Any]]) -> Optional[str]:
    found = _first([document], "event_id", "id")
    return None if fields and found == fields["number"] else found  # that is the record's id


def _first(places: List[Dict[str, Any]], *names: str) -> Optional[str]:
    return next(filter(None, (text(place.get(name)) for place in places for name in names)), None)


def _beside(places: List[Dict[str, Any]], *names: str) -> Any:
    return next((place[name] for place in places for name in names
                 if place.get(name) is not None), None)


def _previous(value: Any, settings: StackFlowSettings) -> Dict[str, Any]:
    given = as_object(value)
    fields = canonical_record(given, settings.states)
    return {name: fields[name] for name in given}


def _classify(name: str, fields: Mapping[str, Any], previous: Mapping[str, Any]) -> str:
    """The event's type by what changed: one delivery gives one, the most telling."""
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
    """Whether a person was newly assigned. Where the record does not say who has it, the event's
    name and earlier values tell, and the action reads the record.
    """
    person = fields.get("assigned_to")
    if "assigned_to" not in fields:
        return name == "incident.assigned" or "assigned_to" in previous
    if not person or "assigned_to" in previous:
        return bool(person) and person != previous.get("assigned_to")
    return not previous and name in ("incident.assigned", "incident.created")


def _stamp(fields: Dict[str, Any], payload: Mapping[str, Any]) -> None:
    """Give a record that came without its times that of the event."""
    names = ["updated_at"] + ["reopened_at"] * (payload["event_type"] == "incident.reopened")
    for name in names:
        if payload["occurred_at"] and not fields.get(name):
            fields[name] = payload["occurred_at"]


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


def _note(value: Any) -> Optional[Dict[str, Any]]:
    note = {"text": value} if text(value) else as_object(value)
    return note_fields(note) if note else None
