"""The webhook listener: takes genuine deliveries of both sides and hands them on within their
senders' patience.

Knows nothing of StackStorm, and works with real threads and under eventlet alike.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from datetime import datetime
from logging import Logger
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from .clock import Clock
from .deliveries import BadDelivery, SignatureMismatch, SignatureMissing
from .errors import words_of
from .http_connection import Answer, Refused, Request
from .incidents import format_time
from .pagerduty import webhooks as pagerduty
from .settings import Settings
from .stackflow import webhooks as stackflow
from .webserver import WebServer

PAGERDUTY = "pagerduty"
STACKFLOW = "stackflow"
PATHS = {"/webhooks/pagerduty": PAGERDUTY, "/webhooks/stackflow": STACKFLOW}
HEALTH_PATH = "/healthz"
BODY_LIMITS = {PAGERDUTY: 256 * 1024, STACKFLOW: 1024 * 1024}
"""Bytes; PagerDuty drops larger ones itself (developer.pagerduty.com, Webhooks: Overview)."""
DISPATCH_SECONDS = 3.0
DISPATCH_LIMIT = 8
"""Dispatches at a time; StackStorm's own publisher has ten connections to its broker."""
STATUSES = {SignatureMissing.kind: 401, SignatureMismatch.kind: 503, BadDelivery.kind: 400}
"""PagerDuty drops what is answered 4xx, and after three in a row disables the subscription for a
day; a 5xx comes again for 48 hours (developer.pagerduty.com, Webhooks: Overview).
"""
APART_SECONDS = 1.5
"""What is told twice at once would start two runs that both find the other side unchanged, and both
write. So the second telling waits this long, and finds what the first one's run has done.
"""
HELD_LIMIT = 50
"""Deliveries that wait for this at a time; more are handed on at once, as a sender may do harm."""
LOG_SECONDS = 60.0
DEFAULT_ADDRESS = ("127.0.0.1", 8091)


