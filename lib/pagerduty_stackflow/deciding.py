"""Deciding about a pair: what the merge is told of it, and what the link says once that is done."""

from __future__ import annotations

from typing import Optional, Tuple

from . import merge
from .incidents import StackFlowIncident, format_time, parse_time, reaches
from .links import Link
from .pack import Pack
from .pairs import Pair
from .routing import entry_of_service, find_route, same_name
from .settings import Settings


def decide(pack: Pack, pair: Pair, may_trigger: bool, force: bool = False) -> merge.Decision:
    """What the merge decides, except that nothing is written for a record that another one carries
    on, and no incident is opened without ``may_trigger``.

    Only trigger_incident and the reconcile give that: they know what is too old to be opened.
    ``force``: a person asks for a page, whatever the threshold and PagerDuty's resolve say.
    """
    link = pair.link
    now = situation(pack, pair, force)
    if link.replaced_by:
        return merge.Decision("carried on in %s" % link.replaced_by, link.stackflow, link.pagerduty)
    decision = merge.decide(now)
    if merge.TRIGGER in decision.pagerduty and not may_trigger:
        known = (link.stackflow, link.pagerduty)
        if pair.reopened == merge.STACKFLOW:  # no later run shall take it for an unfinished resolve
            known = (merge.RESOLVED, merge.RESOLVED)
        return merge.Decision("no PagerDuty incident is open for it; trigger_incident opens one",
                              *known)
    return decision


def situation(pack: Pack, pair: Pair, force: bool = False) -> merge.Situation:
    """The pair as the merge sees it; an incident that was not read counts as it was last agreed."""
    settings, link, record = pack.settings, pair.link, pair.record
    assignee = merge.NOBODY
    if record is not None and record.assigned_to:
        carried = record.assigned_to == link.assignee or keeps_team(settings, pair)
        assignee = merge.CARRIED if carried else merge.ANOTHER
    if pair.incident is None:
        there = link.pagerduty
        if there == merge.ACKNOWLEDGED and assignee == merge.ANOTHER:
            there = merge.OPEN  # it may have been un-acknowledged since; once more does no harm
    elif pair.incident.merged_into:
        there = merge.MERGED
    else:
        there = merge.STATUS.get(pair.incident.status, merge.OPEN)
    reopened = pair.reopened
    if force and record is not None and record.state not in merge.DONE_STATES:
        reopened = merge.STACKFLOW  # a person asks for a page whatever PagerDuty says
    return merge.Situation(
        agreed_stackflow=link.stackflow, agreed_pagerduty=link.pagerduty,
        stackflow=record.state if record else None, assignee=assignee, pagerduty=there,
        reopened=reopened, moved=link.moved, handed=_handed(settings, pair),
        bidirectional_sync=settings.bidirectional_sync, auto_acknowledge=settings.auto_acknowledge,
        reaches_threshold=force or reaches(record.priority if record else None,
                                           settings.priority_threshold))


def place(settings: Settings, pair: Pair) -> Tuple[Optional[str], Optional[str]]:
    """The services that the pair stands on: that of the record's group and category, None where it
    has no entry, and PagerDuty's, as far as it is known.
    """
    record, incident = pair.record, pair.incident
    route = find_route(settings, record.assignment_group, record.category) if record else None
    service = incident.service_id if incident else pair.link.service_id
    return route.mapping.service_id if route else None, service


def _handed(settings: Settings, pair: Pair) -> Optional[str]:
    """The side on which the incident was handed to another mapped team since the last agreement.

    Where both sides were changed, or nothing tells which one, it is the side of the event that this
    run is about, else PagerDuty: that team is being paged already.
    """
    link = pair.link
    here, there = place(settings, pair)
    if pair.record is None or link.shared or there is None or (here == there and not link.moving):
        return None
    if link.group is None:  # the link was lost; our own trigger tells where PagerDuty had it first
        stayed = link.dedup_key is not None and there == link.service_id
        left = stayed or pair.told == merge.STACKFLOW
        moved = not stayed and here is not None or pair.told == merge.PAGERDUTY
    else:
        again = link.writing and pair.told == merge.STACKFLOW  # after a group that nobody remembers
        left = bool(link.moving or again or
                    not same_name(link.group, pair.record.assignment_group))
        moved = there not in (link.service_id, link.moving)
    if not settings.bidirectional_sync or entry_of_service(settings, there) is None:
        moved = False
    if here is None or not left:
        return merge.PAGERDUTY if moved else None
    return (pair.told or merge.PAGERDUTY) if moved else merge.STACKFLOW


def stranded(settings: Settings, pair: Pair) -> bool:
    """Whether the record of an open pair was handed to a group that no entry pages: the team before
    keeps the incident.
    """
    record, link = pair.record, pair.link
    known = link.group is not None or pair.told == merge.STACKFLOW
    return (record is not None and record.state not in merge.DONE_STATES and known and
            link.pagerduty in (merge.OPEN, merge.ACKNOWLEDGED) and not link.shared and
            not same_name(link.group, record.assignment_group) and
            place(settings, pair)[0] is None)


def keeps_team(settings: Settings, pair: Pair) -> bool:
    """Whether this run is about a group that no entry pages: who was assigned with it acknowledges
    nothing.
    """
    return pair.told == merge.STACKFLOW and stranded(settings, pair)


def agreed(pack: Pack, pair: Pair, decision: merge.Decision) -> Link:
    """The link as it is once a decision is carried out."""
    link, record = pair.link, pair.record
    link = link._replace(stackflow=decision.agreed_stackflow, pagerduty=decision.agreed_pagerduty,
                         writing=None)
    if record is not None:
        both = (decision.agreed_stackflow, decision.agreed_pagerduty)
        if pair.incident is not None and record.state not in merge.DONE_STATES:
            opened = pair.incident.reopened_at
            link = link._replace(reopened_at=format_time(opened) if opened else None)
        carried = (both == (merge.ACKNOWLEDGED, merge.ACKNOWLEDGED) or decision.spends_assignment or
                   keeps_team(pack.settings, pair))
        link = link._replace(assignee=_assignee(link, record, carried),
                             stackflow_at=_later(link.stackflow_at, record))
        here, there = place(pack.settings, pair)
        unknown = link.group is None and pair.told is None and merge.RESOLVED not in both
        if here == there or unknown or decision.hands_over:
            link = link._replace(group=record.assignment_group, service_id=there, moving=None)
    return link


def _assignee(link: Link, record: StackFlowIncident, carried: bool) -> Optional[str]:
    """For whom an acknowledgement counts as carried; a record that nobody holds starts afresh."""
    if "assigned_to" in record.fields and not record.assigned_to:
        return None
    return record.assigned_to if carried else link.assignee


def _later(stamp: Optional[str], record: StackFlowIncident) -> Optional[str]:
    known, new = parse_time(stamp), record.updated_at
    return format_time(new) if new and (known is None or new > known) else stamp
