"""PagerDuty's log in place of webhooks: which incidents have new entries, and the events of them.

Follows the REST API, List log entries. An entry says that something happened to an incident; the
incident that comes with it says what it is now. Moves, reopenings and priorities have no entries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Container, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import quote

from ..deliveries import as_object, as_object_or_none, clean, text, time_text
from ..incidents import parse_time
from .rest import OFFSET_LIMIT, PAGE, RestClient
from .webhooks import incident_fields

TRIGGER_ENTRY = "trigger_log_entry"
ANNOTATED = "incident.annotated"
NOTE_ENTRY = "annotate_log_entry"
SHORTEST = timedelta(seconds=4)
"""A window of the log that is not halved any more."""
NEAR = timedelta(minutes=1)
"""How far the times of a note and of its entry may be apart."""

Entry = Mapping[str, Any]


@dataclass
class Change:
    """An incident as PagerDuty shows it now, and those of its log entries that are new, oldest
    first.
    """

    incident_id: str
    incident: Mapping[str, Any]
    entries: List[Entry] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether the incident was triggered since the last poll."""
        return any(entry.get("type") == TRIGGER_ENTRY for entry in self.entries)

    @property
    def notes(self) -> List[Entry]:
        """The entries of notes."""
        return [entry for entry in self.entries if entry.get("type") == NOTE_ENTRY]


def new_entries(rest: RestClient, since: datetime, until: datetime,
                seen: Container[str]) -> Iterator[List[Entry]]:
    """The entries between two times, in windows from old to new, each newest entry first.

    A window is halved where it holds more than PagerDuty gives of one list. Of entries whose id is
    in ``seen`` some come again; what the caller adds to it between two windows counts.
    """
    entries = _read(rest, since, until, seen)
    if len(entries) < OFFSET_LIMIT or until - since < SHORTEST:
        yield entries
        return
    middle = (since + (until - since) // 2).replace(microsecond=0)
    yield from new_entries(rest, since, middle, seen)
    # Whether the bounds themselves belong to a window is not documented.
    yield from new_entries(rest, middle - timedelta(seconds=1), until, seen)


def _read(rest: RestClient, since: datetime, until: datetime, seen: Container[str]) -> List[Entry]:
    """The newest entries of a window: to its end, or where a whole page's worth is known."""
    entries: List[Entry] = []
    known = 0
    params = (("since", _seconds(since)), ("until", _seconds(until)), ("is_overview", "true"),
              ("include[]", "incidents"))
    for entry in rest.pages("/log_entries", "log_entries", params):
        entries.append(entry)
        known = known + 1 if text(entry.get("id")) in seen else 0
        if known == PAGE:
            break
    return entries


def changes(entries: Sequence[Entry], seen: Container[str]) -> Tuple[List[Change], List[str]]:
    """The incidents of those entries that are not in ``seen``, in the order of their first new
    entry; and the ids of the entries that name no incident.

    ``entries`` have the newest first.
    """
    found: Dict[str, Change] = {}
    unreadable = []
    for entry in reversed(entries):
        if text(entry.get("id")) in seen:
            continue
        incident = as_object(entry.get("incident"))
        incident_id = text(incident.get("id"))
        if incident_id is None:
            unreadable.append(str(text(entry.get("id"))))
            continue
        change = found.setdefault(incident_id, Change(incident_id, incident))
        change.incident = incident
        change.entries.append(entry)
    return list(found.values()), unreadable


def event(change: Change, event_type: str) -> Dict[str, Any]:
    """The payload of the trigger `pagerduty_event` for a change of an incident, without
    `stackflow_id` and `sync`.

    Its id follows from the incident's present state, so a change that is found again has it again.
    """
    entry = change.entries[-1] if change.entries else {}
    at = (time_text(change.incident.get("last_status_change_at")) or
          time_text(entry.get("created_at")))
    service = as_object(change.incident.get("service")).get("id")
    return _payload(change, event_type, entry, at,
                    ":".join(map(str, (change.incident_id, event_type, service, at))))


def notes(rest: RestClient, incident_id: str) -> Sequence[Any]:
    """The notes of an incident as REST lists them (List notes for an incident)."""
    listed = rest.call("GET", "/incidents/%s/notes" % quote(incident_id, safe="")).get("notes")
    return listed if isinstance(listed, list) else ()


def note_events(change: Change, notes: Sequence[Any]) -> List[Dict[str, Any]]:
    """The payloads for the new notes of an incident, oldest first.

    ``notes`` are those of the incident as REST lists them; the one nearest in time belongs to an
    entry. Without it a payload holds what the entry itself has, and says that it is trimmed.
    """
    left = [note for note in reversed(notes) if isinstance(note, dict)]
    payloads = []
    for entry in change.notes:
        written_at = time_text(entry.get("created_at"))
        note = _nearest(left, parse_time(written_at))
        if note is not None:
            left.remove(note)
        shown = clean(note or {"content": entry.get("note")})
        payload = _payload(change, ANNOTATED, entry, written_at, "%s:%s" % (
            change.incident_id, text(entry.get("id"))))
        payload["note"] = {"id": text(shown.get("id")), "content": text(shown.get("content")),
                           "trimmed": note is None}
        payloads.append(payload)
    return payloads


def _payload(change: Change, event_type: str, entry: Entry, at: Optional[str],
             event_id: str) -> Dict[str, Any]:
    incident = dict(change.incident, number=change.incident.get("incident_number"))
    return {"event_id": event_id, "event_type": event_type, "occurred_at": at,
            "received_by": "poll", "incident": incident_fields(incident),
            "agent": clean(as_object_or_none(entry.get("agent"))), "client": None, "note": None}


def _nearest(notes: Sequence[Dict[str, Any]],
             at: Optional[datetime]) -> Optional[Dict[str, Any]]:
    """The note that was written nearest to a time; None where that is not within a minute."""
    distances = []
    for note in notes:
        written_at = parse_time(note.get("created_at"))
        distances.append(abs(written_at - at) if written_at and at else timedelta.max)
    nearest = min(distances, default=timedelta.max)
    return notes[distances.index(nearest)] if nearest <= NEAR else None


def _seconds(stamp: datetime) -> str:
    return stamp.strftime("%Y-%m-%dT%H:%M:%SZ")
