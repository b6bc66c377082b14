"""What happened to an incident, where no webhook says so: told by comparing what it is now with its
link record.

Pure: no input, no output, no clock. What the link agrees with is an echo, and gives no event.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .incidents import PagerDutyIncident, StackFlowIncident, parse_time, reaches
from .links import STATES, VISIBLE, Link
from .merge import ABSENT, ACKNOWLEDGED, DONE_STATES, RESOLVED, STATUS
from .routing import entry_of_service
from .settings import Settings

TRIGGERED = "incident.triggered"
MOVED = "incident.service_updated"
FACETS = ("state", "priority", "assignment_group", "assigned_to")
"""Fields of a StackFlow record whose change is an event."""


def pagerduty_events(incident: PagerDutyIncident, link: Optional[Link], told: Sequence[str],
                     settings: Settings, start: Optional[datetime], now: datetime) -> List[str]:
    """Types of the events of a PagerDuty incident that has new log entries.

    ``link`` is that of its StackFlow record, ``told`` are the types of events that the entries
    speak of, oldest first; ``start`` is the time of the first run.
    """
    state = STATUS[incident.status]
    if link is None:
        return _unlinked(incident, state, told, settings, start)
    if link.pagerduty_id not in (None, incident.id):  # an earlier incident of the record
        return [] if state == RESOLVED else list(told[-1:])
    events = []
    if state != link.pagerduty and not _on_its_way(link, state, now):
        events.append(_state_event(link.pagerduty, state))
    known = (None, link.service_id, link.moving)
    moved = bool(link.service_id) and incident.service_id not in known and not link.shared
    if moved and state != RESOLVED:
        events.append(MOVED)
    return events


def _unlinked(incident: PagerDutyIncident, state: str, told: Sequence[str], settings: Settings,
              start: Optional[datetime]) -> List[str]:
    """An open incident without a record may have been acknowledged meanwhile: who creates the record
    looks. Where none is to be created, the entries are told as they come.
    """
    older = bool(start and incident.created_at and incident.created_at < start)
    wanted = settings.bidirectional_sync and entry_of_service(settings, incident.service_id)
    if state != RESOLVED and wanted and not older:
        return [TRIGGERED]
    return [event for event in told if not (older and event == TRIGGERED)][-1:]


def _state_event(agreed: str, state: str) -> str:
    if state == RESOLVED:
        return "incident.resolved"
    if agreed == ABSENT:
        return TRIGGERED
    if agreed == RESOLVED:
        return "incident.reopened"
    return "incident.acknowledged" if state == ACKNOWLEDGED else "incident.unacknowledged"


def _on_its_way(link: Link, state: str, now: datetime) -> bool:
    """Whether an event that this pack just sent may be what PagerDuty does not show yet."""
    sent_at = parse_time(link.sent_at)
    behind = STATES.index(state) < STATES.index(link.pagerduty)
    return behind and sent_at is not None and abs(now - sent_at) < VISIBLE


def stackflow_event(record: StackFlowIncident, link: Optional[Link], new: bool,
                    before: Mapping[str, Any], settings: Settings,
                    start: Optional[datetime]) -> Optional[Tuple[str, Dict[str, Any]]]:
    """Name of the event of a changed StackFlow record, and the earlier values that are known; None
    where nothing is seen to have happened.

    ``new``: it was created since the last look; ``before``: its FACETS at the last look, as far as
    there was one; ``start`` is the time of the first run.
    """
    previous = {name: before[name] for name in FACETS
                if name in before and before[name] != record.fields.get(name)}
    if link is not None and (link.joined or link.stackflow == RESOLVED):
        return _of_pair(record, link, previous, settings)
    if record.state in DONE_STATES:
        return "incident.resolved", previous
    if start and record.created_at and record.created_at < start:
        return _change(previous)
    if new:
        return "incident.created", {}
    if reaches(record.priority, settings.priority_threshold):
        return "incident.priority_changed", previous  # raised, or its first event was lost
    return _change(previous)


def _of_pair(record: StackFlowIncident, link: Link, previous: Dict[str, Any],
             settings: Settings) -> Optional[Tuple[str, Dict[str, Any]]]:
    applied = parse_time(link.stackflow_at)
    if applied and record.updated_at and record.updated_at < applied:
        return None  # it was read before a change that was applied meanwhile
    if record.state in DONE_STATES:
        return None if link.stackflow == RESOLVED else ("incident.resolved", previous)
    if link.stackflow == RESOLVED:
        return "incident.reopened", dict({"state": RESOLVED}, **previous)
    return _change(dict(previous, **_not_agreed(record, link, settings)))


def _change(previous: Dict[str, Any]) -> Optional[Tuple[str, Dict[str, Any]]]:
    """The event for a change of these earlier values. The rules for webhooks then call it by the most
    telling of them (`stackflow.webhooks`): a person, a group, a resolve.
    """
    if not previous:
        return None
    priority_alone = set(previous) == {"priority"}
    return "incident.priority_changed" if priority_alone else "incident.state_changed", previous


def _not_agreed(record: StackFlowIncident, link: Link, settings: Settings) -> Dict[str, Any]:
    """Values of the last agreement that an open record differs from."""
    values: Dict[str, Any] = {}
    if link.group is not None and record.assignment_group != link.group:
        values["assignment_group"] = link.group
    if settings.auto_acknowledge and record.assigned_to not in (None, link.assignee):
        values["assigned_to"] = link.assignee
    return values
