"""The walk over every situation that the merge can meet, and what must hold in each.

Kept apart from its test, so that the same walk can be set on deliberately broken copies of the
merge.
"""

from __future__ import annotations

import itertools
from typing import Any, Iterable, Iterator, Optional, Tuple

STATES = ("new", "in_progress", "on_hold", "pending_customer", "pending_vendor", "resolved",
          "closed", "cancelled")
DONE = ("resolved", "closed", "cancelled")
ROUNDS = 2
TRIGGERS = (("trigger",), ("trigger", "acknowledge"))
PAGERDUTY_WRITES = TRIGGERS + ((), ("acknowledge",), ("move",), ("resolve",))
STACKFLOW_WRITES = ((), ("create",), ("create", "in_progress"), ("replace",),
                    ("replace", "in_progress"), ("regroup",), ("regroup", "in_progress"),
                    ("in_progress",), ("resolved",))
HANDING_OVER = (("move",), ("regroup",), ("regroup", "in_progress"))


def situations(merge: Any) -> Iterator[Any]:
    """Last agreed states x StackFlow x assignee x PagerDuty x reopened x moved x handed over x
    settings x threshold.
    """
    agreed = ("none", "open", "acknowledged", "resolved")
    switches = (False, True)
    for values in itertools.product(
            agreed, agreed, (None,) + STATES, ("nobody", "carried", "another"),
            ("none", "open", "acknowledged", "resolved", "merged"),
            (None, "stackflow", "pagerduty"), switches, (None, "stackflow", "pagerduty"), switches,
            switches, switches):
        yield merge.Situation(*values)


def apply(now: Any, decision: Any) -> Any:
    """The situation once everything that was decided is written and remembered."""
    stackflow, there, assignee, moved = now.stackflow, now.pagerduty, now.assignee, now.moved
    for write in decision.pagerduty:
        there = {"trigger": "open", "acknowledge": "acknowledged", "resolve": "resolved",
                 "move": "open"}[write]
        moved = False if write == "trigger" else moved
        assignee = "carried" if write == "acknowledge" else assignee
    for write in decision.stackflow:
        if write == "regroup":
            continue
        stackflow = {"create": "new", "replace": "new"}.get(write, write)
    if (decision.agreed_stackflow, decision.agreed_pagerduty) == ("acknowledged", "acknowledged"):
        assignee = "carried" if assignee == "another" else assignee
    handed = now.handed
    if decision.pagerduty in HANDING_OVER or decision.stackflow in HANDING_OVER:
        handed = None
    if handed != now.handed or "in_progress" in decision.stackflow:
        assignee = "carried" if assignee == "another" else assignee
    return now._replace(stackflow=stackflow, pagerduty=there, assignee=assignee, moved=moved,
                        handed=None if decision.pagerduty in TRIGGERS else handed,
                        agreed_stackflow=decision.agreed_stackflow,
                        agreed_pagerduty=decision.agreed_pagerduty,
                        reopened=None if decision.writes else now.reopened)


def view(now: Any) -> str:
    """What the record is towards PagerDuty (behaviour: StackFlow towards PagerDuty is one of ...).
    """
    if now.stackflow is None:
        return "none"
    if now.stackflow in DONE:
        return "resolved"
    return "acknowledged" if now.auto_acknowledge and now.assignee != "nobody" else "open"


def expected(now: Any) -> Optional[Tuple[Tuple[str, ...], Tuple[str, ...]]]:
    """The writes that the contract table names for a situation, worked out without the merge's
    code: by what changed on which side, then by precedence.
    """
    here, there = view(now), now.pagerduty
    both_resolved = (now.agreed_stackflow, now.agreed_pagerduty) == ("resolved", "resolved")
    if there == "merged":
        return (), ()
    if now.stackflow is None:
        born = there in ("open", "acknowledged") and now.agreed_stackflow == "none"
        if not born or not now.bidirectional_sync:
            return (), ()
        return (), ("create",) + (("in_progress",) if there == "acknowledged" else ())
    opening = ("trigger", "acknowledge") if (here, now.assignee) == ("acknowledged",
                                                                     "another") else ("trigger",)
    if there == "none" and now.agreed_pagerduty != "resolved":
        if here == "resolved":
            return (), ()
        joined = now.agreed_pagerduty != "none"
        wanted = not now.moved if joined else now.reaches_threshold
        return (opening, ()) if wanted else ((), ())
    there = "resolved" if there == "none" else there
    if here == "resolved" and there == "resolved":
        return (), ()
    if here == "resolved":
        if now.reopened != "pagerduty" and not both_resolved:
            return ("resolve",), ()
        if not now.bidirectional_sync:
            return (), ()
        if now.stackflow == "resolved":
            return {None: ((), ("in_progress",)), "stackflow": (("move",), ("in_progress",)),
                    "pagerduty": ((), ("regroup", "in_progress"))}[now.handed]
        return (), ("replace",) + (("in_progress",) if there == "acknowledged" else ())
    if there == "resolved":
        if now.reopened == "stackflow" or both_resolved:
            return opening, ()
        return (), ("resolved",) if now.bidirectional_sync else ()
    if now.handed == "stackflow":
        return ("move",), ()
    taken = (here, there, now.stackflow) == ("open", "acknowledged", "new") and (
        now.agreed_pagerduty != "acknowledged")
    if now.handed == "pagerduty" and now.bidirectional_sync:
        return (), ("regroup", "in_progress") if taken else ("regroup",)
    if (here, there, now.assignee) == ("acknowledged", "open", "another"):
        return ("acknowledge",), ()
    return (), ("in_progress",) if taken and now.bidirectional_sync else ()


