"""`sync.apply`: whether it is certain, from a delivery and one look at the links, that nothing is
to be done.

Only a saving: in doubt an event is applied, and the action decides through the merge.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Dict, Mapping, Optional, Tuple

from .escalation import mapping_of
from .incidents import (CLIENT, STACKFLOW_NUMBER, StackFlowIncident, note_digest, number_of_url,
                        pagerduty_id_of_mark, parse_time, reaches)
from .links import Link, Links
from .merge import (ABSENT, ACKNOWLEDGED, CARRIED, DONE_STATES, NOBODY, OPEN, RESOLVED,
                    stackflow_state)
from .routing import entry_of_service
from .settings import Settings

PAGERDUTY_EVENT = "pagerduty_event"
SLA_EVENT = "stackflow_sla_event"

Verdict = Tuple[bool, str]
APPLY: Verdict = (True, "")
ECHO = timedelta(minutes=10)
"""How far an event may be from our own write of the same words; clocks differ, and calls wait."""
SYNC_EVENTS = ("incident.triggered", "incident.acknowledged", "incident.resolved",
               "incident.reopened", "incident.service_updated")


def judge(trigger: str, payload: Dict[str, Any], settings: Settings, links: Links,
          start: Optional[str]) -> Verdict:
    """Whether the shipped rules shall act on an event, and if not, why.

    Fills in the other side's id where the link knows it. ``start`` is the time of the first run.
    Raises DatastoreError: the delivery is to be made again then.
    """
    incident = payload.get("incident")
    if not isinstance(incident, dict):
        return False, "not about an incident"
    if trigger == PAGERDUTY_EVENT:
        return _pagerduty(payload, incident, settings, links, start)
    if trigger == SLA_EVENT:
        return _sla(payload, incident, settings, links)
    return _stackflow(payload, incident, settings, links, start)


def _pagerduty(payload: Dict[str, Any], incident: Dict[str, Any], settings: Settings, links: Links,
               start: Optional[str]) -> Verdict:
    kind, incident_id = payload["event_type"], incident.get("id")
    if not isinstance(incident_id, str) or not incident_id:
        return APPLY
    numbers, written = links.numbers_with_notes(incident_id)
    client = payload.get("client") or {}
    ours = (number_of_url(client.get("url"), settings.stackflow.host)
            if client.get("name") == CLIENT else None)
    if ours and not numbers:
        links.join(incident_id, ours)
        numbers = [ours]
    payload["stackflow_id"] = numbers[0] if numbers else None
    if kind == "incident.triggered" and ours:
        return False, "an alert that this pack triggered for %s" % ours
    if not settings.bidirectional_sync and kind in SYNC_EVENTS:
        last_resort = kind == "incident.resolved" and settings.escalation_mapping and numbers
        if not last_resort:  # else the alert of an unanswered escalation may be open beside it
            return False, "bidirectional_sync is off"
    if kind == "incident.annotated":
        verdict = _note(payload, settings, written)
        if not verdict[0]:
            return verdict
    service = incident.get("service_id")
    if not numbers and service and entry_of_service(settings, service) is None:
        return False, "service %s is not in service_mapping" % service
    if not numbers and kind == "incident.triggered" and _before(incident, start):
        return False, "opened before the pack was installed"
    return APPLY


def _stackflow(payload: Dict[str, Any], incident: Dict[str, Any], settings: Settings, links: Links,
               start: Optional[str]) -> Verdict:
    kind, record = payload["event_type"], StackFlowIncident.from_record(incident)
    if not record.number:
        return APPLY
    link, _, written = links.read_with_notes(record.number)
    payload["pagerduty_incident_id"] = link.pagerduty_id if link else None
    if kind == "incident.comment_added":
        return _note(payload, settings, written)
    if link is None or not link.joined:
        return _unpaired(kind, record, settings, start)
    if (kind == "incident.state_changed" and record.state not in DONE_STATES and
            link.stackflow == RESOLVED):  # a delivery without `previous` does not tell
        kind = payload["event_type"] = "incident.reopened"
        incident["reopened_at"] = incident.get("reopened_at") or incident.get("updated_at")
    born_there = pagerduty_id_of_mark(record.description)
    if kind == "incident.created" and born_there and born_there == link.pagerduty_id:
        return False, "a record that this pack created for %s" % born_there
    if kind in ("incident.created", "incident.priority_changed"):
        if link.pagerduty in (OPEN, ACKNOWLEDGED):
            return False, "paged already"
    if _is_echo(kind, record, link, settings):
        return False, "an echo of this pack's own write"
    if kind == "incident.assigned":
        return _assigned(payload, record, link, settings)
    return APPLY


def _unpaired(kind: str, record: StackFlowIncident, settings: Settings,
              start: Optional[str]) -> Verdict:
    """An event of a record without a pair. Its link may be lost, so only this is certain: that
    nothing is to be opened for it, or that it is not to be acknowledged by itself.
    """
    if kind in ("incident.created", "incident.priority_changed"):
        if record.priority and not reaches(record.priority, settings.priority_threshold):
            return False, "%s is under the threshold %s" % (record.priority,
                                                            settings.priority_threshold)
        if _before(record.fields, start):
            return False, "created before the pack was installed"
    if kind == "incident.assigned" and not settings.auto_acknowledge:
        return False, "auto_acknowledge is off"
    return APPLY


def _assigned(payload: Dict[str, Any], record: StackFlowIncident, link: Link,
              settings: Settings) -> Verdict:
    if not settings.auto_acknowledge:
        return False, "auto_acknowledge is off"
    if not payload.get("assigned_to_person"):
        return False, "no person was assigned"
    if record.assigned_to and record.assigned_to == link.assignee:
        return False, "acknowledged for %s already" % record.assigned_to
    return APPLY


def _is_echo(kind: str, record: StackFlowIncident, link: Link, settings: Settings) -> bool:
    """Whether the event shows what the pack itself wrote: being written now, or agreed with this
    very stamp.
    """
    if kind == "incident.regrouped":
        shown, agreed = record.assignment_group, record.assignment_group == link.group
    elif kind in ("incident.state_changed", "incident.resolved", "incident.reopened"):
        assignee = NOBODY if not record.assigned_to else CARRIED
        view = stackflow_state(record.state, assignee, settings.auto_acknowledge)
        shown, agreed = record.state, view == link.stackflow
    else:
        return False
    if shown and shown == link.writing:
        return True
    applied = parse_time(link.stackflow_at)
    return (agreed and applied is not None and record.updated_at == applied and
            link.pagerduty != ABSENT)


def _note(payload: Dict[str, Any], settings: Settings, written: Mapping[str, str]) -> Verdict:
    """``written``: digests of the pack's own notes on the incident, and when it wrote them. A
    person who uses the same words at another time is no echo.
    """
    note = payload.get("note") or {}
    text = note.get("text") or note.get("content")
    if not settings.sync_notes:
        return False, "sync_notes is off"
    if not text and not note.get("id"):
        return False, "the event holds no note"
    wrote, at = parse_time(written.get(note_digest(text or ""))), parse_time(payload["occurred_at"])
    if wrote and (at is None or abs(at - wrote) < ECHO):
        return False, "a note that this pack wrote"
    return APPLY


def _sla(payload: Dict[str, Any], incident: Dict[str, Any], settings: Settings,
         links: Links) -> Verdict:
    """Also notes a recovery: the same SLA may be breached, and escalated, once more after it."""
    policy, kind = (payload.get("sla") or {}).get("policy"), payload["event_type"]
    number, occurred_at = str(incident.get("number")), payload.get("occurred_at")
    if mapping_of(settings, policy) is None:
        logging.getLogger(__name__).warning("%s of %s: escalation_mapping names no policy for SLA "
                                            "%r", kind, number, policy)
        return False, "escalation_mapping names no policy for SLA %r" % policy
    if kind == "sla.recovery" and STACKFLOW_NUMBER.match(number):
        links.recover(number, str(policy), str(occurred_at))
    if mapping_of(settings, policy, kind.replace(".", "_")) is None:
        return False, "escalation_mapping names no policy for %s of %r" % (kind, policy)
    return APPLY


def _before(incident: Any, start: Optional[str]) -> bool:
    created, first = parse_time(incident.get("created_at")), parse_time(start)
    return bool(created and first and created < first)
