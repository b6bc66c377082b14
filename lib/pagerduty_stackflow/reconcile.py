"""Drift over all pairs: found by comparing lists, so that a pair in step costs no call, and
repaired through the same merge as every event.
"""

from __future__ import annotations

import traceback
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, TypeVar, Union

from . import merge, sla
from .deciding import agreed
from .errors import (ApiError, BadInputError, ConfigError, CredentialsError, DatastoreError,
                     DefectError, NotFoundError, PackError)
from .incidents import (OPEN_STATES, StackFlowIncident, format_time, is_stackflow_number,
                        pagerduty_id_of_mark, parse_time)
from .links import Link, Links, Unwritten
from .overview import look
from .pack import SKIPPED, Outcome, Pack
from .pairs import Pair, find_incident, find_record, read_pair, seen_as
from .repair import Repair, decision_of
from .tally import Tally

TIME_LIMIT = 270.0
"""Seconds after which a run stops; the rule starts one every five minutes."""
YOUNG = timedelta(minutes=2)
"""Nothing is opened for an incident of this age: its event is on its way."""
DAY = timedelta(hours=24)
OVERLAP = timedelta(minutes=10)
"""Finished records are listed that changed within a day, or since the last complete round less
this.
"""
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
              since: Optional[str] = None) -> Tally:
    """Bring all pairs in step, or the one of ``incident_id`` (of either side).

    ``dry_run`` writes nothing and lists what would be written. ``since`` (ISO 8601): also open what
    was created from then on, however young it is, and whether or not the pack was installed then.
    """
    moment = parse_time(since)
    if since is not None and moment is None:
        raise BadInputError("since is %r" % since, "give a time such as 2026-01-31T08:00:00Z")
    walk = Walk(pack, dry_run, moment)
    if incident_id is not None:
        walk.one(incident_id)
    else:
        walk.all()
    walk.tally.requests = pack.transport.requests
    return walk.tally


def without_config(error: ConfigError) -> Outcome:
    """The outcome where the config is unusable: the rule runs on every new installation."""
    return Outcome(SKIPPED, "not configured: %s" % error.message)


