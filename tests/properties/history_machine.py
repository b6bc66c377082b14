"""Random histories: people on both sides, a network that loses, doubles and reorders, crashes
between any two calls, answers that fail, keys that change. Each step is a line of a story.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Dict, List, Optional

from history_checks import Checks
from history_diary import DONE, PACK, PERSON, Diary
from history_people import GROUPS, WHICH, People, Step, step
from history_upgrade import go_back
from history_world import SIDES, VISIBLE, HistoryWorld, HttpHistoryWorld
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from polling_site import Pollers
from world import Crash, Run, use_case

from dev.simulators.pagerduty.model import Switches
from pagerduty_stackflow.pack import Outcome
from pagerduty_stackflow.reconcile import reconcile
from pagerduty_stackflow.reconcile_report import ReconcileReport

FAILURES: Dict[str, Dict[str, Any]] = {
    "429": {"status": 429, "headers": {"Retry-After": "3"}}, "500": {"status": 500},
    "a broken connection": {"kind": "reset"}, "an answer that is lost": {"kind": "drop_answer"},
    "half a body": {"kind": "half_body"}}
STEPS = 30
AT = st.integers(1, 25)
MOVES = ["move_takes_service_policy", "move_reassigns", "move_needs_second_put",
         "move_keeps_acknowledgement", "moved_alert_follows_key"]
LONGEST = 14
"""Calls within which a run that has to be killed after an act is killed."""


class Wrong(AssertionError):
    """A history that broke an invariant, told as a story."""

    def __init__(self, wrong: List[str], history: Histories) -> None:
        self.wrong = wrong
        self.steps = history.steps
        super().__init__("\n".join(wrong + ["", "What happened:"] + history.story + [
            "", "In true order:"] + [str(entry) for entry in history.diary.entries]))


class Histories(People):
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
        self.marks["crash"] += isinstance(result, Crash)
        event, record = one.payload["event_type"], one.payload["incident"]
        if isinstance(result, Outcome):
            self.diary.looked(subject, one.rule.startswith("stackflow") and (
                event == "incident.reopened" or record.get("state") in DONE),
                any(asked.method == "GET" for asked in self.world.pagerduty.requests[before:]))
        return result

    def reconcile(self, at: Optional[int] = None) -> None:
        result = self.do("reconcile", lambda: reconcile(self.world.pack()), at)
        self.marks["crash"] += isinstance(result, Crash)
        if isinstance(result, ReconcileReport) and result.complete and all(
                one["kind"] == "routing" for one in result.failures):  # told when all is written
            self.diary.looked(None, False, True)

    def do(self, words: str, call: Callable[[], Any], at: Optional[int] = None,
           then: Optional[Callable[[], None]] = None) -> Any:
        """Make the call and tell of it."""
        self.diary.look()
        began = self.world.clock.now()
        result = self.world.carry_out(call, at, then)
        if isinstance(result, BaseException):
            self.diary.forgot(began)
        self.diary.look()
        if isinstance(result, Crash):
            self.say("  %s was killed before its call %d, %s" % (words, at or 0, result))
            return result
        if result is not None:
            self.world.outcomes.append(result)
        if isinstance(result, (Outcome, ReconcileReport)):
            told = "%(outcome)s, %(reason)s" % result.as_result()
        else:
            told = repr(result) if result is not None else "done"
        self.say("  %s: %s" % (words, told))
        return result

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

    @step(side=st.sampled_from(["pagerduty", "stackflow"]), at=st.one_of(st.none(), AT))
    def a_poller_looks(self, side: str, at: Optional[int]) -> None:
        """As a new process: what it knows is in the datastore."""
        self.do("poll of " + side, lambda: Pollers(self.world).poll(side), at)

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
        if what == "rotate_routing_key" and any(
                entry.what == "trigger" and entry.forgotten for entry in self.diary.entries):
            return  # PagerDuty joins what has one dedup key by the routing key (docs/decisions.md)
        getattr(self.world, what)()
        self.marks["key"] += 1
        self.say(what.replace("_", " "))

    @step(up=st.booleans())
    def the_listener_goes_down_or_up(self, up: bool) -> None:
        self.world.listening = up
        self.say("the listener is %s" % ("up" if up else "down"))

    @step(when=lambda self: not self.marks["upgrade"], now=st.booleans())
    def the_pack_is_upgraded(self, now: bool) -> None:
        """Until then, version 0.1.0 kept the links."""
        if now and go_back(self.world, self.diary):
            self.marks["upgrade"] += 1
            self.say("the pack is upgraded from version 0.1.0")

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
        for name in [name for name in world.store.values if ".lease." in name]:  # of killed runs
            del world.store.values[name]
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
        before, late_words = world.writes(), self.checks.out_of_sight()
        self.work_off(late)
        world.run(2)
        self.diary.look()
        if world.writes() != before and not late_words:
            yield "no regress: late events wrote something"
        before = world.writes()
        self.reconcile()
        if world.writes() != before:
            yield "convergence: a second reconcile wrote something"
        world.run(2)
        self.diary.look()
        yield from self.named("convergence", "no_regress", "no_duplicates", "one_record",
                              "no_loops", "nobody_silenced", "nothing_silent", "no_secret")

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
        for mark in +self.marks:
            type(self).seen[mark] += 1


class HttpHistories(Histories):
    """The same over HTTP."""

    seen: Counter = Counter()
    world_class = HttpHistoryWorld
