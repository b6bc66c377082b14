"""Webhook deliveries: queued, sent, tried again, with switches to lose, double or reorder them."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple
from urllib.parse import urlsplit

SEND_TIMEOUT_SECONDS = 5.0

Sender = Callable[[str, Dict[str, str], bytes], int]


def http_sender(url: str, headers: Dict[str, str], body: bytes) -> int:
    """POST and return the status. Raises OSError when no answer comes within five seconds."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SEND_TIMEOUT_SECONDS)
    target = parts.path or "/"
    if parts.query:
        target += "?" + parts.query
    try:
        connection.request("POST", target, body=body, headers=headers)
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError("no usable answer: {}".format(type(error).__name__)) from error
    finally:
        connection.close()


@dataclass(eq=False)
class Delivery:
    """One webhook. `id` stays the same over its retries.

    `scope` is the subscription it belongs to, `queue` the chain in which order is kept (None: no
    order). `attempts` holds (time, status or None for no answer). `state` is one of waiting,
    sending, delivered, dropped (refused for good, or given up) and lost (never sent).
    """

    id: str
    scope: str
    queue: Optional[str]
    url: str
    headers: Dict[str, str]
    body: bytes
    created_at: datetime
    due: datetime
    state: str = "waiting"
    attempts: List[Tuple[datetime, Optional[int]]] = field(default_factory=list)


def retry_server_trouble(status: Optional[int]) -> bool:
    """Retried by default: no answer, 429 and 5xx."""
    return status is None or status == 429 or status >= 500


class Outbox:
    """Deliveries with their retry rule.

    `delays` are the seconds before each retry (the last one repeats), `keep_for` the seconds after
    which a delivery is given up, `is_retried` says it of a status (None: no answer came), and
    `on_settled` is called with each delivery that was delivered or dropped. `to_lose` and
    `to_double` count down as deliveries come.
    """

    def __init__(self, delays: Sequence[float] = (10, 60, 600), keep_for: float = 3600,
                 is_retried: Callable[[Optional[int]], bool] = retry_server_trouble,
                 on_settled: Optional[Callable[[Delivery], None]] = None) -> None:
        self.delays = list(delays)
        self.keep_for = keep_for
        self.is_retried = is_retried
        self.on_settled = on_settled
        self.deliveries: List[Delivery] = []
        self._waiting: List[Delivery] = []
        self._sending: List[Delivery] = []
        self.to_lose = 0
        self.to_double = 0
        self._held = False
        self._reordered = False

    def lose(self, count: int = 1) -> None:
        """The next `count` deliveries are never sent."""
        self.to_lose += count

    def double(self, count: int = 1) -> None:
        """The next `count` deliveries are sent twice, with the same id."""
        self.to_double += count

    def hold(self) -> None:
        """Send nothing until `release()`."""
        self._held = True

    def release(self) -> None:
        self._held = False

    def reorder(self, on: bool = True) -> None:
        """Send the newest first and forget about queues."""
        self._reordered = on

    def post(self, delivery: Delivery) -> None:
        """Queue a delivery."""
        self.deliveries.append(delivery)
        if self.to_lose:
            self.to_lose -= 1
            delivery.state = "lost"
            return
        self._waiting.append(delivery)
        if self.to_double:
            self.to_double -= 1
            twin = Delivery(delivery.id, delivery.scope, delivery.queue, delivery.url,
                            dict(delivery.headers), delivery.body, delivery.created_at,
                            delivery.due)
            self.deliveries.append(twin)
            self._waiting.append(twin)

    def discard(self, scope: str) -> None:
        """Lose everything of a subscription that still waits."""
        for delivery in [item for item in self._waiting if item.scope == scope]:
            delivery.state = "lost"
            self._waiting.remove(delivery)

    def pending(self) -> List[Delivery]:
        """Deliveries still on their way."""
        return self._sending + self._waiting

    def next_due(self) -> Optional[datetime]:
        if self._held:
            return None
        return min((item.due for item in self._ready()), default=None)

    def take(self, now: datetime) -> Optional[Delivery]:
        """The next delivery to send, now in state `sending`; `settle` must follow."""
        if self._held:
            return None
        for delivery in self._ready():
            if delivery.due <= now:
                self._waiting.remove(delivery)
                self._sending.append(delivery)
                delivery.state = "sending"
                return delivery
        return None

    def settle(self, delivery: Delivery, status: Optional[int], now: datetime) -> None:
        """Note what came back: delivered, tried again later, or dropped."""
        self._sending.remove(delivery)
        delivery.attempts.append((now, status))
        if status is not None and 200 <= status < 300:
            delivery.state = "delivered"
        elif self.is_retried(status) and self._retry(delivery, now):
            return
        else:
            delivery.state = "dropped"
        if self.on_settled is not None:
            self.on_settled(delivery)

    def _retry(self, delivery: Delivery, now: datetime) -> bool:
        delay = self.delays[min(len(delivery.attempts), len(self.delays)) - 1]
        due = now + timedelta(seconds=delay)
        if due > delivery.created_at + timedelta(seconds=self.keep_for):
            return False
        delivery.due = due
        delivery.state = "waiting"
        # In front: whatever queued up behind it keeps waiting behind it.
        self._waiting.insert(0, delivery)
        return True

    def _ready(self) -> Iterator[Delivery]:
        """What may be sent by its place in the queues; lazily, as many may wait."""
        if self._reordered:
            yield from sorted(self._waiting, key=lambda item: item.created_at)[::-1]
            return
        busy: Set[Optional[str]] = {item.queue for item in self._sending}
        for delivery in self._waiting:
            if delivery.queue is None or delivery.queue not in busy:
                yield delivery
            busy.add(delivery.queue)
