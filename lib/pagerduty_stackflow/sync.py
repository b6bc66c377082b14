"""The loop that every way in goes through: observe both sides, decide, write, remember.

Each write reads what it must right before, and can be repeated. Where another run wrote to the pair
meanwhile, the loop starts again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Callable, List, Mapping, Optional

from . import to_pagerduty as pagerduty
from . import to_stackflow as stackflow
from .decide import (ACKNOWLEDGE, ACKNOWLEDGED, CREATE, DONE_STATES, MOVE, REPLACE, RESOLVE,
                     RESOLVED, SET_VALUES, TRIGGER, TRIGGERED, Decision, Policy, decide)
from .errors import ConflictError, NotFoundError, PackError
from .fields import BY_NAME, PAGERDUTY, STACKFLOW, VALUES
from .incidents import (PRIORITIES, StackFlowIncident, pagerduty_id_of_mark, parse_time,
                        priority_named, reaches)
from .links import Link
from .matching import find_incident, numbers_by_marks, numbers_of, owner_of_mark
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack, combined
from .pairs import Given, Pair, UnreadableError, now_of, observe, seen_now
from .routing import unmapped_group
from .stackflow.records import canonical_record
from .to_pagerduty import WriteContext, WriteLog
from .transport import MAX_WAIT, OutcomeUnknownError

FRESH = timedelta(seconds=60)
"""Age up to which an event is enough; for an older one both sides are read."""
ROUNDS = 4
"""How often a run looks and decides again when somebody else moved a record."""
FIRST_WAIT = 0.5
"""Seconds before the first repeat; doubled each time, while `http.total_seconds` last."""

Objection = Callable[[Optional[datetime]], str]
"""Says from its creation time why not to open the other side of an incident; "" for no reason."""


def settle_event(pack: Pack, incident_id: str, incident: Mapping[str, Any],
                 context: WriteContext) -> Outcome:
    """Settle the pair of a StackFlow event, whose record is ``incident``; NotFoundError where
    neither side has it.
    """
    number = number_of(pack, incident_id)
    return settle(pack, pair_of_event(pack, number, incident), context)


def settle_incident(pack: Pack, incident_id: str,
                    context: Optional[WriteContext] = None) -> Optional[Outcome]:
    """Settle every record of a PagerDuty incident, as a merge can have put several on one; None
    where it has none.
    """
    linked = pack.links.numbers(incident_id)
    given = Given(incident_id=incident_id, numbers=linked)
    outcomes: List[Outcome] = []
    failures: List[PackError] = []
    for number in linked or numbers_by_marks(pack, incident_id):
        try:
            pair = observe(pack, number, pack.links.read(number), given)
            if pair.incident is not None and incident_id != pair.incident.id and (
                    pair.link.pagerduty_id not in (None, incident_id)):
                outcomes.append(Outcome(SKIPPED, "%s has a newer incident, %s" % (
                    number, pair.incident.id), number, incident_id))
            else:
                outcomes.append(settle(pack, pair, context))
        except PackError as error:  # the other records shall not wait for this one
            failures.append(error)
    if failures:
        raise failures[0]
    return combined(outcomes) if outcomes else None


def pair_of_event(pack: Pack, number: str, incident: Optional[Mapping[str, Any]],
                  opens: bool = False) -> Pair:
    """Return the pair as an event's record shows it where that is enough, else both sides as they are;
    NotFoundError where neither side has it.

    Without a link an event is enough only where it ``opens``: else the link may have been lost.
    """
    event, stored, pair = event_record(pack, number, incident), pack.links.read(number), None
    if opens or stored is not None and stored.joined:
        pair = from_event(pack, event, stored)
    else:
        pack.links.wait(number)
    pair = pair or observe(pack, number, stored, Given(event_record=event))
    if pair.record is None and pair.incident is None:
        raise no_record(number)
    return pair


def event_record(pack: Pack, number: str,
                 incident: Optional[Mapping[str, Any]]) -> Optional[StackFlowIncident]:
    """Return the record as an event carried it; None where it is another's or there is none."""
    if not incident:
        return None
    states = pack.settings.stackflow.states
    record = StackFlowIncident.from_record(canonical_record(incident, states))
    return record if record.number == number else None


