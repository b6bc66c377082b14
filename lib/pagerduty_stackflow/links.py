"""Link records: what the pack remembers of a pair, in the StackStorm datastore.

Everything in them can be found again from the marks in the records themselves, so losing the
datastore costs look-ups and never a duplicate.
"""

import hashlib
import json
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Protocol, Tuple

from .bounded_json import loads
from .clock import Clock
from .errors import DatastoreError
from .incidents import (STACKFLOW_NUMBER, format_time, is_stackflow_number, note_digest,
                        parse_time)
from .merge import ABSENT, ACKNOWLEDGED, OPEN, RESOLVED

PREFIX = "pagerduty_stackflow."
STATES = (ABSENT, OPEN, ACKNOWLEDGED, RESOLVED)
"""What two sides can have agreed on."""
DAY = 24 * 3600
EXPIRY = 90 * DAY
"""Seconds that a link outlives the closing of both sides."""
OPEN_EXPIRY = 3650 * DAY
"""For what is open. Always given: StackStorm keeps an earlier expiry where a write names none."""
WAITING_EXPIRY = 600
"""Seconds that a change waits for the trigger that it overtook; the reconcile repairs what is
older.
"""
WRITTEN_EXPIRY = 7 * DAY
"""For the words of a note that the pack wrote; PagerDuty repeats a webhook for 48 hours."""
FLAG_EXPIRY = 600
"""For the flag of a run; StackStorm ends a Python action after as many seconds."""
VISIBLE = timedelta(seconds=60)
"""After this time an event that PagerDuty accepted and does not show counts as lost."""
PAGE = 100
"""`api.max_page_size`: the most values that one list call of StackStorm returns."""
NOTE = ".note."
"""Between an incident's key and the digest of a note that the pack wrote on it."""
PING = "ping"
PROGRESS = "reconcile"
WEBHOOK_SECRET = PREFIX + "webhook_secret."
"""Before a webhook subscription's id: the key of its secret, which `manage_webhooks` stores
encrypted and the listener reads.
"""
NEIGHBOURS = 1000
"""Values that are looked at for one key: a prefix also finds the keys that go on after it."""


class Store(Protocol):
    """What the pack uses of StackStorm's `action_service` and `sensor_service`."""

    def get_value(self, name: str, local: bool = True, scope: str = "",
                  decrypt: bool = False) -> Any:
        """The value, or None, also when the datastore did not answer."""

    def list_values(self, local: bool = True, prefix: Optional[str] = None,
                    limit: Optional[int] = None, offset: int = 0) -> List[Any]:
        """Objects with ``name`` and ``value``; raises when the datastore does not answer."""

    def set_value(self, name: str, value: str, ttl: Optional[int] = None, local: bool = True,
                  scope: str = "", encrypt: bool = False) -> Any:
        """Store a string; ``ttl`` in seconds. Raises where it cannot encrypt."""

    def delete_value(self, name: str, local: bool = True) -> Any:
        """Remove a value."""


class Unwritten:
    """A store that is read and never written, for a dry run."""

    def __init__(self, store: Store) -> None:
        self.get_value = store.get_value
        self.list_values = store.list_values

    def set_value(self, name: str, value: str, ttl: Optional[int] = None, local: bool = True,
                  scope: str = "", encrypt: bool = False) -> None:
        """Nothing is stored."""

    def delete_value(self, name: str, local: bool = True) -> None:
        """Nothing is removed."""


