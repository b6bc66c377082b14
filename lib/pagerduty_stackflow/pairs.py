"""Finding a pair and reading both of its sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from .errors import NotFoundError
from .incidents import (PagerDutyIncident, StackFlowIncident, dedup_key, last_resort_key,
                        number_of_key, pagerduty_id_of_mark, reaches, record_of_key)
from .links import VISIBLE, Link
from .merge import (ACKNOWLEDGED, ANOTHER, CARRIED, DONE_STATES, MERGED, NOBODY, OPEN,
                    PAGERDUTY, RESOLVED, SET_IN_PROGRESS, STACKFLOW, STATUS, Situation)
from .pack import Pack
from .reopenings import last_entry, look_for_reopening
from .routing import entry_of_service, find_route, same_name
from .settings import Settings

MERGES = 10
"""Merges that are followed in a row."""
PAUSE = 2.0
"""Seconds between two looks for what was just triggered."""
SNAPSHOTS = 3
"""How often both sides are read anew because another run wrote to the link meanwhile."""
LOST = "lost"
"""In place of the fingerprint of a routing key that the datastore has lost."""


@dataclass
class Pair:
    """Both sides as they are now. ``incident`` is None where PagerDuty was not asked or has none;
    ``stored`` is the link as the datastore has it; ``told`` the side on which an event says that
    the incident was handed over.
    """

    link: Link
    record: Optional[StackFlowIncident]
    incident: Optional[PagerDutyIncident] = None
    stored: Optional[Link] = None
    reopened: Optional[str] = None
    told: Optional[str] = None

    @property
    def incident_id(self) -> Optional[str]:
        """The PagerDuty id, where it is known."""
        return self.incident.id if self.incident else self.link.pagerduty_id


def read_pair(pack: Pack, number: str, about: Optional[str] = None,
              hint: Optional[StackFlowIncident] = None, mine: Optional[Link] = None,
              told: Optional[str] = None, rows: Optional[Pair] = None) -> Pair:
    """Read the link, the record and the incident; a missing link is rebuilt from the marks.

    ``about``: the PagerDuty id that an event named; it may be a newer incident than the link knows.
    ``hint``: the record as an event carried it; it may tell of a state that is over by now.
    ``mine``: what this run wrote to the link before; it counts where another run did not know it.
    ``told``: see Pair. ``rows``: sides that were read just now and need not be read again, for as
    long as nobody wrote to the link since.
    """
    for _ in range(SNAPSHOTS):
        stored = pack.links.read(number)[0]
        link = stored or Link(number)
        if mine is not None and mine.joined and not link.joined:
            link = mine._replace(stackflow_at=link.stackflow_at or mine.stackflow_at)
        known = rows if rows is not None and rows.stored == stored else Pair(link, None)
        pair = _read_both(pack, link, about, known)
        pair.stored = pack.links.read(number)[0]
        if pair.stored == stored:
            break
    pair.told = told
    if pair.record is not None and pair.incident is not None:
        pair.link, pair.incident, pair.reopened = look_for_reopening(
            pack, pair.link, pair.record, pair.incident, pair.stored, hint)
    return pair


def _read_both(pack: Pack, link: Link, about: Optional[str], known: Pair) -> Pair:
    """The incident first: a record that is read later shows at least what the pack acted upon."""
    incident: Optional[PagerDutyIncident] = None
    if link.joined:
        incident = known.incident or linked_incident(pack, link)
        record = known.record or find_record(pack, link.number)
    else:
        record = known.record or find_record(pack, link.number)
        link, incident = _rebuild(pack, link, record)
    if link.writing == RESOLVED and record is not None and record.state in DONE_STATES:
        # Another run wrote it because PagerDuty was resolved: no person resolved it in StackFlow.
        link = link._replace(stackflow=RESOLVED, pagerduty=RESOLVED)
    elif link.writing == SET_IN_PROGRESS and link.stackflow == RESOLVED and (
            record is not None and record.state not in DONE_STATES):
        link = link._replace(stackflow=OPEN, pagerduty=OPEN)  # nor did one open it again there
    if about and not link.shared and (incident is None or incident.id != about):
        link, incident = _other_incident(pack, link, incident, about)
    if incident is not None and incident.merged_into is None and (
            link.pagerduty_id is None or incident.id == about):
        link = _share(pack, link._replace(pagerduty_id=incident.id), incident.id)
    link, incident = _follow_merges(pack, link, incident)
    return Pair(link if incident is None else seen_as(link, incident), record, incident)


def seen_as(link: Link, incident: PagerDutyIncident) -> Link:
    """The link once its incident was seen."""
    moved = bool(link.service_id and incident.service_id and
                 incident.service_id != link.service_id and not link.shared)
    # What was opened again may have no open alert, which alone an event can reach.
    reopened = incident.reopened_at is not None
    return link._replace(pagerduty_id=incident.id, seen=True, unseen=None,
                         moved=link.moved or moved, rest_only=link.rest_only or moved or reopened,
                         service_id=link.service_id or incident.service_id)


def find_record(pack: Pack, number: str) -> Optional[StackFlowIncident]:
    """The StackFlow record, or None where it was deleted or never existed."""
    try:
        return pack.stackflow.incident(number)
    except NotFoundError:
        return None


def find_incident(pack: Pack, incident_id: str) -> Optional[PagerDutyIncident]:
    """The PagerDuty incident, or None."""
    try:
        return pack.rest.incident(incident_id)
    except NotFoundError:
        return None


def numbers_of(pack: Pack, incident_id: str) -> List[str]:
    """The StackFlow records of a PagerDuty incident: from the links, else from the marks on either
    side.
    """
    numbers = pack.links.numbers(incident_id)
    if numbers:
        return numbers
    owner = owner_of_mark(pack, incident_id)
    if owner is None:
        ours = (record_of_key(key, pack.settings.stackflow.host)
                for key in pack.rest.alerts(incident_id))
        owner = next(filter(None, ours), None)
    return [] if owner is None else [owner]


def owner_of_mark(pack: Pack, incident_id: str, open_only: bool = False) -> Optional[str]:
    """The record that stands for a PagerDuty incident among all that carry its mark.

    People copy descriptions and two runs may have raced: the lowest number that is open; else,
    unless ``open_only``, the newest that nobody cancelled.
    """
    records = pack.stackflow.created_for(incident_id)
    unfinished = [record for record in records if record.state not in DONE_STATES]
    if unfinished:
        return unfinished[0].number
    kept = [record for record in records if record.state != "cancelled"] or records
    return kept[-1].number if kept and not open_only else None


def newest_of_record(pack: Pack, number: str, born_in_pagerduty: bool
                     ) -> Tuple[Optional[Link], Optional[PagerDutyIncident]]:
    """The last incident that was triggered for a record, that of the highest `:<n>`, and a link to
    it; a record born in PagerDuty has none under the bare key.
    """
    newest: Tuple[Optional[Link], Optional[PagerDutyIncident]] = None, None
    count = 0
    while True:
        key = dedup_key(pack.settings.stackflow.host, number, count)
        found = []
        for incident in pack.rest.incidents_of_key(key):
            alerts = pack.rest.alerts(incident.id)
            if key in alerts:
                service = alerts[key].service_id or incident.service_id
                link = Link(number, dedup_key=key, service_id=service)
                found.append((link, incident))
        if found:
            newest = max(found, key=lambda one: (one[1].status != "resolved", one[1].id))
        elif count or not born_in_pagerduty:
            return newest
        count += 1


def linked_incident(pack: Pack, link: Link) -> Optional[PagerDutyIncident]:
    """The incident that a link names by its id or its dedup key, or None."""
    if link.pagerduty_id:
        return find_incident(pack, link.pagerduty_id)
    if not link.dedup_key:
        return None
    found = pack.rest.incidents_of_key(link.dedup_key)
    return max(found, key=lambda one: (one.status != "resolved", one.id)) if found else None


def wait_for_incidents(pack: Pack, dedup_key: str) -> List[PagerDutyIncident]:
    """The incidents of an alert that was just triggered; none where it counts as lost."""
    end = pack.clock.monotonic() + VISIBLE.total_seconds()
    while True:
        found = pack.rest.incidents_of_key(dedup_key)
        if found or pack.clock.monotonic() >= end:
            return found
        pack.clock.sleep(PAUSE)


def _other_incident(pack: Pack, link: Link, incident: Optional[PagerDutyIncident],
                    about: str) -> Tuple[Link, Optional[PagerDutyIncident]]:
    """For an event about another incident than the link knows: one that was merged away, or a newer
    one of the record.
    """
    other = find_incident(pack, about)
    if other is None:
        return link, incident
    if other.merged_into is not None:
        return link, other
    host = pack.settings.stackflow.host
    known = number_of_key(link.dedup_key, host)
    for key in pack.rest.alerts(about):
        found = number_of_key(key, host)
        if found is None or found[0] != link.number:
            continue
        if known is not None and found[1] < known[1]:
            continue
        newer = known is None or found[1] > known[1]
        if not newer and incident is not None:
            # A trigger whose answer was lost was sent again, and came after a resolve.
            newer = incident.status == "resolved" and other.status != "resolved"
        if incident is None or newer:
            return link._replace(
                pagerduty_id=about, dedup_key=key, service_id=other.service_id, rest_only=False,
                moved=False, pagerduty=OPEN if newer else link.pagerduty,
                key_fingerprint=link.key_fingerprint if key == link.dedup_key else None), other
    return link, incident


def _rebuild(pack: Pack, link: Link,
             record: Optional[StackFlowIncident]) -> Tuple[Link, Optional[PagerDutyIncident]]:
    """Find the incident of a record without a link; who acknowledged before is not acknowledged
    again.
    """
    if record is None:
        return link, None
    born_there = pagerduty_id_of_mark(record.description)
    found, incident = newest_of_record(pack, link.number, born_there is not None)
    if found is None and born_there and owner_of_mark(pack, born_there) == link.number:
        found, incident = Link(link.number, rest_only=True), find_incident(pack, born_there)
    if found is None or incident is None:
        return link, None
    carried = None
    if record.assigned_to and incident.status == "triggered":
        if last_entry(pack, incident.id, "acknowledge_log_entry"):
            carried = record.assigned_to
    return found._replace(assignee=carried, stackflow_at=link.stackflow_at,
                          last_resort=_find_last_resort(pack, found)), incident


def _find_last_resort(pack: Pack, link: Link) -> Optional[str]:
    """LOST where an alert of last resort is open beside a pair without a link; remembered anew."""
    if not pack.settings.escalation_mapping:
        return None
    key = last_resort_key(pack.settings.stackflow.host, link.number, link.dedup_key)
    if all(one.status == "resolved" for one in pack.rest.incidents_of_key(key)):
        return None
    pack.links.remember_last_resort(link.number, LOST)
    return LOST


def _follow_merges(pack: Pack, link: Link, incident: Optional[PagerDutyIncident]
                   ) -> Tuple[Link, Optional[PagerDutyIncident]]:
    """A merge is not a fix: the pair goes on with the target."""
    for _ in range(MERGES):
        if incident is None or incident.merged_into is None:
            break
        target = find_incident(pack, incident.merged_into)
        if target is None:
            break
        link = _share(pack, link, target.id)._replace(pagerduty_id=target.id, shared=True)
        incident = target
    return link, incident


def _share(pack: Pack, link: Link, incident_id: str) -> Link:
    """Remember a record's incident; where other records have it too, all of them share it."""
    numbers = pack.links.numbers(incident_id)
    others = [number for number in numbers if number != link.number]
    if not others:
        if not numbers:
            pack.links.join(incident_id, link.number)
        return link
    for number in others:
        other = pack.links.read(number)[0]
        if other is not None and not other.shared and not other.replaced_by:
            pack.links.write(other._replace(shared=True))
    pack.links.merge_into(incident_id, link.number)
    return link._replace(shared=True)


