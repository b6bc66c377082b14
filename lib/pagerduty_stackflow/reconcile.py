"""Drift over all pairs: found by comparing lists, so that a pair in sync costs no call, and
repaired through the same loop as every event.
"""

from __future__ import annotations

import traceback
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, TypeVar, Union

from . import sla
from .decide import ACKNOWLEDGE, DONE_STATES, RESOLVE, RESOLVED, TRIGGER
from .errors import (ApiError, BadInputError, ConfigError, CredentialsError, DatastoreError,
                     DefectError, NotFoundError, PackError)
from .fields import PAGERDUTY
from .incidents import (OPEN_STATES, StackFlowIncident, format_time, is_stackflow_number,
                        number_of_key, pagerduty_id_of_mark, parse_time)
from .links import Link
from .lists import Lists, read_lists
from .lost_alerts import LostAlert, is_on_its_way, is_unseen
from .matching import find_incident, find_record, last_entry, numbers_of
from .pack import SKIPPED, Outcome, Pack
from .pairs import Given, Pair, UnreadableError, observe, seen_now
from .reconcile_report import ReconcileReport
from .routing import entry_of_service, route_for_opening
from .sync import decide_pair, settle
from .to_pagerduty import WriteContext

TIME_LIMIT = 270.0
"""Seconds after which a run stops; the rule starts one every five minutes."""
LEASE = 285
"""Seconds after which a run counts as dead: just above its time limit, and before the next one
starts.
"""
YOUNG = timedelta(minutes=2)
"""Nothing is opened for an incident of this age: its event is on its way."""
DAY = timedelta(hours=24)
OVERLAP = timedelta(minutes=10)
"""Finished records are listed that changed within a day, or since the last complete round less
this.
"""
ROW_IS_FRESH = 3.0
"""Seconds for which a row of StackFlow's list counts as read just now."""
SAFE = frozenset((ACKNOWLEDGE, RESOLVE))
"""Writes that do no harm where PagerDuty moved on since it was listed."""
UNPRINTED = ("on_hold", "pending_customer", "pending_vendor", "cancelled")
"""States whose spelling no page of StackFlow prints: an instance may not know them."""
NOT_LISTED, NOT_LINKED, EARLIER, ESCALATIONS = (len(OPEN_STATES) + after for after in (1, 2, 3, 4))
SAID_EVERY = 1000
"""Records between two lines of progress."""

Place = List[Union[int, str]]
"""Where a walk is. First its stage: finished records (0), each open state (from 1 on), links whose
records are not listed, incidents without a link, earlier incidents of a record, escalations. Then a
number, a creation time or an id.
"""
Row = TypeVar("Row")


class OutOfTime(Exception):
    """The time limit of a run has passed."""


def reconcile(pack: Pack, incident_id: Optional[str] = None, dry_run: bool = False,
              since: Optional[str] = None) -> Any:
    """Bring all pairs in sync, or the one of ``incident_id`` (of either side); returns a
    ReconcileReport.

    ``dry_run`` writes nothing and lists what would be written. ``since`` (ISO 8601): also open what
    was created from then on, however young it is, and whether or not the pack was installed then.
    Only one run over all pairs writes at a time: while another one holds the lease, the Outcome is
    SKIPPED.
    """
    moment = parse_time(since)
    if since is not None and moment is None:
        raise BadInputError("since is %r" % since, "give a time such as 2026-01-31T08:00:00Z")
    leased = incident_id is None and not dry_run
    if leased:
        holder = pack.leases.take("reconcile", LEASE, pack.clock)
        if holder is not None:
            return Outcome(
                SKIPPED, "another reconcile is in progress; its lease ends at %s" % holder)
    try:
        walk = Walk(pack, dry_run, moment)
        if incident_id is not None:
            walk.one(incident_id)
        else:
            walk.all()
        walk.report.requests = pack.transport.requests
        return walk.report
    finally:
        if leased:
            pack.leases.release("reconcile")


def without_config(error: ConfigError) -> Outcome:
    """Return the outcome where the config is unusable: the rule runs on every new installation."""
    return Outcome(SKIPPED, "not configured: %s" % error.message)


