"""StackFlow's spellings, brought to one form."""

from __future__ import annotations

from typing import Any, Dict, Mapping

STATES = ("new", "in_progress", "on_hold", "pending_customer", "pending_vendor", "resolved",
          "closed", "cancelled")


def api_state(state: str, spellings: Mapping[str, str]) -> str:
    """How this instance's API spells a canonical state (`stackflow.states`)."""
    return spellings.get(state, state)


def canonical_state(value: Any, spellings: Mapping[str, str]) -> Any:
    """The canonical state of an API or display spelling ("In Progress"); unknown values stay as
    they are.
    """
    if not isinstance(value, str):
        return value
    for state, spelling in spellings.items():
        if value.casefold() == spelling.casefold():
            return state
    plain = value.strip().casefold().replace(" ", "_").replace("-", "_")
    plain = "cancelled" if plain == "canceled" else plain
    return plain if plain in STATES else value


def canonical_record(record: Mapping[str, Any], spellings: Mapping[str, str]) -> Dict[str, Any]:
    """A record with its state canonical, `number` and `id` both set, and group and person as plain
    strings.
    """
    fields = dict(record)
    number = fields.get("number") or fields.get("id")
    fields["number"] = fields["id"] = number
    if "state" in fields:
        fields["state"] = canonical_state(fields["state"], spellings)
    for name, inner in (("assignment_group", ("name", "id")), ("assigned_to", ("email", "id", "name"))):
        if isinstance(fields.get(name), dict):
            values = [fields[name].get(key) for key in inner]
            fields[name] = next((value for value in values if isinstance(value, str)), None)
    return fields
