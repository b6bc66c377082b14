"""The filter: whether it is certain, from a delivery and the link, that an event needs no action.

It writes nothing. In doubt it passes an event, as the action decides anyway.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Tuple

from .decide import DONE_STATES, RESOLVED
from .events import SLA, Kind, kind_of
from .fields import BY_NAME, PAGERDUTY, STACKFLOW, VALUES, shown_here
from .incidents import (CLIENT, PRIORITIES, StackFlowIncident, note_digest, number_of_url,
                        pagerduty_id_of_mark, parse_time, priority_named, reaches)
from .links import Link, Links
from .routing import entry_of_service, mapping_of
from .settings import Settings

TRIGGERS = {PAGERDUTY: "pagerduty_event", STACKFLOW: "stackflow_event", SLA: "stackflow_sla_event"}
"""The trigger of each side's events, named without the pack."""
ECHO = timedelta(minutes=10)
"""How far an event may be from the pack's own write of the same words: clocks differ, calls wait.
"""


class Verdict(NamedTuple):
    """Whether the shipped rules shall act, and if not, why. ``join``: PagerDuty id and number of an
    alert that the pack triggered and whose id it did not know yet.
    """

    apply: bool
    reason: str = ""
    join: Optional[Tuple[str, str]] = None


APPLY = Verdict(True)


def judge(trigger: str, payload: Dict[str, Any], settings: Settings, links: Links,
          start: Optional[str]) -> Verdict:
    """Say whether the shipped rules shall act on an event; fills in the other side's id.

    ``start`` is the time of the first run. Raises DatastoreError: the sender has to repeat the
    delivery then.
    """
    if not isinstance(payload.get("incident"), dict):
        return Verdict(False, "not about an incident")
    if trigger == TRIGGERS[PAGERDUTY]:
        return _pagerduty(payload, settings, links, start)
    reason = (_sla(payload, settings) if trigger == TRIGGERS[SLA] else
              _stackflow(payload, settings, links, start))
    return Verdict(not reason, reason)


def _pagerduty(payload: Dict[str, Any], settings: Settings, links: Links,
               start: Optional[str]) -> Verdict:
    incident, kind = payload["incident"], kind_of(PAGERDUTY, payload["event_type"])
    incident_id, client = incident.get("id"), payload.get("client") or {}
    if not isinstance(incident_id, str) or not incident_id:
        return APPLY
    index = links.index(incident_id)
    numbers = index.numbers
    ours = (number_of_url(client.get("url"), settings.stackflow.host)
            if client.get("name") == CLIENT else None)
    number = payload["stackflow_id"] = numbers[0] if numbers else ours
    reason = ""
    if kind is None:
        pass
    elif kind.opens and ours:
        reason = "an alert that this pack triggered for %s" % ours
    elif kind.note:
        reason = _note(payload, settings, index.notes)
    elif not settings.bidirectional_sync and not (
            number and kind.state == RESOLVED and settings.escalation_mapping):
        reason = "bidirectional_sync is off"  # else an alert of last resort may be open
    elif number is None:
        service = incident.get("service_id")
        if service and entry_of_service(settings, service) is None:
            reason = "service %s is not in service_mapping" % service
        elif kind.opens and _before(incident, start):
            reason = "opened before the pack was installed"
    elif len(numbers) == 1 and not incident.get("resolve_reason"):
        link = links.read(number)
        if link is not None and link.incident_id in (None, incident_id) and not link.last_resort:
            reason = _known_there(kind, incident, link)
    return Verdict(not reason, reason, (incident_id, ours) if ours and not numbers else None)


def _known_there(kind: Kind, incident: Mapping[str, Any], link: Link) -> str:
    shown: Dict[str, Any] = {field.name: incident.get(field.name) for field in VALUES}
    shown.update(state=kind.state or incident.get("status"), place=incident.get("service_id"))
    if not kind.changes or link.expected(STACKFLOW) or kind.name == "incident.reopened" or (
            link.there.get("state") == RESOLVED != shown["state"]):
        return ""  # a write is under way, or its run was killed; or people reopened it
    return _known(PAGERDUTY, link, shown,
                  [name for name in kind.changes if name != "acknowledgement"])


