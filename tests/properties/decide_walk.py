"""The walk over every situation that a decision can meet, and what must hold in each.

No second copy of the decision says what is right: each check is a sentence of the contract about
where a pair ends, or about what may never be written. Kept apart from its test, so that the same
walk can be set on deliberately broken copies of `decide`.
"""

from __future__ import annotations

import itertools
from typing import Any, Iterable, Iterator, NamedTuple, Optional, Tuple

STATES = ("new", "in_progress", "on_hold", "pending_customer", "pending_vendor", "resolved",
          "closed", "cancelled")
DONE = ("resolved", "closed", "cancelled")
FINAL = ("closed", "cancelled")
KINDS = ("new", "in_progress", "resolved", "closed")
"""A state of each kind."""
SERVICES = {"A group": "A", "B group": "B", "nobody's": None}
STACKFLOW, PAGERDUTY = "stackflow", "pagerduty"
ROUNDS = 2
PLACES = {"same": ("A group", "A"), "regrouped": ("B group", "A"), "moved": ("A group", "B"),
          "both": ("B group", "C"), "unroutable": ("nobody's", "A"), "away": ("A group", "X"),
          "away and regrouped": ("B group", "X")}
"""Group and service now; both sides were with A at the last look. Nobody mapped service X."""


class Start(NamedTuple):
    """One situation, in words; ``reopened`` names the side that people reopened, ``other``: whether
    the other side was resolved since as well, "earlier" or "later" than that.
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


def starts() -> Iterator[Start]:
    """Every situation that can be. All states of a record beside an unchanged place; beside a
    changed one, and for followers, one state of each kind.
    """
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
            start.follows or start.reopened or start.place != "same" or start.expected):
        return False
    if start.there is None and start.seen_there is not None:
        return False  # it counts as it was seen
    if start.place != "same" and not (start.seen_here and start.seen_there):
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
    return not (start.expected and start.seen_there is None or start.expected == "move" and (
        start.place not in ("same", "regrouped", "moved")))


def given(decide: Any, start: Start) -> Tuple[Any, Any, Any]:
    """What the decision is told of a situation: seen, now and policy."""
    group, service = PLACES[start.place]
    people = {"nobody": "", "seen": "jane", "another": "robin"}
    seen_here = {"state": start.seen_here, "place": "A group", "acknowledgement": "jane"} if (
        start.seen_here) else {}
    seen_there = {"state": start.seen_there, "place": "A"} if start.seen_there else {}
    expected = {None: {}, "move": {(PAGERDUTY, "place"): "B"}}.get(
        start.expected, {(PAGERDUTY, "state"): start.expected})
    here = there = None
    if start.here:
        here = {"state": start.here, "place": group, "acknowledgement": people[start.person]}
    if start.there not in (None, "merged"):
        there = {"state": start.there, "place": service}
    reopened = frozenset([start.reopened]) if start.reopened else frozenset()
    other = {STACKFLOW: PAGERDUTY, PAGERDUTY: STACKFLOW, None: None}[start.reopened]
    later = {None: None, "earlier": start.reopened, "later": other}[start.other]
    now = decide.Now(here, there, start.there == "merged", start.follows, reopened,
                     frozenset([other]) if start.other else frozenset(), later,
                     SERVICES[group], service != "X")
    return decide.Seen(seen_here, seen_there, expected), now, decide.Policy(
        start.bidirectional, start.auto_acknowledge, start.pages)


def carry_out(decide: Any, seen: Any, now: Any, decision: Any) -> Tuple[Any, Any]:
    """Both sides, and what is seen of them, once a decision is written and remembered."""
    here, there = dict(now.here or {}), dict(now.there or {})
    for write in decision.pagerduty:
        there["state"] = {"trigger": "triggered", "acknowledge": "acknowledged",
                          "resolve": "resolved", "move": "triggered"}[write]
        if write in ("trigger", "move"):
            there["place"] = now.service or "default"
    for write in decision.stackflow:
        if write in ("create", "replace"):
            groups = {"A": "A group", "B": "B group", "C": "C group"}
            here = {"state": "new", "acknowledgement": "",
                    "place": groups.get(there.get("place", ""), "A group")}
        elif write == "regroup":
            here["place"] = {"A": "A group", "B": "B group", "C": "C group"}[there["place"]]
        else:
            here["state"] = write
    new_here = {name: value for name, value in here.items()
                if (STACKFLOW, name) not in decision.kept}
    new_there = {name: value for name, value in there.items()
                 if (PAGERDUTY, name) not in decision.kept}
    services = dict(SERVICES, **{"C group": "C"})
    triggered = "trigger" in decision.pagerduty
    moved_on = now._replace(
        here=here or None, there=there or None, reopened=frozenset(), resolved=frozenset(),
        later=None, service=services[here["place"]] if here else None,
        follows=now.follows and not triggered)
    if not decision.writes and decision.kept:  # it stays as new as it was
        moved_on = moved_on._replace(reopened=now.reopened, resolved=now.resolved, later=now.later)
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
        assert first.reason
        _nobody_is_harmed(start, first)
        end_seen, end, last = end_of(decide, seen, now, policy)
        if now.merged:
            assert not first.writes and not first.in_sync
            return
        _ends_where_people_left_it(start, first, end, last)
        if start.here and start.there:
            _place_is_right(start, now, first, end, last)
            _acknowledgement_is_right(start, first)
        _later_is_no_worse(decide, start, seen, now, first)
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
    assert not first.in_sync or not writes and start.there not in ("merged", None)


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
        assert ("trigger" in first.pagerduty) == (not here_done and start.pages)
        return
    reopened = start.reopened and start.other != "later"
    if here_done == there_done:
        assert end.here["state"] == start.here or "in_progress" in first.stackflow
        assert first.in_sync or not here_done
        assert (end.there["state"] == "resolved") == there_done
        return
    opens = bool(reopened)
    if start.follows and here_done and not (opens and start.here == "resolved"):
        assert not first.writes and first.in_sync
    elif not start.bidirectional and (there_done != opens):
        assert not first.writes and not first.in_sync
    else:
        assert (end.here["state"] not in DONE, end.there["state"] != "resolved") == (opens, opens)
        assert last.in_sync or last.unroutable
        assert ("replace" in first.stackflow) == (opens and start.here in FINAL)


def _place_is_right(start: Start, now: Any, first: Any, end: Any, last: Any) -> None:
    """Group and service stand for each other where both are mapped: as the side says that changed,
    PagerDuty where both did. A follower stays where it is.
    """
    if start.follows:
        assert not {"move", "regroup"} & set(first.writes)
        return
    both_open = start.here not in DONE and start.there != "resolved"
    assert not both_open or first.unroutable == (start.place == "unroutable")
    if not both_open or start.expected or not (start.seen_here and start.seen_there):
        return
    moved = start.place in ("moved", "both") and start.bidirectional
    regrouped = start.place in ("regrouped", "both", "away and regrouped") and not moved
    assert ("regroup" in first.stackflow) == moved
    assert ("move" in first.pagerduty) == regrouped
    if moved or regrouped:
        assert end.service == end.there["place"] and last.in_sync or not start.bidirectional
        assert "acknowledge" not in first.writes


def _acknowledgement_is_right(start: Start, first: Any) -> None:
    """Once for a new assignee, beside an unchanged team; and from PagerDuty where nobody has the
    record.
    """
    both_open = start.here not in DONE and start.there != "resolved"
    if not both_open or start.place != "same" or start.expected == "move":
        return
    new = start.person == "another" or start.person == "seen" and not (
        start.seen_here and start.seen_there)
    assert ("acknowledge" in first.pagerduty) == (
        start.there == "triggered" and new and start.auto_acknowledge)
    taken = start.person == "nobody" or not start.auto_acknowledge
    wanted = (start.there == "acknowledged" and start.seen_there != "acknowledged" and
              start.expected != "acknowledged" and start.here == "new" and taken)
    assert ("in_progress" in first.stackflow) == (wanted and start.bidirectional)
    assert first.in_sync == (not wanted and not first.writes)


def _later_is_no_worse(decide: Any, start: Start, seen: Any, now: Any, first: Any) -> None:
    """A change that a setting held back is carried over once the setting is on again; and a place
    that was changed while the pair was resolved, once it is open again.
    """
    on = decide.Policy(True, start.auto_acknowledge, start.pages)
    if not (start.bidirectional or first.writes) and start.here and start.there and (
            start.seen_here and start.seen_there and not start.expected):
        late = decide.decide(*carry_out(decide, seen, now, first), on)
        assert set(late.writes) == set(decide.decide(seen, now, on).writes)
    if start.here == "resolved" and start.there == "resolved" and not start.follows and (
            start.seen_here and start.seen_there and not start.expected):
        then_seen, then = carry_out(decide, seen, now, first)
        again = then._replace(there=dict(then.there, state="triggered"),
                              reopened=frozenset([PAGERDUTY]))
        late = decide.decide(then_seen, again, on)
        assert ("regroup" in late.writes) == (start.place in ("moved", "both"))
        assert ("move" in late.writes) == (start.place in ("regrouped", "away and regrouped"))


def walk(decide: Any, situations: Iterable[Start]) -> int:
    """Check each of these situations; returns how many they are."""
    count = 0
    for start in situations:
        check(decide, start)
        count += 1
    return count