class Walk:
    """One run over pairs. ``report`` is what it did."""

    def __init__(self, pack: Pack, dry_run: bool, since: Optional[datetime] = None) -> None:
        if dry_run:
            pack.datastore.read_only()
        self.report = ReconcileReport(dry_run)
        self.lists = Lists()
        self._pack = pack
        self._since = since
        self._end = pack.clock.monotonic() + TIME_LIMIT
        self._begun = pack.clock.now()
        self._start = parse_time(pack.start.ensure(pack.clock)) or self._begun
        self._progress = pack.progress.read() if since is None else {}
        self._from = self._place = _stored_place(self._progress)
        self._seen: Set[str] = set()
        self._settled: Set[str] = set()
        self._written: Set[str] = set()
        self._is_named = False

    def one(self, incident_id: str) -> None:
        """Settle the pair of one incident; NotFoundError where its side does not know it."""
        pack, is_number = self._pack, is_stackflow_number(incident_id)
        found = find_record(pack, incident_id) if is_number else find_incident(pack, incident_id)
        if found is None:
            system = "StackFlow" if is_number else "PagerDuty"
            raise NotFoundError("%s does not know %s" % (system, incident_id), "check the id")
        self._from, self._is_named = [], True  # wherever a run over all pairs has stopped
        self._visit([], incident_id, lambda: (self._settle_record if is_number else
                                              self._settle_incident)(incident_id))

    def all(self) -> None:
        """Settle all pairs that are out of sync, from the place where the last run stopped."""
        try:
            progress = self._round()
            if self._since is None:
                self._pack.progress.write(progress)
        except PackError as error:  # nothing more can be read, or remembered
            self.report.complete = False
            self.report.error_of_run = error

    def _round(self) -> Dict[str, Any]:
        """A round is what one run or several need to come to the end; returns how far it came.

        The time of its first run bounds what the next round looks at: what changes behind the place
        of a stop is found then.
        """
        begun = self._progress.get("round_at") or format_time(self._begun)
        try:
            self._walk()
        except OutOfTime:
            self.report.complete = False
            return dict(self._progress, round_at=begun, place=self._place)
        return {"complete_at": begun}

    def _walk(self) -> None:
        pack = self._pack
        self.lists = lists = read_lists(pack, self._in_time)
        pack.say("%d incidents are open in PagerDuty, %d of them not linked; %d links" % (
            len(lists.incidents), len(lists.unlinked), len(lists.links)))
        read_at = pack.clock.monotonic()
        finished = [record for state in DONE_STATES for record in self._changed(state)
                    if self._has_drifted(0, record)]  # all, before a write moves the list
        self._settle(0, sorted(finished, key=lambda one: one.number), read_at)
        for stage, state in enumerate(OPEN_STATES, 1):
            for page in self._listed(state, pack.stackflow.in_state(state)):
                read_at = pack.clock.monotonic()
                drifted = [record for record in page if self._has_drifted(stage, record)]
                self._settle(stage, drifted, read_at)
        pack.say("%d records are listed in StackFlow" % len(self._seen))
        for number in sorted((set(lists.links) | set(lists.ids)) - self._seen):
            self._visit([NOT_LISTED, number], number, lambda: self._settle_record(number))
        for incident_id in sorted(lists.unlinked):
            if self._may_be_ours(lists.incidents[incident_id].created_at):
                self._visit([NOT_LINKED, incident_id], incident_id,
                            lambda: self._settle_incident(incident_id))
        for number, incident_id in lists.earlier():
            self._visit([EARLIER, incident_id], incident_id,
                        lambda: self._end_earlier(number, incident_id))
        for number, policy in sla.overdue(pack):
            self._visit([ESCALATIONS, number], number, lambda: self._resume(number, policy))

    def _resume(self, number: str, policy: str) -> None:
        """Take up an escalation whose workflow has died."""
        if not self.report.dry_run:
            sla.follow_escalation(self._pack, number, policy)
        self.report.add_writes(number, None, ("escalate",),
                               "its escalation for SLA %r stood still" % policy)

    def _changed(self, state: str) -> Iterator[StackFlowIncident]:
        complete = parse_time(self._progress.get("complete_at"))
        bounds = (self._begun - DAY, complete and complete - OVERLAP, self._since)
        bound = min(one for one in bounds if one)
        return self._listed(state, self._pack.stackflow.changed_since(state, bound))

    def _listed(self, state: str, rows: Iterable[Row]) -> Iterator[Row]:
        try:
            for row in rows:
                self._in_time()
                yield row
        except ApiError as error:
            if error.status != 400 or state not in UNPRINTED:
                raise
            self.report.warnings.append("StackFlow lists no state %s, see stackflow.states: %s" % (
                state, error.message))

    def _settle(self, stage: int, records: List[StackFlowIncident], read_at: float) -> None:
        for record in records:
            self._visit(_place(stage, record), record.number,
                        lambda: self._settle_record(record.number, record, read_at))

    def _visit(self, place: Place, incident_id: str, settle_it: Callable[[], None]) -> None:
        """Settle one pair in its turn; a failure is noted, and the pair stays on the list."""
        if place < self._from:
            return
        self._place = place
        self._in_time()
        repaired = self.report.repaired
        try:
            settle_it()
            return
        except (CredentialsError, DatastoreError):
            raise
        except PackError as caught:
            error = caught
        except Exception as defect:  # one record must not keep the others from their turn for ever
            self._pack.say(traceback.format_exc())
            error = DefectError(defect)
        self._pack.say("%s failed: %s" % (incident_id, error.message))
        self.report.repaired = repaired  # not even where a part of its writes was made
        self.report.add_failure(incident_id, error)

    # Pairs, one after the other.

    def _settle_record(self, number: str, row: Optional[StackFlowIncident] = None,
                       read_at: float = 0.0) -> None:
        """Settle a record's pair. ``row`` is what a list showed at ``read_at`` (monotonic).

        Rows stand for a read where that is safe: of StackFlow while they are fresh, of PagerDuty
        where nothing but an acknowledgement or a resolve comes of it.
        """
        pack = self._pack
        incident, other = self.lists.incident_of(number)
        stored = pack.links.read(number)
        given = Given(incident_id=other)
        if self._is_untouched(number, stored):
            fresh = (row is not None and row.is_complete and
                     pack.clock.monotonic() - read_at <= ROW_IS_FRESH)
            if incident is not None and incident.id in self._written:
                incident = None
            given = given._replace(record=row if fresh else None, incident=incident)
        pair = observe(pack, number, stored, given)
        if given.incident is not None:
            decision = decide_pair(pack, pair)
            if decision.stackflow or not SAFE.issuperset(decision.pagerduty):
                pair = observe(pack, number, pair.stored, given._replace(incident=None))
        self._settle_pair(pair)

    def _is_untouched(self, number: str, stored: Optional[Link]) -> bool:
        """Whether nobody wrote to a link since it was listed."""
        link = self.lists.links.get(number)
        if link is None:
            return stored is None or number in self.lists.closed
        return stored is not None and stored._replace(last_resort=None) == link

    def _settle_incident(self, incident_id: str) -> None:
        """Settle an incident that no link leads to: its pair is found by the marks, or it has none.
        """
        pack = self._pack
        numbers = numbers_of(pack, incident_id)
        for number in numbers:
            if number not in self._settled:
                stored = pack.links.read(number)
                self._settle_pair(observe(pack, number, stored, Given(incident_id=incident_id)))
            self._end_earlier(number, incident_id)
        if numbers:
            return
        incident = pack.rest.incident(incident_id)
        entry = entry_of_service(pack.settings, incident.service_id)
        if entry is None:
            self.report.reason = "service %s is not in service_mapping" % incident.service_id
        else:
            self._settle_pair(Pair(Link(""), None, incident))

    def _end_earlier(self, number: str, incident_id: str) -> None:
        """Resolve an open incident that a record had before it was opened again: PagerDuty accepted
        the event and did not resolve it. One that people reopened since stays.
        """
        pack, host = self._pack, self._pack.settings.stackflow.host
        link = pack.links.read(number)
        newest = number_of_key(link.dedup_key, host) if link is not None else None
        if link is None or newest is None or newest[1] == 0 or is_on_its_way(pack, link):
            return
        keys = [number_of_key(key, host) for key in pack.rest.alerts(incident_id)]
        if not keys or not all(key and key[0] == number and key[1] < newest[1] for key in keys):
            return
        incident = pack.rest.incident(incident_id)
        if incident.status == RESOLVED or last_entry(pack, incident_id, "resolve_log_entry"):
            return
        if not self.report.dry_run:
            pack.rest.set_status(incident_id, RESOLVED)
        self.report.add_writes(number, incident_id, (RESOLVE,),
                               "its resolve was lost before the record was opened again")

    def _settle_pair(self, pair: Pair) -> None:
        """Carry out the decision, unless it would open what is not to be opened."""
        link, pack = pair.link, self._pack
        self._settled.add(link.number)
        self.lists.unlinked.discard(pair.incident_id or "")
        if is_unseen(pair):
            if is_on_its_way(pack, link):
                self.report.reason = ("triggered, and PagerDuty shows no incident yet: look again "
                                      "in two minutes")
                self.report.in_step += not self._is_named
                return
            self._report_unseen(pair)
        if pair.incident is None and pair.incident_id and pair.state not in (None, RESOLVED):
            raise NotFoundError(
                "PagerDuty does not show %s, the incident of %s" % (pair.incident_id, link.number),
                "see that the API key may read the service and the team of the incident")
        decision = decide_pair(pack, pair)
        if TRIGGER in decision.pagerduty and pair.record is not None and not self._objection(
                pair.record.created_at):
            route_for_opening(pack.settings, pair.record.assignment_group, pair.record.category)
        context, incident_id = WriteContext(dry_run=self.report.dry_run), pair.incident_id
        try:
            done = settle(pack, pair, context, objection=self._objection)
            self.report.reason = done.reason
            pack.say("%s: %s" % (done.stackflow_id or done.pagerduty_incident_id, done.reason))
        finally:
            log = context.log
            names = list(log.names or (decision.writes if log.skipped else ()))
            if link.last_resort and self.report.dry_run and (
                    pair.state == RESOLVED or RESOLVE in names):
                names.append("last_resort")
            if names:
                self._written.add(pair.incident_id or "")
                self.report.add_writes(link.number or None, incident_id, names, decision.reason)
        self.report.in_step += not names

    def _report_unseen(self, pair: Pair) -> None:
        record = pair.record
        assert record is not None
        entry = route_for_opening(self._pack.settings, record.assignment_group,
                                  record.category).mapping
        lost = LostAlert(self._pack, pair, entry)
        if lost.is_news:
            if not self.report.dry_run:
                lost.report()
            self.report.add_writes(pair.link.number, None, ("note", TRIGGER), lost.error.message)
        raise lost.error

    # What the lists show.

    def _has_drifted(self, stage: int, record: StackFlowIncident) -> bool:
        """Whether a record that a list shows has to be settled; each is looked at once."""
        if record.number in self._seen:
            return False
        self._seen.add(record.number)
        if len(self._seen) % SAID_EVERY == 0:
            self._pack.say("%d records, %d repaired, %d failed" % (
                len(self._seen), self.report.repaired, self.report.failed))
        if _place(stage, record) < self._from:
            return False
        link = self.lists.links.get(record.number)
        if link is None:
            return self._is_missing(record)
        in_sync = self._shows_sync(link, record)
        self.report.in_step += in_sync
        return not in_sync

    def _shows_sync(self, link: Link, record: StackFlowIncident) -> bool:
        incident = self.lists.incident_of(link.number)[0]
        if incident is None or record.state in DONE_STATES or link.target:
            return False  # one side alone, or both, were finished: the lists do not tell how
        at, reopened_at = parse_time(link.there.get("at")), incident.reopened_at
        if link.there.get("state") == RESOLVED or reopened_at and (at is None or reopened_at > at):
            return False
        waits = link.expected(PAGERDUTY).get("state")
        if link.expects and waits not in ("triggered", incident.status):
            return False
        pair = Pair(link, record, incident)
        try:
            decision = decide_pair(self._pack, pair)
        except UnreadableError:
            return False
        return decision.in_sync and _is_same(link, seen_now(pair, decision.kept))

    def _is_missing(self, record: StackFlowIncident) -> bool:
        """Whether a record without an open pair should have one, or has one whose link was lost."""
        lists, number = self.lists, record.number
        if number in lists.ids:
            return True
        if record.state in DONE_STATES:
            return False
        if number in lists.closed or pagerduty_id_of_mark(record.description):
            return True
        try:
            decision = decide_pair(self._pack, Pair(Link(number), record))
        except UnreadableError:
            return True
        return bool(decision.writes) and self._may_be_ours(record.created_at)

    # What a run may do.

    def _objection(self, created_at: Optional[datetime]) -> str:
        """Why not to open the other side of an incident; "" where it may be opened.

        Raises UnreadableError where nobody knows when it was created.
        """
        if created_at is None:
            raise UnreadableError("its creation time cannot be read, so nothing was opened for it",
                                  "see its created_at, and open its other side by hand")
        if self._since is not None:
            return "" if created_at >= self._since else "created before the given time"
        if created_at < self._start:
            return "created before the pack was installed"
        if created_at > self._pack.clock.now() - YOUNG and not self._is_named:
            return "younger than two minutes: left to its own event"
        return ""

    def _may_be_ours(self, created_at: Optional[datetime]) -> bool:
        """Whether to look for the other side of an incident: of one from before the first run only
        once, as its link may have been lost with all others.
        """
        if created_at is None:
            return True
        old = created_at < self._start
        return not self._objection(created_at) or (old and "complete_at" not in self._progress)

    def _in_time(self) -> None:
        if self._pack.clock.monotonic() > self._end:
            raise OutOfTime()


def _is_same(link: Link, shown: Link) -> bool:
    """Whether a look shows nothing that the link does not say; times and ids alone are no news."""
    def values(one: Link) -> Any:
        return [{name: value for name, value in side.items() if name != "at"}
                for side in (one.here, one.there)]

    return bool(values(link) == values(shown))


def _stored_place(progress: Dict[str, Any]) -> Place:
    place = progress.get("place")
    if isinstance(place, list) and [type(part) for part in place] == [int, str]:
        return place
    return []  # the beginning


def _place(stage: int, record: StackFlowIncident) -> Place:
    created = format_time(record.created_at) if record.created_at else ""
    return [stage, created if stage else record.number]
