"""The two polling sensors' looks: what changed on a side becomes the events that its webhooks would
have brought.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from logging import Logger
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence
from urllib.parse import quote

from .deliveries import as_object, text, time_text
from .differences import FACETS, pagerduty_events, stackflow_event
from .dispatching import Dispatcher
from .errors import ApiError, words_of
from .incidents import STACKFLOW_NUMBER, PagerDutyIncident, StackFlowIncident, parse_time
from .merge import DONE_STATES, STATUS
from .pack import Pack
from .pagerduty import polling as log
from .polling import Event, Item, Poller, UnreadableError
from .prefilter import PAGERDUTY_EVENT, SLA_EVENT
from .sla_clock import SlaClock
from .stackflow import polling as records
from .stackflow.records import api_state, canonical_record
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
        if incident.status not in STATUS:
            raise UnreadableError("its status is %r" % incident.status)
        links = self.pack.links
        numbers = links.numbers(incident.id)
        link = links.read(numbers[0])[0] if numbers else None
        types = pagerduty_events(incident, link, change.told, self.pack.settings, self.start,
                                 self.pack.clock.now())
        payloads = [log.event(change, event_type) for event_type in types]
        payloads += log.note_events(change, self._notes(change) if numbers else ())
        return [(PAGERDUTY_EVENT, payload) for payload in payloads]

    def _notes(self, change: log.Change) -> Sequence[Any]:
        """The incident's notes, which log entries lack; asked for only where they are copied."""
        if not change.notes or not self.pack.settings.sync_notes:
            return ()
        try:
            return log.notes(self.pack.rest, change.incident_id)
        except ApiError as error:
            self.logger.warning("the notes of %s cannot be read: %s", change.incident_id,
                                words_of(error))
            return ()


def _items(entries: Iterable[log.Entry]) -> Iterator[Item]:
    """What the cursor remembers of log entries; one without an id would not be known again."""
    for entry in entries:
        entry_id = text(entry.get("id"))
        if entry_id is not None:
            yield entry_id, parse_time(entry.get("created_at")), ""


class StackFlowPoller(Poller):
    """Looks at StackFlow's records, and at the SLA clock."""

    sensor = "StackFlowPollingSensor"

    def __init__(self, pack: Pack, dispatcher: Dispatcher, logger: Logger) -> None:
        super().__init__(pack, dispatcher, logger)
        self._facets: Dict[str, Dict[str, Any]] = {}
        self._noted: List[Item] = []
        self._clock: Optional[SlaClock] = None

    def look(self) -> None:
        client, cursor, now = self.pack.stackflow, self.cursor, self.pack.clock.now()
        clock = self._clock = self._clock or self._new_clock()
        known = {key: fingerprint for key, (_, fingerprint) in cursor.seen.items()}
        self._noted = []
        rows = records.changed(client, cursor.since, known)
        if len(rows) >= records.MOST:
            self.logger.warning("more than %d records changed: the oldest changes are left to the "
                                "reconcile", records.MOST)
        for row in reversed(rows):
            if known.get(row.key) != row.fingerprint:
                self.take(row.key, partial(self._events, row, row.key not in known))
                self._remember(row)
        cursor.advance([(row.key, row.updated_at, row.fingerprint) for row in rows] + self._noted,
                       now)
        for alert in clock.due(now):
            self.dispatcher.dispatch(SLA_EVENT, alert.payload)
            clock.told(alert)
        cursor.sla = clock.to_store()

    def events_of(self, record_id: str) -> List[Event]:
        answer = as_object(self.pack.stackflow.call("GET", "/incidents/" +
                                                    quote(record_id, safe="")))
        return self._events(records.row_of(as_object(answer.get("data", answer))), False)

    def _new_clock(self) -> SlaClock:
        """An SLA clock that knows all open incidents of its targets' priorities; StackFlow is asked
        for them once in the life of a sensor.
        """
        targets = self.pack.settings.sla.targets
        clock = SlaClock(targets, self.start, self.cursor.sla if targets else {})
        for priority in clock.priorities:
            for record in records.open_records(self.pack.stackflow, priority):
                clock.look(record)
        return clock

    @property
    def _states(self) -> Mapping[str, str]:
        return self.pack.settings.stackflow.states

    def _record(self, fields: Mapping[str, Any]) -> StackFlowIncident:
        return StackFlowIncident.from_record(canonical_record(fields, self._states))

    def _events(self, row: records.Row, unseen: bool) -> List[Event]:
        record = self._record(row.fields)
        if not STACKFLOW_NUMBER.match(record.number) or not record.state:
            raise UnreadableError("its number is %r, its state %r" % (record.number, record.state))
        created_at = record.created_at
        new = unseen and created_at is not None and created_at >= self.cursor.since
        link = self.pack.links.read(record.number)[0]
        found = stackflow_event(record, link, new, self._facets.get(record.number, {}),
                                self.pack.settings, self.start)
        if self._clock is not None:
            self._clock.look(record)
        documents = [] if found is None else [self._document(row, *found)]
        if documents or link is not None:
            documents += self._comments(record.number)
        return [event_of(dict(document, incident=row.fields), self.pack.settings.stackflow,
                         row.fingerprint, "poll") for document in documents]

    def _document(self, row: records.Row, name: str, previous: Dict[str, Any]) -> Dict[str, Any]:
        """What a webhook would say of the change; its id follows from the record as it is."""
        if "state" in previous:
            previous = dict(previous, state=api_state(previous["state"], self._states))
        stamp = time_text(row.fields.get("updated_at"))
        return {"event": name, "previous": previous, "timestamp": stamp,
                "event_id": "%s:%s:%s" % (row.key, stamp, row.fingerprint)}

    def _comments(self, number: str) -> List[Dict[str, Any]]:
        """The record's new notes, where they are copied."""
        if not self.pack.settings.sync_notes:
            return []
        try:
            notes = records.new_notes(self.pack.stackflow, number, self.cursor.since)
        except ApiError as error:
            self.logger.warning("the notes of %s cannot be read: %s", number, words_of(error))
            return []
        notes = [note for note in notes if note.key not in self.cursor.seen]
        self._noted += [(note.key, note.written_at, "") for note in notes]
        return [{"event": "incident.comment_added", "event_id": note.key, "note": note.fields,
                 "timestamp": note.fields.get("created_at")} for note in notes]

    def _remember(self, row: records.Row) -> None:
        """What an open record looked like when its events were told."""
        record = self._record(row.fields)
        self._facets.pop(record.number, None)
        if record.state not in DONE_STATES:
            self._facets[record.number] = {name: record.fields.get(name) for name in FACETS}
