"""What PagerDuty and the datastore list of all pairs, kept so small that it can be held at once.

StackFlow's records are not among it: they pass by a page at a time.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Set, Tuple

from .incidents import PagerDutyIncident
from .links import Link, decode
from .pack import Pack


@dataclass
class Lists:
    """``incidents``: PagerDuty's open ones on mapped services, by id, without their texts;
    ``links`` of pairs with an open side, by number; ``closed``: the numbers of all other links;
    ``escalated``: numbers with an alert of last resort; ``ids``: for a number the open incidents
    that belong to it, that alert's among them; ``unlinked``: open incidents that belong to none.
    """

    incidents: Dict[str, PagerDutyIncident] = field(default_factory=dict)
    links: Dict[str, Link] = field(default_factory=dict)
    closed: Set[str] = field(default_factory=set)
    escalated: Set[str] = field(default_factory=set)
    ids: Dict[str, List[str]] = field(default_factory=dict)
    unlinked: Set[str] = field(default_factory=set)

    def incident_of(self, number: str) -> Tuple[Optional[PagerDutyIncident], Optional[str]]:
        """Return the incident of a record where it is open and certain; else the id of another open
        one that belongs to the record, or None.
        """
        link, ids = self.links.get(number), self.ids.get(number, [])
        own = link.incident_id if link is not None else None
        if link is not None and own is None and len(ids) == 1 and number not in self.escalated:
            own = ids[0]
        if own in ids:
            return self.incidents[own], None
        return None, ids[-1] if ids else None

    def earlier(self) -> List[Tuple[str, str]]:
        """Return open incidents, each behind its record's number, that may be from before the
        record was opened again: the dedup key of its link has a count then, or the record is
        closed.
        """
        def may_be(number: str, incident_id: str) -> bool:
            link = self.links.get(number)
            if link is None:
                return number in self.closed
            first = (link.dedup_key or number).endswith(number)
            return not first and link.incident_id != incident_id

        return sorted((number, one) for number, ids in self.ids.items() for one in ids
                      if may_be(number, one))


def read_lists(pack: Pack, step: Callable[[], None]) -> Lists:
    """Read all lists; ``step`` is called now and then, and may raise to end it.

    The links come last: what they say is younger than what PagerDuty showed.
    """
    found = Lists()
    mapped = sorted({entry.service_id for entry in pack.settings.service_mapping})
    for incident in pack.rest.open_incidents(mapped, pack.clock.now()):
        found.incidents[incident.id] = _small(incident)
        step()
    for incident_id, number in pack.links.every_number():
        _belongs(found, incident_id, number)
    for number, what, text in pack.links.every():
        step()
        if what == "last_resort":
            found.escalated.add(number)
        link = None if what else decode(number, text)
        if link is None:
            continue
        if link.successor:  # another record has its incident
            found.ids.pop(number, None)
            continue
        if link.closed:
            found.closed.add(number)
        else:
            found.links[number] = link
        if link.incident_id:
            _belongs(found, link.incident_id, number)
    found.unlinked = set(found.incidents).difference(*found.ids.values())
    return found


def _belongs(found: Lists, incident_id: str, number: str) -> None:
    if incident_id in found.incidents:
        ids = found.ids.setdefault(number, [])
        if incident_id not in ids:
            ids.append(incident_id)


def _small(incident: PagerDutyIncident) -> PagerDutyIncident:
    """Without texts, and with one copy of what many incidents share."""
    return incident._replace(
        status=sys.intern(incident.status), html_url="", service_name=None,
        service_id=sys.intern(incident.service_id or "") or None, escalation_policy_id=None,
        escalation_policy_name=None)
