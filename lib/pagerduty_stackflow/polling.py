"""What keeps a polling sensor going: its cursor, what becomes of a record that cannot be read, and
patience after failures.

The cursor is stored after everything was dispatched. A poll that ends anywhere before is repeated:
its events come again with the same ids, and the actions behind them do no harm twice.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from logging import Logger
from typing import Any, Callable, Dict, Iterable, List, Optional, Protocol, Tuple

from .clock import Clock
from .deliveries import as_object, loads
from .dispatching import Dispatcher, SensorService
from .errors import ConfigError, DatastoreError, NotFoundError, PackError, describe
from .incidents import format_time, parse_time
from .pack import Pack
from .settings import load

OVERLAP = timedelta(seconds=60)
"""How late a change may show up behind others with later stamps."""
AHEAD = timedelta(minutes=5)
"""How far a stamp may be ahead of our clock. What is further is a mistake in one record, and would
hide what comes after it.
"""
RETRIES = 10
"""Records that are read again in one poll."""
GIVEN_UP = timedelta(days=1)
"""After this time a record that cannot be read is left alone."""
FIRST_PAUSE, LONGEST_PAUSE = 30, 600
"""Seconds without a poll after a failure; doubled with each further one."""

Event = Tuple[str, Dict[str, Any]]
"""A trigger's name without the pack, and the payload."""
Item = Tuple[str, Optional[datetime], str]
"""What was seen: its key, its stamp, a fingerprint of what it looked like."""


@dataclass
class Cursor:
    """How far the polls of a side are.

    ``at``: the newest stamp that was seen, by the side's own clock; ``seen``: stamp and fingerprint
    of what was seen since OVERLAP before that, by key; ``again``: ids of records that could not be
    read, with our time of the first try.
    """

    at: datetime
    seen: Dict[str, Tuple[datetime, str]] = field(default_factory=dict)
    again: Dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_text(cls, text: Optional[str], otherwise: datetime) -> Cursor:
        """A stored cursor; where there is none, or somebody edited it, one that stands at
        ``otherwise``.
        """
        try:
            data = as_object(loads(text or "{}"))
        except ValueError:
            data = {}
        cursor = cls(parse_time(data.get("at")) or otherwise)
        for key, value in as_object(data.get("seen")).items():
            stamp = parse_time(value[0]) if isinstance(value, list) and len(value) == 2 else None
            if stamp is not None:
                cursor.seen[key] = stamp, str(value[1])
        cursor.again = {key: str(since) for key, since in as_object(data.get("again")).items()}
        return cursor

    def to_text(self) -> str:
        """As it is stored."""
        seen = {key: [format_time(stamp), fingerprint]
                for key, (stamp, fingerprint) in self.seen.items()}
        return json.dumps({"at": format_time(self.at), "again": self.again, "seen": seen})

    @property
    def since(self) -> datetime:
        """From where the next look begins."""
        return self.at - OVERLAP

    def advance(self, items: Iterable[Item], now: datetime) -> None:
        """Everything in ``items`` was taken care of."""
        for key, stamp, fingerprint in items:
            stamp = stamp or self.at
            self.seen[key] = stamp, fingerprint
            if stamp <= now + AHEAD:
                self.at = max(self.at, stamp)
        self.seen = {key: value for key, value in self.seen.items() if value[0] >= self.since}


class Poller(ABC):
    """Looks for the changes of one side; its cursor is stored under the name of its sensor.

    ``start`` is the time of the first run: before the first poll there is no cursor, and it begins
    there.
    """

    sensor: str
    start: datetime
    cursor: Cursor

    def __init__(self, pack: Pack, dispatcher: Dispatcher, logger: Logger) -> None:
        self.pack = pack
        self.dispatcher = dispatcher
        self.logger = logger
        self._stored: Optional[str] = None

    def poll(self) -> None:
        """Look once. Raises PackError, or whatever StackStorm's own dispatch raises; nothing is lost
        then.
        """
        clock = self.pack.clock
        self.pack.transport.renew()
        self.start = parse_time(self.pack.start.ensure(clock)) or clock.now()
        self._stored = self.pack.cursors.read(self.sensor)
        self.cursor = Cursor.from_text(self._stored, self.start)
        self.look()
        for record_id in list(self.cursor.again)[:RETRIES]:
            self.take(record_id, partial(self.events_of, record_id))
        self.store()

    @abstractmethod
    def look(self) -> None:
        """Take what changed since the cursor, and advance it."""

    @abstractmethod
    def events_of(self, record_id: str) -> List[Event]:
        """The events of one record, read by its id."""

    def take(self, record_id: str, events: Callable[[], List[Event]]) -> None:
        """Dispatch the events of one record. If they cannot be told, it is put off, and the others
        do not wait for it; a datastore that does not answer ends the poll.
        """
        try:
            found = events()
        except DatastoreError:
            raise
        except Exception as error:
            self._put_off(record_id, error)
            return
        self.cursor.again.pop(record_id, None)
        for trigger, payload in found:
            self.dispatcher.dispatch(trigger, payload)

    def store(self) -> None:
        """Store the cursor, where it is another than before."""
        text = self.cursor.to_text()
        if text != self._stored:
            self.pack.cursors.write(self.sensor, text)
            self._stored = text

    def _put_off(self, record_id: str, error: Exception) -> None:
        now = self.pack.clock.now()
        since = self.cursor.again.pop(record_id, None)
        if isinstance(error, NotFoundError):
            return
        first = parse_time(since) or now
        if now - first > GIVEN_UP:
            self.logger.error("%s is given up: %s", record_id, describe(error))
            return
        if since is None:
            self.logger.warning("%s cannot be read, and is tried again: %s", record_id,
                                describe(error), exc_info=not isinstance(error, PackError))
        self.cursor.again[record_id] = format_time(first)


class Poll(Protocol):
    """What :class:`Polling` repeats."""

    def poll(self) -> None:
        """Look once; raises what ends this look."""


class Polling:
    """The whole of a polling sensor: :meth:`poll` never raises, as StackStorm starts an ended sensor
    twice again, and then never.
    """

    def __init__(self, service: SensorService, config: Any,
                 poller: Callable[[Pack, Dispatcher, Logger], Poll], logger: Logger,
                 clock: Optional[Clock] = None) -> None:
        self._clock = clock or Clock()
        self._logger = logger
        self._poller: Optional[Poll] = None
        self._failures = 0
        self._resume_at = 0.0
        try:
            settings = load(config)
        except ConfigError as error:
            logger.error("the config is unusable, nothing is polled:\n%s\n%s", error.message,
                         error.hint)
            return
        for warning in settings.warnings:
            logger.warning(warning)
        self._poller = poller(Pack(settings, service, self._clock),
                              Dispatcher(service, settings, self._clock), logger)

    def poll(self) -> None:
        """Look once, unless an earlier look failed a short time ago."""
        if self._poller is None or self._clock.monotonic() < self._resume_at:
            return
        try:
            self._poller.poll()
            self._failures = 0
        except Exception as error:
            pause = min(FIRST_PAUSE * 2 ** self._failures, LONGEST_PAUSE)
            self._failures += 1
            self._resume_at = self._clock.monotonic() + pause
            self._logger.error("the poll failed, the next is in %d s: %s", pause, describe(error),
                               exc_info=not isinstance(error, PackError))
