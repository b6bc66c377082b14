"""Poll PagerDuty's log: which incidents have new entries, and what each incident is now.

Follows the REST API, List log entries. Moves, reopenings and priorities have no entries.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Dict, Iterator, List, Mapping, Sequence
from urllib.parse import quote

from .deliveries import as_object, clean, text, time_text
from .events import UPDATED
from .fields import PAGERDUTY
from .incidents import parse_time
from .pagerduty.rest import OFFSET_LIMIT, SECOND
from .pagerduty.webhooks import incident_fields
from .pairs import STATUSES, UnreadableError
from .polling import Event, Item, Poller
from .prefilter import TRIGGERS

SETTLED = timedelta(seconds=5)  # others may still come between younger log entries
SHORTEST = timedelta(seconds=4)  # a window of the log that is not halved any more
STAMP = "%Y-%m-%dT%H:%M:%SZ"

Entry = Mapping[str, Any]


class PagerDutyPoller(Poller):
    """Poll PagerDuty's log."""

    sensor = "PagerDutyPollingSensor"

    def look(self) -> None:
        """Read the log in windows, halved where one holds more than PagerDuty gives of a list."""
        since, end = self.cursor.since, self.pack.clock.now() - SETTLED
        size = end - since
        while since < end:
            until = min(since + size, end)
            found = self.cursor.read(self._entries(since, until))
            if len(found) >= OFFSET_LIMIT and size > SHORTEST:
                size /= 2
                continue
            self._take([item.fields for item in reversed(found) if not self.cursor.knows(item)])
            self.cursor.advance(found + self.noted, until)
            self.store()
            since = until

    def _entries(self, since: datetime, until: datetime) -> Iterator[Item]:
        """Yield the entries of a window, the newest first."""
        since -= SECOND  # whether the bounds belong to a window is not documented
        params = (("since", since.strftime(STAMP)), ("until", until.strftime(STAMP)),
                  ("is_overview", "true"), ("include[]", "incidents"))
        for entry in self.pack.rest.pages("/log_entries", "log_entries", params):
            yield Item(text(entry.get("id")) or "", parse_time(entry.get("created_at")), "", entry)

    def _take(self, entries: Sequence[Entry]) -> None:
        """Take the incidents of new entries, the oldest first."""
        changed: Dict[str, List[Entry]] = {}
        for entry in entries:
            incident_id = text(as_object(entry.get("incident")).get("id"))
            if incident_id is None:
                self.logger.warning("log entry %s names no incident, and is passed over",
                                    text(entry.get("id")))
            else:
                changed.setdefault(incident_id, []).append(entry)
        for incident_id, own in changed.items():
            self.take(incident_id, partial(self._events, own[-1]["incident"], own))

    def events_of(self, record_id: str) -> List[Event]:
        answer = self.pack.rest.call("GET", "/incidents/" + quote(record_id, safe=""))
        return self._events(as_object(answer.get("incident")), [])

    def _events(self, incident: Mapping[str, Any], entries: Sequence[Entry]) -> List[Event]:
        """Return the events of an incident. A change that is found again has its id again."""
        shown = incident_fields(dict(incident, number=incident.get("incident_number")))
        if shown["status"] not in STATUSES:
            raise UnreadableError("its status is %r" % shown["status"])
        types = [entry.get("type") for entry in entries]
        known = bool(self.pack.links.numbers(shown["id"]))
        born = not known and shown["status"] != "resolved" and "trigger_log_entry" in types
        kind = "incident.triggered" if born else UPDATED
        last = entries[-1] if entries else {}
        at = (time_text(incident.get("last_status_change_at")) or
              time_text(last.get("created_at")))
        state = dict(_payload(last, shown), event_type=kind, occurred_at=at, event_id=":".join(
            map(str, (shown["id"], kind, shown["service_id"], at))))
        notes = [_note(dict(entry, content=entry.get("note"), user=entry.get("agent"),
                            trimmed=True))
                 for entry in entries if entry.get("type") == "annotate_log_entry"]
        if notes and known and self.pack.settings.sync_notes:  # log entries lack their texts
            path = "/incidents/%s/notes" % quote(shown["id"], safe="")
            listed = self.new_notes(shown["id"], lambda: map(_note, filter(as_object, reversed(
                self.pack.rest.call("GET", path).get("notes") or ()))))
            notes = notes if listed is None else listed
        payloads = [state] + [_annotated(note, shown) for note in notes]
        return [(TRIGGERS[PAGERDUTY], payload) for payload in payloads]


def _note(fields: Mapping[str, Any]) -> Item:
    return Item(text(fields.get("id")) or "", parse_time(fields.get("created_at")), "", fields)


def _annotated(note: Item, incident: Dict[str, Any]) -> Dict[str, Any]:
    """Return the event of a note. A log entry in its place shows no id and is trimmed."""
    fields = as_object(clean(dict(note.fields, agent=note.fields.get("user"))))
    trimmed = fields.get("trimmed") is True
    return dict(
        _payload(fields, incident), event_type="incident.annotated",
        event_id="%s:%s" % (incident["id"], note.key), occurred_at=fields.get("created_at"),
        note={"id": None if trimmed else text(fields.get("id")),
              "content": text(fields.get("content")), "trimmed": trimmed})


def _payload(entry: Entry, incident: Dict[str, Any]) -> Dict[str, Any]:
    return {"received_by": "poll", "incident": incident, "client": None, "note": None,
            "agent": clean(as_object(entry.get("agent"))) or None}
