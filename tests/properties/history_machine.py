"""Random histories: people on both sides, a network that loses, doubles and reorders, crashes
between any two calls, answers that fail, keys that change. Each step is a line of a story.
"""

from __future__ import annotations

from collections import Counter
from functools import wraps
from typing import Any, Callable, Dict, List, Optional, Tuple

from history_checks import Checks
from history_diary import DONE, PACK, PERSON, Diary
from history_world import SIDES, VISIBLE, HistoryWorld, HttpHistoryWorld
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from world import Crash, Run, use_case

from dev.simulators.pagerduty.model import Refused, Switches
from dev.simulators.stackflow import Refusal
from pagerduty_stackflow.pack import Outcome
from pagerduty_stackflow.reconcile import reconcile
from pagerduty_stackflow.tally import Tally

JANE, ROBIN = "jane@example.com", "robin@example.com"
GROUPS = ("Platform Engineering", "Database Reliability", "Nobody Mapped")
FAILURES: Dict[str, Dict[str, Any]] = {
    "429": {"status": 429, "headers": {"Retry-After": "3"}}, "500": {"status": 500},
    "a broken connection": {"kind": "reset"}, "an answer that is lost": {"kind": "drop_answer"},
    "half a body": {"kind": "half_body"}}
STEPS = 30
Step = Tuple[str, Dict[str, Any]]
WHICH = st.integers(0, 3)
AT = st.integers(1, 25)
SERVICES = {"api": "P1234AB", "database": "P5678CD", "other": "P0000ZZ"}
MOVES = ["move_takes_service_policy", "move_reassigns", "move_needs_second_put",
         "move_keeps_acknowledgement", "moved_alert_follows_key"]
OPEN_STATES = ("new", "in_progress", "on_hold")
PACE = st.sampled_from(["the pack keeps up"] * 4 + ["nothing runs yet"] * 4 + ["a run is killed"])
LONGEST = 14
"""Calls within which a run that has to be killed after an act is killed."""


def step(name: str = "", when: Callable[[Any], Any] = lambda self: True, **strategies: Any) -> Any:
    """A rule of the machine that is noted, so that a history can be played again without
    hypothesis.
    """
    def noted(method: Any) -> Any:
        @wraps(method)
        def taken(self: Histories, **values: Any) -> None:
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
    def done(self: Histories, which: int, pace: str) -> None:
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
    def done(self: Histories, which: int, pace: str, **values: str) -> None:
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


def reopen(pagerduty: Any, one: str, by: str) -> None:
    incident = pagerduty.incident(one)
    # On a service that nobody mapped only its webhook tells (docs/decisions.md).
    if incident.merged_into or incident.service_id == SERVICES["other"]:
        raise Refused(2001, "")
    pagerduty.reopen(one, by)


class Wrong(AssertionError):
    """A history that broke an invariant, told as a story."""

    def __init__(self, wrong: List[str], history: Histories) -> None:
        self.wrong = wrong
        self.steps = history.steps
        super().__init__("\n".join(wrong + ["", "What happened:"] + history.story + [
            "", "In true order:"] + [str(entry) for entry in history.diary.entries]))


