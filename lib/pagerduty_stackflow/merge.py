"""The three-way merge: what to write where, from the last agreement and the present state of both
sides.

Pure: no input, no output, no clock. Everything that changes an incident decides through
:func:`decide`, so an event is only a hint that something changed, and a late, doubled or lost one
cannot do harm.
"""

from typing import NamedTuple, Optional, Tuple

ABSENT = "none"
OPEN = "open"
ACKNOWLEDGED = "acknowledged"
RESOLVED = "resolved"
MERGED = "merged"
"""State of a PagerDuty incident whose resolve reason is a merge: no fix, its target carries on."""

STATUS = {"triggered": OPEN, "acknowledged": ACKNOWLEDGED, "resolved": RESOLVED}
"""PagerDuty's status as a state."""

STACKFLOW = "stackflow"
PAGERDUTY = "pagerduty"

NOBODY = "nobody"
CARRIED = "carried"
ANOTHER = "another"
"""Assignee: nobody; the person for whom an acknowledgement was carried already; somebody else."""

TRIGGER = "trigger"
ACKNOWLEDGE = "acknowledge"
RESOLVE = "resolve"
MOVE = "move"
CREATE = "create"
REPLACE = "replace"
REGROUP = "regroup"
SET_IN_PROGRESS = "in_progress"
SET_RESOLVED = "resolved"

DONE_STATES = ("resolved", "closed", "cancelled")
FINAL_STATES = ("closed", "cancelled")


class Situation(NamedTuple):
    """Everything that a decision depends on.

    ``agreed_*`` are the states at the last agreement (ABSENT before the first). ``stackflow`` is
    one of StackFlow's eight states, or None where there is no record. ``assignee`` is NOBODY,
    CARRIED or ANOTHER. ``reopened`` names the side that a person opened again later than the other
    side's resolve, when one did. ``handed`` names the side on which a person handed the incident to
    another mapped team, when one did and the other side has not followed.
    """

    agreed_stackflow: str
    agreed_pagerduty: str
    stackflow: Optional[str]
    assignee: str
    pagerduty: str
    reopened: Optional[str]
    moved: bool
    handed: Optional[str]
    bidirectional_sync: bool
    auto_acknowledge: bool
    reaches_threshold: bool


class Decision(NamedTuple):
    """What to write, and what counts as agreed once it is written.

    ``pagerduty`` holds at most TRIGGER and ACKNOWLEDGE, or one write; ``stackflow`` at most CREATE,
    REPLACE or REGROUP and SET_IN_PROGRESS, or one write; beside MOVE it may be SET_IN_PROGRESS,
    else only one side is written to. ``follow_merge``: write nothing and link
    the pair to the merge's target.
    """

    reason: str
    agreed_stackflow: str
    agreed_pagerduty: str
    pagerduty: Tuple[str, ...] = ()
    stackflow: Tuple[str, ...] = ()
    follow_merge: bool = False
    in_step: bool = False

    @property
    def writes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.pagerduty or self.stackflow)

    @property
    def hands_over(self) -> bool:
        """Whether another team gets the incident."""
        return MOVE in self.pagerduty or REGROUP in self.stackflow

    @property
    def spends_assignment(self) -> bool:
        """Whether the assignment as it is now acknowledges nothing, neither at once nor later: another
        team has to be paged, or the incident was acknowledged or opened again in PagerDuty.
        """
        return self.hands_over or SET_IN_PROGRESS in self.stackflow


def stackflow_state(state: str, assignee: str, auto_acknowledge: bool) -> str:
    """What a StackFlow record is towards PagerDuty.

    A person who is assigned acknowledges; `in_progress` without one does not.
    """
    if state in DONE_STATES:
        return RESOLVED
    return ACKNOWLEDGED if auto_acknowledge and assignee != NOBODY else OPEN


def decide(now: Situation) -> Decision:
    """The one decision; equal situations give equal decisions, and nothing is written where both
    sides agree.
    """
    if now.pagerduty == MERGED:
        return Decision("merged in PagerDuty: the target carries on", now.agreed_stackflow,
                        now.agreed_pagerduty, follow_merge=True)
    if now.stackflow is None:
        return _without_record(now)
    here = stackflow_state(now.stackflow, now.assignee, now.auto_acknowledge)
    there = now.pagerduty
    if there == ABSENT and now.agreed_pagerduty == RESOLVED:
        there = RESOLVED  # resolved long ago and no longer found
    if there == ABSENT:
        return _without_incident(now, here)
    if here == RESOLVED and there == RESOLVED:
        return Decision("both are resolved", RESOLVED, RESOLVED, in_step=True)
    if here == RESOLVED:
        return _resolved_in_stackflow(now, there)
    if there == RESOLVED:
        return _resolved_in_pagerduty(now, here)
    return _both_open(now, here, there)


