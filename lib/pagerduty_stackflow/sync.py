"""What the actions do: one function for each, all of them by way of the merge."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Callable, List, Mapping, Optional

from . import merge
from .deciding import agreed, decide, keeps_team, situation
from .errors import BadInputError, ConflictError, NotFoundError, PackError
from .incidents import StackFlowIncident, is_stackflow_number, pagerduty_id_of_mark, parse_time
from .links import Link
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack, combined
from .pairs import About, Pair, find_incident, numbers_by_marks, numbers_of, read_pair
from .routing import entry_of_service, unmapped_group
from .stackflow.records import canonical_record
from .transport import MAX_WAIT, OutcomeUnknownError
from .writing import Done, Words, carry_out, patch_state, routing_key

FRESH = timedelta(seconds=60)
"""An event of this age is taken at its word; what waited longer is read again before anything is
decided.
"""
ROUNDS = 4
"""How often a run reads and decides again when somebody else moved a record."""
FIRST_WAIT = 0.5
"""Seconds before it does so for the first time; doubled each time, while `http.total_seconds` last.
"""


def trigger_incident(pack: Pack, incident_id: str, incident: Optional[Mapping[str, Any]] = None,
                     force: bool = False) -> Outcome:
    """Page for a StackFlow incident, unless it is paged, resolved, under the threshold or older
    than the pack.

    ``incident`` is the record as an event carried it; it is read where absent. ``force``: a person
    asked, so threshold and first run do not count.
    """
    number = stackflow_number(pack, incident_id)
    hint = _hint(pack, number, incident)
    stored = pack.links.read(number)[0]
    pair = _taken_at_its_word(pack, hint, stored) or (
        read_pair(pack, number, hint=hint, known=Pair.unread(number, stored)))
    if pair.record is None:
        raise no_record(number)
    if not pair.link.joined and not force and before_start(pack, pair.record):
        return _nothing("created before the pack was installed; force overrides that", None, number)
    return settle(pack, pair, Words(), may_trigger=True, force=force)


def acknowledge_incident(pack: Pack, incident_id: str, by: Optional[str] = None,
                         incident: Optional[Mapping[str, Any]] = None) -> Outcome:
    """Acknowledge in PagerDuty: for an event as the merge decides, and as who is assigned by then;
    else because a person asked.
    """
    words = Words(by if incident is None else None)
    return _towards_pagerduty(pack, incident_id, incident, words, merge.ACKNOWLEDGED)


def resolve_incident(pack: Pack, incident_id: str, by: Optional[str] = None,
                     resolution: Optional[str] = None,
                     incident: Optional[Mapping[str, Any]] = None) -> Outcome:
    """Resolve in PagerDuty: for an event as the merge decides, else because a person asked."""
    return _towards_pagerduty(pack, incident_id, incident, Words(by, resolution), merge.RESOLVED)


def create_stackflow_incident(pack: Pack, incident_id: str,
                              incident: Optional[Mapping[str, Any]] = None) -> Outcome:
    """Create the StackFlow record of a PagerDuty incident, unless it has one; ends with a merge.

    ``incident`` (what the event said) is not needed: PagerDuty is read, as it may have moved on.
    """
    if is_stackflow_number(incident_id):
        raise BadInputError("%s is a StackFlow number" % incident_id,
                            "give a PagerDuty incident id")
    settled = settle_all(pack, incident_id, Words())
    if settled is not None:
        return settled
    found = pack.rest.incident(incident_id)
    if found.merged_into:
        return _nothing("merged in PagerDuty into %s before a record was created" %
                        found.merged_into, incident_id)
    entry = entry_of_service(pack.settings, found.service_id)
    if entry is None:
        return _nothing("service %s (%s) is not in service_mapping" %
                        (found.service_id, found.service_name), incident_id)
    start = parse_time(pack.links.start())
    if start and found.created_at and found.created_at < start:
        return _nothing("opened before the pack was installed", incident_id)
    return settle(pack, Pair(Link("", pagerduty_id=found.id, service_id=found.service_id,
                                  rest_only=True), None, found, searched=True), Words())


def set_stackflow_state(pack: Pack, incident_id: str, state: str, note: Optional[str] = None,
                        by: Optional[str] = None) -> Outcome:
    """Bring StackFlow to PagerDuty's state (id of PagerDuty), or write a state as asked (StackFlow
    number).
    """
    if state not in (merge.SET_IN_PROGRESS, merge.SET_RESOLVED):
        raise BadInputError("state is %r" % state, "give in_progress or resolved")
    if is_stackflow_number(incident_id):
        return _write_state(pack, incident_id, state, _signed(note, by))
    return settle_all(pack, incident_id, Words(note=_signed(note, by))) or _nothing(
        "there is no StackFlow record yet; create_stackflow_incident ends with a merge of both "
        "states", incident_id)


def _towards_pagerduty(pack: Pack, incident_id: str, incident: Optional[Mapping[str, Any]],
                       words: Words, state: str) -> Outcome:
    if not is_stackflow_number(incident_id) and not numbers_of(pack, incident_id):
        return _ask(pack, Pair(Link("", rest_only=True), None, pack.rest.incident(incident_id)),
                    words, state)
    number = stackflow_number(pack, incident_id)
    link = pack.links.read(number)[0]
    if incident is None and link is not None and not words.resolution:
        if _answers_to_events(pack, link):
            return _ask(pack, Pair(link, None, stored=link), words, state)
    pair = pair_of_event(pack, number, link, incident)
    return _ask(pack, pair, words, state) if incident is None else settle(pack, pair, words)


def pair_of_event(pack: Pack, number: str, link: Optional[Link],
                  incident: Optional[Mapping[str, Any]], told: Optional[str] = None) -> Pair:
    """The pair as an event's record shows it where that is enough, else both sides as they are;
    NotFoundError where neither has it.

    ``link`` is what the datastore has; ``told``: see Pair.
    """
    hint = _hint(pack, number, incident)
    pair = _taken_at_its_word(pack, hint, link) if link is not None and link.joined else None
    if pair is not None:
        pair.told = told
        return pair
    if link is None or not link.joined:
        pack.links.wait(number)  # whoever is opening the pair just now will look again
    pair = read_pair(pack, number, hint=hint, told=told, known=Pair.unread(number, link))
    if pair.record is None and pair.incident is None:
        raise no_record(number)
    return pair


def _answers_to_events(pack: Pack, link: Link) -> bool:
    """Whether an event by the routing key that opened it reaches the incident, which was open when
    last seen and is no other record's too.
    """
    return link.pagerduty in (merge.OPEN, merge.ACKNOWLEDGED) and not link.shared and (
        routing_key(pack.settings, link) is not None)


def _hint(pack: Pack, number: str,
          incident: Optional[Mapping[str, Any]]) -> Optional[StackFlowIncident]:
    """The record as an event carried it; None where it is another's or there is none."""
    if not incident:
        return None
    states = pack.settings.stackflow.states
    record = StackFlowIncident.from_record(canonical_record(incident, states))
    return record if record.number == number else None