class Histories(RuleBasedStateMachine):
    """One history. The class counts over all of them."""

    seen: Counter = Counter()
    world_class = HistoryWorld

    def __init__(self) -> None:
        super().__init__()
        self.story: List[str] = []
        self.steps: List[Step] = []
        self.marks: Counter = Counter()
        self.broken = False
        self.end = "lost"

    @initialize(old=st.booleans(), end=st.sampled_from(["lost", "delivered", "late"]),
                moves=st.sampled_from([""] + MOVES))
    def the_pack_is_installed(self, old: bool, end: str, moves: str) -> None:
        self.steps.append(("the_pack_is_installed", {"old": old, "end": end, "moves": moves}))
        self.end = end
        self.world = self.world_class({moves: not getattr(Switches, moves)} if moves else {})
        self.diary = Diary(self.world)
        self.checks = Checks(self.world, self.diary)
        if old:
            self.world.stackflow.create_incident("Old", "P1", group=GROUPS[0])
            self.world.pagerduty.create_incident(self.world.api, "Old", self.world.casey)
            self.say("INC0001001 and #1 are open before the pack is installed")
        self.diary.before_start()
        self.world.begin()

    # How a step is carried out and told.

    def say(self, words: str) -> None:
        self.story.append("%s  %s" % (self.world.clock.now().strftime("%H:%M:%S"), words))

    def name(self, incident_id: str) -> str:
        return "#%d" % self.world.pagerduty.incident(incident_id).number

    def person(self, words: str, act: Callable[[], Any], pace: str) -> Any:
        """A person does something, in a second of its own."""
        self.world.run(1)
        made = self.diary.person(act)
        self.say(words if made is None else "%s: %s" % (words, made))
        if pace == "the pack keeps up":
            self.keep_up()
        elif pace == "a run is killed":
            self.world.run(2)
            self.diary.look()
            if self.world.queue:
                self.one_run(self.world.queue.pop(0), 1 + len(self.steps) % LONGEST)
        return made

    def keep_up(self) -> None:
        """Deliveries come in and every run is done, until nothing happens any more."""
        for _ in range(50):
            self.world.run(2)
            self.diary.look()
            if not self.world.queue:
                return
            self.work_off(list(self.world.queue))
        raise AssertionError("a loop: the pack never comes to rest")

    def work_off(self, runs: List[Run]) -> None:
        for one in runs:
            if one in self.world.queue:
                self.world.queue.remove(one)
            self.one_run(one)

    def one_run(self, one: Run, at: Optional[int] = None,
                then: Optional[Callable[[], None]] = None) -> Any:
        subject = one.parameters["incident_id"]
        before = len(self.world.pagerduty.requests)
        result = self.do("%s(%s)" % (one.action, subject),
                         lambda: use_case(one.action)(self.world.pack(), **one.parameters), at,
                         then)
        event, record = one.payload["event_type"], one.payload["incident"]
        if isinstance(result, Outcome):
            self.diary.looked(subject, one.rule.startswith("stackflow") and (
                event == "incident.reopened" or record.get("state") in DONE),
                any(asked.method == "GET" for asked in self.world.pagerduty.requests[before:]))
        return result

    def reconcile(self, at: Optional[int] = None) -> None:
        if isinstance(self.do("reconcile", lambda: reconcile(self.world.pack()), at), Tally):
            self.diary.looked(None, False, True)

    def do(self, words: str, call: Callable[[], Any], at: Optional[int] = None,
           then: Optional[Callable[[], None]] = None) -> Any:
        """Make the call and tell of it."""
        self.diary.look()
        began = self.world.clock.now()
        result = self.world.carry_out(call, at, then)
        if not isinstance(result, Outcome):
            self.diary.forgot(began)
        self.diary.look()
        if isinstance(result, Crash):
            self.marks["crash"] += 1
            self.say("  %s was killed before its call %d, %s" % (words, at or 0, result))
            return result
        self.world.outcomes.append(result)
        told = (result.outcome + ", " + result.reason if isinstance(result, Outcome) else
                str(result.as_result()) if isinstance(result, Tally) else repr(result))
        self.say("  %s: %s" % (words, told))
        return result

    # People in StackFlow.

    @step(priority=st.sampled_from(["P1", "P3"]), group=st.sampled_from(GROUPS),
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

    @step(when=lambda self: self.world.stackflow.desk.incidents, which=WHICH,
          group=st.sampled_from(GROUPS), person=st.sampled_from([None, JANE]), pace=PACE)
    def handed_over(self, which: int, group: str, person: Optional[str], pace: str) -> None:
        desk = self.world.stackflow
        number = turned(sorted(desk.desk.incidents), which)[0]
        self.person("%s is handed to %s%s" % (number, group, " and " + person if person else ""),
                    lambda: desk.assign(number, person=person, group=group), pace)

    # People in PagerDuty.

    @step(service=st.sampled_from(["api", "database", "other"]), pace=PACE)
    def an_incident_is_opened(self, service: str, pace: str) -> None:
        pagerduty = self.world.pagerduty
        self.person("#%d is opened in PagerDuty on the service %r" % (
            len(pagerduty.account.incidents) + 1, service),
            lambda: no_answer(pagerduty.create_incident(
                getattr(self.world, service), "Disk full", self.world.casey)), pace)

    # What a killed run opened and did not remember, and somebody then merges, may stay behind.
    @step(when=lambda self: len(self.world.pagerduty.account.incidents) > 1 and
          not self.marks["crash"], which=WHICH, into=WHICH, pace=PACE)
    def merged(self, which: int, into: int, pace: str) -> None:
        pagerduty = self.world.pagerduty
        ids = [one for one in pagerduty.account.incidents if pagerduty.incident(one).open]
        if len(ids) < 2:
            return
        source, target = turned(ids, which)[0], turned(ids, which)[1 + into % (len(ids) - 1)]
        if pagerduty.incident(source).reopened_at:
            return
        self.person("%s is merged into %s" % (self.name(source), self.name(target)),
                    lambda: pagerduty.merge(target, [source], self.world.casey), pace)

    moved_there = in_pagerduty("moved_there", "is moved to the service %r", while_open(
        lambda pagerduty, one, by, service: pagerduty.move(one, SERVICES[service], by)),
        service=st.sampled_from(sorted(SERVICES)))
    acknowledged_there = in_pagerduty("acknowledged_there", "is acknowledged", while_open(
        lambda pagerduty, one, by: pagerduty.acknowledge(one, by)))
    taken_back_there = in_pagerduty("taken_back_there", "is un-acknowledged",
                                    lambda pagerduty, one, by: pagerduty.unacknowledge(one, by))
    resolved_there = in_pagerduty("resolved_there", "is resolved",
                                  lambda pagerduty, one, by: pagerduty.resolve(one, by))
    reopened_there = in_pagerduty("reopened_there", "is reopened", reopen)
    snoozed_there = in_pagerduty("snoozed_there", "is snoozed for ten minutes", while_open(
        lambda pagerduty, one, by: pagerduty.snooze(one, 600, by)))
    reassigned_there = in_pagerduty("reassigned_there", "is reassigned to Robin", while_open(
        lambda pagerduty, one, by: pagerduty.reassign(one, "PROBIN0", by)))
    escalated_there = in_pagerduty("escalated_there", "is escalated", while_open(
        lambda pagerduty, one, by: pagerduty.escalate(one, by)))
    noted_there = in_pagerduty("noted_there", "gets a note", while_open(
        lambda pagerduty, one, by: pagerduty.add_note(one, "Looking at it.", by)))

    # Time, and the pack at work.

    @step(seconds=st.sampled_from([5, 60, VISIBLE, 2000]))
    def time_passes(self, seconds: int) -> None:
        self.world.run(seconds)
        self.diary.look()

    @step()
    def the_pack_catches_up(self) -> None:
        self.keep_up()

    @step(when=lambda self: self.world.queue, which=WHICH, backwards=st.booleans())
    def some_runs_are_done(self, which: int, backwards: bool) -> None:
        runs = self.world.queue[:which + 1]
        self.work_off(runs[::-1] if backwards else runs)

    @step(when=lambda self: self.world.queue, which=WHICH, at=AT)
    def a_run_is_killed(self, which: int, at: int) -> None:
        one = self.world.queue.pop(which % len(self.world.queue))
        self.one_run(one, at)

    @step(when=lambda self: len(self.world.queue) > 1, which=WHICH, other=WHICH, at=AT)
    def two_runs_overlap(self, which: int, other: int, at: int) -> None:
        """The second one runs between two calls of the first."""
        one = self.world.queue.pop(which % len(self.world.queue))
        two = self.world.queue.pop(other % len(self.world.queue))
        self.marks["overlap"] += 1
        self.one_run(one, at, lambda: self.one_run(two))

    @step(at=st.one_of(st.none(), AT))
    def the_timer_reconciles(self, at: Optional[int]) -> None:
        self.reconcile(at)

    # Trouble.

    @step(side=st.sampled_from(SIDES), what=st.sampled_from(
        ["lose", "double", "hold", "release", "reorder"]))
    def the_network_plays_tricks(self, side: str, what: str) -> None:
        getattr(self.world.simulator(side).outbox, what)()
        self.marks[what] += 1
        self.say("webhooks of %s: %s" % (side, what))

    @step(side=st.sampled_from(SIDES), what=st.sampled_from(sorted(FAILURES)),
          times=st.sampled_from([1, 2, 40]))
    def calls_fail(self, side: str, what: str, times: int) -> None:
        self.world.simulator(side).faults.add("", times=times, **FAILURES[what])
        self.marks["failure"] += 1
        self.say("the next calls of %s, %d, give %s" % (side, times, what))

    @step(what=st.sampled_from(["rotate_routing_key", "forget_old_routing_keys",
                                "revoke_rest_key", "renew_rest_key"]))
    def keys_change(self, what: str) -> None:
        getattr(self.world, what)()
        self.marks["key"] += 1
        self.say(what.replace("_", " "))

    @step(up=st.booleans())
    def the_listener_goes_down_or_up(self, up: bool) -> None:
        self.world.listening = up
        self.say("the listener is %s" % ("up" if up else "down"))

    # The end.

    def teardown(self) -> None:
        if not hasattr(self, "world") or self.broken:
            return
        try:
            wrong = list(self.come_to_rest())
        finally:
            self.world.close()
        self.count()
        if wrong:
            raise Wrong(wrong, self)

    def come_to_rest(self) -> Any:
        """Both systems answer again; one reconcile repairs everything, and a second one finds
        nothing to do.
        """
        world, late = self.world, []
        world.end_of_trouble()
        self.say("the end of all trouble; what is under way is %s" % self.end)
        if self.end == "lost":
            world.forget_deliveries()
            world.listening = False
            world.run(VISIBLE)
            world.listening = True
            world.forget_deliveries()
        elif self.end == "delivered":
            world.run(4000)
            self.keep_up()
            world.run(VISIBLE)
        else:
            late = world.held_back()
        self.diary.look()
        self.reconcile()
        world.run(2)
        self.diary.look()
        yield from self.named("convergence", "no_regress", "no_duplicates", "one_record")
        before = len(self.diary.entries)
        self.keep_up()
        yield from self.checks.echoes(self.diary.entries[before:])
        before = world.writes()
        self.work_off(late)
        world.run(2)
        self.diary.look()
        if world.writes() != before:
            yield "no regress: late events wrote something"
        before = world.writes()
        self.reconcile()
        if world.writes() != before:
            yield "convergence: a second reconcile wrote something"
        world.run(2)
        self.diary.look()
        yield from self.named("no_duplicates", "no_loops", "nobody_silenced", "nothing_silent",
                              "no_secret")

    def named(self, *names: str) -> Any:
        for name in names:
            for words in getattr(self.checks, name)():
                yield "%s: %s" % (name.replace("_", " "), words)

    def count(self) -> None:
        type(self).seen["histories"] += 1
        if len(self.steps) < STEPS:
            return
        type(self).seen["long"] += 1
        type(self).seen["acts"] += sum(entry.by == PERSON for entry in self.diary.entries)
        type(self).seen["pack"] += sum(entry.by == PACK for entry in self.diary.entries)
        for mark in self.marks:
            type(self).seen[mark] += 1


class HttpHistories(Histories):
    """The same over HTTP."""

    seen: Counter = Counter()
    world_class = HttpHistoryWorld


def no_answer(_: Any) -> None:
    """A person's act whose answer is no news."""
