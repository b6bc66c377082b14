"""The walk over every situation that a decision can meet, and what must hold in each.

No second copy of the decision says what is right: each check is a sentence of the contract about
where a pair ends, or about what may never be written. Kept apart from its test, so that the same
walk can be set on deliberately broken copies of `decide`.
"""

from __future__ import annotations

import itertools
import random
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from pagerduty_stackflow.fields import Field

STATES = ("new", "in_progress", "on_hold", "pending_customer", "pending_vendor", "resolved",
          "closed", "cancelled")
DONE = ("resolved", "closed", "cancelled")
FINAL = ("closed", "cancelled")
KINDS = ("new", "in_progress", "resolved", "closed")
"""A state of each kind."""
SERVICES = {"A group": "A", "B group": "B", "C group": "C", "nobody's": None}
STACKFLOW, PAGERDUTY = "stackflow", "pagerduty"
ROUNDS = 2
PLACES = {"same": ("A group", "A"), "regrouped": ("B group", "A"), "moved": ("A group", "B"),
          "both": ("B group", "C"), "unroutable": ("nobody's", "A"), "away": ("A group", "X"),
          "away and regrouped": ("B group", "X"), "unroutable, moved": ("nobody's", "B"),
          "default": ("nobody's", "D"), "unknown": ("B group", None),
          "both the same": ("B group", "B")}
"""Group and service now. Both sides were with A at the last look, but that the incident was on D,
which pages for groups without an entry, or on no known service. Nobody mapped service X.
"""
GROUPS = {service: group for group, service in SERVICES.items()}
WINNERS = {"title": STACKFLOW, "priority": PAGERDUTY}
FIELDS = tuple(Field(name, lambda record: None, lambda incident: None, winner=winner)
               for name, winner in WINNERS.items())
"""Two fields that both sides hold as plain values, which the walk plants into the table."""


class Start(NamedTuple):
    """One situation, in words; ``reopened`` names the side that people reopened, ``other``: whether
    the other side was resolved since as well, "earlier" or "later" than that. ``changed``: the
    sides that show new values of both planted fields, and ``direction`` that of these.
    """

    seen_here: Optional[str]
    seen_there: Optional[str]
    expected: Optional[str]
    here: Optional[str]
    person: str
    there: Optional[str]
    follows: bool
    reopened: Optional[str]
    other: Optional[str]
    place: str
    bidirectional: bool
    auto_acknowledge: bool
    pages: bool
    force: bool = False
    changed: Tuple[str, ...] = ()
    direction: str = "none"


def starts() -> Iterator[Start]:
    """Every situation that can be. All states of a record beside an unchanged place; beside a
    changed one, and for followers, one state of each kind.
    """
    for start in _starts():
        yield start
        if start.there in (None, "resolved") and start.here == "new" and not start.follows:
            yield start._replace(force=True)
        if _holds_values(start):
            for changed in ((STACKFLOW,), (PAGERDUTY,), (STACKFLOW, PAGERDUTY)):
                for direction in ("none", "to_pagerduty", "to_stackflow", "both"):
                    yield start._replace(changed=changed, direction=direction)
            yield start._replace(changed=(STACKFLOW, PAGERDUTY, "alike"), direction="both")
            yield start._replace(changed=(STACKFLOW, "unseen"), direction="both")


def _holds_values(start: Start) -> bool:
    """Situations enough to meet each write of a state and a place beside a changed value."""
    return bool(start.seen_here == "new" and start.seen_there == "triggered" and start.there and
                start.here in ("new", "resolved") and start.person == "nobody" and
                start.auto_acknowledge and start.bidirectional and not start.follows and
                start.there != "merged" and start.expected is None)


def mixed(all_starts: Iterable[Start]) -> List[Start]:
    """The same in an order in which every kind comes early: then few tell that a rule is broken."""
    kinds: Dict[Any, List[Start]] = {}
    for start in all_starts:
        kind = start._replace(seen_there=None, expected=None, person="", auto_acknowledge=True)
        kinds.setdefault(kind, []).append(start)
    order = random.Random(1)
    for members in kinds.values():
        order.shuffle(members)
    rows = list(kinds.values())
    order.shuffle(rows)
    return [start for row in itertools.zip_longest(*rows) for start in row if start]


