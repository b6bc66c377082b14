"""What a new alert, a new record and a resolved record say: the shipped texts, or a site's own
templates.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from .decide import RESOLVED
from .incidents import CLIENT, LAST_RESORT, StackFlowIncident, format_time, mark, record_url
from .pack import Pack
from .pairs import Pair
from .routing import entry_of_service, priority_for, severity
from .settings import ServiceMapping
from .templates import public_mapping, render, template_values

DETAILS = ("number", "state", "priority", "category", "subcategory", "impact", "urgency",
           "assignment_group", "assigned_to", "opened_by", "ci_id", "created_at", "description")


def send_trigger(pack: Pack, record: StackFlowIncident, entry: ServiceMapping, key: str,
                 as_severity: Optional[str] = None) -> List[str]:
    """Trigger an alert for a record through an entry; returns warnings about what had to be cut.

    ``as_severity`` stands in place of the priority's severity. An alert of last resort says so.
    """
    settings = pack.settings
    url = record_url(settings.stackflow.instance_url, record.number)
    shipped = "%s: %s" % (record.number, record.short_description)
    summary, warnings = render(settings.templates.summary, shipped, "templates.summary", {
        "incident": record.fields, "pagerduty": None, "mapping": public_mapping(entry)})
    before = "Nobody answered: " if key.endswith(LAST_RESORT) else ""
    stamp = record.updated_at or record.created_at
    component = record.fields.get("ci_id")
    return warnings + pack.events.trigger(
        entry.integration_key, key, before + summary, settings.stackflow.host,
        as_severity or severity(settings, record.priority),
        timestamp=format_time(stamp) if stamp else None,
        component=component if component and isinstance(component, str) else None,
        group=record.assignment_group, client=CLIENT, client_url=url,
        custom_details={name: record.fields[name] for name in DETAILS if record.fields.get(name)},
        links=[{"href": url, "text": record.number}], **{"class": record.category})


def new_record(pack: Pack, pair: Pair) -> Tuple[Dict[str, Any], List[str]]:
    """Return the fields of the record of a PagerDuty incident, and warnings."""
    settings, incident = pack.settings, pair.incident
    assert incident is not None
    entry = entry_of_service(settings, incident.service_id)
    shipped = "%s\n\nPagerDuty service: %s\nUrgency: %s" % (incident.title, incident.service_name,
                                                            incident.urgency)
    text, warnings = render(settings.templates.description, shipped, "templates.description",
                            template_values(pack, pair))
    fields: Dict[str, Any] = {
        "short_description": incident.title or "PagerDuty incident %s" % incident.id,
        "description": "%s\n\nPagerDuty incident: %s\n%s" % (text, incident.html_url,
                                                             mark(incident.id)),
        "priority": priority_for(settings, incident.priority, incident.urgency)}
    return dict(fields, **(place_fields(entry) if entry else {})), warnings


def place_fields(entry: ServiceMapping) -> Dict[str, str]:
    """Return the group and category of a mapping entry as a record holds them."""
    fields = {"assignment_group": entry.assignment_group, "category": entry.category}
    return {name: value for name, value in fields.items() if value}


def state_fields(pack: Pack, pair: Pair, state: str) -> Tuple[Dict[str, Any], List[str]]:
    """Return a state as it is written, with `stackflow.resolve_fields` when it is resolved, and
    warnings.
    """
    fields, warnings = {"state": state}, []
    if state == RESOLVED:
        for name, source in pack.settings.stackflow.resolve_fields.items():
            text, said = render(source, "", "stackflow.resolve_fields." + name,
                                template_values(pack, pair))
            warnings += said
            if text:  # nothing is better than half a template
                fields[name] = text
    return fields, warnings
