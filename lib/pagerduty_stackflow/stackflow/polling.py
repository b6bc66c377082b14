"""StackFlow's list of incidents in place of webhooks: which records changed.

docs.stackflow-tech.com, api/incidents.html, List query parameters: no filter knows `updated_at`, so
the newest are read until what is known begins.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, List, Mapping, NamedTuple, Optional

from ..deliveries import text, time_text
from ..incidents import parse_time
from .client import PAGE, PAGES, StackFlowClient
from .records import TEXTS, TIMES

FIRST_LOOK = 20
"""Rows that are asked for as long as hardly anything happens."""
MOST = PAGE * PAGES
"""Rows that one look takes in."""
NEWEST = (("sort", "updated_at"), ("order", "desc"))


class Row(NamedTuple):
    """A record of a list as StackFlow sent it.

    ``key`` is its number, or where it has none its ``fingerprint``: a digest of its known fields,
    as stamps of whole seconds do not tell two changes apart.
    """

    key: str
    updated_at: Optional[datetime]
    fingerprint: str
    fields: Mapping[str, Any]


class NoteRow(NamedTuple):
    """A note as StackFlow lists it; ``key`` names its record and it."""

    key: str
    written_at: datetime
    fields: Mapping[str, Any]


def row_of(fields: Mapping[str, Any]) -> Row:
    """A record as StackFlow sent it."""
    fingerprint = _digest([fields.get(name) for name in TEXTS + TIMES])
    return Row(text(fields.get("number")) or text(fields.get("id")) or fingerprint,
               parse_time(time_text(fields.get("updated_at"))), fingerprint, fields)


def changed(client: StackFlowClient, since: datetime, fingerprints: Mapping[str, str]) -> List[Row]:
    """The records that were changed at ``since`` or later, the newest first.

    ``fingerprints`` are those of records that are known as they are, by number. The list is read to
    its end, to an older record, or where a whole page's worth is known.
    """
    rows = _until_known(client, since, fingerprints, FIRST_LOOK)
    return rows if rows is not None else _until_known(client, since, fingerprints, PAGE) or []


def _until_known(client: StackFlowClient, since: datetime, fingerprints: Mapping[str, str],
                 size: int) -> Optional[List[Row]]:
    """None where the first of several pages was not enough to tell."""
    rows: List[Row] = []
    known = 0
    for fields in client.pages("/incidents", NEWEST, size):
        row = row_of(fields)
        if row.updated_at is not None and row.updated_at < since:
            return rows
        rows.append(row)
        known = known + 1 if fingerprints.get(row.key) == row.fingerprint else 0
        if known == PAGE:
            return rows
        if len(rows) == size < PAGE:
            return None
    return rows


def new_notes(client: StackFlowClient, number: str, since: datetime) -> List[NoteRow]:
    """The notes of a record that were written at ``since`` or later, without those that StackFlow
    keeps internal. A note without a time is left out, as nothing tells whether it is new.
    """
    found = []
    for fields in client.pages("/incidents/%s/notes" % number):
        written_at = parse_time(time_text(fields.get("created_at")))
        if written_at is None or written_at < since or fields.get("visibility") == "internal":
            continue
        key = "%s:%s" % (number, text(fields.get("id")) or _digest(fields))
        found.append(NoteRow(key, written_at, fields))
    return sorted(found, key=lambda note: note.written_at)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
