"""Accept genuine deliveries of both sides, and dispatch them in time.

Knows nothing of StackStorm, and works with real threads and patched by eventlet.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, defaultdict
from logging import Logger
from typing import Any, Dict, Optional, Tuple

from .clock import Clock
from .deliveries import BadDelivery, SignatureMismatch, SignatureMissing
from .errors import describe
from .incidents import format_time
from .pagerduty import webhooks as pagerduty
from .settings import Settings
from .stackflow import webhooks as stackflow
from .webserver import Connection, Refused, Response, WebServer

PAGERDUTY = "pagerduty"
STACKFLOW = "stackflow"
PATHS = {"/webhooks/pagerduty": PAGERDUTY, "/webhooks/stackflow": STACKFLOW}
HEALTH_PATH = "/healthz"
BODY_LIMITS = {PAGERDUTY: 256 * 1024, STACKFLOW: 1024 * 1024}  # bytes; the first is PagerDuty's own
DISPATCH_SECONDS = 3.0
DISPATCH_LIMIT = 8  # at a time; StackStorm's publisher has ten connections to its broker
STATUSES = {SignatureMissing.kind: 401, SignatureMismatch.kind: 503, BadDelivery.kind: 400}
"""PagerDuty drops a delivery that is answered 4xx, and disables the subscription for a day after
three in a row. It repeats a 5xx for 48 hours (developer.pagerduty.com, Webhooks: Overview).
"""
APART_SECONDS = 1.5
"""Two deliveries of one change would start two runs that both find the other side unchanged, and
both write. So the second delivery waits for the run of the first.
"""
HELD_LIMIT = 50  # deliveries that wait at a time; more are dispatched at once, against a flood
LOG_SECONDS = 60.0
POLL_SECONDS = 0.25
DEFAULT_ADDRESS = ("127.0.0.1", 8091)


class Listener:
    """HTTP server of the two webhook endpoints and `/healthz`.

    ``settings`` is None if the config is unusable; ``config_error`` then says why, and the listener
    answers deliveries with 503. ``address`` is None until the port was free. The sensor has three
    methods: ``secrets(source)`` returns those of this moment; ``handle(trigger, payload)``
    dispatches; ``on_ping(number)`` notes which secret, counted from 1, signed a `pagey.ping`.
    """

    def __init__(self, sensor: Any, address: Tuple[str, int], settings: Optional[Settings],
                 config_error: Optional[str], logger: Logger) -> None:
        self.address: Optional[Tuple[str, int]] = None
        self.clock = Clock()
        self._sensor = sensor
        self._wanted = address
        self._settings = settings
        self._config_error = config_error
        self.logger = logger
        self._started_at = format_time(self.clock.now())
        self._counts: Dict[str, Counter[str]] = defaultdict(Counter)
        self._refused: Dict[str, Counter[str]] = defaultdict(Counter)
        self._last: Dict[str, float] = {}
        self._logged: Dict[Tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._dispatches = threading.Semaphore(DISPATCH_LIMIT)
        self._held = threading.Semaphore(HELD_LIMIT)
        self._told: OrderedDict[int, float] = OrderedDict()

    def serve_forever(self) -> None:
        """Serve until :meth:`stop`. Raises OSError if the port is taken."""
        with WebServer(self._wanted, self) as self._server:
            address = self.address = self._server.socket.getsockname()[:2]
            self.logger.info("listening for webhooks on %s port %d", *address)
            self._server.serve_forever(POLL_SECONDS)

    def stop(self) -> None:
        """Stop listening; a dispatch in progress goes on."""
        if self.address:
            self._server.shutdown()

    def health(self) -> Dict[str, Any]:
        """Return the object that `/healthz` shows; ages in seconds."""
        now = self.clock.monotonic()
        shown: Dict[str, Any] = {"status": "ok", "started_at": self._started_at}
        if self._config_error:
            shown.update(status="config_error", error=self._config_error)
        with self._lock:
            for source in BODY_LIMITS:
                shown[source] = {
                    "received": self._counts[source]["received"],
                    "dispatched": self._counts[source]["dispatched"],
                    "refused": dict(self._refused[source]), "seconds_since_last_event":
                    now - self._last[source] if source in self._last else None}
        return shown

    def answer(self, request: Connection) -> Response:
        """Answer one request."""
        source = PATHS.get(request.route)
        if source is None and request.route != HEALTH_PATH:
            return Response(404, {"error": "not found"})
        allowed = ["POST"] if source else ["GET", "HEAD"]
        if request.command not in allowed:
            return Response(405, {"error": "method not allowed"}, {"Allow": ", ".join(allowed)})
        return self._deliver(source, request) if source else Response(200, self.health())

    def _deliver(self, source: str, request: Connection) -> Response:
        with self._lock:
            self._counts[source]["received"] += 1
        try:
            self._take(source, request)
        except Refused as refused:
            return self._refuse(source, refused, request.late)
        except (SignatureMissing, SignatureMismatch, BadDelivery) as error:
            return self._refuse(source, Refused(error.kind, STATUSES[error.kind], error.message))
        except Exception as error:  # a mistake of ours must not cost an event
            return self._refuse(source, Refused("internal", 503, "the listener failed", error))
        with self._lock:
            self._counts[source]["dispatched"] += 1
        return Response(202, {"status": "accepted"})

    def _take(self, source: str, request: Connection) -> None:
        settings = self._settings
        if settings is None:
            raise Refused("config_error", 503, "the pack's config is unusable, see " + HEALTH_PATH)
        secrets = self._sensor.secrets(source)
        if not any(secrets):
            raise Refused("no_secret", 503, "no webhook secret is configured for this endpoint")
        body = request.read_body(BODY_LIMITS[source])
        if source == PAGERDUTY:
            header = ", ".join(request.headers.get_all(pagerduty.SIGNATURE_HEADER, []))
            number = pagerduty.verify(body, header, secrets)
            trigger, payload = pagerduty.EVENT, pagerduty.parse(body)
        else:
            headers = dict(request.headers.items())
            number = stackflow.verify(body, headers, settings.stackflow, secrets)
            trigger, payload = stackflow.parse(body, settings.stackflow)
        with self._lock:
            self._last[source] = self.clock.monotonic()
        self._hold(trigger, payload)
        self._dispatch(request, trigger, payload, number)

    def _hold(self, trigger: str, payload: Dict[str, Any]) -> None:
        """Wait if another delivery has just reported the same, whatever its id and its time."""
        digest = hash(repr(dict(payload, trigger=trigger, event_id=None, occurred_at=None)))
        now = self.clock.monotonic()
        with self._lock:
            while self._told and now - next(iter(self._told.values())) >= APART_SECONDS:
                self._told.popitem(last=False)
            waited = now - self._told[digest] if digest in self._told else APART_SECONDS
            self._told.setdefault(digest, now)
        if waited < APART_SECONDS and self._held.acquire(blocking=False):
            self.clock.sleep(APART_SECONDS - waited)
            self._held.release()

    def _dispatch(self, request: Connection, trigger: str, payload: Dict[str, Any],
                  number: int) -> None:
        """Dispatch. Raises Refused if that fails; if it hangs, the server answers meanwhile."""
        now = self.clock.monotonic()
        deadline = min(now + DISPATCH_SECONDS, request.deadline)
        if not self._dispatches.acquire(timeout=max(deadline - now, 0)):
            raise Refused("busy", 503, "too many events wait for StackStorm")
        request.deadline = deadline
        try:
            self._sensor.handle(trigger, payload)
            if trigger == pagerduty.EVENT and payload["event_type"] == pagerduty.PING:
                self._sensor.on_ping(number)
        except BaseException as error:  # whatever it is, the sender comes again
            raise Refused("dispatch_failed", 503, "StackStorm did not take the event", error)
        finally:
            self._dispatches.release()

    def late(self, request: Connection) -> Response:
        """Answer a request whose dispatch hangs."""
        return self._refuse(PATHS.get(request.route, HEALTH_PATH), Refused(
            "timeout", 503, "StackStorm did not take the event in time"))

    def _refuse(self, source: str, refused: Refused, late: bool = False) -> Response:
        """Count it, unless it is late, and say why in the log: once a minute for each reason."""
        now, cause = self.clock.monotonic(), refused.cause
        with self._lock:
            if not late:
                self._refused[source][refused.reason] += 1
            if now - self._logged.get((source, refused.reason), -LOG_SECONDS) < LOG_SECONDS:
                return refused.response
            self._logged[source, refused.reason] = now
        self.logger.warning("a webhook of %s was answered %d: %s%s", source,
                            refused.response.status, refused,
                            " (%s)" % describe(cause) if cause else "")
        return refused.response