def _starts() -> Iterator[Start]:
    switches = (True, False)
    changes = ((None, None), (STACKFLOW, None), (STACKFLOW, "earlier"), (STACKFLOW, "later"),
               (PAGERDUTY, None), (PAGERDUTY, "earlier"), (PAGERDUTY, "later"))
    for place, follows in itertools.product(PLACES, switches):
        kinds = STATES if place == "same" and not follows else KINDS
        for there, here in itertools.product(
                (None, "triggered", "acknowledged", "resolved", "merged"), (None,) + kinds):
            for change in changes:
                if _may_change(here, there, change[0]):
                    for values in itertools.product(
                            (None, "new", "resolved"),
                            (None, "triggered", "acknowledged", "resolved"),
                            (None, "acknowledged", "resolved", "move"),
                            ("nobody", "seen", "another"), switches, switches, switches):
                        start = Start(*values[:3], here, values[3], there, follows, *change, place,
                                      *values[4:])
                        if _can_be(start):
                            yield start


def _may_change(here: Optional[str], there: Optional[str], reopened: Optional[str]) -> bool:
    """Whether that side may have been reopened: it is open now, beside a resolved other one."""
    if reopened == STACKFLOW:
        return here not in (None,) + DONE and there == "resolved"
    return reopened is None or here in DONE and there in ("triggered", "acknowledged")


def _can_be(start: Start) -> bool:
    here_done, there_done = start.here in DONE, start.there in ("resolved", "merged", None)
    if start.there in ("merged", None) and (
            start.follows or start.reopened or start.expected or start.place != "same" and not (
                start.there is None and start.seen_here and start.place == "regrouped")):
        return False
    if start.expected and start.seen_there is None or start.expected == "move" and (
            start.place not in ("same", "regrouped", "moved", "both", "away and regrouped",
                                "both the same")):
        return False
    if start.there is None and start.seen_there is not None:
        return False  # it counts as it was seen
    if start.place != "same" and start.there and not (start.seen_here and start.seen_there):
        return False
    if here_done and start.person != "nobody":
        return False
    if start.there is not None and not start.pages or (start.here is None and (
            start.seen_there or start.person != "nobody" or start.place != "same")):
        return False
    if start.seen_here == "resolved" and start.here not in (None,) + DONE and there_done:
        return start.reopened == STACKFLOW or start.there in (None, "merged")
    if start.seen_there == "resolved" and here_done and not there_done:
        return start.reopened == PAGERDUTY
    return True


def given(decide: Any, start: Start) -> Tuple[Any, Any, Any]:
    """What the decision is told of a situation: seen, now and policy."""
    group, service = PLACES[start.place]
    people = {"nobody": "", "seen": "jane", "another": "robin"}
    seen_here = {"state": start.seen_here, "place": "A group", "acknowledgement": "jane"} if (
        start.seen_here) else {}
    before = service if start.place in ("default", "unknown") else "A"
    seen_there = {"state": start.seen_there, "place": before} if start.seen_there else {}
    expected = {None: {}, "move": {(PAGERDUTY, "place"): "B"}}.get(
        start.expected, {(PAGERDUTY, "state"): start.expected})
    here = there = None
    if start.here:
        here = {"state": start.here, "place": group, "acknowledgement": people[start.person]}
    if start.there not in (None, "merged"):
        there = {"state": start.there, "place": service}
    for side in (seen_there, there or {}):
        if service is None:
            side.pop("place", None)
    for name in WINNERS if start.changed else ():
        for side, seen, shown in ((STACKFLOW, seen_here, here), (PAGERDUTY, seen_there, there)):
            seen[name] = "old"
            shown[name] = "new" + (" of " + side) * ("alike" not in start.changed) if (
                side in start.changed) else "old"
    for name in WINNERS if "unseen" in start.changed else ():
        for side in (seen_there, there or {}):
            side.pop(name, None)
    reopened = start.reopened if start.other != "later" else None
    now = decide.Now(here, there, start.there == "merged", start.follows, reopened,
                     SERVICES[group], service != "X", service == "D")
    return decide.Seen(seen_here, seen_there, expected), now, decide.Policy(
        start.bidirectional, start.auto_acknowledge, start.pages, start.force,
        {name: start.direction for name in WINNERS})


