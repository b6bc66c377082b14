"""Run a polling sensor: its cursor, the records that it cannot read, and pauses after failures.

The cursor is stored after everything was dispatched. A poll that ends before that is repeated, and
its events come again with the same ids.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from logging import Logger
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from .clock import Clock
from .deliveries import loads
from .dispatching import Dispatcher, SensorService
from .errors import ApiError, ConfigError, DatastoreError, NotFoundError, PackError, describe
from .incidents import format_time, parse_time
from .pack import Pack
from .settings import load

OVERLAP = timedelta(seconds=60)  # a change may show up so late behind others
AHEAD = timedelta(minutes=5)  # a stamp further ahead is a mistake, and would hide later changes
RETRIES = 10  # records that are read again in one poll
GIVEN_UP = timedelta(days=1)  # then a record that cannot be read is left alone
FIRST_PAUSE, LONGEST_PAUSE = 30, 600  # seconds after a failure, doubled with each further one
KNOWN = 100  # so many known items in a row of a list end its reading

Event = Tuple[str, Dict[str, Any]]  # a trigger's name without the pack, and the payload


class Item(NamedTuple):
    """One item of a list: its key, its stamp, a digest of its fields, and the fields themselves."""

    key: str
    stamp: Optional[datetime]
    digest: str
    fields: Mapping[str, Any]


@dataclass
class Cursor:
    """How far the polls of a side are.

    ``at``: the newest stamp that was seen, by the side's own clock; ``seen``: stamp and digest of
    newer items, by key; ``again``: when a record could not be read for the first time, by id.
    """

    at: datetime
    seen: Dict[str, Tuple[datetime, str]] = field(default_factory=dict)
    again: Dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_text(cls, text: Optional[str], otherwise: datetime) -> Cursor:
        """Read a stored cursor. If there is none, or somebody broke it, begin at ``otherwise``."""
        try:
            data = loads(text or "{}")
            cursor = cls(parse_time(data.get("at")) or otherwise, again=dict(data.get("again", {})))
            for key, (stamp, digest) in data.get("seen", {}).items():
                cursor.seen[key] = parse_time(stamp) or cursor.at, digest
            return cursor
        except (AttributeError, TypeError, ValueError):
            return cls(otherwise)

    def to_text(self) -> str:
        """Return the cursor as it is stored."""
        seen = {key: [format_time(stamp), digest] for key, (stamp, digest) in self.seen.items()}
        return json.dumps({"at": format_time(self.at), "again": self.again, "seen": seen})

    @property
    def since(self) -> datetime:
        """Return where the next poll begins."""
        return self.at - OVERLAP

    def knows(self, item: Item) -> bool:
        """Return whether an item was seen as it is."""
        return item.key in self.seen and self.seen[item.key][1] == item.digest

    def read(self, listed: Iterable[Item]) -> List[Item]:
        """Read a list from its newest item on, until nothing new is to be expected."""
        found: List[Item] = []
        known = 0
        for item in listed:
            if item.stamp and item.stamp < self.since:
                break
            found.append(item)
            known = known + 1 if self.knows(item) else 0
            if known == KNOWN:
                break
        return found

    def advance(self, items: Iterable[Item], end: datetime) -> None:
        """Remember items as dispatched, and go on to the newest stamp up to ``end``."""
        for item in items:
            if item.key:  # else it would not be known again
                self.seen[item.key] = item.stamp or self.at, item.digest
            if item.stamp and item.stamp <= end:
                self.at = max(self.at, item.stamp)
        self.seen = {key: value for key, value in self.seen.items() if value[0] >= self.since}


class Poller(ABC):
    """Poll one side; ``sensor`` is the name of its sensor, under which the cursor is stored.

    ``noted`` are the notes that were dispatched since the cursor was advanced.
    """

    sensor: str
    cursor: Cursor
    noted: List[Item]

    def __init__(self, pack: Pack, dispatcher: Dispatcher, logger: Logger) -> None:
        self.pack = pack
        self.dispatcher = dispatcher
        self.logger = logger

    def poll(self) -> None:
        """Poll once, the first time from the first run on.

        Raises PackError, or whatever StackStorm's own dispatch raises; nothing is lost then.
        """
        self.pack.transport.renew()
        start = parse_time(self.pack.start.ensure(self.pack.clock)) or self.pack.clock.now()
        self._stored = self.pack.datastore.value("cursor." + self.sensor)
        self.cursor = Cursor.from_text(self._stored, start)
        self.noted = []
        self.look()
        for record_id in list(self.cursor.again)[:RETRIES]:
            self.take(record_id, partial(self.events_of, record_id))
        self.store()

    @abstractmethod
    def look(self) -> None:
        """Take every record that changed since the cursor, and advance the cursor."""

    @abstractmethod
    def events_of(self, record_id: str) -> List[Event]:
        """Return the events of one record, read by its id."""

    def take(self, record_id: str, events: Callable[[], List[Event]]) -> None:
        """Dispatch the events of one record. If it cannot be read, put it off."""
        try:
            found = events()
        except NotFoundError:
            found = []
        except DatastoreError:
            raise
        except Exception as error:
            self._put_off(record_id, error)
            return
        self.cursor.again.pop(record_id, None)
        for trigger, payload in found:
            self.dispatcher.dispatch(trigger, payload)

    def new_notes(self, record_id: str, read: Callable[[], Iterable[Item]]) -> Optional[List[Item]]:
        """Return the notes with a new time, the oldest first.

        None if they cannot be read, as the record's state must not wait for them.
        """
        try:
            found = [note for note in read() if note.stamp and note.stamp >= self.cursor.since and
                     note.key not in self.cursor.seen]
        except ApiError as error:
            self.logger.warning("the notes of %s cannot be read: %s", record_id, describe(error))
            return None
        self.noted += found
        return sorted(found, key=lambda note: note.stamp or self.cursor.at)

    def store(self) -> None:
        """Store the cursor if it changed."""
        text = self.cursor.to_text()
        if text != self._stored:
            self.pack.datastore.set("cursor." + self.sensor, text, None)
            self._stored = text

    def _put_off(self, record_id: str, error: Exception) -> None:
        now, since = self.pack.clock.now(), self.cursor.again.pop(record_id, None)
        first = parse_time(since) or now
        if now - first > GIVEN_UP:
            self.logger.error("%s is given up: %s", record_id, describe(error))
            return
        if since is None:
            self.logger.warning("%s cannot be read, and is tried again: %s", record_id,
                                describe(error), exc_info=not isinstance(error, PackError))
        self.cursor.again[record_id] = format_time(first)  # behind the others


class Polling:
    """Run a poller as a sensor that never fails: StackStorm restarts one twice, and then never."""

    def __init__(self, service: SensorService, config: Any,
                 poller: Callable[[Pack, Dispatcher, Logger], Any], logger: Logger,
                 clock: Optional[Clock] = None) -> None:
        self._clock = clock or Clock()
        self._logger = logger
        self._poller: Any = None
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
        """Poll once, unless an earlier poll failed a short time ago."""
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
