"""The tests' world with real threads: both systems send their webhooks over HTTP to the real
sensor, or to several, and two runs of actions at a time work off what comes of them.
"""

from __future__ import annotations

import itertools
import logging
import random
import socket
import threading
import time
from datetime import timedelta
from typing import Any, Callable, Dict, List, Optional

from webhook_sensor import WebhookSensor
from world import LISTENER, Service, World

from dev.simulators.base import MONDAY_MORNING
from dev.simulators.outbox import http_sender

PROCESSES = 2
"""Actions at a time, unless a test says otherwise."""
SCHEDULER_SECONDS = 0.1
"""StackStorm's scheduler starts what waits so often, and all of it at once."""
START_UP_SECONDS = 0.6
"""What the process of a Python action costs before it begins."""
SENDERS = 4
"""Webhooks that a system sends at a time."""
WRITES_A_MINUTE = 60
BROKER_TROUBLE = 10
"""Of so many dispatches one fails."""
PATIENCE = 300
SCALE = 20
"""How much faster time runs once people have done their part."""
CANCELLED = "cancelled"


class ScaledClock:
    """Time that runs ``scale`` times as fast as it should."""

    def __init__(self) -> None:
        self._start, self._since, self._scale = MONDAY_MORNING, time.monotonic(), 1.0

    def now(self) -> Any:
        return self._start + timedelta(seconds=(time.monotonic() - self._since) * self._scale)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._scale)

    def run_faster(self, scale: float) -> None:
        self._start, self._since, self._scale = self.now(), time.monotonic(), scale


class Platform(Service):
    """StackStorm, whose broker does not take every event at once."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.messages: List[str] = []
        self._tries = 0

    def get_logger(self, name: str) -> logging.Logger:
        logger = logging.Logger(name)
        logger.addHandler(logging.Handler())
        setattr(logger.handlers[0], "emit",
                lambda record: self.messages.append(record.getMessage()))
        return logger

    def dispatch(self, trigger: str, payload: Any = None, trace_tag: Any = None) -> None:
        self._tries += 1
        if self._tries % BROKER_TROUBLE == 0:
            raise IOError("the broker is away")
        super().dispatch(trigger, payload, trace_tag)


class Rows(Dict[str, Any]):
    """A dict that may be written to while somebody walks through it."""

    def items(self) -> Any:
        return list(super().items())


class Burst(World):
    """A world in which everything happens at once; a context manager."""

    def __init__(self, listeners: int = 1, processes: int = PROCESSES) -> None:
        super().__init__()
        self.clock: Any = ScaledClock()
        self.pagerduty.clock = self.stackflow.clock = self.clock
        self.store._clock, self.store.values = self.clock, Rows(self.store.values)
        self.stackflow.add_token("stackflow-token", role="itsm_manager")
        self.stackflow.switches.writes_per_minute = WRITES_A_MINUTE
        self.stackflow.switches.retry_delays = (1,) * 100
        self.pagerduty.outbox.delays = [1]
        self.service = self.platform = Platform(self)
        ports = [free_port() for _ in range(listeners)]
        self.sensors = [WebhookSensor(self.platform, dict(
            self.config, webhook_listener={"port": port})) for port in ports]
        self._turn = itertools.cycle(ports)
        self.busy, self._processes = 0, processes
        self._closing = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Burst:
        loops: List[Callable[[], Any]] = [self._work_off] * self._processes
        for simulator in (self.pagerduty, self.stackflow):
            loops += [simulator.deliver] * SENDERS + [simulator.work]
        for sensor in self.sensors:
            sensor.setup()
            self._start(sensor.run)
        for loop in loops:
            self._start(self._repeat, loop)
        return self

    def __exit__(self, *_: Any) -> None:
        self._closing.set()
        for sensor in self.sensors:
            sensor.cleanup()

    def run(self, seconds: float = 1.0) -> None:
        """Whoever waits lets the others work on."""
        self.clock.sleep(seconds)

    def quiet(self) -> bool:
        """Nothing waits, and nobody works."""
        with self._lock:
            idle = not self.busy and not self.queue
        return idle and not any(simulator.outbox.pending()
                                for simulator in (self.pagerduty, self.stackflow))

    def attempts(self) -> List[Optional[int]]:
        """The answers to all webhooks, None where none came within five seconds."""
        return [status for simulator in (self.pagerduty, self.stackflow)
                for one in simulator.deliveries for _, status in one.attempts]

    def _receive(self, url: str, headers: Dict[str, str], body: bytes) -> int:
        """Where there are several listeners, they take turns, as behind a load balancer."""
        return http_sender(url.replace(LISTENER, "http://127.0.0.1:%d" % next(self._turn)), headers,
                           body)

    def _work_off(self) -> None:
        with self._lock:
            one = self.queue.pop(0) if self.queue else None
            self.busy += one is not None
        if one is not None:
            since = (self.clock.now() - MONDAY_MORNING).total_seconds() % SCHEDULER_SECONDS
            self.clock.sleep(START_UP_SECONDS + SCHEDULER_SECONDS - since)
            self.run_one(one)
            with self._lock:
                self.busy -= 1

    def _repeat(self, job: Callable[[], Any]) -> None:
        while not self._closing.wait(0.005):
            job()

    @staticmethod
    def _start(job: Callable[..., Any], *given: Any) -> None:
        threading.Thread(target=job, args=given, daemon=True).start()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def acts_of_stackflow(world, number):
    """What people do about an incident of StackFlow, one after the other."""
    made = []
    yield lambda: made.append(world.stackflow.create_incident(
        "Disk full", "P1", group="Platform Engineering", category="api"))
    yield lambda: world.stackflow.assign(made[0], "casey@example.com")
    yield lambda: world.stackflow.add_note(made[0], "on it")
    if number % 2:
        yield lambda: world.stackflow.set_state(made[0], "resolved")


def acts_of_pagerduty(world, number):
    made = []
    yield lambda: made.append(world.pagerduty.create_incident(
        world.api, "Node is gone", world.casey))
    yield lambda: world.pagerduty.acknowledge(made[0], world.casey)
    yield lambda: world.pagerduty.add_note(made[0], "on it", world.casey)
    if number % 2:
        yield lambda: world.pagerduty.resolve(made[0], world.casey)


def at_once(stories, seconds):
    """Act by act of all stories in any order that keeps each one's own, within so many seconds."""
    chance, acts = random.Random(7), [list(story) for story in stories]
    pause = seconds / sum(map(len, acts))
    while acts:
        story = chance.choice(acts)
        story.pop(0)()
        if not story:
            acts.remove(story)
        time.sleep(pause)


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def assert_in_step(world):
    """What is open on one side is so on the other; for what was over before anybody came to it there
    may be nothing. Of two records that raced one is cancelled.
    """
    born = {incident.id: [one for one in world.records_of(incident.id) if one["state"] != CANCELLED]
            for incident in world.pagerduty.incidents()
            if not world.pagerduty.alerts(incident.id)}
    for incident_id, records in born.items():
        open_there = world.pagerduty.incident(incident_id).status == "acknowledged"
        wanted = ["in_progress"] if open_there else ["resolved"] * len(records)
        assert [one["state"] for one in records] == wanted and len(records) <= 1
    numbers = {one["number"] for incident_id in born for one in world.records_of(incident_id)}
    for record in world.stackflow.incidents():
        if record["number"] not in numbers:
            paged = world.pagerduty.incidents("stackflow:acme.stackflow.example:" +
                                              record["number"])
            wanted = ["acknowledged"] if record["state"] == "new" else ["resolved"] * len(paged)
            assert [one.status for one in paged] == wanted and len(paged) <= 1