class Walk:
    """One run over pairs. ``tally`` is what it did."""

    def __init__(self, pack: Pack, dry_run: bool, since: Optional[datetime] = None) -> None:
        if dry_run:
            pack.links = Links(Unwritten(pack.store))
        self.tally = Tally(dry_run)
        self._pack = pack
        self._repair = Repair(pack, self.tally, self._objection)
        self._since = since
        self._end = pack.clock.monotonic() + TIME_LIMIT
        self._begun = pack.clock.now()
        self._start = parse_time(pack.links.ensure_start(pack.clock)) or self._begun
        self._progress = pack.links.progress() if since is None else {}
        self._from = self._place = _stored_place(self._progress)
        self._seen: Set[str] = set()

    def one(self, incident_id: str) -> None:
        """Settle the pair of one incident; NotFoundError where its side does not know it."""
        pack, is_number = self._pack, is_stackflow_number(incident_id)
        found = find_record(pack, incident_id) if is_number else find_incident(pack, incident_id)
        if found is None:
            system = "StackFlow" if is_number else "PagerDuty"
            raise NotFoundError("%s does not know %s" % (system, incident_id), "check the id")

        def settle_it() -> None:
            if is_number:
                self._repair.pair(read_pair(pack, incident_id))
            else:
                self._repair.incident(incident_id)

        self._from = []  # wherever a run over all pairs has stopped
        self._visit([], incident_id, settle_it)

    def all(self) -> None:
        """Settle all pairs that are out of step, from the place where the last run stopped."""
        try:
            progress = self._round()
            if self._since is None:
                self._pack.links.keep_progress(progress)
        except PackError as error:  # nothing more can be read, or remembered
            self.tally.complete = False
            self.tally.error_of_run = error

    def _round(self) -> Dict[str, Any]:
        """A round is what one run or several need to come to the end; returns how far it came.

        The time of its first run bounds what the next round looks at: what changes behind the place
        of a stop is found then.
        """
        begun = self._progress.get("round_at") or format_time(self._begun)
        try:
            self._walk()
        except OutOfTime:
            self.tally.complete = False
            return dict(self._progress, round_at=begun, place=self._place)
        return {"complete_at": begun}

    def _walk(self) -> None:
        self._repair.lists = lists = look(self._pack, self._in_time)
        self._pack.say("%d incidents are open in PagerDuty, %d of them not linked; %d links" % (
            len(lists.incidents), len(lists.unlinked), len(lists.links)))
        read_at = self._pack.clock.monotonic()
        finished = [record for state in merge.DONE_STATES for record in self._changed(state)
                    if self._is_out_of_step(0, record)]  # all, before a write moves the list
        self._settle(0, sorted(finished, key=lambda one: one.number), read_at)
        for stage, state in enumerate(OPEN_STATES, 1):
            for page in self._listed(state, self._pack.stackflow.in_state(state)):
                read_at = self._pack.clock.monotonic()
                drifted = [record for record in page if self._is_out_of_step(stage, record)]
                self._settle(stage, drifted, read_at)
        self._pack.say("%d records are listed in StackFlow" % len(self._seen))
        for number in sorted((set(lists.links) | set(lists.ids)) - self._seen):
            self._visit([NOT_LISTED, number], number, lambda: self._repair.record(number))
        for incident_id in sorted(lists.unlinked):
            if self._may_be_ours(lists.incidents[incident_id].created_at):
                self._visit([NOT_LINKED, incident_id], incident_id,
                            lambda: self._repair.incident(incident_id))
        for number, incident_id in lists.earlier():
            self._visit([EARLIER, incident_id], incident_id,
                        lambda: self._repair.earlier(number, incident_id))
        for number, policy in sla.overdue(self._pack):
            self._visit([ESCALATIONS, number], number, lambda: self._resume(number, policy))

    def _resume(self, number: str, policy: str) -> None:
        """Take up an escalation whose workflow has died."""
        if not self.tally.dry_run:
            sla.look(self._pack, number, policy)
        self.tally.add_writes(number, None, ("escalate",),
                              "its escalation for SLA %r stood still" % policy)
        self.tally.repaired += 1

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
            self.tally.warnings.append("StackFlow lists no state %s, see stackflow.states: %s" % (
                state, error.message))

    def _settle(self, stage: int, records: List[StackFlowIncident], read_at: float) -> None:
        for record in records:
            self._visit(_place(stage, record), record.number,
                        lambda: self._repair.record(record.number, record, read_at))

    def _visit(self, place: Place, incident_id: str, settle_it: Callable[[], None]) -> None:
        """Settle one pair in its turn; what fails is noted, and stays on the list."""
        if place < self._from:
            return
        self._place = place
        self._in_time()
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
        self.tally.add_failure(incident_id, error)

    # What the lists show.

    def _is_out_of_step(self, stage: int, record: StackFlowIncident) -> bool:
        """Whether a record that a list shows has to be settled; each is looked at once."""
        if record.number in self._seen:
            return False
        self._seen.add(record.number)
        if len(self._seen) % SAID_EVERY == 0:
            self._pack.say("%d records, %d repaired, %d failed" % (
                len(self._seen), self.tally.repaired, self.tally.failed))
        if _place(stage, record) < self._from:
            return False
        link = self._repair.lists.links.get(record.number)
        if link is None:
            return self._is_missing(record)
        in_step = self._shows_step(link, record)
        self.tally.in_step += in_step
        return not in_step

    def _shows_step(self, link: Link, record: StackFlowIncident) -> bool:
        incident = self._repair.lists.incident_of(link.number)[0]
        if incident is None or record.state in merge.DONE_STATES:
            return False  # one side alone, or both, were finished: the lists do not tell how
        pair = Pair(seen_as(link, incident), record, incident)
        decision = decision_of(self._pack, pair)
        known = agreed(self._pack, pair, decision)._replace(
            pagerduty_id=link.pagerduty_id, seen=link.seen, unseen=link.unseen,
            stackflow_at=link.stackflow_at, reopened_at=link.reopened_at)
        return not decision.writes and known == link and pair.told is None

    def _is_missing(self, record: StackFlowIncident) -> bool:
        """Whether a record without an open pair should have one, or has one whose link was lost."""
        lists, number = self._repair.lists, record.number
        if number in lists.ids:
            return True
        if record.state in merge.DONE_STATES:
            return False
        if number in lists.closed or pagerduty_id_of_mark(record.description):
            return True
        return (decision_of(self._pack, Pair(Link(number), record)).writes and
                self._may_be_ours(record.created_at))

    # What a run may do.

    def _objection(self, created_at: Optional[datetime]) -> str:
        """Why not to open the other side of an incident; "" where it may be opened."""
        if created_at is None:
            return "nobody knows when it was created"
        if self._since is not None:
            return "" if created_at >= self._since else "created before the given time"
        if created_at < self._start:
            return "created before the pack was installed"
        if created_at > self._pack.clock.now() - YOUNG:
            return "younger than two minutes: left to its own event"
        return ""

    def _may_be_ours(self, created_at: Optional[datetime]) -> bool:
        """Whether to look for the other side of an incident: of one from before the first run only
        once, as its link may have been lost with all others.
        """
        old = created_at is not None and created_at < self._start
        return not self._objection(created_at) or (old and "complete_at" not in self._progress)

    def _in_time(self) -> None:
        if self._pack.clock.monotonic() > self._end:
            raise OutOfTime()


def _stored_place(progress: Dict[str, Any]) -> Place:
    place = progress.get("place")
    if isinstance(place, list) and [type(part) for part in place] == [int, str]:
        return place
    return []  # the beginning


def _place(stage: int, record: StackFlowIncident) -> Place:
    created = format_time(record.created_at) if record.created_at else ""
    return [stage, created if stage else record.number]