def from_event(pack: Pack, event: Optional[StackFlowIncident],
               stored: Optional[Link]) -> Optional[Pair]:
    """Return the pair as an event shows it, where nothing has to be read: the hot path, without a
    REST key; None where both sides have to be read.

    The record has to be whole, fresh and not older than what was seen. Then it is enough where
    nothing is to be written; where the incident answers to events; or where the record is new to
    the pack, neither reopened nor born in PagerDuty.
    """
    if event is None or not event.is_complete or event.updated_at is None:
        return None
    if abs(pack.clock.now() - event.updated_at) > FRESH:
        return None
    if stored is None:
        known = event.reopened_at or pagerduty_id_of_mark(event.description)
        return None if known else Pair(Link(event.number), event)
    if not _is_next(event, stored) or stored.target or stored.expected(STACKFLOW):
        return None
    pair = Pair(stored, event)
    pair.stored = stored
    pair.state = stored.expected(PAGERDUTY).get("state", stored.there.get("state"))
    if pair.state == ACKNOWLEDGED:
        pair.state = TRIGGERED  # it may be un-acknowledged since; once more does no harm
    decision = decide_pair(pack, pair)
    reaches_it = {ACKNOWLEDGE, RESOLVE}.issuperset(decision.writes) and (
        pagerduty.event_key(pack.settings, stored) is not None)
    return None if decision.unroutable or decision.writes and not reaches_it else pair


def _is_next(event: StackFlowIncident, stored: Link) -> bool:
    """Whether an event shows what came after the last look for certain."""
    at, changed = parse_time(stored.here.get("at")), event.updated_at
    assert changed is not None
    if at and changed < at:
        return False
    if stored.here.get("state") in DONE_STATES:
        return event.state in DONE_STATES  # else PagerDuty tells which side's change came last
    # Stamps of whole seconds, and resolves that nobody saw.
    earlier = bool(stored.here.get("acknowledgement")) and not event.assigned_to
    if changed == at and (event.state in DONE_STATES or earlier):
        return False
    return not (event.reopened_at and (at is None or event.reopened_at > at))


def decide_pair(pack: Pack, pair: Pair, force: bool = False) -> Decision:
    """Return what follows for a pair. Raises UnreadableError where an unknown priority would
    decide.
    """
    if pair.link.successor:
        return Decision("carried on in %s" % pair.link.successor)
    record, settings = pair.record, pack.settings
    if (record is not None and record.priority and record.state not in DONE_STATES and not (
            force or pair.link.joined or priority_named(record.priority) in PRIORITIES)):
        raise UnreadableError("%s has the priority %r, which the pack does not know, so nobody was "
                              "paged" % (record.number, record.priority),
                              "set it to one of %s in StackFlow" % ", ".join(PRIORITIES))
    pages = reaches(record.priority if record else None, settings.priority_threshold)
    return decide(pair.link.seen, now_of(pack, pair), Policy(
        settings.bidirectional_sync, settings.auto_acknowledge, pages, force,
        {field.name: field.direction(settings) for field in VALUES}))


def settle(pack: Pack, pair: Pair, context: Optional[WriteContext] = None, force: bool = False,
           objection: Optional[Objection] = None) -> Outcome:
    """Decide, write, remember; look and decide again when somebody else was there meanwhile.

    ``objection`` says why not to open the other side; by default, that it was created before the
    pack was installed. RoutingError, after all other writes, for a group that no entry pages.
    """
    context = context or WriteContext()
    log = context.log
    decisions: List[Decision] = []

    def attempt() -> bool:
        nonlocal pair
        if decisions:
            pair = _look_again(pack, pair)
        decision = decide_pair(pack, pair, force)
        if decision.opens and not force:
            decision = _object(pack, pair, decision, objection)
        decisions.append(decision)
        pair.kept = decision.kept
        if context.dry_run:
            log.names += decision.writes
            return True
        apply(pack, pair, decision, context)
        return not _remember(pack, pair, decision)

    retry_on_conflict(pack, attempt, log.warnings)
    if decisions[-1].unroutable and pair.record is not None:
        raise unmapped_group(pack.settings, pair.record.assignment_group)
    if log.names:
        return report(pair, DONE, decisions[0].reason, log)
    in_sync = (decisions[-1].in_sync or bool(log.found)) and not log.skipped
    return report(pair, ALREADY if in_sync else SKIPPED, decisions[0].reason, log)


def _object(pack: Pack, pair: Pair, decision: Decision,
            objection: Optional[Objection]) -> Decision:
    """The decision, unless it would open what is too old."""
    if TRIGGER in decision.pagerduty and pair.link.joined:
        return decision
    record, incident = pair.record, pair.incident
    created = record.created_at if record else incident.created_at if incident else None
    why = objection(created) if objection else before_install(pack, created)
    return Decision(why) if why else decision


def before_install(pack: Pack, created_at: Optional[datetime]) -> str:
    """Return that an incident is older than the pack's first run here, if it is; else ""."""
    start = parse_time(pack.start.read())
    old = start is not None and created_at is not None and created_at < start
    return "created before the pack was installed; force overrides that" if old else ""


