"""Secrets kept for a while: within the process and, as every action is a process of its own, in
StackStorm's datastore, where they are encrypted or not stored at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Optional, Protocol

from .bounded_json import loads
from .clock import Clock

PREFIX = "pagerduty_stackflow.cache."
_LOG = logging.getLogger(__name__)


class SecretStore(Protocol):
    """What this module uses of StackStorm's datastore service."""

    def get_value(self, name: str, local: bool = True, *, decrypt: bool = False) -> Any:
        """The value, or None, also when the datastore did not answer or cannot decrypt it."""

    def set_value(self, name: str, value: str, ttl: Optional[int] = None, local: bool = True, *,
                  encrypt: bool = False) -> Any:
        """Store a string; ``ttl`` in seconds. Raises where it cannot encrypt."""

    def delete_value(self, name: str, local: bool = True) -> Any:
        """Remove a value."""


@dataclass(frozen=True)
class _Entry:
    """A value, the end of its time in epoch seconds, and what it was made from."""

    value: str = field(repr=False)
    until: float
    made_from: str


class SecretCache:
    """Values by name, each with an end. The datastore's failures cost a fetch and nothing else."""

    def __init__(self, store: SecretStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: Dict[str, _Entry] = {}
        self._encrypts = True

    def read(self, name: str, made_from: str = "") -> Optional[str]:
        """The value if its time is not over and it was written with the same ``made_from``."""
        entry = self._kept.get(name)
        if not self._is_good(entry, made_from):
            entry = self._stored(name)
        if entry is None or not self._is_good(entry, made_from):
            return None
        self._kept[name] = entry
        return entry.value

    def write(self, name: str, value: str, seconds: float, made_from: str = "") -> None:
        """Keep a value for so many seconds. ``made_from`` is a fingerprint of the secrets that it rests
        on; it stays within the encrypted text.
        """
        entry = _Entry(value, self._clock.now().timestamp() + seconds, made_from)
        self._kept[name] = entry
        if seconds < 1 or not self._encrypts:
            return
        try:
            self._store.set_value(PREFIX + name, json.dumps(asdict(entry)), ttl=int(seconds),
                                  local=False, encrypt=True)
        except Exception as error:  # StackStorm's client raises whatever its transport raised
            self._encrypts = False
            _LOG.warning("The datastore does not store encrypted values (%s), so every action "
                         "reads its secrets and tokens again. Is a crypto key set up in st2.conf "
                         "(keyvalue.encryption_key_path)?", type(error).__name__)

    def drop(self, name: str) -> None:
        """Forget a value."""
        if self._kept.pop(name, None) is None or not self._encrypts:
            return  # StackStorm logs a trace for removing what is not there
        try:
            self._store.delete_value(PREFIX + name, local=False)
        except Exception as error:  # as above; it runs out by itself
            _LOG.warning("A value of the cache could not be removed (%s)", type(error).__name__)

    def _is_good(self, entry: Optional[_Entry], made_from: str) -> bool:
        return (entry is not None and entry.made_from == made_from and
                entry.until > self._clock.now().timestamp())

    def _stored(self, name: str) -> Optional[_Entry]:
        try:
            text = self._store.get_value(PREFIX + name, local=False, decrypt=True)
        except Exception as error:  # as above
            _LOG.warning("The cache could not be read (%s)", type(error).__name__)
            return None
        return _decode(text)


def fingerprint(*parts: Optional[str]) -> str:
    """Tells settings apart without showing them."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _decode(text: Any) -> Optional[_Entry]:
    """A stored entry; None for anything else, such as what somebody edited."""
    try:
        data = loads(str(text))
        entry = _Entry(**data)
    except (TypeError, ValueError):
        return None
    good = isinstance(entry.value, str) and isinstance(entry.until, (int, float))
    return entry if good and entry.value else None
