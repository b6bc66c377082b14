"""The one decision: what follows from what both sides showed last and what they show now.

Pure: no input, no output, no clock. Every way in ends here, so an event is only a hint that
something changed, and a late, doubled or lost one cannot do harm.
"""

from typing import Dict, FrozenSet, Mapping, NamedTuple, Optional, Tuple

from .fields import (BOTH, NOBODY, PAGERDUTY, STACKFLOW, TO_PAGERDUTY, TO_STACKFLOW, VALUES,
                     differs)

DONE_STATES = ("resolved", "closed", "cancelled")
FINAL_STATES = ("closed", "cancelled")
RESOLVED = "resolved"
IN_PROGRESS = "in_progress"
TRIGGERED = "triggered"
ACKNOWLEDGED = "acknowledged"

TRIGGER = "trigger"
ACKNOWLEDGE = "acknowledge"
RESOLVE = "resolve"
MOVE = "move"
CREATE = "create"
REPLACE = "replace"
REGROUP = "regroup"
SET_VALUES = "set_values"

IN_SYNC = "in sync"


class Seen(NamedTuple):
    """What both sides showed at the last look: a value for each field of `fields.FIELDS`, empty
    before the first look. ``expected`` is the value that the pack is writing to a side and that no
    look has shown yet, as (side, field) to value.
    """

    here: Mapping[str, str] = {}
    there: Mapping[str, str] = {}
    expected: Mapping[Tuple[str, str], str] = {}


class Now(NamedTuple):
    """What both sides show now; None for a side that has no incident.

    ``merged``: a merge closed the PagerDuty incident and nothing is known of its target yet.
    ``follows``: the record stands on an incident that belongs to another record. ``reopened`` and
    ``resolved``: the sides on which people did that since the last look, by the side's own stamps.
    ``later``: the side of the later one, where one side was reopened and the other resolved; None
    for neither. ``service``: the service that the record's group is mapped to. ``is_mapped``:
    whether PagerDuty's service has an entry; ``is_default``: whether it is the one that pages for
    groups without an entry.
    """

    here: Optional[Mapping[str, str]] = None
    there: Optional[Mapping[str, str]] = None
    merged: bool = False
    follows: bool = False
    reopened: FrozenSet[str] = frozenset()
    resolved: FrozenSet[str] = frozenset()
    later: Optional[str] = None
    service: Optional[str] = None
    is_mapped: bool = True
    is_default: bool = False


class Policy(NamedTuple):
    """The settings that a decision depends on. ``pages``: whether the record's priority reaches the
    threshold; ``force``: a person asks for a page whatever the threshold and PagerDuty say;
    ``directions``: of the fields without rules of their own.
    """

    bidirectional_sync: bool = True
    auto_acknowledge: bool = True
    pages: bool = True
    force: bool = False
    directions: Mapping[str, str] = {}


class Decision(NamedTuple):
    """What to write, and why.

    ``pagerduty`` and ``stackflow`` name the writes in their order, that of a record's state by the
    state; ``values`` are those of SET_VALUES, as (side, field) to value. ``kept``: (side, field)
    whose change could not be carried over, so that it must not count as seen. ``in_sync``: both
    sides were looked at and match. ``unroutable``: the record is with a group that no entry pages,
    and the team before keeps the incident.
    """

    reason: str
    pagerduty: Tuple[str, ...] = ()
    stackflow: Tuple[str, ...] = ()
    values: Mapping[Tuple[str, str], str] = {}
    kept: FrozenSet[Tuple[str, str]] = frozenset()
    in_sync: bool = False
    unroutable: bool = False

    @property
    def writes(self) -> Tuple[str, ...]:
        """All writes."""
        return self.pagerduty + self.stackflow

    @property
    def opens(self) -> bool:
        """Whether it opens an incident or a record."""
        return TRIGGER in self.pagerduty or CREATE in self.stackflow


def decide(seen: Seen, now: Now, policy: Policy) -> Decision:
    """Return the one decision; nothing is written where both sides match."""
    if now.merged:
        return Decision("merged in PagerDuty into an incident that it does not show",
                        kept=frozenset((STACKFLOW, name) for name in now.here or ()))
    if now.here is None:
        return _without_record(seen, now, policy)
    here_is_done = now.here.get("state") in DONE_STATES
    if now.there is None:
        return _without_incident(seen, now, policy, here_is_done)
    there_is_done = now.there["state"] == RESOLVED
    if not here_is_done and not there_is_done:
        return _both_open(seen, now, policy)
    if policy.force and not here_is_done:
        return _trigger(seen, now, policy, "resolved in PagerDuty, and asked for again")
    if here_is_done and there_is_done:
        decision = Decision("resolved on both sides", in_sync=True)
    elif here_is_done:
        decision = _resolved_here(seen, now, policy)
    else:
        decision = _resolved_there(seen, now, policy)
    if MOVE in decision.pagerduty or REGROUP in decision.stackflow:
        return decision
    return decision._replace(kept=decision.kept | _place_to_carry(seen, now, policy))