def _stackflow(payload: Dict[str, Any], settings: Settings, links: Links,
               start: Optional[str]) -> str:
    kind = kind_of(STACKFLOW, payload["event_type"])
    record = StackFlowIncident.from_record(payload["incident"])
    if not record.number:
        return ""
    link, written = links.read_with_notes(record.number)
    payload["pagerduty_incident_id"] = link.incident_id if link else None
    if kind is None:
        return ""
    if kind.note:
        return _note(payload, settings, written)
    assigned = kind.name == "incident.assigned"
    if assigned and not settings.auto_acknowledge:
        return "auto_acknowledge is off"
    born_there = pagerduty_id_of_mark(record.description)
    if link is not None and link.joined:
        if assigned and not payload.get("assigned_to_person"):
            return "no person was assigned"
        return _known_here(kind, record, link, settings)
    if born_there and kind.name == "incident.created" and record.state == "new" and not (
            record.assigned_to):
        index = links.index(born_there)
        if index.creating and index.own in (None, record.number):
            return "a record that this pack created for %s" % born_there
    # The link may be lost, so it is certain at most that nothing is to be opened.
    if kind.opens and not born_there and priority_named(record.priority) in PRIORITIES:
        if not reaches(record.priority, settings.priority_threshold):
            return "%s is under the threshold %s" % (record.priority, settings.priority_threshold)
        if _before(record.fields, start):
            return "created before the pack was installed"
    return ""


def _known_here(kind: Kind, record: StackFlowIncident, link: Link, settings: Settings) -> str:
    at, shown = parse_time(link.here.get("at")), shown_here(record)
    if at and record.updated_at and record.updated_at < at:
        return "a newer state of the record was seen"
    if "place" in link.expected(PAGERDUTY) or (
            record.reopened_at and (at is None or record.reopened_at > at)):
        return ""  # a move is under way, or its run was killed; or nobody saw the resolve before
    names = {*shown, *kind.changes} - {"state"}  # a webhook may leave out the field that changed
    if not settings.auto_acknowledge:
        names.discard("acknowledgement")
    return _known(STACKFLOW, link, shown, names)


def _known(side: str, link: Link, shown: Mapping[str, Any], names: Iterable[str]) -> str:
    """Why an event needs no action: these fields show what the pack expects, or where it expects
    nothing, what it saw last, and the other side has followed.
    """
    seen = {PAGERDUTY: link.there, STACKFLOW: link.here}
    other = STACKFLOW if side == PAGERDUTY else PAGERDUTY
    expected, known = link.expected(side), {**seen[side], **link.expected(side)}
    done = shown.get("state") in DONE_STATES
    followed = {**seen[other], **link.expected(other)}.get("state") in DONE_STATES
    if not shown.get("state") or done != (known.get("state") in DONE_STATES) or (
            done != followed and not expected):
        return ""
    if not all(shown.get(name) is not None and name in known and
               BY_NAME[name].same(known[name], shown[name]) for name in names):
        return ""
    return "an echo of the pack's own write" if expected else "nothing new since the last look"


def _note(payload: Dict[str, Any], settings: Settings, written: Mapping[str, str]) -> str:
    """``written``: digests of the pack's own notes on the incident, and when it wrote them. A
    person who uses the same words at another time is no echo.
    """
    note = payload.get("note") or {}
    text = note.get("text") or note.get("content")
    if not settings.sync_notes:
        return "sync_notes is off"
    if not text and not note.get("id"):
        return "the event holds no note"
    wrote, at = parse_time(written.get(note_digest(text or ""))), parse_time(payload["occurred_at"])
    return "a note that this pack wrote" if wrote and (at is None or abs(at - wrote) < ECHO) else ""


def _sla(payload: Dict[str, Any], settings: Settings) -> str:
    policy, kind = (payload.get("sla") or {}).get("policy"), payload["event_type"]
    if mapping_of(settings, policy) is None:
        return "escalation_mapping names no policy for SLA %r" % policy
    if mapping_of(settings, policy, kind.replace(".", "_")) is None:
        return "escalation_mapping names no policy for %s of %r" % (kind, policy)
    return ""


def _before(incident: Any, start: Optional[str]) -> bool:
    created, first = parse_time(incident.get("created_at")), parse_time(start)
    return bool(created and first and created < first)