class Link(NamedTuple):
    """One pair. States are those of :mod:`merge`; stamps are ISO 8601 of the side they are named
    after.

    ``assignee``: the person for whom an acknowledgement was last carried (or must not be);
    ``key_fingerprint``: which routing key opened the incident (never the key); ``rest_only``: the
    incident was born in PagerDuty, moved or was reopened there, so its routing key no longer
    reaches it for certain; ``moved``: it left the service that it was opened on; ``group`` and
    ``service_id``: the assignment group and the service that stood for each other last, so that a
    change tells which side handed the incident over; ``moving``: the service that the pack is
    moving it to right now; ``seen``: the PagerDuty incident was seen, so the 202 of its trigger was
    kept; ``unseen``: it was reported that it was not, and what the service was then; ``shared``: a
    merge put several records on one PagerDuty incident; ``stackflow_at``: time of the newest record
    that was applied; ``reopened_at``: when PagerDuty opened the incident again beside which the
    record was open last; ``sent_at``: our own time when an event was last sent; ``writing``: the
    StackFlow state or group that is being written right now, so that its echo is known;
    ``replaced_by``: the record that carries on for one that was closed when PagerDuty reopened;
    ``last_resort``: which routing key sent the alert that goes out when nobody answers an
    escalation (stored beside the link by whoever sends or resolves it, not with it).
    """

    number: str
    pagerduty_id: Optional[str] = None
    dedup_key: Optional[str] = None
    service_id: Optional[str] = None
    key_fingerprint: Optional[str] = None
    stackflow: str = ABSENT
    pagerduty: str = ABSENT
    assignee: Optional[str] = None
    rest_only: bool = False
    moved: bool = False
    group: Optional[str] = None
    moving: Optional[str] = None
    seen: bool = False
    unseen: Optional[str] = None
    shared: bool = False
    stackflow_at: Optional[str] = None
    reopened_at: Optional[str] = None
    sent_at: Optional[str] = None
    writing: Optional[str] = None
    replaced_by: Optional[str] = None
    last_resort: Optional[str] = None

    @property
    def joined(self) -> bool:
        """Whether the pair ever had a PagerDuty incident."""
        return self.pagerduty != ABSENT or self.pagerduty_id is not None

    @property
    def closed(self) -> bool:
        """Whether nothing was open on either side at the last agreement."""
        return self.stackflow == RESOLVED and self.pagerduty in (RESOLVED, ABSENT)


FLAGS = {name for name, value in Link._field_defaults.items() if isinstance(value, bool)}


def decode(number: str, text: Any) -> Optional[Link]:
    """A stored link, without `last_resort`; None where the value is not one (somebody edited it): it
    is rebuilt then.
    """
    try:
        data = loads(str(text))
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    known = {name: data[name] for name in Link._fields if data.get(name) is not None}
    link = Link(**dict(known, number=number))
    fits = all(isinstance(value, bool) == (name in FLAGS) and isinstance(value, (bool, str))
               for name, value in known.items())
    return link if fits and link.stackflow in STATES and link.pagerduty in STATES else None


