"""The one table of synced fields: how each is read on both sides, compared, and carried over.

A field that both sides hold as a plain value is one more row of FIELDS and nothing else: the link
remembers it, :func:`decide.decide` carries it, `sync` writes it, the filter and the reconcile
compare it. `state`, `place` and `acknowledgement` have rules of their own in `decide`, as a state
can open a new alert and a place can page another team.
"""

from __future__ import annotations

import operator
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

from .incidents import PagerDutyIncident, StackFlowIncident
from .settings import Settings

STACKFLOW = "stackflow"
PAGERDUTY = "pagerduty"

TO_STACKFLOW = "to_stackflow"
TO_PAGERDUTY = "to_pagerduty"
BOTH = "both"

NOBODY = ""
"""The assignee of a record that nobody holds; None stands for a record that does not say."""


def same_name(left: Optional[str], right: Optional[str]) -> bool:
    """Whether two names are one: letter case does not count, nor how much white space there is."""
    return " ".join((left or "").split()).casefold() == " ".join((right or "").split()).casefold()


class Field(NamedTuple):
    """One synced property.

    ``here`` and ``there`` read it from a StackFlow record and a PagerDuty incident as a common
    value; None where that side does not show it. ``to_stackflow`` and ``to_pagerduty`` give the
    fields that a write of a value sends; None for the three fields with rules of their own.
    ``direction`` is BOTH, TO_STACKFLOW, TO_PAGERDUTY or "none" by the settings; ``winner`` is the
    side that counts where both changed.
    """

    name: str
    here: Callable[[StackFlowIncident], Optional[str]]
    there: Callable[[PagerDutyIncident], Optional[str]]
    same: Callable[[Any, Any], bool] = operator.eq
    to_stackflow: Optional[Callable[[str], Mapping[str, Any]]] = None
    to_pagerduty: Optional[Callable[[str], Mapping[str, Any]]] = None
    direction: Callable[[Settings], str] = (
        lambda settings: BOTH if settings.bidirectional_sync else TO_PAGERDUTY)
    winner: str = STACKFLOW


def _assignee(record: StackFlowIncident) -> Optional[str]:
    return (record.assigned_to or NOBODY) if "assigned_to" in record.fields else None


FIELDS = (
    # Resolved beats acknowledged beats open; a later reopening beats a resolve.
    Field("state", lambda record: record.state or None, lambda incident: incident.status or None),
    # Group against service. Both changed: PagerDuty, as that team is being paged already.
    Field("place", lambda record: record.assignment_group, lambda incident: incident.service_id,
          same_name, winner=PAGERDUTY),
    # An edge: a new assignee beside an unchanged group acknowledges, once.
    Field("acknowledgement", _assignee, lambda incident: None, same_name),
)
BY_NAME: Dict[str, Field] = {field.name: field for field in FIELDS}
VALUES = tuple(field for field in FIELDS if field.to_stackflow or field.to_pagerduty)
"""The fields without rules of their own."""


def shown_here(record: StackFlowIncident) -> Dict[str, str]:
    """The fields that a record shows, as common values."""
    values = {field.name: field.here(record) for field in FIELDS}
    return {name: value for name, value in values.items() if value is not None}


def shown_there(incident: PagerDutyIncident) -> Dict[str, str]:
    """The fields that a PagerDuty incident shows, as common values."""
    values = {field.name: field.there(incident) for field in FIELDS}
    return {name: value for name, value in values.items() if value is not None}


def differs(name: str, seen: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether a field shows another value than was seen; not where either is unknown."""
    return name in seen and name in now and not BY_NAME[name].same(seen[name], now[name])
