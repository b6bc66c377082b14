"""Plain reads for people: nothing here writes anything."""

from __future__ import annotations

from typing import Any, Dict, Optional

from .errors import NotFoundError
from .incidents import PagerDutyIncident, format_time, is_stackflow_number
from .pack import Pack
from .pairs import find_incident, find_record, linked_incident, numbers_of


def get_incident(pack: Pack, incident_id: str) -> Dict[str, Any]:
    """Both sides as they are, and the link; NotFoundError where neither side has the incident.

    ``stackflow`` and ``pagerduty`` are the two incidents, or null; ``link`` is what the pack
    remembers of the pair.
    """
    incident: Optional[PagerDutyIncident] = None
    if is_stackflow_number(incident_id):
        number: Optional[str] = incident_id
    else:
        incident = find_incident(pack, incident_id)
        numbers = numbers_of(pack, incident_id) if incident else []
        number = numbers[0] if numbers else None
    link = pack.links.read(number)[0] if number else None
    record = find_record(pack, number) if number else None
    if incident is None and link is not None:
        incident = linked_incident(pack, link)
    if record is None and incident is None:
        raise NotFoundError("neither StackFlow nor PagerDuty knows %s" % incident_id,
                            "check the id")
    return {"stackflow_id": number, "pagerduty_incident_id": incident.id if incident else None,
            "dedup_key": link.dedup_key if link else None,
            "stackflow": dict(record.fields) if record else None,
            "pagerduty": _shown(incident) if incident else None,
            "link": {name: value for name, value in vars(link).items() if value} if link else None}


def _shown(incident: PagerDutyIncident) -> Dict[str, Any]:
    return {name: format_time(value) if hasattr(value, "tzinfo") else value
            for name, value in vars(incident).items()}