def carry_out(decide: Any, seen: Any, now: Any, decision: Any) -> Tuple[Any, Any]:
    """Both sides, and what is seen of them, once a decision is written and remembered."""
    here, there = dict(now.here or {}), dict(now.there or {})
    for (side, name), value in decision.values.items():
        (here if side == STACKFLOW else there)[name] = value
    for write in decision.pagerduty:
        if write == "set_values":
            continue
        there["state"] = {"trigger": "triggered", "acknowledge": "acknowledged",
                          "resolve": "resolved", "move": "triggered"}[write]
        if write in ("trigger", "move"):
            there["place"] = now.service or "D"
        if write == "trigger":
            there.update((name, here[name]) for name in WINNERS if name in here)
    for write in decision.stackflow:
        if write in ("create", "replace"):
            here = dict(there, state="new", acknowledgement="",
                        place=GROUPS.get(there.get("place", ""), "A group"))
        elif write == "regroup":
            here["place"] = GROUPS[there["place"]]
        elif write != "set_values":
            here["state"] = write
    new_here = {name: value for name, value in here.items()
                if (STACKFLOW, name) not in decision.kept}
    new_there = {name: value for name, value in there.items()
                 if (PAGERDUTY, name) not in decision.kept}
    triggered = "trigger" in decision.pagerduty
    moved_on = now._replace(
        here=here or None, there=there or None, reopened=None,
        service=SERVICES[here["place"]] if here else None,
        follows=now.follows and not triggered, is_mapped=there.get("place") != "X",
        is_default=there.get("place") == "D")
    if (PAGERDUTY, "state") in decision.kept:  # it stays as new as it was
        moved_on = moved_on._replace(reopened=now.reopened)
    base = {} if triggered else seen.there
    return decide.Seen(dict(seen.here, **new_here), dict(base, **new_there)), moved_on


def end_of(decide: Any, seen: Any, now: Any, policy: Any) -> Tuple[Any, Any, Any]:
    """Where a pair ends: in at most ROUNDS rounds nothing more is written, and never again."""
    for _ in range(ROUNDS):
        decision = decide.decide(seen, now, policy)
        seen, now = carry_out(decide, seen, now, decision)
    last = decide.decide(seen, now, policy)
    assert not last.writes, ("no rest", last)
    again = decide.decide(*carry_out(decide, seen, now, last), policy)
    assert not again.writes and again.in_sync == last.in_sync, ("oscillates", last, again)
    return seen, now, last


def check(decide: Any, start: Start) -> None:
    """Everything that must hold for one start; raises AssertionError with the situation."""
    seen, now, policy = given(decide, start)
    first = decide.decide(seen, now, policy)
    try:
        _nobody_is_harmed(start, first)
        _reason_says_why(start, first)
        end_seen, end, last = end_of(decide, seen, now, policy)
        if now.merged:
            assert not first.writes and not first.in_sync
            assert carry_out(decide, seen, now, first)[0].here == seen.here
            return
        _ends_where_people_left_it(start, first, end, last)
        if start.here:
            _acknowledgement_is_right(start, first)
        if start.here and start.there:
            _place_is_right(start, first, end, last)
            _both_open_is_right(start, first)
            _later_is_no_worse(decide, start, seen, now, first)
        if start.changed:
            _values_are_right(decide, start, first, (end_seen, end, policy))
    except AssertionError as wrong:
        raise AssertionError("%s\n%r\n%r" % (wrong, start, first)) from None


def _nobody_is_harmed(start: Start, first: Any) -> None:
    """What a single decision may never do."""
    writes = first.writes
    if not start.bidirectional:
        assert not first.stackflow
    if start.here in FINAL:
        assert not {"in_progress", "resolved", "regroup"} & set(writes) or (
            "replace" in writes)
    if start.here not in FINAL:
        assert "replace" not in writes
    if "acknowledge" in writes:
        assert start.person == "another" or start.person != "nobody" and not (
            start.seen_here and start.seen_there)
        assert start.auto_acknowledge and "move" not in writes
    if "trigger" in writes:
        assert start.there in (None, "resolved") and start.here not in (None,) + DONE
    if "resolve" in writes:
        assert start.here in DONE and not start.follows
    if "create" in writes:
        assert start.here is None and start.there in ("triggered", "acknowledged")
    if start.here in ("on_hold", "pending_customer", "pending_vendor", "in_progress"):
        assert "in_progress" not in writes
    if start.here in DONE or start.there in (None, "resolved", "merged"):
        assert "set_values" not in writes
    assert first.opens == bool({"trigger", "create"} & set(writes))
    assert not first.in_sync or not writes and start.there not in ("merged", None)


