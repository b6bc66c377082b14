"""Poll StackFlow's list of incidents: which records changed.

docs.stackflow-tech.com, api/incidents.html, List query parameters: no filter knows `updated_at`, so
the newest records are read until one is older than the last poll.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import Any, Dict, Iterator, List, Mapping
from urllib.parse import quote

from .deliveries import as_object, text, time_text
from .events import UPDATED
from .incidents import STACKFLOW_NUMBER, StackFlowIncident, parse_time
from .pairs import UnreadableError
from .polling import AHEAD, Event, Item, Poller
from .stackflow.client import PAGE, PAGES
from .stackflow.records import TEXTS, TIMES, canonical_record
from .stackflow.webhooks import event_of

MOST = PAGE * PAGES  # rows that one poll reads
NEWEST = (("sort", "updated_at"), ("order", "desc"))


class StackFlowPoller(Poller):
    """Poll StackFlow's records."""

    sensor = "StackFlowPollingSensor"

    def look(self) -> None:
        rows = self.cursor.read(map(_row, self.pack.stackflow.pages("/incidents", NEWEST)))
        if len(rows) >= MOST:
            self.logger.warning("more than %d records changed: the oldest changes are left to the "
                                "reconcile", MOST)
        for row in reversed(rows):
            if not self.cursor.knows(row):
                self.take(row.key, partial(self._events, row))
        self.cursor.advance(rows + self.noted, self.pack.clock.now() + AHEAD)

    def events_of(self, record_id: str) -> List[Event]:
        answer = as_object(self.pack.stackflow.call(
            "GET", "/incidents/" + quote(record_id, safe="")))
        return self._events(_row(as_object(answer.get("data", answer))))

    def _events(self, row: Item) -> List[Event]:
        settings = self.pack.settings.stackflow
        record = StackFlowIncident.from_record(canonical_record(row.fields, settings.states))
        if not STACKFLOW_NUMBER.match(record.number) or not record.state:
            raise UnreadableError("its number is %r, its state %r" % (record.number, record.state))
        new = row.key not in self.cursor.seen and (
            record.created_at is not None and record.created_at >= self.cursor.since)
        stamp = time_text(row.fields.get("updated_at"))
        documents: List[Dict[str, Any]] = [{
            "event": "incident.created" if new else UPDATED, "timestamp": stamp,
            "event_id": "%s:%s:%s" % (row.key, stamp, row.digest)}]
        if self.pack.settings.sync_notes and self.pack.links.read(record.number) is not None:
            notes = self.new_notes(record.number, partial(self._notes, record.number)) or []
            documents += [{"event": "incident.comment_added", "event_id": note.key,
                           "note": note.fields, "timestamp": note.fields.get("created_at")}
                          for note in notes]
        return [event_of(dict(document, incident=row.fields), settings, row.digest, "poll")
                for document in documents]

    def _notes(self, number: str) -> Iterator[Item]:
        """Yield the notes of a record that people can see."""
        for fields in self.pack.stackflow.pages("/incidents/%s/notes" % number):
            if fields.get("visibility") != "internal":
                key = "%s:%s" % (number, text(fields.get("id")) or _digest(fields))
                yield Item(key, parse_time(time_text(fields.get("created_at"))), "", fields)


def _row(fields: Mapping[str, Any]) -> Item:
    """Return a record. Its digest tells two changes of one second apart."""
    digest = _digest([fields.get(name) for name in TEXTS + TIMES])
    return Item(text(fields.get("number")) or text(fields.get("id")) or digest,
                parse_time(time_text(fields.get("updated_at"))), digest, fields)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
