"""Telling a reopening by a person from a resolve that is on its way, or was lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Optional, Tuple

from .incidents import PagerDutyIncident, StackFlowIncident, parse_time
from .links import VISIBLE, Link
from .merge import DONE_STATES, OPEN, PAGERDUTY, RESOLVED, STACKFLOW
from .pack import Pack

CLOCK_ALLOWANCE = timedelta(minutes=2)
"""How far the clocks of the two systems may be apart before a resolve looks older than it is."""

Seen = Tuple[Link, Optional[PagerDutyIncident], Optional[str]]


def look_for_reopening(pack: Pack, link: Link, record: StackFlowIncident,
                       incident: PagerDutyIncident, stored: Optional[Link],
                       hint: Optional[StackFlowIncident]) -> Seen:
    """The link and the incident as they count, and the side that a person opened again later than
    the other side's resolve, when one did.

    ``stored`` is the link as the datastore has it, ``hint`` the record as an event carried it. Each
    side's own time is compared with the time of the other side's resolve; equal times leave it
    resolved. A reopening that the record followed already is none, whatever the clocks say.
    """
    if incident.status != "resolved" and link.pagerduty == RESOLVED:
        before = stored or link  # as it was when the resolve was sent, without a move seen only now
        sent = parse_time(before.sent_at)
        if sent is not None and not before.rest_only and abs(pack.clock.now() - sent) <= VISIBLE:
            if _is_on_its_way(pack, sent, incident):
                # It counts as agreed; how it was sent decides whether it can have been lost.
                return link._replace(rest_only=before.rest_only), None, None
            incident = pack.rest.incident(incident.id)  # it may have come since the first look
        # Its alert may be closed for good, so an event with the same dedup key may reach nothing.
        link = link._replace(rest_only=True)
    live = incident.status != "resolved"
    known = incident.reopened_at and incident.reopened_at == parse_time(link.reopened_at)
    reopened = None
    if record.state in DONE_STATES and live:
        here = parse_time(record.fields.get("resolved_at")) or record.updated_at
        if link.stackflow == RESOLVED and link.pagerduty == RESOLVED:
            if _is_resolved_again(link, record) and not _opened_again(pack, incident, here):
                link = link._replace(pagerduty=OPEN)  # that is still to be carried over
            else:
                return _though_agreed(pack, link, incident, stored, here)
        elif here and not known and _opened_again(pack, incident, here):
            incident = pack.rest.incident(incident.id)  # the resolve may be younger than it was
            reopened = PAGERDUTY if incident.status != "resolved" else None
    elif record.state not in DONE_STATES and not live:
        opened = record.reopened_at or (hint.reopened_at if hint else None)
        if opened is None and link.stackflow == RESOLVED:
            opened = record.updated_at
        elif opened is None and hint and hint.state in DONE_STATES:
            opened = _open_by(link, record, hint)
        changed = incident.status_changed_at
        if opened and changed and opened > changed:
            reopened = STACKFLOW
    return link, incident, reopened


def _open_by(link: Link, record: StackFlowIncident, hint: StackFlowIncident) -> Optional[datetime]:
    """When a record, which an event shows resolved, was open again at the latest: a late event is
    older than one that was applied, and that one showed it open.
    """
    applied = parse_time(link.stackflow_at)
    late = applied and hint.updated_at and hint.updated_at < applied
    return applied if late else record.updated_at


def _is_resolved_again(link: Link, record: StackFlowIncident) -> bool:
    """Whether people opened and resolved a record once more since both sides were resolved."""
    resolved, known = parse_time(record.fields.get("resolved_at")), parse_time(link.stackflow_at)
    return not link.writing and bool(resolved and known and resolved > known)


def _though_agreed(pack: Pack, link: Link, incident: PagerDutyIncident, stored: Optional[Link],
                   here: Optional[datetime]) -> Seen:
    """Why an incident is open although both sides were resolved: a person opened it again; or an alert
    that a merge brought keeps it open, so what was agreed counts; or the resolve was lost; or the
    incident is shown as it was before that.

    Only a resolve that was sent as an event can be lost. If it was not, the alert of its key is
    resolved, on whatever incident a merge put it.
    """
    if _opened_again(pack, incident, here and here - CLOCK_ALLOWANCE):
        return link, incident, None
    alerts = pack.rest.alerts(incident.id)
    alert = alerts.get(link.dedup_key or "")
    over = alert is not None and alert.status == "resolved"
    if over and any(one.status != "resolved" for one in alerts.values()):
        mine = pack.links.numbers(incident.id)[:1] == [link.number]
        return link, None if mine else incident, None
    lost = not over and (stored is None or not stored.rest_only and (
        stored.pagerduty_id in (None, incident.id)))
    if not lost and _is_late(pack, incident):
        return link, None, None
    return (link._replace(pagerduty=OPEN) if lost else link), incident, None


def _is_late(pack: Pack, incident: PagerDutyIncident) -> bool:
    """Whether an open incident is shown as it was before the last resolve in its own log."""
    resolved = last_entry(pack, incident.id, "resolve_log_entry")
    return resolved is not None and pack.clock.now() - resolved <= VISIBLE and (
        _is_before(incident.status_changed_at, resolved))


def _is_before(changed: Optional[datetime], resolved: datetime) -> bool:
    """To the second, as stamps of the log may be finer than those of incidents."""
    return changed is not None and changed < resolved.replace(microsecond=0)


def _opened_again(pack: Pack, incident: PagerDutyIncident, since: Optional[datetime]) -> bool:
    """Whether a person opened an open incident again later than ``since``.

    The log has no entry for it. But whatever it shows after the last resolve, other than notes,
    happened to an open incident: if any of that is older than ``since``, so is the reopening.
    """
    changed = incident.status_changed_at
    if changed is None or since is not None and changed <= since:
        return False
    if incident.reopened_at is not None:
        return since is None or incident.reopened_at > since
    resolved = last_entry(pack, incident.id, "resolve_log_entry")
    if resolved is None or _is_before(changed, resolved):
        return False
    after = [parse_time(entry.get("created_at")) for entry in pack.rest.history(incident.id)
             if entry.get("type") != "annotate_log_entry"]
    return all(since is None or time > since for time in after if time and time > resolved)


def _is_on_its_way(pack: Pack, sent: datetime, incident: PagerDutyIncident) -> bool:
    """Whether a resolve that was just sent as an event may still be under way."""
    seen = last_entry(pack, incident.id, "resolve_log_entry")
    return seen is None or seen < sent - CLOCK_ALLOWANCE


def was_resolved_before(pack: Pack, source: PagerDutyIncident) -> bool:
    """Whether an incident that a merge closed had been resolved before, and opened again: the log
    shows both.
    """
    types = [entry.get("type") for entry in pack.rest.history(source.id)]
    return types.count("resolve_log_entry") > 1


def last_entry(pack: Pack, incident_id: str, entry_type: str) -> Optional[datetime]:
    """When an entry of this type was last written to an incident's log; None where it never was."""
    times = [parse_time(entry.get("created_at")) for entry in pack.rest.history(incident_id)
             if entry.get("type") == entry_type]
    return max((time for time in times if time), default=None)
