"""What the pack keeps in the datastore beside the links, under the keys of version 0.1.0."""

from __future__ import annotations

import hashlib
import json
import os
import random
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .clock import Clock
from .datastore import DAY, EXPIRY, NOTE, PREFIX, Datastore
from .deliveries import loads
from .errors import AGAIN, ConflictError, DatastoreError
from .incidents import format_time, is_stackflow_number, note_digest, parse_time

WRITTEN_EXPIRY = 7 * DAY
"""For the digest of a note that the pack wrote; PagerDuty repeats a webhook for 48 hours."""
LISTENER_EXPIRY = 600
"""For the announcement of a webhook listener."""
CLAIM_EXPIRY = 120
"""For the claim of an event; several listeners receive one within seconds of each other."""
CLAIM_LOOKS, CLAIM_PAUSE = 8, 0.25
"""How often, and after how many seconds, a listener looks again at an earlier claim."""
DISPATCHED = "dispatched"
TURN = 0.2
"""Seconds, more or less, between two looks at a lease of another run."""
ACTION_SECONDS = 600
"""StackStorm ends a Python action after so long: the lease of one that was killed ends then."""
STARTING, WAITING, UNANSWERED = "starting", "waiting", "unanswered"
"""States of an escalation: the policy is to be started, people have time to answer, nobody did."""
WEBHOOK_SECRET = "webhook_secret."
"""Between PREFIX and a webhook subscription's id: the key of its encrypted secret."""


class _Kept:
    def __init__(self, datastore: Datastore) -> None:
        self._datastore = datastore


class Start(_Kept):
    """When the pack first ran here, in ISO 8601."""

    def read(self) -> Optional[str]:
        """Return the stored time; None before the first run."""
        return self._datastore.value("start")

    def ensure(self, clock: Clock) -> str:
        """Return the stored time, and store the current time first if there is none."""
        stored = self.read()
        if stored is None:
            stored = format_time(clock.now().replace(microsecond=0))  # StackFlow's stamps are whole
            self._datastore.set("start", stored, None)
        return stored


class Escalation(NamedTuple):
    """One escalation of an incident under an SLA policy.

    ``state``: STARTING, WAITING, or why it ended. ``begun`` and ``at``: when it was breached,
    then started, by our clock and by PagerDuty's log. ``assigned`` and ``assignee``: who had the
    incident on the two sides at the breach. The SLA's last ``recovered`` and ``dedup_key`` (in its
    place the PagerDuty id, for an incident born there) tell the breach from the next.
    """

    number: str
    policy: str
    state: str
    begun: str
    at: str
    metric: str = ""
    trigger_on: Optional[str] = None
    recovered: Optional[str] = None
    dedup_key: Optional[str] = None
    assigned: str = ""
    assignee: Optional[str] = None


class Escalations(_Kept):
    """Escalations of incidents under SLA policies; each expires 90 days after a write."""

    def read(self, number: str, policy: str) -> Tuple[Optional[Escalation], Optional[str]]:
        """Return the escalation, and when that SLA last recovered (ISO 8601)."""
        key = _escalation(number, policy)
        found = self._datastore.read(key)
        return _decode(found.get(key)), found.get(key + ".recovered")

    def every(self) -> List[Escalation]:
        """Return all escalations."""
        return [one for one in (_decode(text) for _, text in self._datastore.rows("sla.")) if one]

    def write(self, escalation: Escalation) -> None:
        """Store an escalation."""
        self._datastore.set(_escalation(escalation.number, escalation.policy), json.dumps(
            {name: value for name, value in escalation._asdict().items() if value},
            sort_keys=True), EXPIRY)

    def recover(self, number: str, policy: str, occurred_at: str) -> None:
        """Store when an SLA recovered (ISO 8601), unless a later recovery is stored."""
        known, new = parse_time(self.read(number, policy)[1]), parse_time(occurred_at)
        if new and (known is None or new > known):
            self._datastore.set(_escalation(number, policy) + ".recovered", occurred_at, EXPIRY)


class NoteMarks(_Kept):
    """Which notes the pack wrote, and which it has copied."""

    def write_note(self, incident_id: str, text: str, now: datetime) -> None:
        """Announce a note before the pack writes it, so that the filter knows its echo."""
        kind = "link." if is_stackflow_number(incident_id) else "pagerduty."
        self._datastore.set(kind + incident_id + NOTE + note_digest(text), format_time(now),
                            WRITTEN_EXPIRY)

    def is_finished(self, name: str) -> bool:
        """Return whether a note was copied, or is itself a copy."""
        return self._datastore.value("note." + name) is not None

    def finish_note(self, name: str) -> None:
        """Remember that a note was copied, or is itself a copy."""
        self._datastore.set("note." + name, "1", EXPIRY)


class WebhookSecrets(_Kept):
    """Encrypted secrets of webhook subscriptions. Keys are named in full, for people to find."""

    def keys(self) -> List[str]:
        """Return the keys of all secrets."""
        return [PREFIX + name for name, _ in self._datastore.rows(WEBHOOK_SECRET)]

    def key(self, subscription_id: str) -> Optional[str]:
        """Return the key of a subscription's secret; None if none is stored."""
        name = WEBHOOK_SECRET + subscription_id
        return None if self._datastore.value(name) is None else PREFIX + name

    def write(self, subscription_id: str, secret: str) -> None:
        """Store a secret."""
        self._datastore.set(WEBHOOK_SECRET + subscription_id, secret, None, encrypt=True)

    def delete(self, subscription_id: str) -> bool:
        """Delete a secret; returns whether that worked."""
        return self._datastore.delete(WEBHOOK_SECRET + subscription_id)


