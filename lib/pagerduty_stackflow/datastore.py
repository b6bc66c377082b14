"""StackStorm's datastore: lists that raise instead of answering "absent", and writes that expire.

Callers leave out PREFIX from the names of keys, and get names without it.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Callable, Dict, Iterator, List, Optional, Protocol, Set, Tuple, TypeVar

from .errors import DatastoreDeniedError, DatastoreError

PREFIX = "pagerduty_stackflow."
DAY = 24 * 3600
EXPIRY = 90 * DAY  # for records of finished incidents, in seconds
NOTE = ".note."  # between the key of an incident and the digest of the pack's own note
PAGE = 100  # `api.max_page_size`: the most values that one list call of StackStorm returns
NEIGHBOURS = 1000  # the most values of a read; a prefix also finds the keys that continue after it
T = TypeVar("T")


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
        """Remove a value. StackStorm returns False when that failed, and raises nothing."""


class Datastore:
    """The pack's keys. Each method raises DatastoreError when the datastore does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writes = True

    def read_only(self) -> None:
        """Store and delete nothing from now on, for a dry run."""
        self._writes = False

    def rows(self, prefix: str) -> Iterator[Tuple[str, str]]:
        """Yield name and value of each key that starts with ``prefix``.

        For a user without a system role, StackStorm's RBAC ignores prefix, limit and offset: so
        this drops foreign keys, and a page without a new key is the last one.
        """
        full, offset = PREFIX + prefix, 0
        seen: Set[str] = set()
        while True:
            page = _answer("list", full, lambda: self._store.list_values(
                local=False, prefix=full, limit=PAGE, offset=offset))
            new = [row for row in page if row.name not in seen]
            seen.update(row.name for row in new)
            for row in new:
                if row.name.startswith(full):
                    yield row.name[len(PREFIX):], str(row.value)
            if len(page) != PAGE or not new:
                return
            offset += PAGE

    def read(self, prefix: str) -> Dict[str, str]:
        """Return name and value of the first NEIGHBOURS keys that start with ``prefix``."""
        return dict(islice(self.rows(prefix), NEIGHBOURS))

    def value(self, name: str) -> Optional[str]:
        """Return the value of a key; None if there is no such key."""
        return self.read(name).get(name)

    def set(self, name: str, value: str, ttl: Optional[int], encrypt: bool = False) -> None:
        """Store a value for ``ttl`` seconds, or until it is deleted."""
        if self._writes:
            _answer("set", PREFIX + name, lambda: self._store.set_value(
                PREFIX + name, value, ttl=ttl, local=False, encrypt=encrypt))

    def delete(self, name: str) -> bool:
        """Delete a key; False if there was none, or if StackStorm's client hid a failure."""
        return self._writes and bool(_answer("delete", PREFIX + name, lambda: (
            self._store.delete_value(PREFIX + name, local=False))))


def _answer(verb: str, name: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:  # StackStorm's client raises whatever its transport raised
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise DatastoreDeniedError(
                "StackStorm refused key_value_pair_%s on %s (HTTP %d)" % (verb, name, status),
                "give the StackStorm user of this run or sensor the role admin, or the permission "
                "that the message names; after 401, check its token") from error
        raise DatastoreError(
            "the StackStorm datastore did not answer (%s)" % type(error).__name__,
            "check st2api and its database, then run it again", retryable=True) from error