class Listener:
    """HTTP server of the two webhook endpoints and `/healthz`.

    ``settings`` is None where the config is unusable; ``config_error`` then says why, deliveries
    are answered 503, and ``address`` is listened on. ``secrets`` gives the secrets of a source at
    this moment. ``handle`` gets the name of a trigger, without its pack, and the payload; 202 when
    it returns in time, 503 when it raises. ``on_ping`` gets the number, from 1, of the secret that
    signed a `pagey.ping`.
    """

    def __init__(self, settings: Optional[Settings], config_error: Optional[str],
                 secrets: Callable[[str], Sequence[str]],
                 handle: Callable[[str, Dict[str, Any]], None], on_ping: Callable[[int], None],
                 clock: Clock, logger: Logger,
                 address: Tuple[str, int] = DEFAULT_ADDRESS) -> None:
        self._settings = settings
        self._config_error = config_error
        self._secrets = secrets
        self._handle = handle
        self._on_ping = on_ping
        self._clock = clock
        self._logger = logger
        self._started_at = clock.now()
        self._counts: Dict[str, Counter[str]] = {source: Counter() for source in BODY_LIMITS}
        self._refused: Dict[str, Counter[str]] = {source: Counter() for source in BODY_LIMITS}
        self._last: Dict[str, datetime] = {}
        self._logged: Dict[Tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._dispatches = threading.Semaphore(DISPATCH_LIMIT)
        self._held = threading.Semaphore(HELD_LIMIT)
        self._told: OrderedDict[bytes, float] = OrderedDict()
        if settings is not None:
            address = (settings.listener.host, settings.listener.port)
        self._server = WebServer(address, self.answer, clock, logger)
        self.start = self._server.start
        self.serve_forever = self._server.serve_forever

    @property
    def address(self) -> Optional[Tuple[str, int]]:
        """Host and port that are listened on; None until the port was free."""
        return self._server.address

    def stop(self) -> None:
        """Stop listening; a dispatch that is under way goes on."""
        self._server.stop()

    def health(self) -> Dict[str, Any]:
        """The object that `/healthz` shows; ages in seconds."""
        now = self._clock.now()
        shown: Dict[str, Any] = {"status": "config_error" if self._config_error else "ok"}
        if self._config_error:
            shown["error"] = self._config_error
        shown["started_at"] = format_time(self._started_at)
        with self._lock:
            for source, counts in self._counts.items():
                last = self._last.get(source)
                shown[source] = {
                    "received": counts["received"], "dispatched": counts["dispatched"],
                    "refused": dict(self._refused[source]),
                    "seconds_since_last_event": (now - last).total_seconds() if last else None}
        return shown

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        source = PATHS.get(request.path)
        if source is None and request.path != HEALTH_PATH:
            return Answer(404, {"error": "not found"})
        allowed = "GET" if source is None else "POST"
        if request.method != allowed:
            return Answer(405, {"error": "method not allowed"}, {"Allow": allowed})
        return Answer(200, self.health()) if source is None else self._deliver(source, request)

    def _deliver(self, source: str, request: Request) -> Answer:
        with self._lock:
            self._counts[source]["received"] += 1
        try:
            self._take(source, request)
        except Refused as refused:
            return self._refuse(source, refused, refused.__cause__)
        except (SignatureMissing, SignatureMismatch, BadDelivery) as error:
            return self._refuse(source, Refused(error.kind, STATUSES[error.kind], error.message))
        except Exception as error:  # a mistake of ours must not cost an event
            return self._refuse(source, Refused("internal", 503, "the listener failed"), error)
        with self._lock:
            self._counts[source]["dispatched"] += 1
        return Answer(202, {"status": "accepted"})

    def _take(self, source: str, request: Request) -> None:
        settings = self._settings
        if settings is None or self._config_error:
            raise Refused("config_error", 503, "the pack's config is unusable, see " + HEALTH_PATH)
        secrets = self._secrets(source)
        if not any(secrets):
            raise Refused("no_secret", 503, "no webhook secret is configured for this endpoint")
        body = request.read_body(BODY_LIMITS[source])
        if source == PAGERDUTY:
            header = request.headers.get(pagerduty.SIGNATURE_HEADER.lower())
            number = pagerduty.verify(body, header, secrets)
            trigger, payload = pagerduty.EVENT, pagerduty.parse(body)
        else:
            number = stackflow.verify(body, request.headers, settings.stackflow, secrets)
            trigger, payload = stackflow.parse(body, settings.stackflow)
        with self._lock:
            self._last[source] = self._clock.now()
        self._hold(trigger, payload)

        def work() -> None:
            self._handle(trigger, payload)
            if source == PAGERDUTY and payload["event_type"] == pagerduty.PING:
                self._on_ping(number)

        self._in_time(source, request, work)

    def _hold(self, trigger: str, payload: Dict[str, Any]) -> None:
        """Wait where another delivery has just told the same, whatever its id and its time."""
        told = dict(payload, trigger=trigger, event_id=None, occurred_at=None)
        digest = hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).digest()
        now = self._clock.monotonic()
        with self._lock:
            while self._told and now - next(iter(self._told.values())) >= APART_SECONDS:
                self._told.popitem(last=False)
            waited = now - self._told[digest] if digest in self._told else APART_SECONDS
            self._told.setdefault(digest, now)
        if waited < APART_SECONDS and self._held.acquire(blocking=False):
            try:
                self._clock.sleep(APART_SECONDS - waited)
            finally:
                self._held.release()

    def _in_time(self, source: str, request: Request, work: Callable[[], None]) -> None:
        """Do the work; Refused where it fails. Where it hangs, the server answers meanwhile, and a
        failure after that is not counted once more.
        """
        deadline = min(self._clock.monotonic() + DISPATCH_SECONDS, request.deadline)
        if not self._dispatches.acquire(timeout=max(deadline - self._clock.monotonic(), 0)):
            raise Refused("busy", 503, "too many events wait for StackStorm")
        is_in_time = request.answer_at(deadline, lambda: self._refuse(source, Refused(
            "timeout", 503, "StackStorm did not take the event in time")))
        try:
            work()
        except BaseException as error:  # whatever it is, the sender comes again
            raise Refused("dispatch_failed", 503, "StackStorm did not take the event",
                          too_late=not is_in_time()) from error
        finally:
            self._dispatches.release()

    def _refuse(self, source: str, refused: Refused,
                cause: Optional[BaseException] = None) -> Answer:
        """Count it, unless it comes too late, and say why in the log: once a minute for each reason.
        """
        now = self._clock.monotonic()
        with self._lock:
            if not refused.too_late:
                self._refused[source][refused.reason] += 1
            last = self._logged.get((source, refused.reason))
            if last is not None and now - last < LOG_SECONDS:
                return refused.answer()
            self._logged[source, refused.reason] = now
        self._logger.warning("a webhook of %s was answered %d: %s%s", source, refused.status,
                             refused, " (%s)" % words_of(cause) if cause else "")
        return refused.answer()