def _place_to_carry(seen: Seen, now: Now, policy: Policy) -> FrozenSet[Tuple[str, str]]:
    """The side whose new place is carried over later: once the pair is open again, or may be
    written.
    """
    place = _place(seen, now, policy)
    side = STACKFLOW if MOVE in place.pagerduty else PAGERDUTY if REGROUP in place.stackflow else ""
    return place.kept | ({(side, "place")} if side else frozenset())


def _without_record(seen: Seen, now: Now, policy: Policy) -> Decision:
    if seen.here:
        return Decision("the record was deleted in StackFlow")
    if now.there is None or now.there["state"] == RESOLVED:
        return Decision("nothing is open in PagerDuty")
    if not policy.bidirectional_sync:
        return Decision("bidirectional_sync is off")
    if now.there["state"] == ACKNOWLEDGED:
        return Decision("open and acknowledged in PagerDuty, without a record",
                        stackflow=(CREATE, IN_PROGRESS))
    return Decision("open in PagerDuty, without a record", stackflow=(CREATE,))


def _without_incident(seen: Seen, now: Now, policy: Policy, here_is_done: bool) -> Decision:
    if here_is_done:
        return Decision("resolved in StackFlow before PagerDuty had an incident")
    if not (policy.pages or policy.force or seen.there):
        return Decision("under the priority threshold")
    return _trigger(seen, now, policy, "open in StackFlow, without a PagerDuty incident")


def _trigger(seen: Seen, now: Now, policy: Policy, reason: str) -> Decision:
    if _takes(seen, now, policy):
        return Decision(reason + ", assigned to a person", pagerduty=(TRIGGER, ACKNOWLEDGE))
    return Decision(reason, pagerduty=(TRIGGER,))


def _resolved_here(seen: Seen, now: Now, policy: Policy) -> Decision:
    assert now.here is not None and now.there is not None
    reopened = PAGERDUTY in now.reopened and (
        STACKFLOW not in now.resolved or now.later == PAGERDUTY)
    if now.follows and not (reopened and now.here["state"] not in FINAL_STATES):
        return Decision("resolved in StackFlow; its PagerDuty incident belongs to another record",
                        in_sync=True)
    if not reopened:
        return Decision("resolved in StackFlow", pagerduty=(RESOLVE,))
    if not policy.bidirectional_sync:
        return Decision("reopened in PagerDuty, but bidirectional_sync is off",
                        kept=frozenset([(PAGERDUTY, "state")]))
    if now.here["state"] in FINAL_STATES:
        state = (IN_PROGRESS,) if now.there["state"] == ACKNOWLEDGED else ()
        return Decision("reopened in PagerDuty; the old record is final",
                        stackflow=(REPLACE,) + state)
    place = _place(seen, now, policy)
    return Decision("reopened in PagerDuty", pagerduty=place.pagerduty,
                    stackflow=place.stackflow + (IN_PROGRESS,), kept=place.kept,
                    unroutable=place.unroutable)


def _resolved_there(seen: Seen, now: Now, policy: Policy) -> Decision:
    reopened = STACKFLOW in now.reopened and (
        PAGERDUTY not in now.resolved or now.later == STACKFLOW)
    if reopened:
        return _trigger(seen, now, policy, "reopened in StackFlow")
    if not policy.bidirectional_sync:
        return Decision("resolved in PagerDuty, but bidirectional_sync is off",
                        kept=frozenset([(PAGERDUTY, "state")]))
    return Decision("resolved in PagerDuty", stackflow=(RESOLVED,))


