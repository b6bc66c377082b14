"""Link records: what the pack remembers of a pair, in the StackStorm datastore.

A link holds observations: what both sides showed at the last look, and the one write that was sent
and that no look has shown yet. Everything in it can be found again from the marks in the records
themselves, so losing the datastore costs look-ups and never a duplicate.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from .datastore import DAY, EXPIRY, NOTE, Datastore
from .decide import DONE_STATES, RESOLVED, Seen
from .deliveries import loads
from .fields import PAGERDUTY, STACKFLOW
from .incidents import STACKFLOW_NUMBER, parse_time

OPEN_EXPIRY = 3650 * DAY
"""For open pairs. Always given: StackStorm keeps an earlier expiry where a write names none."""
WAITING_EXPIRY = 600
"""Seconds that a change waits for the trigger that it overtook."""
VISIBLE = timedelta(seconds=60)
"""After this time a write that PagerDuty accepted and does not show counts as lost."""


class Expected(NamedTuple):
    """The write that was sent to a side and that no look has shown yet: a value for each field, and
    our own time of it (ISO 8601).
    """

    side: str
    values: Mapping[str, str]
    at: str

    def is_fresh(self, now: datetime, patience: timedelta = VISIBLE) -> bool:
        """Whether the side may still take its time to show it."""
        sent = parse_time(self.at)
        return sent is not None and abs(now - sent) < patience


class Link(NamedTuple):
    """One pair.

    ``key_fingerprint``: which routing key opened the incident (never the key); None where only REST
    reaches it for certain: born in PagerDuty, moved or reopened there. ``here`` and ``there``: what
    StackFlow and PagerDuty showed, a value for each field of `fields.FIELDS`, and under "at" the
    side's own time of it. ``expects``: the write that no look has shown yet. ``target``: the
    incident that the pair's own was merged into; its own where others were merged into that.
    ``unseen``: the state of the service for which it was reported that PagerDuty never showed the
    incident. ``successor``: the record that carries on for one that was final when PagerDuty
    reopened. ``last_resort``: which routing key sent the alert of last resort (a key of its own
    beside the link).
    """

    number: str
    pagerduty_id: Optional[str] = None
    dedup_key: Optional[str] = None
    key_fingerprint: Optional[str] = None
    here: Mapping[str, str] = {}
    there: Mapping[str, str] = {}
    expects: Optional[Expected] = None
    target: Optional[str] = None
    unseen: Optional[str] = None
    successor: Optional[str] = None
    last_resort: Optional[str] = None
    waiting: bool = False

    @property
    def joined(self) -> bool:
        """Whether the pair ever had a PagerDuty incident."""
        return bool(self.there or self.pagerduty_id)

    @property
    def closed(self) -> bool:
        """Whether nothing is open on either side, once an expected resolve is carried out."""
        state = self.expected(PAGERDUTY).get("state", self.there.get("state", RESOLVED))
        return (self.here.get("state") in DONE_STATES and state == RESOLVED and
                not self.expected(STACKFLOW))

    def expected(self, side: str) -> Mapping[str, str]:
        """The values that a side is expected to show."""
        return self.expects.values if self.expects and self.expects.side == side else {}

    @property
    def seen(self) -> Seen:
        """What a decision is told of the last look."""
        expects = self.expects
        return Seen(self.here, self.there, {
            (expects.side, name): value
            for name, value in expects.values.items()} if expects else {})

    @property
    def incident_id(self) -> Optional[str]:
        """The PagerDuty incident that stands for the pair today."""
        return self.target or self.pagerduty_id


TEXTS = ("pagerduty_id", "dedup_key", "key_fingerprint", "target", "unseen", "successor")
GROUPS = ("here", "there")


def encode(link: Link) -> str:
    """Return a link as it is stored."""
    data = {name: getattr(link, name) for name in TEXTS + GROUPS if getattr(link, name)}
    if link.expects is not None:
        data["expects"] = link.expects._asdict()
    return json.dumps(dict(data, version=1), sort_keys=True)


def decode(number: str, text: Any) -> Optional[Link]:
    """Return a stored link, without `last_resort`; None where somebody edited it: it is rebuilt
    then.
    """
    try:
        data = loads(str(text))
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    if "version" not in data:
        from .upgrade import upgraded
        return upgraded(number, data)
    texts: Dict[str, Any] = {name: data.get(name) for name in TEXTS}
    groups: Dict[str, Any] = {name: data.get(name) or {} for name in GROUPS}
    expects = data.get("expects") or {"values": {}}
    fits = all(value is None or isinstance(value, str) for value in texts.values())
    if not fits or not isinstance(expects, dict) or not all(
            map(_is_texts, (*groups.values(), expects.get("values")))):
        return None
    return Link(number, **texts, **groups, expects=Expected(
        str(expects["side"]), expects["values"], str(expects.get("at"))) if "side" in expects
        else None)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(inner, str) for pair in value.items() for inner in pair)


class Index(NamedTuple):
    """A PagerDuty incident's own record, the records that merges brought, digests and times of the
    notes that the pack wrote on the incident, and whether it created a record a short time ago.
    """

    own: Optional[str]
    followers: List[str]
    notes: Dict[str, str]
    creating: bool = False

    @property
    def numbers(self) -> List[str]:
        """All its records, the own one first."""
        return list(dict.fromkeys(([self.own] if self.own else []) + self.followers))


class Links:
    """Link records over the datastore; every method raises DatastoreError when it does not answer.
    """

    def __init__(self, datastore: Datastore) -> None:
        self._datastore = datastore

    def read(self, number: str) -> Optional[Link]:
        """Return the link of a record."""
        return self.read_with_notes(number)[0]

    def read_with_notes(self, number: str) -> Tuple[Optional[Link], Dict[str, str]]:
        """Like :meth:`read`, and digests and times of the notes that the pack wrote on the record.
        """
        key = "link." + number
        found = self._datastore.read(key)
        link = decode(number, found[key]) if key in found else None
        if link is not None:
            link = link._replace(last_resort=found.get(key + ".last_resort"),
                                 waiting=key + ".waiting" in found)
        return link, _notes(found, key)

    def write(self, link: Link) -> None:
        """Store a link; a closed pair and the index entries that lead to it expire after 90 days.
        """
        self._datastore.set("link." + link.number, encode(link),
                            EXPIRY if link.closed else OPEN_EXPIRY)
        if link.closed and link.incident_id and not link.successor:
            self.join(link.incident_id, link.number,
                      link.target not in (None, link.pagerduty_id), EXPIRY)

    def restore(self, number: str, link: Optional[Link]) -> None:
        """Store a link as it was, or remove it where there was none."""
        if link is not None:
            self.write(link)
        else:
            self._datastore.delete("link." + number)

    def every(self) -> Iterator[Tuple[str, str, str]]:
        """All that is stored of records: number, what it is ("" for the link itself), and the text.
        """
        for name, text in self._datastore.rows("link."):
            number, _, what = name[len("link."):].partition(".")
            if STACKFLOW_NUMBER.match(number):
                yield number, what, text

    def every_number(self) -> Iterator[Tuple[str, str]]:
        """All PagerDuty ids that are stored, each with a StackFlow number of it."""
        for name, number in self._datastore.rows("pagerduty."):
            if STACKFLOW_NUMBER.match(number):
                yield name[len("pagerduty."):].partition(".")[0], number

    def wait(self, number: str) -> None:
        """Note that a change came before the pair was open; the run that opens it looks again."""
        self._datastore.set("link." + number + ".waiting", "1", WAITING_EXPIRY)

    def stop_waiting(self, number: str) -> None:
        """Forget the change that waited."""
        self._datastore.delete("link." + number + ".waiting")

    def remember_last_resort(self, number: str, key_fingerprint: str) -> None:
        """Store which routing key sends the alert of last resort of a pair."""
        self._datastore.set("link." + number + ".last_resort", key_fingerprint, OPEN_EXPIRY)

    def forget_last_resort(self, number: str) -> None:
        """Forget the alert of last resort, which was resolved."""
        self._datastore.delete("link." + number + ".last_resort")

    def index(self, pagerduty_id: str) -> Index:
        """Return the records of a PagerDuty incident."""
        key = "pagerduty." + pagerduty_id
        found = self._datastore.read(key)
        numbers = {name: value for name, value in found.items() if STACKFLOW_NUMBER.match(value)}
        followers = (value for name, value in numbers.items() if name.startswith(key + ".INC"))
        return Index(numbers.get(key), sorted(followers), _notes(found, key),
                     key + ".creating" in found)

    def numbers(self, pagerduty_id: str) -> List[str]:
        """Return the numbers of all records of a PagerDuty incident."""
        return self.index(pagerduty_id).numbers

    def announce(self, pagerduty_id: str) -> None:
        """Note that a record is about to be created, so that the filter knows its echo."""
        self._datastore.set("pagerduty." + pagerduty_id + ".creating", "1", WAITING_EXPIRY)

    def join(self, pagerduty_id: str, number: str, follows: bool = False,
             ttl: int = OPEN_EXPIRY) -> None:
        """Store that a PagerDuty incident leads to a record; ``follows``: by a merge."""
        suffix = "." + number if follows else ""
        self._datastore.set("pagerduty." + pagerduty_id + suffix, number, ttl)


def _notes(found: Dict[str, str], key: str) -> Dict[str, str]:
    key += NOTE
    return {name[len(key):]: value for name, value in found.items() if name.startswith(key)}