def _reason_says_why(start: Start, first: Any) -> None:
    """The reason names the side whose change is carried over, and what holds one back."""
    writes, reason = set(first.writes), first.reason
    assert reason
    if "set_values" in writes:
        assert reason == "changed: priority, title"
        assert {PAGERDUTY: "set_values" in first.pagerduty,
                STACKFLOW: "set_values" in first.stackflow} == {
                    side: any(side == to for to, _ in first.values)
                    for side in (PAGERDUTY, STACKFLOW)}
    elif first.stackflow and not first.pagerduty:
        assert "PagerDuty" in reason and "StackFlow" not in reason
    elif first.pagerduty and not first.stackflow:
        assert "StackFlow" in reason or start.force
    for write, word in (("resolve", "resolved"), ("resolved", "resolved"), ("move", "handed"),
                        ("regroup", "moved"), ("acknowledge", "person"),
                        ("in_progress", "acknowledged")):
        if {write} == writes and start.here not in DONE + (None,) or write == "resolve" in writes:
            assert word in reason
    opens = start.reopened and start.other != "later"
    if writes & {"trigger", "in_progress", "replace"} and opens:
        assert "reopened in" in reason and ("old record" in reason) == ("replace" in writes)
    elif start.force and start.there == "resolved":
        assert "asked for" in reason
    if {"trigger", "acknowledge"} <= writes:
        assert "assigned to a person" in reason
    if start.here and start.there and not writes:
        both_open = start.here not in DONE and start.there not in ("resolved", "merged")
        assert not both_open or (reason == "in sync") == first.in_sync
        held = not first.in_sync and start.there != "merged" and not first.unroutable
        assert held == ("in PagerDuty, but bidirectional_sync is off" in reason)
        assert not first.unroutable or "no entry" in reason


def _ends_where_people_left_it(start: Start, first: Any, end: Any, last: Any) -> None:
    """Resolved or open, as the later word of people says; open on one side only where a setting, or
    another record's incident, says so.
    """
    if start.here is None:
        wants = start.there in ("triggered", "acknowledged") and start.bidirectional and (
            not start.seen_here)
        assert ("create" in first.stackflow) == wants
        assert ("in_progress" in first.stackflow) == (wants and start.there == "acknowledged")
        return
    here_done, there_done = start.here in DONE, start.there == "resolved"
    if start.there is None:
        assert ("trigger" in first.pagerduty) == (not here_done and (start.pages or start.force))
        return
    opens = bool(start.reopened and start.other != "later" or start.force)
    if here_done == there_done:
        assert end.here["state"] == start.here or "in_progress" in first.stackflow
        assert first.in_sync or not here_done
        assert (end.there["state"] == "resolved") == there_done
    elif start.follows and here_done and not (opens and start.here == "resolved"):
        assert not first.writes and first.in_sync
    elif not start.bidirectional and (there_done != opens):
        assert not first.writes and not first.in_sync
    else:
        assert (end.here["state"] not in DONE, end.there["state"] != "resolved") == (opens, opens)
        assert last.in_sync or last.unroutable
        assert ("replace" in first.stackflow) == (opens and start.here in FINAL)
        if "replace" in first.stackflow:
            assert ("in_progress" in first.stackflow) == (start.there == "acknowledged")


def _place_is_right(start: Start, first: Any, end: Any, last: Any) -> None:
    """Group and service stand for each other where both are mapped: as the side says that changed,
    PagerDuty where both did; a move that nobody has seen yet is done to its end. A follower stays
    where it is.
    """
    if start.follows or start.place == "unknown":
        assert not {"move", "regroup"} & set(first.writes) and not first.unroutable
        return
    both_open = start.here not in DONE and start.there != "resolved"
    reopened = "in_progress" in first.stackflow and start.reopened == PAGERDUTY and (
        "replace" not in first.stackflow)
    moved, regrouped = _changed_place(start)
    if not (both_open or reopened):
        assert not {"move", "regroup"} & set(first.writes) and not first.unroutable
        return
    nowhere = start.place.startswith("unroutable") and not (moved and start.bidirectional)
    assert first.unroutable == nowhere
    if not (start.seen_here and start.seen_there):
        return
    assert ("regroup" in first.stackflow) == moved
    assert ("move" in first.pagerduty) == regrouped
    if both_open and (moved or regrouped):
        assert end.service == end.there["place"] and last.in_sync
        assert "acknowledge" not in first.writes


def _changed_place(start: Start) -> Tuple[bool, bool]:
    """Whether the place of PagerDuty counts, and whether that of StackFlow does."""
    service = PLACES[start.place][1]
    moving = start.expected == "move"
    moved = start.bidirectional and start.place in ("moved", "both", "unroutable, moved") and (
        not moving or service != "B")
    if moving:
        return moved, service in ("A", "B")
    return moved, start.place in ("regrouped", "both", "away and regrouped") and not moved


def _is_new(start: Start) -> bool:
    """Whether a person was assigned since the last look."""
    return start.person == "another" or start.person == "seen" and not (
        start.seen_here and start.seen_there)


