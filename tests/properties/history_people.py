"""What people do in the random histories, each act a step that may be taken again."""

from __future__ import annotations

from functools import wraps
from typing import Any, Callable, Dict, List, Optional, Tuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from dev.simulators.pagerduty.model import Refused
from dev.simulators.stackflow import Refusal

JANE, ROBIN = "jane@example.com", "robin@example.com"
GROUPS = ("Platform Engineering", "Database Reliability", "Nobody Mapped")
Step = Tuple[str, Dict[str, Any]]
WHICH = st.integers(0, 3)
SERVICES = {"api": "P1234AB", "database": "P5678CD", "other": "P0000ZZ"}
OPEN_STATES = ("new", "in_progress", "on_hold")
PACE = st.sampled_from(["the pack keeps up"] * 4 + ["nothing runs yet"] * 4 + ["a run is killed"])
FEW = 4
"""Records, or incidents, beyond which people open no more: what meets on one pair is of interest.
"""


def step(name: str = "", when: Callable[[Any], Any] = lambda self: True, **strategies: Any) -> Any:
    """A rule of the machine that is noted, so that a history can be played again without
    hypothesis.
    """
    def noted(method: Any) -> Any:
        @wraps(method)
        def taken(self: People, **values: Any) -> None:
            if when(self):
                self.steps.append((taken.__name__, values))
                method(self, **values)

        taken.__name__ = name or method.__name__
        return precondition(when)(rule(**strategies)(taken))
    return noted


def in_stackflow(name: str, words: str, act: Callable[[Any, str], Any]) -> Any:
    """A rule: a person does something to a record; to the next one where this one does not allow
    it.
    """
    def done(self: People, which: int, pace: str) -> None:
        desk = self.world.stackflow
        for number in turned(sorted(desk.desk.incidents), which):
            try:
                self.person("%s %s" % (number, words), lambda: no_answer(act(desk, number)), pace)
                return
            except Refusal:
                continue

    return step(name, lambda self: self.world.stackflow.desk.incidents, which=WHICH,
                pace=PACE)(done)


def in_pagerduty(name: str, words: str, act: Callable[..., Any], **strategies: Any) -> Any:
    """A rule: a person does something to an incident; to the next one likewise."""
    def done(self: People, which: int, pace: str, **values: str) -> None:
        pagerduty = self.world.pagerduty
        for one in turned(list(pagerduty.account.incidents), which):
            try:
                self.person("%s %s" % (self.name(one), words % tuple(values.values())),
                            lambda: no_answer(act(pagerduty, one, self.world.casey,
                                                  *values.values())), pace)
                return
            except Refused:
                continue

    return step(name, lambda self: self.world.pagerduty.account.incidents, which=WHICH,
                pace=PACE, **strategies)(done)


def turned(things: List[str], first: int) -> List[str]:
    start = first % len(things)
    return things[start:] + things[:start]


def set_state(*before: str) -> Callable[[Any, str], Any]:
    """Set the first state where the record is in one of the others."""
    def act(desk: Any, number: str) -> None:
        if desk.incident(number)["state"] not in before[1:]:
            raise Refusal(409, "", "")
        desk.set_state(number, before[0])
    return act


def while_open(act: Callable[..., Any]) -> Callable[..., Any]:
    def acts(pagerduty: Any, one: str, *values: str) -> None:
        if not pagerduty.incident(one).open:
            raise Refused(1001, "")
        act(pagerduty, one, *values)
    return acts


def merge(pagerduty: Any, source: str, target: str, by: str) -> None:
    """While both are open: no rule says what the merge of a resolved incident means."""
    if not pagerduty.incident(source).open:
        raise Refused(1001, "")
    pagerduty.merge(target, [source], by)