def _taken_at_its_word(pack: Pack, hint: Optional[StackFlowIncident],
                       link: Optional[Link]) -> Optional[Pair]:
    """The pair as an event shows it, where nothing has to be read: the hot path, without a REST
    key.

    The record has to be whole, fresh and not older than what was applied. Then it is enough where
    nothing is to be written; where the incident answers to events; or where the record is new to
    us, neither reopened nor born in PagerDuty.
    """
    if hint is None or not hint.is_complete or hint.updated_at is None:
        return None
    if abs(pack.clock.now() - hint.updated_at) > FRESH:
        return None
    if link is None:
        known = hint.reopened_at or pagerduty_id_of_mark(hint.description)
        return None if known else Pair(Link(hint.number), hint)
    applied = parse_time(link.stackflow_at)
    if applied and hint.updated_at < applied or link.writing:
        return None
    if link.stackflow == merge.RESOLVED and hint.state not in merge.DONE_STATES:
        return None  # opened again: PagerDuty tells whether before or after its own resolve
    if link.stackflow != merge.RESOLVED:  # stamps of whole seconds, and resolves that nobody saw
        earlier = link.assignee and not hint.assigned_to  # its creation, told once more
        if hint.updated_at == applied and (hint.state in merge.DONE_STATES or earlier):
            return None
        if hint.reopened_at and (applied is None or hint.reopened_at > applied):
            return None
    pair = Pair(link, hint, stored=link)
    decision = decide(pack, pair, True)
    if decision.hands_over or decision.writes and not _answers_to_events(pack, link):
        return None
    return pair


def _ask(pack: Pack, pair: Pair, words: Words, state: str) -> Outcome:
    """A person's command: written to PagerDuty where it is open. What was agreed stays, so its
    webhook carries it over.
    """
    there = situation(pack, pair).pagerduty
    if there in (merge.ABSENT, merge.RESOLVED, merge.MERGED):
        reason = ("resolved in PagerDuty already" if there == merge.RESOLVED else
                  "no PagerDuty incident is open for it")
        return report(pair, ALREADY if there == state else SKIPPED, reason, Done())
    if there == state and pair.incident is not None:
        return report(pair, ALREADY, "%s in PagerDuty already" % state, Done())
    write = merge.ACKNOWLEDGE if state == merge.ACKNOWLEDGED else merge.RESOLVE
    done = Done()
    carry_out(pack, pair, merge.Decision("asked", "", "", pagerduty=(write,)), words, done)
    if pair.link.number and pair.link != pair.stored:
        pack.links.write(pair.link)
    return report(pair, DONE if done.writes else SKIPPED, "asked by a person", done)