def _acknowledgement_is_right(start: Start, first: Any) -> None:
    """Once for a new assignee, unless the incident was handed to another team at that."""
    if start.here in DONE or start.there == "acknowledged" or (
            start.there == "resolved" and "trigger" not in first.pagerduty) or (
            "trigger" not in first.pagerduty and start.there is None):
        assert "acknowledge" not in first.writes
        return
    group, service = PLACES[start.place]
    handed_over = start.seen_here and group != "A group" and (
        start.there is None or SERVICES[group] != service)
    wanted = _is_new(start) and start.auto_acknowledge and not handed_over and not (
        {"move", "regroup"} & set(first.writes))
    assert ("acknowledge" in first.pagerduty) == wanted


def _both_open_is_right(start: Start, first: Any) -> None:
    """An acknowledgement from PagerDuty counts where nobody has the record; and in sync is what
    nothing is left to do for.
    """
    if start.here in DONE or start.there == "resolved":
        return
    nobody = start.person == "nobody" or not start.auto_acknowledge
    taken = (start.there == "acknowledged" and start.seen_there != "acknowledged" and
             start.expected != "acknowledged" and start.here == "new" and nobody)
    assert ("in_progress" in first.stackflow) == (
        taken and start.bidirectional and "move" not in first.writes)
    held = not start.bidirectional and (taken or _changed_place(
        start._replace(bidirectional=True))[0] and not start.follows and bool(start.seen_there))
    assert first.in_sync == (not held and not first.writes and not first.unroutable)


def _later_is_no_worse(decide: Any, start: Start, seen: Any, now: Any, first: Any) -> None:
    """A change that a setting held back is carried over once the setting is on again; and a place
    that was changed while the pair was resolved, once it is open again.
    """
    if not (start.seen_here and start.seen_there) or start.expected:
        return
    on = decide.Policy(True, start.auto_acknowledge, start.pages, start.force, dict.fromkeys(
        WINNERS, start.direction))
    moved, regrouped = _changed_place(start._replace(bidirectional=True))
    if not start.bidirectional and set(first.writes) <= {"acknowledge"}:
        late = decide.decide(*carry_out(decide, seen, now, first), on)
        wanted = set(decide.decide(seen, now, on).writes) - set(first.writes)
        assert set(late.writes) - {"in_progress"} == wanted - {"in_progress"}
        assert first.writes or set(late.writes) == wanted
    if not start.bidirectional and "move" in first.writes:
        then_seen, then = carry_out(decide, seen, now, first)
        back = then._replace(here=dict(then.here, place="A group"), service="A")
        assert decide.decide(then_seen, back, on).pagerduty == ("move",)
    then_seen, then = carry_out(decide, seen, now, first)
    if (then.here["state"], then.there["state"]) == ("resolved", "resolved") and not start.follows:
        again = then._replace(there=dict(then.there, state="triggered"),
                              reopened=PAGERDUTY)
        late = decide.decide(then_seen, again, on)
        assert ("regroup" in late.writes) == moved
        assert ("move" in late.writes) == regrouped


def _values_are_right(decide: Any, start: Start, first: Any, end: Tuple[Any, Any, Any]) -> None:
    """Both sides end with the value of the side that changed, and of the winner where both did; a
    pair that is resolved gets it once it is open again.
    """
    if {"trigger", "replace"} & set(first.writes):
        return
    seen, now, policy = end
    if "resolved" in (now.here["state"], now.there["state"]):
        again = now._replace(there=dict(now.there, state="triggered"),
                             reopened=PAGERDUTY)
        seen, now, _ = end_of(decide, seen, again, policy)
    allowed = {"both": {STACKFLOW, PAGERDUTY}, "to_pagerduty": {STACKFLOW},
               "to_stackflow": {PAGERDUTY}, "none": set()}[start.direction]
    sources = allowed & set(start.changed)
    if "alike" in start.changed:
        assert "set_values" not in first.writes
        return
    for name, winner in WINNERS.items():
        value = "new of " + (winner if len(sources) > 1 else min(sources, default=""))
        if sources:
            assert now.here[name] == now.there[name] == value
        else:
            assert now.here[name].endswith(STACKFLOW) == (STACKFLOW in start.changed)
            assert now.there[name].endswith(PAGERDUTY) == (PAGERDUTY in start.changed)
    if PAGERDUTY in allowed:  # later it is changed there alone
        newer = now._replace(there=dict(now.there, title="newer"))
        assert decide.decide(seen, newer, policy).values == {(STACKFLOW, "title"): "newer"}


def walk(decide: Any, situations: Iterable[Start]) -> int:
    """Check each of these situations; returns how many they are."""
    count = 0
    for start in situations:
        check(decide, start)
        count += 1
    return count