class Links:
    """Link records over the datastore; every method raises DatastoreError when it does not answer.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, number: str) -> Tuple[Optional[Link], bool]:
        """The link of a StackFlow record, and whether a change waits for the pair to be opened."""
        return self.read_with_notes(number)[:2]

    def read_with_notes(self, number: str) -> Tuple[Optional[Link], bool, Dict[str, str]]:
        """Like :meth:`read`, and digests and times of the notes that the pack wrote on the record.
        """
        key = PREFIX + "link." + number
        found = self._list(key)
        link = decode(number, found[key]) if key in found else None
        if link is not None:
            link = link._replace(last_resort=found.get(key + ".last_resort"))
        return link, key + ".waiting" in found, _notes(found, key)

    def write(self, link: Link) -> None:
        """Store a link; what is known of a pair expires 90 days after both sides closed."""
        text = json.dumps({name: value for name, value in link._asdict().items()
                           if value and name != "last_resort"}, sort_keys=True)
        closed = link.closed and not link.writing  # else it is being opened again
        self._set("link." + link.number, text, EXPIRY if closed else OPEN_EXPIRY)
        if closed and link.pagerduty_id and not link.replaced_by:
            suffix = "." + link.number if link.shared else ""
            self._set("pagerduty." + link.pagerduty_id + suffix, link.number, EXPIRY)

    def every(self) -> Iterator[Tuple[str, str, str]]:
        """All that is stored of records: number, what it is ("" for the link itself), and the text.
        """
        for name, text in self._rows(PREFIX + "link."):
            number, _, what = name[len(PREFIX + "link."):].partition(".")
            if STACKFLOW_NUMBER.match(number):
                yield number, what, text

    def every_number(self) -> Iterator[Tuple[str, str]]:
        """All PagerDuty ids that are stored, each with a StackFlow number of it."""
        for name, number in self._rows(PREFIX + "pagerduty."):
            if STACKFLOW_NUMBER.match(number):
                yield name[len(PREFIX + "pagerduty."):].partition(".")[0], number

    def wait(self, number: str) -> None:
        """Note that a change came before the pair was open; whoever opens it reads both sides
        again.
        """
        self._set("link." + number + ".waiting", "1", WAITING_EXPIRY)

    def stop_waiting(self, number: str) -> None:
        """The waiting change was looked at."""
        self._delete("link." + number + ".waiting")

    def remember_last_resort(self, number: str, key_fingerprint: str) -> None:
        """Remember which routing key sends the alert of last resort of a pair."""
        self._set("link." + number + ".last_resort", key_fingerprint, OPEN_EXPIRY)

    def forget_last_resort(self, number: str) -> None:
        """It was resolved."""
        self._delete("link." + number + ".last_resort")

    def numbers(self, pagerduty_id: str) -> List[str]:
        """The StackFlow numbers of a PagerDuty incident: its own first, then those that merges
        brought.
        """
        return self.numbers_with_notes(pagerduty_id)[0]

    def numbers_with_notes(self, pagerduty_id: str) -> Tuple[List[str], Dict[str, str]]:
        """Like :meth:`numbers`, and digests and times of the notes that the pack wrote on the
        incident.
        """
        key = PREFIX + "pagerduty." + pagerduty_id
        found = self._list(key)
        merged = sorted(value for name, value in found.items() if name.startswith(key + "."))
        numbers = ([found[key]] if key in found else []) + merged
        return ([number for number in dict.fromkeys(numbers) if STACKFLOW_NUMBER.match(number)],
                _notes(found, key))

    def write_note(self, incident_id: str, text: str, now: datetime) -> None:
        """Say that the pack is about to write a note on an incident, so that its echo is known."""
        kind = "link." if is_stackflow_number(incident_id) else "pagerduty."
        self._set(kind + incident_id + NOTE + note_digest(text), format_time(now), WRITTEN_EXPIRY)

    def note(self, name: str) -> Tuple[bool, List[str]]:
        """Whether a note is done with, and the flags of the runs that want to copy it."""
        key = PREFIX + "note." + name
        found = self._list(key)
        return key in found, sorted(one[len(key) + 1:] for one in found if one != key)

    def finish_note(self, name: str) -> None:
        """A note was copied, or is itself a copy."""
        self._set("note." + name, "1", EXPIRY)

    def raise_flag(self, name: str, run: str) -> None:
        """A run wants to copy a note."""
        self._set("note.%s.%s" % (name, run), "1", FLAG_EXPIRY)

    def lower_flag(self, name: str, run: str) -> None:
        """It has done so, or lets others go first."""
        self._delete("note.%s.%s" % (name, run))

    def join(self, pagerduty_id: str, number: str) -> None:
        """Remember the number of a PagerDuty incident; it follows from the incident's own marks."""
        self._set("pagerduty." + pagerduty_id, number, OPEN_EXPIRY)

    def merge_into(self, target_id: str, number: str) -> None:
        """Remember that a merge put this record on ``target_id``, beside the target's own."""
        self._set("pagerduty.%s.%s" % (target_id, number), number, OPEN_EXPIRY)

    def start(self) -> Optional[str]:
        """When the pack first ran here (ISO 8601); None before that."""
        return self._value("start")

    def ensure_start(self, clock: Clock) -> str:
        """The time of the first run, stored now if there is none yet."""
        stored = self.start()
        if stored is None:
            stored = format_time(clock.now().replace(microsecond=0))  # StackFlow's stamps are whole
            self._set("start", stored, None)
        return stored

    def last_ping(self) -> Optional[str]:
        """What the sensor left of PagerDuty's last ping; only a change of it has a meaning."""
        return self._value(PING)

    def webhook_secret_keys(self) -> List[str]:
        """The names of all keys under WEBHOOK_SECRET."""
        return [name for name, _ in self._rows(WEBHOOK_SECRET)]

    def cursor(self, sensor: str) -> Optional[str]:
        """What a polling sensor, named by its class, stored last; None before its first poll."""
        return self._value("cursor." + sensor)

    def move_cursor(self, sensor: str, text: str) -> None:
        """Store where a polling sensor goes on."""
        self._set("cursor." + sensor, text, None)

    def polled_by(self) -> List[str]:
        """The names of the polling sensors that have a cursor."""
        prefix = PREFIX + "cursor."
        return [name[len(prefix):] for name in self._list(prefix)]

    def escalation(self, number: str, policy: str) -> Tuple[Optional[str], Optional[str]]:
        """What is stored of the escalation of an incident under a StackFlow SLA policy, as text, and
        when that SLA last recovered (ISO 8601).
        """
        key = PREFIX + _escalation(number, policy)
        found = self._list(key)
        return found.get(key), found.get(key + ".recovered")

    def escalations(self) -> List[str]:
        """What is stored of all escalations of the last 90 days."""
        return [text for name, text in self._rows(PREFIX + "sla.")
                if not name.endswith(".recovered")]

    def write_escalation(self, number: str, policy: str, text: str) -> None:
        """Store an escalation; it expires 90 days after it was last written."""
        self._set(_escalation(number, policy), text, EXPIRY)

    def recover(self, number: str, policy: str, occurred_at: str) -> None:
        """Note when an SLA recovered (ISO 8601), unless a later recovery is known."""
        known, new = parse_time(self.escalation(number, policy)[1]), parse_time(occurred_at)
        if new and (known is None or new > known):
            self._set(_escalation(number, policy) + ".recovered", occurred_at, EXPIRY)

    def progress(self) -> Dict[str, Any]:
        """How far the reconcile came; empty before its first run."""
        try:
            found = loads(self._value(PROGRESS) or "{}")
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {}

    def keep_progress(self, progress: Dict[str, Any]) -> None:
        """Store how far the reconcile came."""
        self._set(PROGRESS, json.dumps(progress, sort_keys=True), None)

    def _value(self, name: str) -> Optional[str]:
        return self._list(PREFIX + name).get(PREFIX + name)

    def _list(self, prefix: str) -> Dict[str, str]:
        return dict(islice(self._rows(prefix), NEIGHBOURS))

    def _rows(self, prefix: str) -> Iterator[Tuple[str, str]]:
        offset = 0
        while True:
            try:
                values = self._store.list_values(local=False, prefix=prefix, limit=PAGE,
                                                 offset=offset)
            except Exception as error:  # StackStorm's client raises whatever its transport raised
                raise _unreachable(error) from error
            for value in values:
                yield value.name, str(value.value)
            if len(values) != PAGE:
                return
            offset += PAGE

    def _delete(self, name: str) -> None:
        try:
            self._store.delete_value(PREFIX + name, local=False)
        except Exception as error:  # as above
            raise _unreachable(error) from error

    def _set(self, name: str, value: str, ttl: Optional[int]) -> None:
        try:
            self._store.set_value(PREFIX + name, value, ttl=ttl, local=False)
        except Exception as error:  # as above
            raise _unreachable(error) from error


def _notes(found: Dict[str, str], key: str) -> Dict[str, str]:
    key += NOTE
    return {name[len(key):]: value for name, value in found.items() if name.startswith(key)}


def _escalation(number: str, policy: str) -> str:
    """An SLA policy may have any name, a key may not."""
    return "sla.%s.%s" % (number, hashlib.sha256(policy.encode()).hexdigest()[:16])


def _unreachable(error: Exception) -> DatastoreError:
    return DatastoreError("the StackStorm datastore did not answer (%s)" % type(error).__name__,
                          "check st2api and its database, then run it again", retryable=True)
