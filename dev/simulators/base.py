"""What the simulators share: clocks, requests, faults on demand, timers, a webhook outbox.

A simulator is one object. In process: build it with a `VirtualClock`, call `handle()`, move the
clock, call `tick()`. Over HTTP: `serve()` it; a thread then does the ticking.
"""

from __future__ import annotations

import heapq
import json
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import wraps
from typing import (
    Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, TypeVar, cast)
from urllib.parse import parse_qsl, unquote, urlsplit

from dev.simulators.outbox import Outbox, Sender, http_sender

MONDAY_MORNING = datetime(2026, 1, 5, 10, 0, 0, tzinfo=timezone.utc)


class VirtualClock:
    """Time that moves only by `advance`."""

    def __init__(self, start: datetime = MONDAY_MORNING) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class RunningClock:
    """Real time, plus what `advance` added to it."""

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = timedelta(seconds=offset)

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)


@dataclass
class Request:
    """One request as received. Header names are lower case; `status` is filled in when answered."""

    method: str
    path: str
    query: List[Tuple[str, str]] = field(default_factory=list)
    headers: Dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    received_at: Optional[datetime] = None
    status: Optional[int] = None

    @classmethod
    def build(cls, method: str, url: str, headers: Optional[Dict[str, str]] = None,
              body: Any = b"") -> Request:
        """From a URL or path with its query; a body that is not bytes is sent as JSON."""
        parts = urlsplit(url)
        named = {name.lower(): value for name, value in (headers or {}).items()}
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            named.setdefault("content-type", "application/json")
        query = parse_qsl(parts.query, keep_blank_values=True)
        return cls(method.upper(), unquote(parts.path), query, named, body)

    def one(self, name: str, default: Optional[str] = None) -> Optional[str]:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)

    def every(self, name: str) -> List[str]:
        """All values of a query parameter, in order."""
        return [value for key, value in self.query if key == name]

    def json(self) -> Any:
        """The body, parsed. Raises ValueError when it is not JSON."""
        return json.loads(self.body.decode("utf-8"))


@dataclass
class Response:
    """An answer. `delay` (seconds) and `half` (only half of the body arrives) come from faults."""

    status: int
    headers: Dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    half: bool = False

    @classmethod
    def of(cls, status: int, document: Any = None,
           headers: Optional[Dict[str, str]] = None) -> Response:
        """A JSON answer; without a document, an empty one."""
        if document is None:
            return cls(status, dict(headers or {}))
        named = {"content-type": "application/json", **(headers or {})}
        return cls(status, named, json.dumps(document).encode())

    def json(self) -> Any:
        return json.loads(self.body.decode("utf-8"))


KINDS = ("status", "reset", "delay", "half_body", "not_json", "drop_answer")


@dataclass
class Fault:
    match: str
    kind: str
    status: int = 500
    headers: Dict[str, str] = field(default_factory=dict)
    times: int = 1
    seconds: float = 0.0
    body: Any = None
    seen: int = 0


class Faults:
    """Trouble to order, used up in the order in which it was added."""

    def __init__(self) -> None:
        self.waiting: List[Fault] = []

    def add(self, match: str, kind: str = "status", status: int = 500,
            headers: Optional[Dict[str, str]] = None, times: int = 1, seconds: float = 0.0,
            body: Any = None) -> Fault:
        """Spoil the next `times` requests whose `METHOD /path` contains `match`.

        status: nothing is done; answered with `status`, `headers` and `body` (JSON; none: empty).
        reset: nothing is done and the connection breaks. drop_answer: it is done, then breaks.
        delay: it is done, the answer comes `seconds` later. half_body: done, the answer is cut.
        not_json: an HTML page with `status`; done only if that is below 400.
        """
        if kind not in KINDS:
            raise ValueError("unknown kind of fault: {}".format(kind))
        fault = Fault(match, kind, status, dict(headers or {}), times, seconds, body)
        self.waiting.append(fault)
        return fault

    def clear(self) -> None:
        self.waiting.clear()

    def take(self, request: Request) -> Optional[Fault]:
        line = "{} {}".format(request.method, request.path)
        for fault in self.waiting:
            if fault.match in line:
                fault.seen += 1
                if fault.seen >= fault.times:
                    self.waiting.remove(fault)
                return fault
        return None

    @staticmethod
    def apply(fault: Fault, answer: Callable[[], Response]) -> Response:
        """Raises ConnectionResetError where the client would see a broken connection."""
        if fault.kind == "reset":
            raise ConnectionResetError("fault: reset before the request was carried out")
        if fault.kind == "status":
            return Response.of(fault.status, fault.body, fault.headers)
        if fault.kind == "not_json":
            if fault.status < 400:
                answer()
            headers = {"content-type": "text/html", **fault.headers}
            return Response(fault.status, headers, b"<html><body>Please wait</body></html>")
        response = answer()
        if fault.kind == "drop_answer":
            raise ConnectionResetError("fault: reset after the request was carried out")
        response.delay = fault.seconds
        response.half = fault.kind == "half_body"
        return response