def _both_open(seen: Seen, now: Now, policy: Policy) -> Decision:
    """Place first: a new team has to be paged, so its incident is not acknowledged at once."""
    assert now.here is not None and now.there is not None
    place = _place(seen, now, policy)
    if place.pagerduty:
        return place
    state: Tuple[str, ...] = ()
    kept = place.kept
    if _is_taken_there(seen, now, policy):
        if policy.bidirectional_sync:
            state = (IN_PROGRESS,)
        else:
            kept = kept | {(PAGERDUTY, "state")}
    if place.stackflow:
        return place._replace(stackflow=place.stackflow + state, kept=kept)
    if state:
        return Decision("acknowledged in PagerDuty", stackflow=state, unroutable=place.unroutable)
    if now.there["state"] == TRIGGERED and _takes(seen, now, policy):
        return Decision("assigned to a person in StackFlow", pagerduty=(ACKNOWLEDGE,),
                        unroutable=place.unroutable)
    if place.unroutable:
        return place._replace(kept=kept)
    values = _values(seen, now, policy)
    if values or kept:
        sides = {side for side, _ in values}
        return Decision("changed: " + ", ".join(sorted({name for _, name in values})) if values else
                        "changed in PagerDuty, but bidirectional_sync is off",
                        (SET_VALUES,) if PAGERDUTY in sides else (),
                        (SET_VALUES,) if STACKFLOW in sides else (), values, kept)
    return Decision(IN_SYNC, in_sync=True)


def _takes(seen: Seen, now: Now, policy: Policy) -> bool:
    """Whether a person was assigned that the last look did not show, within the same team."""
    assert now.here is not None
    person = now.here.get("acknowledgement", NOBODY)
    new = not seen.there or "acknowledgement" not in seen.here or (
        differs("acknowledgement", seen.here, now.here))
    handed_over = differs("place", seen.here, now.here) and (
        now.there is None or now.there["state"] == RESOLVED or
        now.service != now.there.get("place"))
    return policy.auto_acknowledge and person != NOBODY and new and not handed_over


def _is_taken_there(seen: Seen, now: Now, policy: Policy) -> bool:
    """Whether people acknowledged in PagerDuty since the last look, while nobody has the record."""
    assert now.here is not None and now.there is not None
    person = now.here.get("acknowledgement", NOBODY) if policy.auto_acknowledge else NOBODY
    return (now.there["state"] == ACKNOWLEDGED and seen.there.get("state") != ACKNOWLEDGED and
            seen.expected.get((PAGERDUTY, "state")) != ACKNOWLEDGED and
            now.here.get("state") == "new" and person == NOBODY)


def _place(seen: Seen, now: Now, policy: Policy) -> Decision:
    """Whether one side handed the incident to another team since the last look."""
    assert now.here is not None and now.there is not None
    there = now.there.get("place")
    moving = seen.expected.get((PAGERDUTY, "place"))
    if now.follows or there is None or (there == now.service and moving is None):
        return Decision(IN_SYNC, in_sync=True)
    moved = differs("place", seen.there, now.there) and there != moving and now.is_mapped
    if moving is not None:
        regrouped = there in (seen.there.get("place"), moving)  # else people moved it since
    else:
        regrouped = differs("place", seen.here, now.here)
    if moved and not policy.bidirectional_sync:
        moved, kept = False, frozenset([(PAGERDUTY, "place")])
    else:
        kept = frozenset()
    if moved:
        return Decision("moved to another service in PagerDuty", stackflow=(REGROUP,))
    if now.service is None:
        return Decision("with a group that has no entry, in StackFlow" if not now.is_default else
                        IN_SYNC, kept=kept, unroutable=not now.is_default)
    if regrouped:
        return Decision("handed to another group in StackFlow", pagerduty=(MOVE,), kept=kept)
    return Decision(IN_SYNC, kept=kept, in_sync=not kept)


def _values(seen: Seen, now: Now, policy: Policy) -> Dict[Tuple[str, str], str]:
    """The values to write of the fields without rules of their own."""
    assert now.here is not None and now.there is not None
    found = {}
    for field in VALUES:
        name, direction = field.name, policy.directions.get(field.name, "")
        if name not in now.here or name not in now.there or field.same(now.here[name],
                                                                      now.there[name]):
            continue
        changed = {STACKFLOW: direction in (TO_PAGERDUTY, BOTH) and
                   differs(name, seen.here, now.here),
                   PAGERDUTY: direction in (TO_STACKFLOW, BOTH) and
                   differs(name, seen.there, now.there)}
        sources = [side for side, is_new in changed.items() if is_new]
        if sources:
            source = field.winner if len(sources) > 1 else sources[0]
            if source == STACKFLOW:
                found[PAGERDUTY, name] = now.here[name]
            else:
                found[STACKFLOW, name] = now.there[name]
    return found