def situation(pack: Pack, pair: Pair, force: bool = False) -> Situation:
    """The pair as the merge sees it; an incident that was not read counts as it was last agreed."""
    settings, link, record = pack.settings, pair.link, pair.record
    assignee = NOBODY
    if record is not None and record.assigned_to:
        carried = record.assigned_to == link.assignee or keeps_team(settings, pair)
        assignee = CARRIED if carried else ANOTHER
    if pair.incident is None:
        there = link.pagerduty
        if there == ACKNOWLEDGED and assignee == ANOTHER:
            there = OPEN  # PagerDuty may have un-acknowledged it since; once more does no harm
    elif pair.incident.merged_into:
        there = MERGED
    else:
        there = STATUS.get(pair.incident.status, OPEN)
    reopened = pair.reopened
    if force and record is not None and record.state not in DONE_STATES:
        reopened = STACKFLOW  # a person asks for a page whatever PagerDuty says
    return Situation(
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
    mapped = entry_of_service(settings, there) is not None
    if link.group is None:  # the link was lost; our own trigger tells where PagerDuty had it first
        stayed = link.dedup_key is not None and there == link.service_id
        left = stayed and mapped or pair.told == STACKFLOW
        moved = not stayed or pair.told == PAGERDUTY
    else:
        left = bool(link.moving) or not same_name(link.group, pair.record.assignment_group)
        moved = there not in (link.service_id, link.moving)
    if not settings.bidirectional_sync or not mapped:
        moved = False
    if here is None or not left:
        return PAGERDUTY if moved else None
    return (pair.told or PAGERDUTY) if moved else STACKFLOW


def stranded(settings: Settings, pair: Pair) -> bool:
    """Whether the record of an open pair was handed to a group that no entry pages: the team before
    keeps the incident.
    """
    record, link = pair.record, pair.link
    known = link.group is not None or pair.told == STACKFLOW
    return (record is not None and record.state not in DONE_STATES and known and
            link.pagerduty in (OPEN, ACKNOWLEDGED) and not link.shared and
            not same_name(link.group, record.assignment_group) and
            place(settings, pair)[0] is None)


def keeps_team(settings: Settings, pair: Pair) -> bool:
    """Whether this run is about a group that no entry pages: who was assigned with it acknowledges
    nothing.
    """
    return pair.told == STACKFLOW and stranded(settings, pair)
