"""The two polling sensors: which incidents changed, and what each is now. The decision says what
follows.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any, Dict, Iterable, Iterator, List, Sequence
from urllib.parse import quote

from .deliveries import as_object, text, time_text
from .errors import ApiError, describe
from .events import UPDATED
from .fields import PAGERDUTY
from .incidents import STACKFLOW_NUMBER, PagerDutyIncident, StackFlowIncident, parse_time
from .pagerduty import polling as log
from .pairs import STATUSES, UnreadableError
from .polling import Event, Item, Poller
from .prefilter import TRIGGERS
from .stackflow import polling as records
from .stackflow.records import canonical_record
from .stackflow.webhooks import event_of

SETTLED = timedelta(seconds=5)
"""Log entries that are younger are left to the next poll, as others may still come between them."""


class PagerDutyPoller(Poller):
    """Looks into PagerDuty's log."""

    sensor = "PagerDutyPollingSensor"

    def look(self) -> None:
        """A long time is looked through window by window, and the cursor stored after each: the next
        poll goes on where this one ends.
        """
        now = self.pack.clock.now()
        windows = log.new_entries(self.pack.rest, self.cursor.since, now - SETTLED,
                                  self.cursor.seen)
        for entries in windows:
            changes, nameless = log.changes(entries, self.cursor.seen)
            for entry_id in nameless:
                self.logger.warning("log entry %s names no incident, and is passed over", entry_id)
            for change in changes:
                self.take(change.incident_id, partial(self._events, change))
            self.cursor.advance(_items(entries), now)
            self.store()

    def events_of(self, record_id: str) -> List[Event]:
        answer = self.pack.rest.call("GET", "/incidents/" + quote(record_id, safe=""))
        return self._events(log.Change(record_id, as_object(answer.get("incident"))))

    def _events(self, change: log.Change) -> List[Event]:
        incident = PagerDutyIncident.from_rest(change.incident)
        if incident.status not in STATUSES:
            raise UnreadableError("its status is %r" % incident.status)
        numbers = self.pack.links.numbers(incident.id)
        born = not numbers and incident.status != "resolved" and change.is_new
        payloads = [log.event(change, "incident.triggered" if born else UPDATED)]
        payloads += log.note_events(change, self._notes(change) if numbers else ())
        return [(TRIGGERS[PAGERDUTY], payload) for payload in payloads]

    def _notes(self, change: log.Change) -> Sequence[Any]:
        """The incident's notes, which log entries lack; asked for only where they are copied."""
        if not change.notes or not self.pack.settings.sync_notes:
            return ()
        try:
            return log.notes(self.pack.rest, change.incident_id)
        except ApiError as error:
            self.logger.warning("the notes of %s cannot be read: %s", change.incident_id,
                                describe(error))
            return ()


def _items(entries: Iterable[log.Entry]) -> Iterator[Item]:
    """What the cursor remembers of log entries; one without an id would not be known again."""
    for entry in entries:
        entry_id = text(entry.get("id"))
        if entry_id is not None:
            yield entry_id, parse_time(entry.get("created_at")), ""


class StackFlowPoller(Poller):
    """Looks at StackFlow's records."""

    sensor = "StackFlowPollingSensor"

    def look(self) -> None:
        client, cursor, now = self.pack.stackflow, self.cursor, self.pack.clock.now()
        known = {key: fingerprint for key, (_, fingerprint) in cursor.seen.items()}
        self._noted: List[Item] = []
        rows = records.changed(client, cursor.since, known)
        if len(rows) >= records.MOST:
            self.logger.warning("more than %d records changed: the oldest changes are left to the "
                                "reconcile", records.MOST)
        for row in reversed(rows):
            if known.get(row.key) != row.fingerprint:
                self.take(row.key, partial(self._events, row, row.key not in known))
        cursor.advance([(row.key, row.updated_at, row.fingerprint) for row in rows] + self._noted,
                       now)

    def events_of(self, record_id: str) -> List[Event]:
        answer = as_object(self.pack.stackflow.call("GET", "/incidents/" +
                                                    quote(record_id, safe="")))
        return self._events(records.row_of(as_object(answer.get("data", answer))), False)

    def _events(self, row: records.Row, unseen: bool) -> List[Event]:
        settings = self.pack.settings.stackflow
        record = StackFlowIncident.from_record(canonical_record(row.fields, settings.states))
        if not STACKFLOW_NUMBER.match(record.number) or not record.state:
            raise UnreadableError("its number is %r, its state %r" % (record.number, record.state))
        created_at = record.created_at
        new = unseen and created_at is not None and created_at >= self.cursor.since
        stamp = time_text(row.fields.get("updated_at"))
        documents: List[Dict[str, Any]] = [{
            "event": "incident.created" if new else UPDATED, "timestamp": stamp,
            "event_id": "%s:%s:%s" % (row.key, stamp, row.fingerprint)}]
        documents += self._comments(record.number)
        return [event_of(dict(document, incident=row.fields), settings, row.fingerprint, "poll")
                for document in documents]

    def _comments(self, number: str) -> List[Dict[str, Any]]:
        """The new notes of a pair's record, where they are copied."""
        if not self.pack.settings.sync_notes or self.pack.links.read(number) is None:
            return []
        try:
            notes = records.new_notes(self.pack.stackflow, number, self.cursor.since)
        except ApiError as error:
            self.logger.warning("the notes of %s cannot be read: %s", number, describe(error))
            return []
        notes = [note for note in notes if note.key not in self.cursor.seen]
        self._noted += [(note.key, note.written_at, "") for note in notes]
        return [{"event": "incident.comment_added", "event_id": note.key, "note": note.fields,
                 "timestamp": note.fields.get("created_at")} for note in notes]