def _without_record(now: Situation) -> Decision:
    if now.agreed_stackflow != ABSENT:
        return Decision("the record was deleted in StackFlow", now.agreed_stackflow,
                        now.agreed_pagerduty)
    if now.pagerduty not in (OPEN, ACKNOWLEDGED):
        return Decision("nothing is open in PagerDuty", ABSENT, now.agreed_pagerduty)
    if not now.bidirectional_sync:
        return Decision("bidirectional_sync is off", ABSENT, now.agreed_pagerduty)
    if now.pagerduty == ACKNOWLEDGED:
        return Decision("open in PagerDuty and acknowledged there", OPEN, ACKNOWLEDGED,
                        stackflow=(CREATE, SET_IN_PROGRESS))
    return Decision("open in PagerDuty", OPEN, OPEN, stackflow=(CREATE,))


def _without_incident(now: Situation, here: str) -> Decision:
    if here == RESOLVED:
        return Decision("resolved in StackFlow before PagerDuty had an incident", RESOLVED,
                        now.agreed_pagerduty)
    if now.agreed_pagerduty == ABSENT and not now.reaches_threshold:
        return Decision("under the priority threshold", now.agreed_stackflow, ABSENT)
    if now.agreed_pagerduty != ABSENT and now.moved:
        return Decision("moved to another service in PagerDuty and not found there",
                        now.agreed_stackflow, now.agreed_pagerduty)
    return _trigger(now, here, "open in StackFlow, without an incident in PagerDuty")


def _trigger(now: Situation, here: str, reason: str) -> Decision:
    if here == ACKNOWLEDGED and now.assignee == ANOTHER:
        return Decision(reason + ", and taken by a person", ACKNOWLEDGED, ACKNOWLEDGED,
                        pagerduty=(TRIGGER, ACKNOWLEDGE))
    return Decision(reason, here, OPEN, pagerduty=(TRIGGER,))


def _both_were_resolved(now: Situation) -> bool:
    return now.agreed_stackflow == RESOLVED and now.agreed_pagerduty == RESOLVED


def _resolved_in_stackflow(now: Situation, there: str) -> Decision:
    if now.reopened != PAGERDUTY and not _both_were_resolved(now):
        return Decision("resolved in StackFlow", RESOLVED, RESOLVED, pagerduty=(RESOLVE,))
    if not now.bidirectional_sync:
        # Remembered as resolved on both sides, so that no later run takes the reopening for an
        # unfinished resolve.
        return Decision("reopened in PagerDuty, but bidirectional_sync is off", RESOLVED, RESOLVED)
    if now.stackflow not in FINAL_STATES:
        after = stackflow_state("in_progress", now.assignee, now.auto_acknowledge)
        if now.handed == STACKFLOW:  # while it was resolved
            return Decision("reopened in PagerDuty, handed to another group in StackFlow", after,
                            OPEN, pagerduty=(MOVE,), stackflow=(SET_IN_PROGRESS,))
        regroup = (REGROUP,) if now.handed == PAGERDUTY else ()
        return Decision("reopened in PagerDuty", after, there,
                        stackflow=regroup + (SET_IN_PROGRESS,))
    if there == ACKNOWLEDGED:
        return Decision("reopened in PagerDuty and acknowledged; the old record is final", OPEN,
                        ACKNOWLEDGED, stackflow=(REPLACE, SET_IN_PROGRESS))
    return Decision("reopened in PagerDuty; the old record is final", OPEN, OPEN,
                    stackflow=(REPLACE,))


def _resolved_in_pagerduty(now: Situation, here: str) -> Decision:
    if now.reopened == STACKFLOW or _both_were_resolved(now):
        return _trigger(now, here, "reopened in StackFlow")
    if not now.bidirectional_sync:
        # What was agreed stays, so that the resolve is carried over once the setting is on again.
        return Decision("resolved in PagerDuty, but bidirectional_sync is off", here,
                        now.agreed_pagerduty)
    return Decision("resolved in PagerDuty", RESOLVED, RESOLVED, stackflow=(SET_RESOLVED,))


def _both_open(now: Situation, here: str, there: str) -> Decision:
    if now.handed == STACKFLOW:
        return Decision("handed to another group in StackFlow", here, OPEN, pagerduty=(MOVE,))
    taken = (here == OPEN and there == ACKNOWLEDGED and now.agreed_pagerduty != ACKNOWLEDGED and
             now.stackflow == "new")
    if now.handed == PAGERDUTY and now.bidirectional_sync:
        return Decision("handed to another service in PagerDuty", here, there,
                        stackflow=(REGROUP, SET_IN_PROGRESS) if taken else (REGROUP,))
    if here == ACKNOWLEDGED and there == OPEN and now.assignee == ANOTHER:
        return Decision("taken by a person in StackFlow", ACKNOWLEDGED, ACKNOWLEDGED,
                        pagerduty=(ACKNOWLEDGE,))
    if taken:
        if not now.bidirectional_sync:
            return Decision("acknowledged in PagerDuty, but bidirectional_sync is off", here,
                            now.agreed_pagerduty)
        return Decision("acknowledged in PagerDuty", OPEN, ACKNOWLEDGED,
                        stackflow=(SET_IN_PROGRESS,))
    return Decision("in step", here, there, in_step=True)