def settle(pack: Pack, pair: Pair, words: Words, may_trigger: bool = False,
           force: bool = False) -> Outcome:
    """Decide, write, remember; read both sides and decide again when somebody else was there
    meanwhile. RoutingError, after all other writes, for a group that no entry pages.
    """
    done = Done()
    decisions: List[merge.Decision] = []

    def attempt() -> bool:
        nonlocal pair
        if decisions:
            pair = _read_again(pack, pair)
        decisions.append(decide(pack, pair, may_trigger, force))
        decisions[-1] = carry_out(pack, pair, decisions[-1], words, done)
        return not _remember(pack, pair, decisions[-1])

    insist(pack, attempt, done.warnings)
    reason = decisions[0].reason
    if keeps_team(pack.settings, pair):
        assert pair.record is not None
        raise unmapped_group(pack.settings, pair.record.assignment_group)
    if done.writes:
        return report(pair, DONE, reason, done)
    there_already = (decisions[-1].in_step or bool(done.found)) and not done.skipped
    return report(pair, ALREADY if there_already else SKIPPED, reason, done)


def insist(pack: Pack, attempt: Callable[[], bool], warnings: List[str]) -> None:
    """Call ``attempt``, which reads, decides and writes, until it says that it is done.

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


def _remember(pack: Pack, pair: Pair, decision: merge.Decision) -> bool:
    """Store what is agreed now. True when a record was created, or another run wrote or waits
    meanwhile, so that this one looks again.
    """
    created = pair.record is not None and merge.CREATE in decision.stackflow
    if not pair.link.number or decision.follow_merge:
        return created
    pair.link = link = agreed(pack, pair, decision)
    if link == pair.stored or not (link.joined or link.closed):
        return created
    pack.links.write(link)
    if created:
        return True
    found, waiting = pack.links.read(link.number)
    if waiting and link.joined:
        pack.links.stop_waiting(link.number)
        return True
    return found != link


def settle_all(pack: Pack, incident_id: str, words: Words,
               told: Optional[str] = None) -> Optional[Outcome]:
    """Settle every record of a PagerDuty incident, as a merge can have put several on one; None where
    it has none.
    """
    about = About(incident_id, pack.links.numbers(incident_id))
    outcomes = []
    failures = []
    for number in about.numbers or numbers_by_marks(pack, incident_id):
        try:
            outcomes.append(_settle_about(pack, number, about, words, told))
        except PackError as error:  # the other records shall not wait for this one
            failures.append(error)
    if failures:
        raise failures[0]
    return combined(outcomes) if outcomes else None


def _settle_about(pack: Pack, number: str, about: About, words: Words,
                  told: Optional[str]) -> Outcome:
    pair = read_pair(pack, number, about=about, told=told)
    named = about.incident_id
    if pair.incident is not None and pair.incident.id != named and not pair.link.shared:
        return _nothing("%s has a newer incident, %s" % (number, pair.incident.id), named, number)
    return settle(pack, pair, words)


def _read_again(pack: Pack, pair: Pair) -> Pair:
    if pair.link.number:
        return read_pair(pack, pair.link.number, mine=pair.link, told=pair.told)
    assert pair.incident is not None
    return Pair(pair.link, None, find_incident(pack, pair.incident.id))


def stackflow_number(pack: Pack, incident_id: str) -> str:
    """The StackFlow number that an id of either side stands for; NotFoundError where there is none.
    """
    if is_stackflow_number(incident_id):
        return incident_id
    numbers = numbers_of(pack, incident_id)
    if not numbers:
        raise NotFoundError("no StackFlow record belongs to PagerDuty incident %s" % incident_id,
                            "create one with create_stackflow_incident")
    return numbers[0]


def _write_state(pack: Pack, number: str, state: str, note: Optional[str]) -> Outcome:
    if not pack.settings.bidirectional_sync:
        return _nothing("bidirectional_sync is off", None, number)
    pair = read_pair(pack, number)
    if pair.record is None:
        raise no_record(number)
    if pair.record.state == state:
        return report(pair, ALREADY, "%s in StackFlow already" % state, Done())
    if pair.record.state in merge.FINAL_STATES:
        return report(pair, SKIPPED, "%s is final" % pair.record.state, Done())
    done = Done()
    patch_state(pack, pair, state, done)
    if note:
        pack.stackflow.add_note(number, note)
    return report(pair, DONE, "asked by a person", done)


def before_start(pack: Pack, record: StackFlowIncident) -> bool:
    """Whether a record was created before the pack first ran here."""
    start = parse_time(pack.links.start())
    return bool(start and record.created_at and record.created_at < start)


def no_record(number: str) -> PackError:
    """The error for a number that StackFlow does not know."""
    return NotFoundError("StackFlow does not know %s" % number, "check the number")


def _signed(note: Optional[str], by: Optional[str]) -> Optional[str]:
    return "%s: %s" % (by, note) if note and by else note


def _nothing(reason: str, incident_id: Optional[str], number: Optional[str] = None) -> Outcome:
    return Outcome(SKIPPED, reason, stackflow_id=number, pagerduty_incident_id=incident_id)


def report(pair: Pair, outcome: str, reason: str, done: Done) -> Outcome:
    """What an action says of a pair: the reason, and what was written, found or left out."""
    words = "; ".join([reason] + done.writes + done.found + done.skipped)
    return Outcome(outcome, words, pair.link.number or None, pair.incident_id, pair.link.dedup_key,
                   done.warnings)