def apply(pack: Pack, pair: Pair, decision: Decision, context: WriteContext) -> None:
    """Write to both sides, PagerDuty first. What was written is in the log also when a later write
    fails.
    """
    before, log = pair.link, context.log
    ends = pair.state == RESOLVED or RESOLVE in decision.pagerduty
    for write in decision.pagerduty:
        if write == TRIGGER:
            pagerduty.trigger(pack, pair, decision, context)
        elif write == ACKNOWLEDGE and TRIGGER not in decision.pagerduty:
            pagerduty.acknowledge(pack, pair, context)
        elif write == RESOLVE:
            pagerduty.resolve(pack, pair, context)
        elif write == MOVE:
            pagerduty.move_incident(pack, pair, log)
        elif write == SET_VALUES:
            pagerduty.set_values(pack, pair, {
                name: value for (side, name), value in decision.values.items()
                if side == PAGERDUTY}, log)
    if decision.stackflow:
        opening = {CREATE, REPLACE}.intersection(decision.stackflow)
        for write in opening:
            stackflow.create_record(pack, pair, write, log)
        if opening != set(decision.stackflow):
            stackflow.update_record(pack, pair, decision, context)
    if before.last_resort and ends:
        pagerduty.resolve_last_resort(pack, pair, before, log)


def _remember(pack: Pack, pair: Pair, decision: Decision) -> bool:
    """Store what was observed. True when a record was created, plain values are left to write, or
    another run wrote meanwhile, so that this one looks again.
    """
    again = CREATE in decision.stackflow or bool(decision.writes) and any(
        BY_NAME[name] in VALUES for _, name in decision.kept)
    if not pair.link.number:
        return again
    link = seen_now(pair)
    if link != pair.stored and link.joined:
        pack.links.write(link)
        pair.link, pair.wrote = link, True
    if again or not pair.wrote:
        return again
    found = pack.links.read(link.number)
    if found is not None and TRIGGER in decision.pagerduty and (
            found.expected(PAGERDUTY) != link.expected(PAGERDUTY)):
        pagerduty.repeat(pack, found)
    elif found is not None and found.dedup_key == link.dedup_key and (
            link.expected(PAGERDUTY).get("state") == RESOLVED) and not found.closed:
        pack.links.write(found._replace(expects=link.expects))  # a run beside this one forgot it
    if found is not None and found.waiting:
        pack.links.stop_waiting(link.number)
        return True
    return found != link


def _look_again(pack: Pack, pair: Pair) -> Pair:
    """The pair as it is now."""
    number, incident = pair.link.number, pair.incident
    if not number:
        assert incident is not None
        number = owner_of_mark(pack, incident.id) or ""
        if not number:
            return Pair(pair.link, None, find_incident(pack, incident.id))
    return observe(pack, number, pack.links.read(number))


def retry_on_conflict(pack: Pack, attempt: Callable[[], bool], warnings: List[str]) -> None:
    """Call ``attempt``, which looks, decides and writes, until it says that it is done.

    After a ConflictError or an OutcomeUnknownError it is called again, with a pause and a word in
    ``warnings``: ROUNDS times in all, lost answers not counted, while `http.total_seconds` last.
    """
    end = pack.clock.monotonic() + pack.settings.http.total_seconds
    rounds, wait = 0, FIRST_WAIT
    while True:
        try:
            done = attempt()
            rounds += 1
            if done or rounds == ROUNDS:
                return
        except (ConflictError, OutcomeUnknownError) as error:
            rounds += isinstance(error, ConflictError)
            if rounds == ROUNDS or pack.clock.monotonic() + wait > end:
                raise
            pack.clock.sleep(wait)
            wait = min(2 * wait, MAX_WAIT)
            warnings.append("decided again after: %s" % error.message)


def number_of(pack: Pack, incident_id: str) -> str:
    """Return the StackFlow number of an id of either side; NotFoundError where there is none."""
    numbers = numbers_of(pack, incident_id)
    if not numbers:
        raise NotFoundError("no StackFlow record belongs to PagerDuty incident %s" % incident_id,
                            "create one with create_stackflow_incident")
    return numbers[0]


def no_record(number: str) -> PackError:
    """Return the error for a number that StackFlow does not know."""
    return NotFoundError("StackFlow does not know %s" % number, "check the number")


def report(pair: Pair, outcome: str, reason: str, log: WriteLog) -> Outcome:
    """Return what an action says of a pair: the reason, and what was written, found or left out."""
    words = "; ".join([reason] + log.writes + log.found + log.skipped)
    return Outcome(outcome, words, pair.link.number or None, pair.incident_id, pair.link.dedup_key,
                   log.warnings)
