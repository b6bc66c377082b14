"""The one decision: what follows from what both sides showed last and what they show now.

Pure: no input, no output, no clock. Every way in ends here, so an event is only a hint that
something changed, and a late, doubled or lost one cannot do harm.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, Mapping, NamedTuple, Optional, Tuple

from .fields import (BOTH, NOBODY, PAGERDUTY, STACKFLOW, TO_PAGERDUTY, TO_STACKFLOW, VALUES,
                     differs, same_name)

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
_OTHER = {STACKFLOW: PAGERDUTY, PAGERDUTY: STACKFLOW}


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
    ``follows``: the record stands on an incident that belongs to another record. ``reopened``:
    the side that people opened again since the last look, and later than they resolved the other.
    ``service``: the service that the record's group is mapped to. ``is_mapped``: whether
    PagerDuty's service has an entry; ``is_default``: whether it is the one that pages for groups
    without an entry.
    """

    here: Optional[Mapping[str, str]] = None
    there: Optional[Mapping[str, str]] = None
    merged: bool = False
    follows: bool = False
    reopened: Optional[str] = None
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
    state; ``values`` are those of SET_VALUES, as (side, field) to value. ``kept``: (side, field) of
    a change that is not carried over now, so that it must not count as seen. ``in_sync``: both
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
        return bool({TRIGGER, CREATE}.intersection(self.writes))


def decide(seen: Seen, now: Now, policy: Policy) -> Decision:
    """Return the one decision; nothing is written where both sides match."""
    if now.merged:
        return Decision("merged in PagerDuty into an incident that it does not show",
                        kept=frozenset((STACKFLOW, name) for name in now.here or ()))
    if now.here is None:
        return _without_record(seen, now, policy)
    here_is_done = now.here.get("state") in DONE_STATES
    if now.there is None:
        if here_is_done:
            return Decision("resolved in StackFlow before PagerDuty had an incident")
        if not (policy.pages or policy.force):
            return Decision("under the priority threshold")
        return _trigger(seen, now, policy, "open in StackFlow, without a PagerDuty incident")
    place, values = _place(seen, now, policy), _values(seen, now, policy)
    there_is_done = now.there["state"] == RESOLVED
    if here_is_done and there_is_done:
        decision = Decision("resolved on both sides")
    elif here_is_done or there_is_done:
        decision = _one_side_done(seen, now, policy, place)
    else:
        decision = _both_open(seen, now, policy, place)
        if values and not decision.writes:
            sides = {side for side, _ in values}
            decision = decision._replace(
                reason="changed: " + ", ".join(sorted({name for _, name in values})),
                pagerduty=(SET_VALUES,) if PAGERDUTY in sides else (),
                stackflow=(SET_VALUES,) if STACKFLOW in sides else (), values=values)
    in_sync = not (decision.writes or decision.kept or decision.unroutable)
    kept = decision.kept | place.kept
    if place.writes and set(decision.writes).issuperset(place.writes):
        kept -= place.kept
    if not decision.values:
        kept |= {(_OTHER[side], name) for side, name in values}
    return decision._replace(kept=kept, in_sync=in_sync)


def _without_record(seen: Seen, now: Now, policy: Policy) -> Decision:
    if seen.here:
        return Decision("the record was deleted in StackFlow")
    if now.there is None or now.there["state"] == RESOLVED:
        return Decision("nothing is open in PagerDuty")
    if not policy.bidirectional_sync:
        return Decision("bidirectional_sync is off")
    return Decision("open in PagerDuty, without a record",
                    stackflow=(CREATE,) + _worked_on(now.there))


def _worked_on(there: Mapping[str, str]) -> Tuple[str, ...]:
    """The state of a new record; none to write as long as nobody acknowledged in PagerDuty."""
    return (IN_PROGRESS,) if there["state"] == ACKNOWLEDGED else ()


def _trigger(seen: Seen, now: Now, policy: Policy, reason: str) -> Decision:
    if _takes(seen, now, policy):
        return Decision(reason + ", assigned to a person", pagerduty=(TRIGGER, ACKNOWLEDGE))
    return Decision(reason, pagerduty=(TRIGGER,))


