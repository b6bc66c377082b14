"""Drift over all pairs: lists show which pairs to look at, and the loop of all events settles them.

A pair that the lists show in sync costs no call.
"""

from __future__ import annotations

import traceback
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

from . import sla
from .decide import DONE_STATES, RESOLVE, RESOLVED, TRIGGER
from .errors import (ApiError, BadInputError, ConfigError, CredentialsError, DatastoreError,
                     DefectError, NotFoundError, PackError)
from .fields import PAGERDUTY
from .incidents import (OPEN_STATES, PagerDutyIncident, StackFlowIncident, format_time,
                        is_stackflow_number, pagerduty_id_of_mark, parse_time)
from .links import Link, decode
from .lost_alerts import PATIENCE, report_lost
from .matching import numbers_of
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
UNPRINTED = ("on_hold", "pending_customer", "pending_vendor", "cancelled")
"""States whose spelling no page of StackFlow prints: an instance may not know them."""
NO_RECORD = "no record"
"""In place of a number; it comes after all numbers."""

Candidate = Tuple[str, str]
"""A number, or NO_RECORD, and an open incident that may be the record's beside its own, or ""."""


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
        end = pack.leases.take("reconcile", LEASE, pack.clock)
        if end is not None:
            return Outcome(SKIPPED,
                           "another reconcile is in progress; its lease ends at %s" % end)
    try:
        run = Run(pack, dry_run, moment)
        if incident_id is None:
            run.all()
        else:
            run.one(incident_id)
        run.report.requests = pack.transport.requests
        return run.report
    finally:
        if leased:
            pack.leases.release("reconcile")


def without_config(error: ConfigError) -> Outcome:
    """Return the outcome where the config is unusable: the rule runs on every new installation."""
    return Outcome(SKIPPED, "not configured: %s" % error.message)


