"""What StackFlow keeps: incidents, notes, groups and users (api/incidents.html, api/users.html)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

if TYPE_CHECKING:
    from dev.simulators.stackflow.switches import Switches

# itsm/incidents.html for all but on_hold, which integrations/connectors/jira.html alone has.
OPEN_STATES = ("new", "in_progress", "on_hold", "pending_customer", "pending_vendor")
FINISHED_STATES = ("resolved", "closed", "cancelled")
PRIORITIES = ("P1", "P2", "P3", "P4")
LEVELS = ("high", "medium", "low")

# Fields that a person or a client may write, in the order of the record in api/incidents.html.
WRITABLE = ("short_description", "description", "priority", "state", "category", "subcategory",
            "impact", "urgency", "assignment_group", "assigned_to", "ci_id", "parent_problem_id",
            "change_id")


def truncated(moment: datetime, precision: str) -> datetime:
    """A moment with the digits that the API shows, so that stored and shown times are equal."""
    kept = moment.microsecond // 1000 * 1000 if precision == "milliseconds" else 0
    return moment.replace(microsecond=kept)


def iso(moment: Optional[datetime], precision: str) -> Optional[str]:
    """``2026-05-19T15:00:00Z``, the form of every time that the pages print."""
    if moment is None:
        return None
    shown = moment.strftime("%Y-%m-%dT%H:%M:%S")
    if precision == "milliseconds":
        shown += ".{:03d}".format(moment.microsecond // 1000)
    return shown + "Z"


@dataclass
class Incident:
    """One record; ``fields`` holds what is writable, with the canonical state."""

    number: str
    fields: Dict[str, Any]
    opened_by: str
    created_at: datetime
    updated_at: datetime
    resolved_at: Optional[datetime] = None
    history: List[Tuple[datetime, str]] = field(default_factory=list)  # states, their beginnings

    @property
    def state(self) -> str:
        """The canonical state."""
        return str(self.fields["state"])

    def view(self, switches: Switches) -> Dict[str, Any]:
        """The record as the API shows it; ``id`` and ``number`` are equal (api/incidents.html)."""
        record: Dict[str, Any] = {"id": self.number, "number": self.number}
        record.update(self.fields)
        record["state"] = switches.spelling(self.state)
        record["opened_by"] = self.opened_by
        for name in ("created_at", "updated_at", "resolved_at"):
            record[name] = iso(getattr(self, name), switches.time_precision)
        return record


@dataclass
class Note:
    """A work note; no page shows one, so all of its fields are this simulator's choice."""

    id: str
    incident_id: str
    text: str
    visibility: str
    author: str
    created_at: datetime

    def view(self, switches: Switches) -> Dict[str, Any]:
        """The note as the API shows it, its text under the name that the switch gives."""
        return {"id": self.id, "incident_id": self.incident_id, switches.note_field: self.text,
                "visibility": self.visibility, "author": self.author,
                "created_at": iso(self.created_at, switches.time_precision)}


@dataclass
class Group:
    """An assignment group; api/users.html is cut before its fields, these are a choice."""

    id: str
    name: str
    created_at: datetime

    def view(self, switches: Switches) -> Dict[str, Any]:
        """The group as the API shows it."""
        return {"id": self.id, "name": self.name, "active": True,
                "created_at": iso(self.created_at, switches.time_precision)}


@dataclass
class User:
    """A person or service account (api/users.html)."""

    id: str
    email: str
    name: str
    role: str
    groups: Tuple[str, ...]
    created_at: datetime
    active: bool = True

    def view(self, switches: Switches) -> Dict[str, Any]:
        """The user as the API shows it, groups by name."""
        given, _, family = self.name.partition(" ")
        return {"id": self.id, "email": self.email, "given_name": given, "family_name": family,
                "display_name": self.name, "role": self.role, "active": self.active,
                "department": None, "location": None, "assignment_groups": list(self.groups),
                "last_login": None,
                "created_at": iso(self.created_at, switches.time_precision)}