class Timer:
    """Something to be done at a time. `cancel()` takes it back."""

    def __init__(self, due: datetime, number: int, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Optional[Callable[[], None]] = action
        self._order = (due, number)

    def cancel(self) -> None:
        self.action = None

    def __lt__(self, other: Timer) -> bool:
        return self._order < other._order


class Agenda:
    """Timers in the order of their time, then of their making."""

    def __init__(self) -> None:
        self._heap: List[Timer] = []
        self._made = 0

    def at(self, due: datetime, action: Callable[[], None]) -> Timer:
        self._made += 1
        timer = Timer(due, self._made, action)
        heapq.heappush(self._heap, timer)
        return timer

    def next_due(self) -> Optional[datetime]:
        while self._heap and self._heap[0].action is None:
            heapq.heappop(self._heap)
        return self._heap[0].due if self._heap else None

    def due(self, now: Callable[[], datetime]) -> Iterator[Timer]:
        """Timers whose time has come, also those that are made meanwhile."""
        following = self.next_due()
        while following is not None and following <= now():
            yield heapq.heappop(self._heap)
            following = self.next_due()


class Simulator:
    """Base of the simulators: subclasses write `answer(request)`."""

    def __init__(self, clock: Any = None, sender: Optional[Sender] = None,
                 outbox: Optional[Outbox] = None) -> None:
        self.clock = clock if clock is not None else VirtualClock()
        self.sender: Sender = sender if sender is not None else http_sender
        self.lock = threading.RLock()
        self.faults = Faults()
        self.agenda = Agenda()
        self.outbox = outbox if outbox is not None else Outbox()
        self.requests: List[Request] = []
        self._moment: Optional[datetime] = None

    @property
    def deliveries(self) -> List[Any]:
        """Every webhook delivery ever made, in order."""
        return self.outbox.deliveries

    def now(self) -> datetime:
        """The time of what is being carried out: a timer's own time, else the clock's."""
        return self._moment or self.clock.now()

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        return self.agenda.at(self.now() + timedelta(seconds=seconds), action)

    def answer(self, request: Request) -> Response:
        raise NotImplementedError

    def handle(self, request: Request) -> Response:
        """Answer a request. Raises ConnectionResetError where a fault breaks the connection."""
        with self.lock:
            self.work()
            request.received_at = request.received_at or self.clock.now()
            self.requests.append(request)
            fault = self.faults.take(request)
            if fault is None:
                response = self.answer(request)
            else:
                response = self.faults.apply(fault, lambda: self.answer(request))
            request.status = response.status
            return response

    def tick(self) -> None:
        """Carry out everything due now: timers first, then webhook deliveries and retries."""
        self.work()
        self.deliver()

    def work(self) -> None:
        """Carry out the timers that are due, each at its own time."""
        with self.lock:
            if self._moment is not None:
                return
            for timer in self.agenda.due(self.clock.now):
                self._moment = timer.due
                try:
                    if timer.action is not None:
                        timer.action()
                finally:
                    self._moment = None

    def deliver(self) -> None:
        """Send what is due; the lock is free meanwhile, as receivers may call back."""
        while True:
            with self.lock:
                delivery = self.outbox.take(self.clock.now())
            if delivery is None:
                return
            status = None
            try:
                status = self.sender(delivery.url, dict(delivery.headers), delivery.body)
            except OSError:
                pass
            finally:
                with self.lock:
                    self.outbox.settle(delivery, status, self.clock.now())

    def next_due(self) -> Optional[datetime]:
        """When `tick()` will next have something to do; None: nothing is waiting."""
        with self.lock:
            times = (self.agenda.next_due(), self.outbox.next_due())
            return min((time for time in times if time is not None), default=None)


Method = TypeVar("Method", bound=Callable[..., Any])


def serialised(method: Method) -> Method:
    """For methods that act on a simulator from outside: first what is due, then this, alone."""
    @wraps(method)
    def alone(self: Any, *args: Any, **named: Any) -> Any:
        with self.lock:
            self.work()
            return method(self, *args, **named)
    return cast(Method, alone)


def run(simulators: Sequence[Simulator], seconds: float) -> None:
    """Move the clock that they share, stopping at everything that becomes due on the way."""
    clock = simulators[0].clock
    end = clock.now() + timedelta(seconds=seconds)
    while True:
        for simulator in simulators:
            simulator.tick()
        times = [simulator.next_due() for simulator in simulators]
        following = min((time for time in times if time is not None), default=None)
        if following is None or following > end:
            break
        clock.advance(max(0.0, (following - clock.now()).total_seconds()))
    clock.advance(max(0.0, (end - clock.now()).total_seconds()))
    for simulator in simulators:
        simulator.tick()


def serve(simulator: Simulator, port: int = 0) -> Any:
    """Serve over HTTP on 127.0.0.1, on a free port by default: an object with `url` and `close()`.
    """
    from dev.simulators.server import Server
    return Server(simulator, port=port)
