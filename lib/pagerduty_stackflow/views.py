"""Plain reads for people: nothing here writes anything."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, Optional

from .decide import DONE_STATES
from .errors import BadInputError, NotFoundError
from .incidents import (PRIORITIES, PagerDutyIncident, StackFlowIncident, format_time,
                        is_stackflow_number, reaches)
from .pack import Pack
from .matching import find_incident, find_record, linked_incident, numbers_of
from .reconcile import reconcile
from .routing import entries_for, entries_of_group

OPEN = "open"
STATUSES = {OPEN: ("triggered", "acknowledged"), "triggered": ("triggered",),
            "acknowledged": ("acknowledged",), "resolved": ("resolved",)}
LIMIT = 25
"""Rows that a list shows at most."""


def get_incident(pack: Pack, incident_id: str) -> Dict[str, Any]:
    """Show both sides, or null, and the link; NotFoundError if neither side has the incident."""
    number: Optional[str] = incident_id
    incident: Optional[PagerDutyIncident] = None
    if not is_stackflow_number(incident_id):
        incident = find_incident(pack, incident_id)
        number = next(iter(numbers_of(pack, incident_id)), None) if incident else None
    link = pack.links.read(number) if number else None
    record = find_record(pack, number) if number else None
    if incident is None and link is not None:
        incident = linked_incident(pack, link)
    if record is None and incident is None:
        raise NotFoundError("neither StackFlow nor PagerDuty knows %s" % incident_id,
                            "check the id")
    shown = {name: format_time(value) if isinstance(value, datetime) else value
             for name, value in incident._asdict().items()} if incident else None
    kept = {name: value for name, value in link._asdict().items() if value} if link else None
    if kept and link and link.expects:
        kept["expects"] = link.expects._asdict()
    known_id = incident.id if incident else None
    return dict(pack.urls(number, known_id), stackflow_id=number, pagerduty_incident_id=known_id,
                dedup_key=link.dedup_key if link else None,
                stackflow=dict(record.fields) if record else None, pagerduty=shown,
                link=kept)


def sync_status(pack: Pack, incident_id: str) -> Dict[str, Any]:
    """Show both sides, the link and what a reconcile ``would`` write, or the ``reason`` why it
    writes nothing.
    """
    shown = get_incident(pack, incident_id)
    found = reconcile(pack, incident_id, dry_run=True)
    in_step = found.ok and not found.repairs
    return dict(shown, in_step=in_step, reason=found.reason if in_step else None,
                would=found.repairs, failures=found.failures)


def list_incidents(pack: Pack, status: Optional[str] = None,
                   assignment_group: Optional[str] = None) -> Dict[str, Any]:
    """List incidents of the mapped services, or of those of one group: `{incidents: [...], more}`.

    ``status`` is PagerDuty's or "open", the default. The newest incidents come first. With "open",
    StackFlow records follow that reach the threshold and have no open incident, among the 200 of
    each priority that changed last. ``more``: there are others than the 25 that are shown.
    """
    status = status or OPEN
    if status not in STATUSES:
        raise BadInputError("status is %r" % status, "give one of " + ", ".join(STATUSES))
    entries = entries_for(pack.settings, assignment_group)
    incidents = pack.rest.newest(sorted({entry.service_id for entry in entries}),
                                 STATUSES[status], LIMIT + 1)
    # Those of the group, spelled as in the config; without a group, those of all.
    names = {entry.assignment_group for entry in entries} if assignment_group else ()
    filters = [[("assignment_group", name)] for name in sorted(names)] or [[]]
    records = {record.number: record for priority in PRIORITIES
               if reaches(priority, pack.settings.priority_threshold) for of_group in filters
               for record in pack.stackflow.newest([("priority", priority), *of_group])}
    rows = []
    for incident in incidents:
        number = next(iter(numbers_of(pack, incident.id)), None)
        record = (records.pop(number, None) or find_record(pack, number)) if number else None
        mapped = entries_of_group(pack.settings, record.assignment_group) if record else []
        # A service may serve several groups: leave out the incidents of another one.
        if not mapped or any(entry in entries for entry in mapped):
            rows.append(_row(pack, record, incident))
    rows += [_row(pack, record, None) for record in records.values()
             if status == OPEN and record.state not in DONE_STATES and any(
                 entry in entries
                 for entry in entries_of_group(pack.settings, record.assignment_group))]
    return {"incidents": rows[:LIMIT], "more": len(rows) > LIMIT}


def _row(pack: Pack, record: Optional[StackFlowIncident],
         incident: Optional[PagerDutyIncident]) -> Dict[str, Any]:
    here, there = record, incident
    created = (there and there.created_at) or (here and here.created_at)
    number, incident_id = here and here.number, there and there.id
    return dict(
        pack.urls(number, incident_id), stackflow_id=number, pagerduty_incident_id=incident_id,
        title=here.short_description if here else there and there.title,
        state=here and here.state, status=there and there.status, priority=here and here.priority,
        assignment_group=here and here.assignment_group, assigned_to=here and here.assigned_to,
        service_name=there and there.service_name, created_at=created and format_time(created))