class Claims(_Kept):
    """Which webhook listener dispatches an event, where several receive it.

    The datastore has no compare-and-set, so each listener writes a claim of its own. The earliest
    one dispatches. The others skip the event only once a claim says that it was dispatched, so a
    listener that dies loses none, and clocks that differ cost a second execution at worst.
    """

    def __init__(self, datastore: Datastore, listener: str, clock: Clock) -> None:
        super().__init__(datastore)
        self._listener, self._clock = listener, clock
        self._alone = True

    def announce(self) -> None:
        """Announce this listener, and look for others; alone it claims nothing."""
        own = "listener." + self._listener
        found = self._datastore.read("listener.")
        if own not in found:
            self._datastore.set(own, format_time(self._clock.now()), LISTENER_EXPIRY)
        self._alone = {own}.issuperset(found)

    def once(self, payload: Dict[str, Any], dispatch: Callable[[], None]) -> None:
        """Call ``dispatch``, unless another listener has dispatched the same event."""
        if self._alone:
            dispatch()
            return
        event = json.dumps(dict(payload, event_id=None), sort_keys=True)  # ids may differ
        prefix = "claim.%s." % hashlib.sha256(event.encode()).hexdigest()[:32]
        with suppress(DatastoreError):
            if self._is_dispatched(prefix):
                return
        dispatch()
        with suppress(DatastoreError):
            self._datastore.set(prefix + self._listener, DISPATCHED, CLAIM_EXPIRY)

    def _is_dispatched(self, prefix: str) -> bool:
        own, at = prefix + self._listener, format_time(self._clock.now())
        self._datastore.set(own, at, CLAIM_EXPIRY)
        for _ in range(CLAIM_LOOKS):
            claims = self._datastore.read(prefix)
            if DISPATCHED in claims.values():
                return True
            if all((at, own) <= (value, name) for name, value in claims.items()):
                return False
            self._clock.sleep(CLAIM_PAUSE)
        return False


class Progress(_Kept):
    """How far the reconcile came."""

    def read(self) -> Dict[str, Any]:
        """Return the stored progress; empty before the first run."""
        try:
            found = loads(self._datastore.value("reconcile") or "{}")
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {}

    def write(self, progress: Dict[str, Any]) -> None:
        """Store the progress."""
        self._datastore.set("reconcile", json.dumps(progress, sort_keys=True), None)


class Leases(_Kept):
    """Who may do a thing that only one run shall do at a time. A lease of a killed run expires."""

    def __init__(self, datastore: Datastore) -> None:
        super().__init__(datastore)
        self._held: Dict[str, str] = {}

    def take(self, name: str, seconds: int, clock: Clock,
             patience: float = 0.0) -> Optional[str]:
        """Take a lease; returns None, or when the lease of another run ends (ISO 8601), if it still
        holds after ``patience`` seconds.

        The datastore has no compare-and-set. So a run writes a lease of its own and holds it only
        if it then sees no other. Of several that wait, the first by name keeps its lease.
        """
        prefix, until = "lease.%s." % name, clock.now() + timedelta(seconds=patience)
        own, span = prefix + os.urandom(8).hex(), timedelta(seconds=seconds)
        written = False
        others: List[Tuple[str, str]] = []
        while True:
            now = clock.now()
            if not written and not others:
                self._datastore.set(own, format_time(now + span), seconds)
                written = True
            ends = {key: parse_time(text) for key, text in self._datastore.rows(prefix)}
            others = [(key, format_time(end)) for key, end in sorted(ends.items())
                      if key != own and end and now < end <= now + 2 * span]  # clocks differ
            if written and not others:
                self._held[name] = own
                return None
            if written and (now >= until or others[0][0] < own):
                self._datastore.delete(own)
                written = False
            if others and now >= until:
                return others[0][1]
            if others:
                clock.sleep(TURN * random.uniform(0.5, 1.5))

    def release(self, name: str) -> None:
        """Give a lease back."""
        self._datastore.delete(self._held.pop(name, "lease." + name))

    @contextmanager
    def hold(self, name: str, seconds: int, clock: Clock, patience: float) -> Iterator[None]:
        """Hold a lease while something is done; ConflictError if another run keeps it."""
        end = self.take(name, seconds, clock, patience)
        if end is not None:
            raise ConflictError("another run is at work on %s; its lease ends at %s" % (name, end),
                                AGAIN, True)
        try:
            yield
        finally:
            self.release(name)


def _decode(text: Optional[str]) -> Optional[Escalation]:
    """A stored escalation, also one of version 0.1.0; None for anything else."""
    try:
        found = {name: value for name, value in loads(text or "").items()
                 if name in Escalation._fields and isinstance(value, str)}
        return Escalation(**dict({"at": found["begun"]}, **found))  # 0.1.0: `at` after a page alone
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _escalation(number: str, policy: str) -> str:
    """An SLA policy may have any name, a key may not."""
    return "sla.%s.%s" % (number, hashlib.sha256(policy.encode()).hexdigest()[:16])
