"""Texts that the pack writes: of an alert, of a new record, of a record that is resolved.

The shipped ones are plain Python; a site's own are Jinja2, in a sandbox. Delimiters are
`[[ value ]]` and `[% statement %]`, as StackStorm renders `{{ }}` itself when it loads a config.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from .decide import RESOLVED
from .incidents import CLIENT, LAST_RESORT, StackFlowIncident, format_time, mark, record_url
from .pack import Pack
from .pairs import Pair
from .routing import entry_of_service, priority_for, severity
from .settings import ServiceMapping

OUTPUT_LIMIT = 32 * 1024
"""Characters that a template may produce; PagerDuty and StackFlow cut or refuse more."""
LOOPS = OUTPUT_LIMIT
"""Numbers that `range` may give in one template, all loops together."""
DETAILS = ("number", "state", "priority", "category", "subcategory", "impact", "urgency",
           "assignment_group", "assigned_to", "opened_by", "ci_id", "created_at", "description")


def render(source: Optional[str], shipped: str, name: str,
           values: Mapping[str, Any]) -> Tuple[str, List[str]]:
    """Return the text of a site's template, or the shipped text if that is missing or broken; and
    warnings.
    """
    if source is None or not any(opening in source for opening in ("[[", "[%", "[#")):
        return shipped if source is None else source, []
    try:
        return _render(source, values), []
    except Exception as error:  # a template can raise anything
        return shipped, ["%s is broken (%s: %s); %s" % (
            name, type(error).__name__, str(error)[:200],
            "the shipped text was used" if shipped else "it was left out")]


def _render(source: str, values: Mapping[str, Any]) -> str:
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """The sandbox, without what makes much out of little."""

        intercepted_binops = frozenset(("*", "**"))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            """Numbers may be multiplied, and nothing else."""
            if operator == "**" or not all(isinstance(one, (int, float)) for one in (left, right)):
                raise SecurityError("%s is not allowed here" % operator)
            return left * right

    environment = Environment(
        variable_start_string="[[", variable_end_string="]]", block_start_string="[%",
        block_end_string="%]", comment_start_string="[#", comment_end_string="#]",
        undefined=StrictUndefined)
    left = LOOPS

    def bounded_range(*bounds: int) -> range:
        nonlocal left
        left -= len(range(*bounds))
        if left < 0:
            raise ValueError("more than %d rounds of loops" % LOOPS)
        return range(*bounds)

    environment.globals["range"] = bounded_range
    parts, size = [], 0
    for part in environment.from_string(source).generate(**values):
        parts.append(part)
        size += len(part)
        if size > OUTPUT_LIMIT:
            raise ValueError("more than %d characters" % OUTPUT_LIMIT)
    return "".join(parts)


def public_mapping(entry: ServiceMapping) -> Mapping[str, Any]:
    """Return a mapping entry as templates see it: without its keys."""
    return {"pagerduty_service_id": entry.service_id, "pagerduty_service_name": entry.service_name,
            "stackflow_assignment_group": entry.assignment_group,
            "stackflow_category": entry.category}


def template_values(pack: Pack, pair: Pair) -> Dict[str, Any]:
    """Return the variables of every template: `incident`, `pagerduty` and `mapping`."""
    service = pair.incident.service_id if pair.incident else pair.link.there.get("place")
    entry = entry_of_service(pack.settings, service)
    shown = {name: value for name, value in pair.incident._asdict().items()
             if not hasattr(value, "tzinfo")} if pair.incident else None
    return {"incident": dict(pair.record.fields) if pair.record else None, "pagerduty": shown,
            "mapping": public_mapping(entry) if entry else None}


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