class People(RuleBasedStateMachine):
    """Their rules. The machine has the ``world`` and its ``diary``, notes ``steps``, has a ``name``
    for each incident, and lets a ``person`` act, at a pace that says what the pack does meanwhile.
    """

    # People in StackFlow.

    @step(when=lambda self: len(self.world.stackflow.desk.incidents) < FEW,
          priority=st.sampled_from(["P1", "P3"]), group=st.sampled_from(GROUPS),
          taken=st.sampled_from([None, JANE, ROBIN]), pace=PACE)
    def a_record_is_opened(self, priority: str, group: str, taken: Optional[str],
                           pace: str) -> None:
        self.person("%s in %s is opened in StackFlow%s" % (
            priority, group, " and assigned to " + taken if taken else ""),
            lambda: self.world.stackflow.create_incident(
                "Timeout", priority, group=group, person=taken), pace)

    taken_by_jane = in_stackflow("taken_by_jane", "is assigned to Jane",
                                 lambda desk, number: desk.assign(number, person=JANE))
    taken_by_robin = in_stackflow("taken_by_robin", "is assigned to Robin",
                                  lambda desk, number: desk.assign(number, person=ROBIN))
    given_back = in_stackflow("given_back", "is taken away from its assignee",
                              lambda desk, number: desk.unassign(number))
    worked_on = in_stackflow("worked_on", "is worked on", set_state(
        "in_progress", "new", "on_hold"))
    put_on_hold = in_stackflow("put_on_hold", "is put on hold", set_state(
        "on_hold", "new", "in_progress"))
    resolved = in_stackflow("resolved", "is resolved", set_state("resolved", *OPEN_STATES))
    reopened = in_stackflow("reopened", "is reopened", set_state("in_progress", "resolved"))
    closed = in_stackflow("closed", "is closed", set_state("closed", "resolved"))
    cancelled = in_stackflow("cancelled", "is cancelled", set_state("cancelled", *OPEN_STATES))
    raised = in_stackflow("raised", "is raised to P1",
                          lambda desk, number: desk.set_priority(number, "P1"))
    lowered = in_stackflow("lowered", "is lowered to P4",
                           lambda desk, number: desk.set_priority(number, "P4"))
    noted = in_stackflow("noted", "gets a work note",
                         lambda desk, number: desk.add_note(number, "Looking at it."))

    def hand_over(self, which: int, group: str, person: Optional[str], pace: str) -> None:
        desk = self.world.stackflow
        number = turned(sorted(desk.desk.incidents), which)[0]
        self.person("%s is handed to %s%s" % (number, group, " and " + person if person else ""),
                    lambda: desk.assign(number, person=person, group=group), pace)

    _handing_over = step("handed_over", lambda self: self.world.stackflow.desk.incidents,
                         which=WHICH, group=st.sampled_from(GROUPS),
                         person=st.sampled_from([None, JANE]), pace=PACE)
    handed_over = _handing_over(hand_over)
    handed_on = _handing_over(hand_over)  # twice as often as others: it takes two to go wrong

    # People in PagerDuty.

    @step(when=lambda self: len(self.world.pagerduty.account.incidents) < FEW,
          service=st.sampled_from(["api", "database", "other"]), pace=PACE)
    def an_incident_is_opened(self, service: str, pace: str) -> None:
        pagerduty = self.world.pagerduty
        self.person("#%d is opened in PagerDuty on the service %r" % (
            len(pagerduty.account.incidents) + 1, service),
            lambda: no_answer(pagerduty.create_incident(
                getattr(self.world, service), "Disk full", self.world.casey)), pace)

    @step(when=lambda self: len(self.world.pagerduty.account.incidents) > 1, which=WHICH,
          into=WHICH, pace=PACE)
    def merged(self, which: int, into: int, pace: str) -> None:
        pagerduty = self.world.pagerduty
        ids = [one for one in pagerduty.account.incidents if pagerduty.incident(one).open]
        if len(ids) < 2:
            return
        source, target = turned(ids, which)[0], turned(ids, which)[1 + into % (len(ids) - 1)]
        if any(source in thread.own for one in ids for thread in self.diary.later(one)):
            return  # no rule says what an earlier incident is worth whose follower was merged
        try:
            self.person("%s is merged into %s" % (self.name(source), self.name(target)),
                        lambda: merge(pagerduty, source, target, self.world.casey), pace)
        except Refused:  # one was resolved meanwhile
            return

    moved_there = in_pagerduty("moved_there", "is moved to the service %r", while_open(
        lambda pagerduty, one, by, service: pagerduty.move(one, SERVICES[service], by)),
        service=st.sampled_from(sorted(SERVICES)))
    acknowledged_there = in_pagerduty("acknowledged_there", "is acknowledged", while_open(
        lambda pagerduty, one, by: pagerduty.acknowledge(one, by)))
    taken_back_there = in_pagerduty("taken_back_there", "is un-acknowledged",
                                    lambda pagerduty, one, by: pagerduty.unacknowledge(one, by))
    resolved_there = in_pagerduty("resolved_there", "is resolved",
                                  lambda pagerduty, one, by: pagerduty.resolve(one, by))

    @step(when=lambda self: self.world.pagerduty.account.incidents, which=WHICH, pace=PACE)
    def reopened_there(self, which: int, pace: str) -> None:
        """Not on a service that nobody mapped, where only its webhook would tell."""
        pagerduty = self.world.pagerduty
        for one in turned(list(pagerduty.account.incidents), which):
            incident = pagerduty.incident(one)
            if not (incident.open or incident.merged_into or
                    incident.service_id == SERVICES["other"] or
                    any(thread.merged for thread in self.diary.later(one))):
                self.person("%s is reopened" % self.name(one), lambda: no_answer(
                    pagerduty.reopen(one, self.world.casey)), pace)
                return

    snoozed_there = in_pagerduty("snoozed_there", "is snoozed for ten minutes", while_open(
        lambda pagerduty, one, by: pagerduty.snooze(one, 600, by)))
    reassigned_there = in_pagerduty("reassigned_there", "is reassigned to Robin", while_open(
        lambda pagerduty, one, by: pagerduty.reassign(one, "PROBIN0", by)))
    escalated_there = in_pagerduty("escalated_there", "is escalated", while_open(
        lambda pagerduty, one, by: pagerduty.escalate(one, by)))
    noted_there = in_pagerduty("noted_there", "gets a note", while_open(
        lambda pagerduty, one, by: pagerduty.add_note(one, "Looking at it.", by)))


def no_answer(_: Any) -> None:
    """A person's act whose answer is no news."""