class Lists:
    """What PagerDuty and the datastore list of all pairs, so small that it can be held at once.

    ``incidents``: PagerDuty's open ones on mapped services, by id, without their texts;
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


class Run:
    """One run over pairs. ``report`` is what it did."""

    def __init__(self, pack: Pack, dry_run: bool, since: Optional[datetime] = None) -> None:
        if dry_run:
            pack.datastore.read_only()
        self.report = ReconcileReport(dry_run)
        self._pack, self._since = pack, since
        self._begun, self._end = pack.clock.now(), pack.clock.monotonic() + TIME_LIMIT
        start = parse_time(pack.start.ensure(pack.clock)) or self._begun
        self._earliest = since or start
        self._opens_young = since is not None
        self._progress = pack.progress.read() if since is None else {}
        self._settled: Set[Optional[str]] = set()

    def one(self, incident_id: str) -> None:
        """Settle the pair of one incident; NotFoundError where its side does not know it."""
        self._opens_young = True
        if is_stackflow_number(incident_id):
            self._pack.stackflow.incident(incident_id)
            self._visit(incident_id, self._settle, incident_id, "")
        else:
            self._pack.rest.incident(incident_id)
            self._visit(incident_id, self._settle, NO_RECORD, incident_id)

    def all(self) -> None:
        """Settle all pairs that are out of sync, from the place where the last run stopped.

        A round is what one run or several need to come to the end. The next round looks at what was
        finished since the first run of this one: so it finds what changes behind the place.
        """
        begun = self._progress.get("round_at") or format_time(self._begun)
        progress = dict(self._progress, round_at=begun)
        try:
            try:
                for number, incident_id in self._candidates():
                    self._in_time()
                    self._visit(incident_id if number == NO_RECORD else number, self._settle,
                                number, incident_id)
                    progress["place"] = [number, incident_id]
                for number, policy in sla.overdue(self._pack):
                    self._in_time()
                    self._visit(number, self._resume, number, policy)
                progress = {"complete_at": begun}
            except OutOfTime:
                self.report.complete = False
            if self._since is None:
                self._pack.progress.write(progress)
        except PackError as error:  # nothing more can be read, or remembered
            self.report.complete = False
            self.report.error_of_run = error

    def _in_time(self) -> None:
        if self._pack.clock.monotonic() > self._end:
            raise OutOfTime()

    def _visit(self, incident_id: str, settle_it: Callable[[str, str], None],
               *pair: str) -> None:
        """Settle one pair; a failure is noted, and the pair stays on the list."""
        repaired = self.report.repaired
        try:
            settle_it(*pair)
        except (CredentialsError, DatastoreError):
            raise
        except Exception as caught:  # one record must not keep the others from their turn for ever
            error = caught if isinstance(caught, PackError) else DefectError(caught)
            self._pack.say("%s failed: %s" % (
                incident_id, error.message if error is caught else traceback.format_exc()))
            self.report.repaired = repaired  # not even where a part of its writes was made
            self.report.add_failure(incident_id, error)

    def _resume(self, number: str, policy: str) -> None:
        """Take up an escalation whose workflow has died."""
        if not self.report.dry_run:
            sla.follow_escalation(self._pack, number, policy)
        self.report.add_writes(number, None, ("escalate",),
                               "its escalation for SLA %r stood still" % policy)

    # What the lists show.

    def _candidates(self) -> List[Candidate]:
        """What is to be looked at, in an order that stays the same in later runs."""
        lists, stored = Lists(self._pack, self._in_time), self._progress.get("place")
        self._pack.say("%d incidents are open in PagerDuty, %d of them not linked; %d links" % (
            len(lists.incidents), len(lists.unlinked), len(lists.links)))
        drifted = {number: True for number in chain(lists.links, lists.ids)}
        for record in self._records():
            drifted[record.number] = self._has_drifted(lists, record)
        self.report.in_step += sum(not drifted[number] for number in lists.links)
        self._pack.say("%d records, %d of them to be looked at" % (
            len(drifted), sum(drifted.values())))
        place = tuple(map(str, stored)) if isinstance(stored, list) else ()
        found = {(number, other) for number in drifted if drifted[number]
                 for other in lists.others(number) or {""}}
        found |= {(NO_RECORD, one) for one in lists.unlinked
                  if self._may_be_ours(lists.incidents[one].created_at)}
        return sorted(one for one in found if one > place)

    def _records(self) -> Iterator[StackFlowIncident]:
        """StackFlow's records: those that were finished lately, then all that are open."""
        complete, stackflow = parse_time(self._progress.get("complete_at")), self._pack.stackflow
        bound = min(self._begun - DAY, (complete or self._begun) - OVERLAP,
                    self._since or self._begun)
        for state in DONE_STATES + OPEN_STATES:
            try:
                for record in (stackflow.changed_since(state, bound) if state in DONE_STATES else
                               chain.from_iterable(stackflow.in_state(state))):
                    self._in_time()
                    yield record
            except ApiError as error:
                if error.status != 400 or state not in UNPRINTED:
                    raise
                self.report.warnings.append(
                    "StackFlow lists no state %s, see stackflow.states: %s" % (
                        state, error.message))

    def _has_drifted(self, lists: Lists, record: StackFlowIncident) -> bool:
        """Whether a pair has to be looked at, as the lists don't show it in sync. Where they do,
        they count as a look: what they show anew is remembered.
        """
        number, link = record.number, lists.links.get(record.number)
        incident = lists.incidents.get(lists.own_id(number) or "")
        if lists.others(number) or link and incident and _is_uncertain(link, record, incident):
            return True
        if link is None and record.state not in DONE_STATES and (
                number in lists.closed or pagerduty_id_of_mark(record.description)):
            return True  # it was opened again, or its link was lost
        pair = Pair(link or Link(number), record, incident)
        pair.follows = pair.link.target not in (None, pair.link.pagerduty_id)
        try:
            decision = decide_pair(self._pack, pair)
        except UnreadableError:
            return True
        if link is None:
            return bool(decision.writes) and self._may_be_ours(record.created_at)
        pair.kept = decision.kept
        shown = seen_now(pair)
        if not decision.in_sync or _values(shown) == _values(link):
            return not decision.in_sync
        stored = self._pack.links.read(number)
        if stored is None or stored._replace(last_resort=None) != link:
            return True  # another run wrote to it since it was listed
        self._pack.links.write(shown)
        return False

    # Pairs, one after the other.

    def _settle(self, number: str, incident_id: str) -> None:
        """Settle a candidate. The records of an incident without a link are found by the marks, or
        it has none yet.
        """
        pack, has_link = self._pack, number != NO_RECORD
        if not has_link and incident_id in self._settled:
            return
        numbers = [number] if has_link else numbers_of(pack, incident_id)
        for one in numbers:
            if one not in self._settled:
                stored = pack.links.read(one)
                self._settle_pair(observe(pack, one, stored,
                                          Given(incident_id=incident_id or None)))
        if not numbers:
            incident = pack.rest.incident(incident_id)
            if entry_of_service(pack.settings, incident.service_id) is not None:
                self._settle_pair(Pair(Link(""), None, incident))
            else:
                self.report.reason = "service %s is not in service_mapping" % incident.service_id

    def _settle_pair(self, pair: Pair) -> None:
        """Carry out the decision, unless it would open what is not to be opened."""
        link, record, pack, report = pair.link, pair.record, self._pack, self.report
        self._settled.update((link.number, pair.incident_id))
        if pair.incident is None and pair.state not in (None, RESOLVED):
            if pair.incident_id:
                raise NotFoundError(
                    "PagerDuty does not show %s, the incident of %s" % (
                        pair.incident_id, link.number),
                    "see that the API key may read the service and the team of the incident")
            if record is not None and record.state not in DONE_STATES:
                if link.expects and link.expects.is_fresh(pack.clock.now(), PATIENCE):
                    report.reason = ("triggered, and PagerDuty shows no incident yet: look again "
                                     "in two minutes")
                    return
                lost = report_lost(pack, pair, report.dry_run)
                if lost.is_news:
                    report.add_writes(link.number, None, ("note", TRIGGER), lost.message)
                raise lost
        decision = decide_pair(pack, pair)
        if TRIGGER in decision.pagerduty and record is not None and not self._objection(
                record.created_at):
            route_for_opening(pack.settings, record.assignment_group, record.category)
        context, incident_id = WriteContext(dry_run=report.dry_run), pair.incident_id
        try:
            done = settle(pack, pair, context, objection=self._objection)
            report.reason = done.reason
            pack.say("%s: %s" % (done.stackflow_id or done.pagerduty_incident_id, done.reason))
        finally:
            log = context.log
            names = list(log.names or (decision.writes if log.skipped else ()))
            if link.last_resort and report.dry_run and (
                    pair.state == RESOLVED or RESOLVE in names):
                names.append("last_resort")
            if names:
                report.add_writes(link.number or None, incident_id, names, decision.reason)
        report.in_step += not names

    def _objection(self, created_at: Optional[datetime]) -> str:
        """Why not to open the other side of an incident; "" where it may be opened.

        Raises UnreadableError where nobody knows when it was created.
        """
        if created_at is None:
            raise UnreadableError("its creation time cannot be read, so nothing was opened for it",
                                  "see its created_at, and open its other side by hand")
        if created_at < self._earliest:
            return "created before " + ("the given time" if self._since else
                                        "the pack was installed")
        if created_at > self._pack.clock.now() - YOUNG and not self._opens_young:
            return "younger than two minutes: left to its own event"
        return ""

    def _may_be_ours(self, created_at: Optional[datetime]) -> bool:
        """Whether to look for the other side of an incident. The first round also looks for that of
        an old one, as its link may have been lost with all others.
        """
        return created_at is None or not self._objection(created_at) or (
            "complete_at" not in self._progress and created_at < self._earliest)


def _is_uncertain(link: Link, record: StackFlowIncident, incident: PagerDutyIncident) -> bool:
    """Whether rows leave open what became of an open incident: one that was resolved or is reopened
    since, another write that is sent and not seen, or a row that is older than the last look.
    """
    here, there = parse_time(link.here.get("at")), parse_time(link.there.get("at"))
    waits = link.expected(PAGERDUTY).get("state")
    return bool(
        link.there.get("state") == RESOLVED or
        link.expects and waits not in ("triggered", incident.status) or
        incident.reopened_at and (there is None or incident.reopened_at > there) or
        there and incident.status_changed_at and incident.status_changed_at < there or
        here and record.updated_at and record.updated_at < here.replace(microsecond=0))


def _values(link: Link) -> Tuple[Dict[str, str], ...]:
    """What both sides showed of a link's pair; times and ids alone are no news."""
    return tuple(dict(side, at="") for side in (link.here, link.there))
