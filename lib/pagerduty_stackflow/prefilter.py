"""The filter: whether it is certain, from a delivery and the link, that an event needs no action.

A question: it writes nothing, and in doubt an event is applied, as the action decides anyway.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

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
"""How far an event may be from our own write of the same words; clocks differ, and calls wait."""


class Verdict(NamedTuple):
    """Whether the shipped rules shall act, and if not, why. ``join``: PagerDuty id and number of an
    alert of the pack's own whose id was not known yet.
    """

    apply: bool
    reason: str = ""
    join: Optional[Tuple[str, str]] = None


APPLY = Verdict(True)


def judge(trigger: str, payload: Dict[str, Any], settings: Settings, links: Links,
          start: Optional[str]) -> Verdict:
    """Say whether the shipped rules shall act on an event; fills in the other side's id.

    ``start`` is the time of the first run. Raises DatastoreError: the delivery is to be made again
    then.
    """
    incident = payload.get("incident")
    if not isinstance(incident, dict):
        return Verdict(False, "not about an incident")
    if trigger == TRIGGERS[PAGERDUTY]:
        return _pagerduty(payload, settings, links, start)
    if trigger == TRIGGERS[SLA]:
        return _sla(payload, settings)
    return _stackflow(payload, settings, links, start)


def _pagerduty(payload: Dict[str, Any], settings: Settings, links: Links,
               start: Optional[str]) -> Verdict:
    incident, kind = payload["incident"], kind_of(PAGERDUTY, payload["event_type"])
    incident_id = incident.get("id")
    if not isinstance(incident_id, str) or not incident_id:
        return APPLY
    index = links.index(incident_id)
    numbers = index.numbers
    client = payload.get("client") or {}
    ours = (number_of_url(client.get("url"), settings.stackflow.host)
            if client.get("name") == CLIENT else None)
    number = numbers[0] if numbers else ours
    payload["stackflow_id"] = number
    join = (incident_id, ours) if ours and not numbers else None
    if kind is None:
        return Verdict(True, join=join)
    if kind.opens and ours:
        return Verdict(False, "an alert that this pack triggered for %s" % ours, join)
    if kind.note:
        return _note(payload, settings, index.notes)._replace(join=join)
    if not settings.bidirectional_sync:
        last_resort = kind.state == RESOLVED and settings.escalation_mapping and number
        if not last_resort:  # else the alert of an unanswered escalation may be open beside it
            return Verdict(False, "bidirectional_sync is off", join)
    service = incident.get("service_id")
    if number is None and service and entry_of_service(settings, service) is None:
        return Verdict(False, "service %s is not in service_mapping" % service)
    if number is None and kind.opens and _before(incident, start):
        return Verdict(False, "opened before the pack was installed")
    if len(numbers) == 1 and not incident.get("resolve_reason"):
        link = links.read(numbers[0])
        if link is not None and link.incident_id in (None, incident_id) and not link.last_resort:
            return _known_there(kind, incident, link)
    return Verdict(True, join=join)


def _known_there(kind: Kind, incident: Mapping[str, Any], link: Link) -> Verdict:
    """Whether an event shows only what was seen, or what the pack itself wrote."""
    shown: Dict[str, Any] = {field.name: incident.get(field.name) for field in VALUES}
    shown.update(state=kind.state or incident.get("status"), place=incident.get("service_id"))
    expected = link.expected(PAGERDUTY)
    if link.expected(STACKFLOW) or kind.name == "incident.reopened":
        return APPLY
    state = expected.get("state", link.there.get("state"))
    if RESOLVED in (state, link.there.get("state")) and shown["state"] != RESOLVED:
        return APPLY  # reopened, or a resolve that is under way
    names = [name for name in kind.changes if name != "acknowledgement"]
    if not _are_known(names, shown, link.there, expected):
        return APPLY
    if shown["state"] == RESOLVED and link.here.get("state") not in DONE_STATES and not expected:
        return APPLY  # StackFlow has not followed yet
    return Verdict(False, "an echo of the pack's own write" if expected else
                   "nothing new since the last look")


def _are_known(names: Any, shown: Mapping[str, Any], seen: Mapping[str, str],
               expected: Mapping[str, str]) -> bool:
    """Whether all these fields show what is expected, or where nothing is, what was seen."""
    known = dict(seen, **expected)
    return all(shown.get(name) is not None and name in known and
               BY_NAME[name].same(known[name], shown[name]) for name in names)


def _stackflow(payload: Dict[str, Any], settings: Settings, links: Links,
               start: Optional[str]) -> Verdict:
    kind = kind_of(STACKFLOW, payload["event_type"])
    record = StackFlowIncident.from_record(payload["incident"])
    if not record.number:
        return APPLY
    link, written = links.read_with_notes(record.number)
    payload["pagerduty_incident_id"] = link.incident_id if link else None
    if kind is None:
        return APPLY
    if kind.note:
        return _note(payload, settings, written)
    if kind.name == "incident.assigned" and not settings.auto_acknowledge:
        return Verdict(False, "auto_acknowledge is off")
    if link is None or not link.joined:
        return _unpaired(kind, record, settings, start)
    if kind.name == "incident.assigned" and not payload.get("assigned_to_person"):
        return Verdict(False, "no person was assigned")
    return _known_here(kind, record, link, settings)


def _unpaired(kind: Kind, record: StackFlowIncident, settings: Settings,
              start: Optional[str]) -> Verdict:
    """An event of a record without a pair. Its link may be lost, so only this is certain: that
    nothing is to be opened for it.
    """
    born_there = pagerduty_id_of_mark(record.description)
    if kind.opens and priority_named(record.priority) in PRIORITIES and not born_there:
        if not reaches(record.priority, settings.priority_threshold):
            return Verdict(False, "%s is under the threshold %s" % (record.priority,
                                                                    settings.priority_threshold))
        if _before(record.fields, start):
            return Verdict(False, "created before the pack was installed")
    return APPLY


def _known_here(kind: Kind, record: StackFlowIncident, link: Link,
                settings: Settings) -> Verdict:
    """Whether an event shows only what was seen, or what the pack itself wrote, or less than that.
    """
    at = parse_time(link.here.get("at"))
    if at and record.updated_at and record.updated_at < at:
        return Verdict(False, "a newer state of the record was seen")
    shown = shown_here(record)
    if "place" in link.expected(PAGERDUTY) or (
            record.reopened_at and (at is None or record.reopened_at > at)):
        return APPLY  # a move is under way, or its run was killed; or nobody saw the resolve before
    expected = link.expected(STACKFLOW)
    done = record.state in DONE_STATES
    known = expected.get("state", link.here.get("state"))
    if "state" not in shown or done != (known in DONE_STATES):
        return APPLY
    waits = link.expected(PAGERDUTY).get("state", link.there.get("state")) == RESOLVED
    if not expected and done != waits:
        return APPLY  # PagerDuty has not followed yet
    names = {*shown, *kind.changes} - {"state"}  # a webhook may leave out the field that changed
    if not settings.auto_acknowledge:
        names.discard("acknowledgement")
    if not _are_known(names, shown, link.here, expected):
        return APPLY
    return Verdict(False, "an echo of the pack's own write" if expected else
                   "nothing new since the last look")


def _note(payload: Dict[str, Any], settings: Settings, written: Mapping[str, str]) -> Verdict:
    """``written``: digests of the pack's own notes on the incident, and when it wrote them. A
    person who uses the same words at another time is no echo.
    """
    note = payload.get("note") or {}
    text = note.get("text") or note.get("content")
    if not settings.sync_notes:
        return Verdict(False, "sync_notes is off")
    if not text and not note.get("id"):
        return Verdict(False, "the event holds no note")
    wrote, at = parse_time(written.get(note_digest(text or ""))), parse_time(payload["occurred_at"])
    if wrote and (at is None or abs(at - wrote) < ECHO):
        return Verdict(False, "a note that this pack wrote")
    return APPLY


def _sla(payload: Dict[str, Any], settings: Settings) -> Verdict:
    policy, kind = (payload.get("sla") or {}).get("policy"), payload["event_type"]
    if mapping_of(settings, policy) is None:
        return Verdict(False, "escalation_mapping names no policy for SLA %r" % policy)
    if mapping_of(settings, policy, kind.replace(".", "_")) is None:
        return Verdict(False, "escalation_mapping names no policy for %s of %r" % (kind, policy))
    return APPLY


def _before(incident: Any, start: Optional[str]) -> bool:
    created, first = parse_time(incident.get("created_at")), parse_time(start)
    return bool(created and first and created < first)