def _one_side_done(seen: Seen, now: Now, policy: Policy, place: Decision) -> Decision:
    """One side is resolved: the later word counts, a reopening only where people said it."""
    assert now.here is not None and now.there is not None
    is_final = now.here.get("state") in FINAL_STATES
    done = PAGERDUTY if now.there["state"] == RESOLVED else STACKFLOW
    reopened = now.reopened is not None
    if done == STACKFLOW and now.follows and (is_final or not reopened):
        return Decision("resolved in StackFlow; its PagerDuty incident belongs to another record")
    if done == STACKFLOW and not reopened:
        return Decision("resolved in StackFlow", pagerduty=(RESOLVE,))
    if done == PAGERDUTY and (reopened or policy.force):
        return _trigger(seen, now, policy, "reopened in StackFlow" if reopened else
                        "resolved in PagerDuty, and asked for again")
    reason = "reopened in PagerDuty" if reopened else "resolved in PagerDuty"
    if not policy.bidirectional_sync:
        return Decision(reason + ", but bidirectional_sync is off",
                        kept=frozenset([(PAGERDUTY, "state")]))
    if not reopened:
        return Decision(reason, stackflow=(RESOLVED,))
    if is_final:
        return Decision(reason + "; the old record is final",
                        stackflow=(REPLACE,) + _worked_on(now.there))
    return Decision(reason, place.pagerduty, place.stackflow + (IN_PROGRESS,),
                    unroutable=place.unroutable)


def _both_open(seen: Seen, now: Now, policy: Policy, place: Decision) -> Decision:
    """Place first: a new team has to be paged, so its incident is not acknowledged at once."""
    assert now.here is not None and now.there is not None
    if MOVE in place.pagerduty:
        return place
    taken = _is_taken_there(seen, now, policy)
    if taken and policy.bidirectional_sync:
        return place._replace(reason="acknowledged in PagerDuty",
                              stackflow=place.stackflow + (IN_PROGRESS,))
    if place.writes:
        return place
    if now.there["state"] == TRIGGERED and _takes(seen, now, policy):
        return place._replace(reason="assigned to a person in StackFlow", pagerduty=(ACKNOWLEDGE,))
    if (taken or place.kept) and not place.unroutable:
        place = place._replace(reason="changed in PagerDuty, but bidirectional_sync is off")
    return place._replace(kept=frozenset([(PAGERDUTY, "state")])) if taken else place


def _takes(seen: Seen, now: Now, policy: Policy) -> bool:
    """Whether a person was assigned that the last look did not show, within the same team."""
    assert now.here is not None
    person = now.here.get("acknowledgement", NOBODY)
    before = seen.here.get("acknowledgement", NOBODY) if seen.there else NOBODY
    handed_over = differs("place", seen.here, now.here) and (
        now.service != (now.there or {}).get("place"))
    return (policy.auto_acknowledge and person != NOBODY and not same_name(before, person) and
            not handed_over)


def _is_taken_there(seen: Seen, now: Now, policy: Policy) -> bool:
    """Whether people acknowledged in PagerDuty since the last look, while nobody has the record."""
    assert now.here is not None and now.there is not None
    person = now.here.get("acknowledgement", NOBODY) if policy.auto_acknowledge else NOBODY
    return (now.there["state"] == ACKNOWLEDGED and seen.there.get("state") != ACKNOWLEDGED and
            seen.expected.get((PAGERDUTY, "state")) != ACKNOWLEDGED and
            now.here.get("state") == "new" and person == NOBODY)


def _place(seen: Seen, now: Now, policy: Policy) -> Decision:
    """Whether one side handed the incident to another team since the last look; ``kept`` names that
    change.
    """
    assert now.here is not None and now.there is not None
    there, moving = now.there.get("place"), seen.expected.get((PAGERDUTY, "place"))
    if now.follows or there is None or there == now.service and moving is None:
        return Decision(IN_SYNC)
    moved = differs("place", seen.there, now.there) and there != moving and now.is_mapped
    kept = frozenset([(PAGERDUTY, "place")] if moved else [])
    if moved and policy.bidirectional_sync:
        return Decision("moved to another service in PagerDuty", stackflow=(REGROUP,), kept=kept)
    if now.service is None and not now.is_default:
        return Decision("with a group that has no entry, in StackFlow", kept=kept, unroutable=True)
    regrouped = differs("place", seen.here, now.here)
    if moving:  # else people moved it since
        regrouped = there in (seen.there.get("place"), moving)
    if regrouped and now.service is not None:
        return Decision("handed to another group in StackFlow", pagerduty=(MOVE,),
                        kept=kept | {(STACKFLOW, "place")})
    return Decision(IN_SYNC, kept=kept)


def _values(seen: Seen, now: Now, policy: Policy) -> Dict[Tuple[str, str], str]:
    """The values to write of the fields without rules of their own."""
    assert now.here is not None and now.there is not None
    found = {}
    for field in VALUES:
        name, direction = field.name, policy.directions.get(field.name)
        same = name in now.there and not differs(name, now.here, now.there)
        if not same:
            here = direction in (TO_PAGERDUTY, BOTH) and differs(name, seen.here, now.here)
            there = direction in (TO_STACKFLOW, BOTH) and differs(name, seen.there, now.there)
            if here and not (there and field.winner == PAGERDUTY):
                found[PAGERDUTY, name] = now.here[name]
            elif there:
                found[STACKFLOW, name] = now.there[name]
    return found