def check(merge: Any, now: Any) -> None:
    """Everything that must hold for one start; raises AssertionError with the situation."""
    decision = merge.decide(now)
    found = (decision.pagerduty, decision.stackflow)
    assert found == expected(now), (now, decision)
    assert decision.pagerduty in PAGERDUTY_WRITES and decision.stackflow in STACKFLOW_WRITES, now
    assert decision.writes == bool(decision.pagerduty or decision.stackflow), now
    assert decision.hands_over == any(write in HANDING_OVER for write in found), (now, decision)
    assert decision.spends_assignment == (
        decision.hands_over or "in_progress" in decision.stackflow), (now, decision)
    assert decision.reason, now
    for agreed in ("agreed_stackflow", "agreed_pagerduty"):  # is never forgotten
        assert getattr(now, agreed) == "none" or getattr(decision, agreed) != "none", now
    assert decision.follow_merge == (now.pagerduty == "merged"), now
    assert found in ((("move",), ("in_progress",)), (found[0], ()), ((), found[1])), (now, decision)
    check_nobody_is_harmed(now, decision)
    check_agreement(merge, now)


def check_nobody_is_harmed(now: Any, decision: Any) -> None:
    """The invariants that a single decision can break."""
    if "acknowledge" in decision.pagerduty:  # never again what PagerDuty un-acknowledged
        assert now.assignee == "another" and now.auto_acknowledge, (now, decision)
    if now.pagerduty == "merged":
        assert not decision.writes, (now, decision)
    if not now.bidirectional_sync:
        assert not decision.stackflow, (now, decision)
    if now.stackflow in ("closed", "cancelled"):  # never reopened
        assert decision.stackflow in ((), ("replace",), ("replace", "in_progress")), (now, decision)
    if now.stackflow in ("on_hold", "pending_customer", "pending_vendor"):
        assert "in_progress" not in decision.stackflow, (now, decision)
    if now.handed == "stackflow" or (now.handed == "pagerduty" and now.bidirectional_sync):
        if now.pagerduty in ("open", "acknowledged"):  # the new team must be paged
            assert "acknowledge" not in decision.pagerduty, (now, decision)
    if decision.pagerduty in TRIGGERS:
        assert now.pagerduty in ("none", "resolved") and view(now) != "resolved", (now, decision)


def check_agreement(merge: Any, start: Any) -> None:
    """Every start reaches agreement in at most two rounds, and stays there."""
    now = start
    for _ in range(ROUNDS):
        decision = merge.decide(now)
        now = apply(now, decision)
        if not decision.writes:
            break
    last = merge.decide(now)
    assert not last.writes, ("no agreement", start, now, last)
    settled = apply(now, last)
    again = merge.decide(settled)
    assert not again.writes and apply(settled, again) == settled, ("oscillates", start, settled)
    check_in_step(settled, last)


def check_in_step(now: Any, decision: Any) -> None:
    """At rest, one side is resolved beside an open other only where a setting or a person says so.
    """
    here, there = view(now), now.pagerduty
    assert decision.in_step == (not decision.follow_merge and (
        (here, there) in (("resolved", "resolved"), ("resolved", "none")) and
        now.agreed_pagerduty == "resolved" or
        here in ("open", "acknowledged") and there in ("open", "acknowledged") and
        decision.reason == "in step")), (now, decision)
    if now.bidirectional_sync and "merged" not in (here, there) and "none" not in (here, there):
        assert (here == "resolved") == (there == "resolved"), now
    if decision.in_step and now.bidirectional_sync and there in ("open", "acknowledged"):
        assert now.agreed_pagerduty == there, (now, decision)
        assert now.agreed_stackflow == here, (now, decision)


def walk(merge: Any, starts: Iterable[Any]) -> int:
    """Check each of these situations; returns how many they are."""
    count = 0
    for now in starts:
        check(merge, now)
        count += 1
    return count
