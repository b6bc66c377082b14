"""StackFlow's spellings, brought to one form."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

from ..deliveries import as_object, clean, text, time_text
from ..incidents import STATES

TEXTS = ("id", "number", "short_description", "description", "priority", "state", "category",
         "subcategory", "impact", "urgency", "assignment_group", "assigned_to", "opened_by",
         "ci_id")
TIMES = ("created_at", "updated_at", "resolved_at", "reopened_at")
"""These two: the fields of a record that the triggers promise to be strings or null."""
NOTE_TEXTS = ("note", "text", "body", "content")
"""Names that the text of a note may have."""
REFERENCES = {"assignment_group": ("name", "id"), "assigned_to": ("email", "id", "name"),
              "opened_by": ("email", "id", "name")}
"""Fields that may come as objects, and which of an object's fields stands for it: the first that is
there (api/users.html).
"""


def api_state(state: str, spellings: Mapping[str, str]) -> str:
    """Return how this instance's API spells a canonical state (`stackflow.states`)."""
    return spellings.get(state, state)


def canonical_state(value: Any, spellings: Mapping[str, str]) -> Any:
    """Return the canonical state of an API or display spelling ("In Progress"), or the value."""
    if not isinstance(value, str):
        return value
    plain = value.strip().casefold().replace(" ", "_").replace("-", "_")
    plain = "cancelled" if plain == "canceled" else plain
    return next((state for state, spelling in spellings.items()
                 if spelling.casefold() == value.casefold()), plain if plain in STATES else value)


def canonical_record(record: Mapping[str, Any], spellings: Mapping[str, str]) -> Dict[str, Any]:
    """Return a record as the whole pack sees it: StackFlow's own fields, known ones as strings or
    null, times as ISO 8601, the state canonical. It adds no field but `number` and `id`.
    """
    fields = as_object(clean(dict(record)))
    for name in TEXTS:
        if name in fields:
            fields[name] = _plain(fields[name], REFERENCES.get(name, ("name",)))
    for name in TIMES:
        if name in fields:
            fields[name] = time_text(fields[name])
    fields["number"] = fields["id"] = fields.get("number") or fields.get("id")
    if "state" in fields:
        fields["state"] = canonical_state(fields["state"], spellings)
    return fields


def note_fields(note: Mapping[str, Any]) -> Dict[str, Optional[str]]:
    """Return `id`, `text` and `author` of a note, under any name that the vendor may use."""
    words = (text(note.get(name)) for name in NOTE_TEXTS)
    return {"id": text(note.get("id")), "text": next(filter(None, words), None),
            "author": _plain(note.get("author"), REFERENCES["opened_by"])}


def _plain(value: Any, inner: Tuple[str, ...]) -> Optional[str]:
    """Return a text, or the first text of an object's ``inner`` fields."""
    if isinstance(value, dict):
        return next(filter(None, (text(value.get(name)) for name in inner)), None)
    return text(value)
