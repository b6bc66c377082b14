"""Bringing pairs in step one after the other, by the merge that every event goes through."""

from __future__ import annotations

from datetime import datetime
from typing import Callable, Optional, Set

from . import merge
from .deciding import agreed, decide, stranded
from .errors import RoutingError
from .incidents import PagerDutyIncident, StackFlowIncident, number_of_key
from .links import Link
from .overview import Overview
from .pack import Pack
from .pairs import About, Pair, numbers_of, read_pair
from .reopenings import last_entry
from .routing import entry_of_service, route_for_opening, unmapped_group
from .settings import ServiceMapping
from .sync import settle
from .tally import Tally
from .unseen import Unseen, is_on_its_way, is_unseen
from .writing import Words, ends_incident, waits_for

FRESH = 3.0
"""Seconds for which a row of StackFlow's list counts as read just now."""
SAFE = frozenset((merge.ACKNOWLEDGE, merge.RESOLVE))
"""Writes that do no harm where PagerDuty moved on since it was listed."""
ON_ITS_WAY = "triggered, and PagerDuty shows no incident yet: look again in two minutes"
SHARED = "its PagerDuty incident stands for other open records too"


class Repair:
    """Settles what is out of step, or in a dry run only tells it to the tally.

    ``objection`` says from its creation time why the other side of an incident is not to be opened;
    ``lists`` is what is known of both sides before anything is read. What cannot be brought in step
    raises PackError.
    """

    def __init__(self, pack: Pack, tally: Tally,
                 objection: Callable[[Optional[datetime]], str]) -> None:
        self.lists = Overview()
        self._settled: Set[str] = set()
        self._pack = pack
        self._tally = tally
        self._objection = objection

    def record(self, number: str, row: Optional[StackFlowIncident] = None,
               read_at: float = 0.0) -> None:
        """Settle a record's pair. ``row`` is what a list showed at ``read_at`` (monotonic).

        Rows stand for a read where that is safe: of StackFlow while they are fresh, of PagerDuty
        where nothing but an acknowledgement or a resolve comes of it.
        """
        pack = self._pack
        incident, named = self.lists.incident_of(number)
        about = About(named) if named else None
        stored = pack.links.read(number)[0]
        rows = None
        if self._is_untouched(number, stored):
            fresh = (row is not None and row.is_complete and
                     pack.clock.monotonic() - read_at <= FRESH)
            rows = Pair(stored or Link(number), row if fresh else None, incident, stored=stored)
        pair = read_pair(pack, number, about=about, known=rows)
        if rows is not None and rows.incident is not None:
            decision = decision_of(pack, pair)
            safe = not decision.stackflow and SAFE.issuperset(decision.pagerduty)
            if not safe or (not decision.writes and agreed(pack, pair, decision) != stored):
                rows.incident = None
                pair = read_pair(pack, number, about=about, known=rows)
        self.pair(pair)

    def _is_untouched(self, number: str, stored: Optional[Link]) -> bool:
        """Whether nobody wrote to a link since it was listed."""
        link = self.lists.links.get(number)
        if link is None:
            return stored is None or number in self.lists.closed
        return stored is not None and stored._replace(last_resort=None) == link

    def incident(self, incident_id: str) -> None:
        """Settle an incident that no link leads to: its pair is found by the marks, or it has none.
        """
        pack = self._pack
        numbers = numbers_of(pack, incident_id)
        for number in numbers:
            if number not in self._settled:
                self.pair(read_pair(pack, number, about=About(incident_id)))
            self.earlier(number, incident_id)
        if numbers:
            return
        row = self.lists.incidents.get(incident_id) or pack.rest.incident(incident_id)
        decision = decision_of(pack, _born(row))
        self._tally.unwritten = (
            "service %s is not in service_mapping" % row.service_id
            if entry_of_service(pack.settings, row.service_id) is None else
            self._objection(row.created_at) if decision.writes else decision.reason)
        if not self._tally.unwritten:
            self.pair(_born(pack.rest.incident(incident_id)))

    def earlier(self, number: str, incident_id: str) -> None:
        """Resolve an open incident that a record had before it was opened again: PagerDuty accepted
        the event and did not resolve it. What people opened again since stays.
        """
        pack, host = self._pack, self._pack.settings.stackflow.host
        link = pack.links.read(number)[0]
        newest = number_of_key(link.dedup_key, host) if link is not None else None
        if link is None or newest is None or newest[1] == 0 or is_on_its_way(pack, link):
            return
        keys = [number_of_key(key, host) for key in pack.rest.alerts(incident_id)]
        if not keys or not all(key and key[0] == number and key[1] < newest[1] for key in keys):
            return
        incident = pack.rest.incident(incident_id)
        if incident.status == "resolved" or last_entry(pack, incident_id, "resolve_log_entry"):
            return
        if not self._tally.dry_run:
            pack.rest.set_status(incident_id, "resolved")
        self._tally.add_writes(number, incident_id, (merge.RESOLVE,),
                               "its resolve was lost before the record was opened again")
        self._tally.repaired += 1

    def pair(self, pair: Pair) -> None:
        """Carry out what the merge decides, unless it would open what is not to be opened."""
        link, incident_id = pair.link, pair.incident_id
        decision = decision_of(self._pack, pair)
        self._settled.add(link.number)
        self.lists.unlinked.discard(incident_id or "")
        unseen = is_unseen(pair)
        if unseen and not is_on_its_way(self._pack, link):
            self._report_unseen(pair)
        self._tally.unwritten = self._forbids(pair, decision)
        if self._tally.unwritten:
            return
        writes = decision.pagerduty + decision.stackflow
        self._tally.unwritten = ON_ITS_WAY if unseen else decision.reason
        if merge.RESOLVE in writes and waits_for(self._pack, pair):
            writes, self._tally.unwritten = (), SHARED
        if link.last_resort and ends_incident(pair, decision):
            writes += ("last_resort",)
        if not self._tally.dry_run:
            self._carry_out(pair)
        if writes:
            self._tally.add_writes(link.number or None, incident_id, writes, decision.reason)
        if pair.told is not None and pair.record is not None:
            raise unmapped_group(self._pack.settings, pair.record.assignment_group)
        self._tally.repaired += bool(writes)
        self._tally.in_step += not writes

    def _forbids(self, pair: Pair, decision: merge.Decision) -> str:
        """Why not to carry it out: it would open what is too old or too young. RoutingError where
        nobody would be paged.
        """
        if merge.CREATE in decision.stackflow and pair.incident is not None:
            return self._objection(pair.incident.created_at)
        if merge.TRIGGER in decision.pagerduty and pair.record is not None:
            objection = "" if pair.link.joined else self._objection(pair.record.created_at)
            if objection:
                return objection
            self._entry_of(pair.record)
        return ""

    def _entry_of(self, record: StackFlowIncident) -> ServiceMapping:
        return route_for_opening(self._pack.settings, record.assignment_group,
                                 record.category).mapping

    def _carry_out(self, pair: Pair) -> None:
        try:
            done = settle(self._pack, pair, Words(), may_trigger=True)
        except RoutingError:  # told once all is written, of a group without an entry
            if pair.told is None:
                raise
        else:
            self._pack.say("%s: %s" % (done.stackflow_id or done.pagerduty_incident_id,
                                       done.reason))

    def _report_unseen(self, pair: Pair) -> None:
        assert pair.record is not None
        unseen = Unseen(self._pack, pair, self._entry_of(pair.record))
        if unseen.is_news:
            if not self._tally.dry_run:
                unseen.report()
            self._tally.add_writes(pair.link.number, None, ("note", merge.TRIGGER),
                                   unseen.error.message)
        raise unseen.error


def decision_of(pack: Pack, pair: Pair) -> merge.Decision:
    """The merge. A record that was handed to a group without an entry is taken as an event would
    be: who has it acknowledges nothing, and the team before keeps the incident.
    """
    if stranded(pack.settings, pair):
        pair.told = merge.STACKFLOW
    return decide(pack, pair, True)


def _born(incident: PagerDutyIncident) -> Pair:
    """The pair of an incident that has no record yet."""
    return Pair(Link("", pagerduty_id=incident.id, service_id=incident.service_id, rest_only=True),
                None, incident)
