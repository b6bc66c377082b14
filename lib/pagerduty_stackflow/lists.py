"""What PagerDuty and the datastore list of all pairs, so small that it can be held at once.

StackFlow's records are not part of it: they pass one page at a time.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Set

from .incidents import PagerDutyIncident
from .links import Link, decode
from .pack import Pack


class Lists:
    """``incidents``: PagerDuty's open ones on mapped services, by id, without their texts;
    ``links`` of pairs with an open side, by number; ``closed``: the numbers of all other links;
    ``escalated``: numbers with an alert of last resort; ``ids``: for a number the open incidents
    that belong to it, that alert's among them; ``unlinked``: the open incidents of no number.

    ``step`` is called now and then, and may raise to end the reading. The links come last: what
    they say is younger than what PagerDuty showed.
    """

    def __init__(self, pack: Pack, step: Callable[[], None]) -> None:
        self.incidents: Dict[str, PagerDutyIncident] = {}
        self.links: Dict[str, Link] = {}
        self.closed: Set[str] = set()
        self.escalated: Set[str] = set()
        self.ids: Dict[str, Set[str]] = {}
        mapped = sorted({entry.service_id for entry in pack.settings.service_mapping})
        for incident in pack.rest.open_incidents(mapped, pack.clock.now()):
            step()
            self.incidents[incident.id] = incident._replace(
                html_url="", service_name=None, escalation_policy_name=None)
        for incident_id, number in pack.links.every_number():
            self._belongs(incident_id, number)
        for number, what, text in pack.links.every():
            step()
            link = None if what else decode(number, text)
            if what == "last_resort":
                self.escalated.add(number)
            elif link is not None and link.successor:  # that record has its incident
                self.ids.pop(number, None)
            elif link is not None:
                self._belongs(link.incident_id, number)
                if link.closed:
                    self.closed.add(number)
                else:
                    self.links[number] = link
        self.unlinked = set(self.incidents).difference(*self.ids.values())

    def _belongs(self, incident_id: Optional[str], number: str) -> None:
        if incident_id in self.incidents:
            self.ids.setdefault(number, set()).add(incident_id)

    def own_id(self, number: str) -> Optional[str]:
        """Return the id of a record's incident; None where it is not certain which one it is: one
        without a link, or an alert of last resort or an incident from before a reopening.
        """
        link, ids = self.links.get(number), self.ids.get(number, set())
        if link is None or link.incident_id or len(ids) != 1 or number in self.escalated or (
                not (link.dedup_key or "").endswith(number)):
            return link.incident_id if link else None
        return next(iter(ids))

    def others(self, number: str) -> Set[str]:
        """Return the open incidents that belong to a record beside its own."""
        return self.ids.get(number, set()) - {self.own_id(number)}
