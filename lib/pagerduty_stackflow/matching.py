"""Finding the two sides of a pair, by link or by the marks that the records themselves carry."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import List, Optional, Tuple

from .decide import DONE_STATES, FINAL_STATES, RESOLVED, TRIGGERED
from .errors import NotFoundError
from .incidents import (PagerDutyIncident, StackFlowIncident, dedup_key, is_stackflow_number,
                        pagerduty_id_of_mark, parse_time, record_of_key)
from .links import VISIBLE, Link
from .pack import Pack
from .pagerduty.events import fingerprint
from .routing import entry_of_service, find_route

PAUSE = 2.0
"""Seconds between two looks for an incident that was just triggered."""
CACHED = timedelta(seconds=5)
"""Age from which a change counts as shown everywhere: StackFlow answers through caches
(api/overview.html).
"""


def find_record(pack: Pack, number: str) -> Optional[StackFlowIncident]:
    """Return the StackFlow record; None where it was deleted or never existed."""
    try:
        return pack.stackflow.incident(number)
    except NotFoundError:
        return None


def find_incident(pack: Pack, incident_id: str) -> Optional[PagerDutyIncident]:
    """Return the PagerDuty incident, or None."""
    try:
        return pack.rest.incident(incident_id)
    except NotFoundError:
        return None


def numbers_of(pack: Pack, incident_id: str) -> List[str]:
    """Return the StackFlow numbers of an id of either side: of a PagerDuty id by the links, else by
    the marks on either side.
    """
    if is_stackflow_number(incident_id):
        return [incident_id]
    return pack.links.numbers(incident_id) or numbers_by_marks(pack, incident_id)


def numbers_by_marks(pack: Pack, incident_id: str) -> List[str]:
    """Return the records of a PagerDuty incident of which the links know none."""
    owner = owner_of_mark(pack, incident_id)
    if owner is not None:
        return [owner]
    ours = (record_of_key(key, pack.settings.stackflow.host)
            for key in pack.rest.alerts(incident_id))
    return list(dict.fromkeys(filter(None, ours)))


def owner_of_mark(pack: Pack, incident_id: str, live: bool = False) -> Optional[str]:
    """Return the record that stands for a PagerDuty incident among all that carry its mark.

    People copy descriptions, and two runs may have raced: the lowest number that is open; else the
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


def linked_incident(pack: Pack, link: Link) -> Optional[PagerDutyIncident]:
    """Return the incident that a link names by its id or its dedup key, or None."""
    if link.incident_id:
        return find_incident(pack, link.incident_id)
    return newest(pack.rest.incidents_of_key(link.dedup_key)) if link.dedup_key else None


def newest(incidents: List[PagerDutyIncident]) -> Optional[PagerDutyIncident]:
    """Return the incident that counts of several with one dedup key: an open one, else the last."""
    return max(incidents, key=lambda one: (one.status != RESOLVED, one.id)) if incidents else None


def rebuild(pack: Pack, record: StackFlowIncident) -> Tuple[Link, Optional[PagerDutyIncident]]:
    """Find the incident of a record without a link, by the marks on both sides.

    What PagerDuty acknowledged before counts as seen with whoever has the record: nobody
    acknowledges again what was taken back. An acknowledgement by an event was no person's.
    """
    born_there = pagerduty_id_of_mark(record.description)
    triggered = _triggered_for(pack, record.number, born_there is not None)
    if triggered is not None:
        link, found = triggered
        acknowledged = found.acknowledgers == (link.there.get("place"),)
        state = "acknowledged" if acknowledged else TRIGGERED
        link = link._replace(there=dict(link.there, state=state))
        if found.status == TRIGGERED and record.assigned_to and last_entry(
                pack, found.id, "acknowledge_log_entry"):
            link = link._replace(here=dict(link.here, acknowledgement=record.assigned_to))
        return link, found
    index = pack.links.index(born_there) if born_there else None
    # A run may have been killed between the creation of a record and the memory of it.
    if born_there and index and (record.number == index.own or (
            index.creating or not index.own) and record.number == owner_of_mark(pack, born_there)):
        route = find_route(pack.settings, record.assignment_group, record.category)
        there = {"place": route.mapping.service_id} if route else {}
        return Link(record.number, there=there), find_incident(pack, born_there)
    return Link(record.number), None


def _triggered_for(pack: Pack, number: str, born_in_pagerduty: bool
                   ) -> Optional[Tuple[Link, PagerDutyIncident]]:
    """The last incident that was triggered for a record, that of the highest `:<n>`, behind a link
    to it; a record born in PagerDuty has none under the bare key.
    """
    host, best, count = pack.settings.stackflow.host, None, 0
    while True:
        key = dedup_key(host, number, count)
        incidents = pack.rest.incidents_of_key(key)
        alerts = {one.id: pack.rest.alerts(one.id) for one in incidents}
        last = newest([one for one in incidents if key in alerts[one.id]])
        if last is not None:
            service = alerts[last.id][key].service_id or last.service_id
            entry = entry_of_service(pack.settings, service)
            keys = {key for one in pack.settings.service_mapping if one.service_id == service
                    for key in (one.integration_key,) + one.previous_integration_keys}
            others = {record_of_key(one, host) for one in alerts[last.id]} - {None, number}
            best = Link(number, dedup_key=key, there={"place": service or ""},
                        here={"place": entry.assignment_group} if entry else {},
                        key_fingerprint=fingerprint(keys.pop()) if len(keys) == 1 else None,
                        target=last.id if others else None), last
        elif count or not born_in_pagerduty:
            return best
        count += 1


def wait_for_incidents(pack: Pack, key: str) -> List[PagerDutyIncident]:
    """Return the incidents of an alert that was just triggered; none where it counts as lost."""
    end = pack.clock.monotonic() + VISIBLE.total_seconds()
    while True:
        found = pack.rest.incidents_of_key(key)
        if found or pack.clock.monotonic() >= end:
            return found
        pack.clock.sleep(PAUSE)


def last_entry(pack: Pack, incident_id: str, entry_type: str) -> Optional[datetime]:
    """Return when an entry of this type was last written to an incident's log; None if never."""
    times = [parse_time(entry.get("created_at")) for entry in pack.rest.history(incident_id)
             if entry.get("type") == entry_type]
    return max((time for time in times if time), default=None)
