"""The one table of the events that the pack knows, on both sides.

The filter, the pollers, the webhook subscriptions and their checks, and the docs use it. An event
that is not in the table is dispatched to users' own rules, and the shipped rules let it pass.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from .fields import BY_NAME, PAGERDUTY, STACKFLOW
from .settings import Settings

SLA = "sla"


class Kind(NamedTuple):
    """One type of event.

    ``side`` is STACKFLOW, PAGERDUTY or SLA. ``changes`` are the fields of `fields.FIELDS` that it
    can tell of: where all show what was seen last, it is no news; without any it always is.
    ``state`` is the status that it brings, where its name says so. ``opens``: an incident was
    created or may page from now on. ``note``: it carries a note.
    """

    side: str
    name: str
    changes: Tuple[str, ...] = ()
    state: Optional[str] = None
    opens: bool = False
    note: bool = False

    def is_needed(self, settings: Settings) -> bool:
        """Whether the shipped rules need it with these settings."""
        if self.note:
            return settings.sync_notes
        return self.opens or self.side != SLA and settings.bidirectional_sync


EVENTS = (
    Kind(PAGERDUTY, "incident.triggered", ("state",), opens=True),
    Kind(PAGERDUTY, "incident.acknowledged", ("state",), "acknowledged"),
    Kind(PAGERDUTY, "incident.resolved", ("state",), "resolved"),
    Kind(PAGERDUTY, "incident.reopened", ("state",), "triggered"),
    Kind(PAGERDUTY, "incident.service_updated", ("place",)),
    Kind(PAGERDUTY, "incident.annotated", note=True),
    Kind(STACKFLOW, "incident.created", ("state", "place", "acknowledgement"), opens=True),
    Kind(STACKFLOW, "incident.priority_changed", ("state", "place", "acknowledgement"), opens=True),
    Kind(STACKFLOW, "incident.assigned", ("state", "place", "acknowledgement")),
    Kind(STACKFLOW, "incident.regrouped", ("state", "place", "acknowledgement")),
    Kind(STACKFLOW, "incident.resolved", ("state",), "resolved"),
    Kind(STACKFLOW, "incident.reopened", ("state",)),
    Kind(STACKFLOW, "incident.state_changed", ("state",), opens=True),
    Kind(STACKFLOW, "incident.comment_added", note=True),
    Kind(SLA, "sla.warning"),
    Kind(SLA, "sla.breach"),
    Kind(SLA, "sla.recovery"),
)
UPDATED = "incident.updated"
"""What a poll says of an incident that changed: which one, and what it is now."""
POLLED = tuple(Kind(side, UPDATED, tuple(BY_NAME), opens=True) for side in (PAGERDUTY, STACKFLOW))


def kind_of(side: str, name: str) -> Optional[Kind]:
    """Return the table's row of an event; None for an event that the pack does not know."""
    return next((kind for kind in EVENTS + POLLED if (kind.side, kind.name) == (side, name)), None)
