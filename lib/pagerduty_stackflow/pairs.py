"""Finding a pair and reading both of its sides."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import List, NamedTuple, Optional, Sequence, Tuple

from .errors import NotFoundError
from .incidents import (PagerDutyIncident, StackFlowIncident, dedup_key, last_resort_key,
                        number_of_key, pagerduty_id_of_mark, parse_time, record_of_key)
from .links import VISIBLE, Link
from .merge import (ACKNOWLEDGED, DONE_STATES, FINAL_STATES, OPEN, RESOLVED,
                    SET_IN_PROGRESS)
from .pack import Pack
from .reopenings import last_entry, look_for_reopening, was_resolved_before
from .routing import find_route

MERGES = 10
"""Merges that are followed in a row."""
PAUSE = 2.0
"""Seconds between two looks for what was just triggered."""
SNAPSHOTS = 3
"""How often both sides are read anew because another run wrote to the link meanwhile."""
CACHED = timedelta(seconds=5)
"""Age from which a change counts as shown everywhere: StackFlow answers by way of caches
(api/overview.html).
"""
CACHED_PAUSE = 0.5
"""Seconds between two looks for a change that is younger."""
SECOND = timedelta(seconds=1)
LOST = "lost"
"""In place of the fingerprint of a routing key that the datastore has lost."""


class Pair:
    """Both sides as they are now. ``incident`` is None where PagerDuty was not asked or has none;
    ``stored`` is the link as the datastore has it; ``told`` the side on which an event says that
    the incident was handed over; ``searched`` whether StackFlow just had no record with its mark.
    """

    def __init__(self, link: Link, record: Optional[StackFlowIncident],
                 incident: Optional[PagerDutyIncident] = None, stored: Optional[Link] = None,
                 reopened: Optional[str] = None, told: Optional[str] = None,
                 searched: bool = False) -> None:
        self.link = link
        self.record = record
        self.incident = incident
        self.stored = stored
        self.reopened = reopened
        self.told = told
        self.searched = searched

    @classmethod
    def unread(cls, number: str, stored: Optional[Link]) -> Pair:
        """The pair of a record of which the link was read just now, and neither side."""
        return cls(stored or Link(number), None, stored=stored)

    @property
    def incident_id(self) -> Optional[str]:
        """The PagerDuty id, where it is known."""
        return self.incident.id if self.incident else self.link.pagerduty_id


class About(NamedTuple):
    """A PagerDuty incident that an event named, and the records that the links have for it, where
    they were looked up just now.
    """

    incident_id: str
    numbers: Sequence[str] = ()


def read_pair(pack: Pack, number: str, about: Optional[About] = None,
              hint: Optional[StackFlowIncident] = None, mine: Optional[Link] = None,
              told: Optional[str] = None, known: Optional[Pair] = None) -> Pair:
    """Read the link, the record and the incident; a missing link is rebuilt from the marks.

    ``about``: what an event named; it may be a newer incident than the link knows.
    ``hint``: the record as an event carried it; it may tell of a state that is over by now.
    ``mine``: what this run wrote to the link before; it counts where another run did not know it.
    ``told``: see Pair. ``known``: the link and maybe sides that were read just now; they are not
    read again, unless somebody wrote to the link since.
    """
    stored = known.stored if known is not None else pack.links.read(number)[0]
    for _ in range(SNAPSHOTS):
        link = stored or Link(number)
        if mine is not None and mine.joined and not link.joined:
            link = mine._replace(stackflow_at=link.stackflow_at or mine.stackflow_at)
        pair = _read_both(pack, link, about, hint, known or Pair(link, None))
        pair.stored = pack.links.read(number)[0]
        if pair.stored == stored:
            break
        stored, known, about = pair.stored, None, about and About(about.incident_id)
    pair.told = told
    if pair.record is not None and pair.incident is not None:
        pair.link, pair.incident, pair.reopened = look_for_reopening(
            pack, pair.link, pair.record, pair.incident, pair.stored, hint)
    return pair


def _read_both(pack: Pack, link: Link, about: Optional[About], hint: Optional[StackFlowIncident],
               known: Pair) -> Pair:
    """The incident first: a record that is read later shows at least what the pack acted upon."""
    incident: Optional[PagerDutyIncident] = None
    if link.joined:
        incident = known.incident or linked_incident(pack, link)
        record = _record_as_told(pack, link, hint, known.record)
    else:
        record = _record_as_told(pack, link, hint, known.record)
        link, incident = _rebuild(pack, link, record)
    if record is not None and link.writing:
        link = _as_written(pack, link, record)
    if about and not link.shared and (incident is None or incident.id != about.incident_id):
        link, incident = _other_incident(pack, link, incident, about.incident_id)
    if incident is not None and incident.merged_into is None:
        named = about is not None and incident.id == about.incident_id
        if named or link.pagerduty_id is None:
            link = _share(pack, link._replace(pagerduty_id=incident.id), incident.id,
                          about.numbers if about and named else ())
    link, incident = _follow_merges(pack, link, incident)
    return Pair(link if incident is None else seen_as(link, incident), record, incident)


def _as_written(pack: Pack, link: Link, record: StackFlowIncident) -> Link:
    """The link with what another run wrote to the record and could not remember: PagerDuty had it so,
    and no person did it in StackFlow.
    """
    if link.writing == RESOLVED and record.state in DONE_STATES:
        return link._replace(stackflow=RESOLVED, pagerduty=RESOLVED)
    if link.writing == SET_IN_PROGRESS and link.stackflow == RESOLVED:
        return link._replace(stackflow=OPEN, pagerduty=OPEN)
    if link.writing == record.assignment_group:
        route = find_route(pack.settings, record.assignment_group, record.category)
        return link._replace(group=link.writing,
                             service_id=route.mapping.service_id if route else link.service_id)
    return link


def seen_as(link: Link, incident: PagerDutyIncident) -> Link:
    """The link once its incident was seen."""
    moved = bool(link.service_id and incident.service_id and
                 incident.service_id != link.service_id and not link.shared)
    # What was opened again may have no open alert, which alone an event can reach.
    reopened = incident.reopened_at is not None
    return link._replace(pagerduty_id=incident.id, seen=True, unseen=None,
                         moved=link.moved or moved, rest_only=link.rest_only or moved or reopened,
                         service_id=link.service_id or incident.service_id)


def _record_as_told(pack: Pack, link: Link, hint: Optional[StackFlowIncident],
                    known: Optional[StackFlowIncident]) -> Optional[StackFlowIncident]:
    """The record, at least as new as what was applied and as a ``hint``. What is not is read again,
    until the change is so old that the record must be true.
    """
    record = known or find_record(pack, link.number)
    for _ in range(int(CACHED.total_seconds() / CACHED_PAUSE)):
        missing = _missing_change(link, hint, record)
        if missing is None or pack.clock.now() - missing > CACHED:
            break
        pack.clock.sleep(CACHED_PAUSE)
        record = find_record(pack, link.number)
    return record


def _missing_change(link: Link, hint: Optional[StackFlowIncident],
                    record: Optional[StackFlowIncident]) -> Optional[datetime]:
    """When something was changed that a record does not show yet; None where it shows all.

    To the second, as events may be finer than reads. Within one the state alone tells: people
    and groups may be named in two ways.
    """
    times = [parse_time(link.stackflow_at), hint.updated_at if hint else None]
    told = max((one.replace(microsecond=0) for one in times if one), default=None)
    if told is None or record is None:
        return told
    if record.updated_at is None or record.updated_at >= told + SECOND:
        return None
    same = hint is None or "state" not in hint.fields or record.state == hint.state
    return None if record.updated_at >= told and same else told


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
    return pack.links.numbers(incident_id) or numbers_by_marks(pack, incident_id)


def numbers_by_marks(pack: Pack, incident_id: str) -> List[str]:
    """The StackFlow records of an incident of which the links know none."""
    owner = owner_of_mark(pack, incident_id)
    if owner is not None:
        return [owner]
    ours = (record_of_key(key, pack.settings.stackflow.host)
            for key in pack.rest.alerts(incident_id))
    return list(dict.fromkeys(filter(None, ours)))


def owner_of_mark(pack: Pack, incident_id: str, live: bool = False) -> Optional[str]:
    """The record that stands for a PagerDuty incident among all that carry its mark.

    People copy descriptions and two runs may have raced: the lowest number that is open; else the
    newest that nobody cancelled, or with ``live`` the newest that can be opened again.
    """
    records = pack.stackflow.created_for(incident_id)
    unfinished = [record for record in records if record.state not in DONE_STATES]
    if unfinished:
        return unfinished[0].number
    if live:
        kept = [record for record in records if record.state not in FINAL_STATES]
    else:
        kept = [record for record in records if record.state != "cancelled"] or records
    return kept[-1].number if kept else None


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


def has_newer(pack: Pack, link: Link, incident_id: str) -> bool:
    """Whether a record that had this incident was opened again since, and has one of its own."""
    known = number_of_key(link.dedup_key, pack.settings.stackflow.host)
    if link.pagerduty_id == incident_id or known is None or known[1] == 0:
        return False
    newer = linked_incident(pack, link)
    return newer is not None and newer.merged_into is None and newer.id != incident_id


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
    host = pack.settings.stackflow.host
    known = number_of_key(link.dedup_key, host)
    if other.merged_into is not None:
        # One that the record had before it was opened again leads it nowhere any more.
        over = known is not None and known[1] > 0 and (
            incident is None or _is_older(other, incident))
        return link, incident if over else other
    for key in pack.rest.alerts(about):
        found = number_of_key(key, host)
        if found is None or found[0] != link.number:
            continue
        if known is not None and found[1] < known[1]:
            continue
        newer = known is None or found[1] > known[1]
        if not newer and incident is not None:
            # A trigger whose answer was lost was sent again, and came after a resolve.
            newer = (incident.status == "resolved" and incident.merged_into is None and
                     other.status != "resolved")
        if incident is None or newer:
            return link._replace(
                pagerduty_id=about, dedup_key=key, service_id=other.service_id, rest_only=False,
                moved=False, replaced_by=None, pagerduty=OPEN if newer else link.pagerduty,
                key_fingerprint=link.key_fingerprint if key == link.dedup_key else None), other
    return link, incident


def _is_older(one: PagerDutyIncident, other: PagerDutyIncident) -> bool:
    return bool(one.created_at and other.created_at and one.created_at < other.created_at)


def _rebuild(pack: Pack, link: Link,
             record: Optional[StackFlowIncident]) -> Tuple[Link, Optional[PagerDutyIncident]]:
    """Find the incident of a record without a link; who acknowledged before is not acknowledged
    again, and what an event acknowledged was no person in PagerDuty.
    """
    if record is None:
        return link, None
    born_there = pagerduty_id_of_mark(record.description)
    found, incident = newest_of_record(pack, link.number, born_there is not None)
    if found is None and born_there and (
            link.number in pack.links.numbers(born_there) or
            link.number == owner_of_mark(pack, born_there)):
        found, incident = Link(link.number, rest_only=True), find_incident(pack, born_there)
    if found is None or incident is None:
        return link, None
    carried = None
    if record.assigned_to and incident.status == "triggered":
        if last_entry(pack, incident.id, "acknowledge_log_entry"):
            carried = record.assigned_to
    if found.dedup_key and incident.acknowledgers == (found.service_id,):
        found = found._replace(pagerduty=ACKNOWLEDGED)
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
    """A merge is not a fix: the pair goes on with the target, of which nothing is agreed yet.

    What was resolved stays agreed, so that it shows as opened again, unless the target is another
    record's and nothing was opened again before the merge: then it is open for that one.
    """
    for _ in range(MERGES):
        if incident is None or incident.merged_into is None:
            break
        target = find_incident(pack, incident.merged_into)
        if target is None:
            break
        link = _share(pack, link, target.id)
        if link.pagerduty != RESOLVED or link.shared and not was_resolved_before(pack, incident):
            link = link._replace(pagerduty=OPEN)
        link = link._replace(pagerduty_id=target.id, shared=True)
        incident = target
    return link, incident


def _share(pack: Pack, link: Link, incident_id: str, numbers: Sequence[str] = ()) -> Link:
    """Remember a record's incident; where other records have it too (``numbers`` where they were
    looked up), all of them share it. A record and the one that carries on for it share nothing.
    """
    if link.replaced_by:
        return link
    numbers = numbers or pack.links.numbers(incident_id)
    found = [pack.links.read(number)[0] for number in numbers if number != link.number]
    others = [other for other in found if other is None or not other.replaced_by]
    if not others:
        if link.number not in numbers:
            pack.links.join(incident_id, link.number)
        return link
    for other in others:
        if other is None or other.pagerduty_id not in (None, incident_id):
            continue  # it follows when its own incident is looked at
        if not other.shared and not has_newer(pack, other, incident_id):
            pack.links.write(other._replace(shared=True))
    pack.links.merge_into(incident_id, link.number)
    return link._replace(shared=True)
