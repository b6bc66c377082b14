"""Answer "who would be paged, and why?": explain_routing and list_oncall. Nothing here writes."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Tuple

from .errors import BadInputError, NotFoundError, PackError
from .fields import same_name
from .incidents import PRIORITIES, StackFlowIncident, is_stackflow_number, parse_time, reaches
from .links import Link
from .decide import DONE_STATES
from .pack import Pack
from .pagerduty.account import SILENT, OnCall
from .pagerduty.events import fingerprint
from .matching import numbers_of
from .routing import (Route, entries_for, entry_of_service, find_route, priority_for,
                      route_for_opening, severity)
from .settings import ServiceMapping


def explain_routing(pack: Pack, incident_id: Optional[str] = None,
                    assignment_group: Optional[str] = None, category: Optional[str] = None,
                    priority: Optional[str] = None) -> Dict[str, Any]:
    """Show which entry, service, key, policy and rule an incident leads to, and why.

    The group, category and priority are those of ``incident_id``, unless they are given too. The
    key is shown as its position in the config and its fingerprint. Raises RoutingError for a group
    that leads nowhere, BadInputError for a priority other than P1 to P4, and if there is neither an
    incident nor a group.
    """
    level = (priority or "").strip().upper() or None
    if level and level not in PRIORITIES:
        raise BadInputError("priority is %r" % priority, "give one of " + ", ".join(PRIORITIES))
    number = incident_id or None
    if number and not is_stackflow_number(number):
        number = next(iter(numbers_of(pack, number)), None)
        if number is None:
            return _explain_record(pack, incident_id or "")
    if not number and not assignment_group:
        raise BadInputError("neither an incident nor an assignment group is given",
                            "give incident_id or assignment_group")
    record, link = None, None
    if number:
        record, link = pack.stackflow.incident(number), pack.links.read(number)
        assignment_group = assignment_group or record.assignment_group
        category, level = category or record.category, level or record.priority
    route = route_for_opening(pack.settings, assignment_group, category)
    rule, why = (_rule_of_pair(pack, route, assignment_group, category, link) or
                 _rule_of_opening(pack, level, record))
    if record is not None and record.state in DONE_STATES:
        rule, why = None, ("it is %s, so nothing opens; if somebody reopens it, stackflow_reopened "
                           "triggers a new alert" % record.state)
    entry = route.mapping
    return dict(
        _destination(pack, entry.service_id, entry.service_name, entry),
        assignment_group=assignment_group, category=category, priority=level,
        severity=severity(pack.settings, level) if level else None,
        reaches_threshold=reaches(level, pack.settings.priority_threshold) if level else None,
        rule=rule, why="entry chosen for %s; %s" % (route.reason, why), stackflow_id=number,
        pagerduty_incident_id=link.pagerduty_id if link else None)


def _rule_of_pair(pack: Pack, route: Route, group: Optional[str], category: Optional[str],
                  link: Optional[Link]) -> Optional[Tuple[Optional[str], str]]:
    """Return the rule, or None, that acts next on an incident with an alert, and why."""
    if link is None or not link.joined:
        return None
    if link.closed:
        return "stackflow_reopened", "it was resolved and reopened, which triggers a new alert"
    service = link.there.get("place")
    if service in (None, route.mapping.service_id):
        paged = ("it is paged there already" if link.incident_id else
                 "an alert was sent there already (sync_status shows whether PagerDuty opened an "
                 "incident)")
        return None, paged + ", and the pack keeps it in sync whatever its priority"
    if find_route(pack.settings, group, category) is None:
        return None, ("%s pages for it, and the default service serves opening only" %
                      service)
    if same_name(link.here.get("place"), group):
        return None, "somebody moved it to %s in PagerDuty, where it stays" % service
    return "stackflow_regrouped", "paged by %s, it moves with its group" % service


def _rule_of_opening(pack: Pack, priority: Optional[str],
                     record: Optional[StackFlowIncident]) -> Tuple[Optional[str], str]:
    """Return the rule, or None, that opens an incident without an alert, and why."""
    threshold = pack.settings.priority_threshold
    if priority and not reaches(priority, threshold):
        return None, ("%s is under the threshold %s: nothing opens until it is raised "
                      "(stackflow_priority_raised)" % (priority, threshold))
    start = parse_time(pack.start.read())
    if record is not None and record.created_at and start and record.created_at < start:
        return None, ("it was created before the pack was installed: only trigger_incident with "
                      "force pages")
    if priority:
        return "stackflow_created", "%s reaches the threshold %s" % (priority, threshold)
    return "stackflow_created", "if its priority reaches the threshold %s" % threshold


def _explain_record(pack: Pack, incident_id: str) -> Dict[str, Any]:
    """Show the other way: where the StackFlow record of a PagerDuty incident would go."""
    incident = pack.rest.incident(incident_id)
    entry = entry_of_service(pack.settings, incident.service_id)
    rule: Optional[str] = None
    if entry is None:
        why = "service %s (%s) is not in service_mapping: no record is created" % (
            incident.service_id, incident.service_name)
    elif not pack.settings.bidirectional_sync:
        why = "bidirectional_sync is off: no record is created"
    else:
        rule, why = "pagerduty_triggered", ("it has no StackFlow record yet; the pack creates one "
                                            "in the group and category of its service")
    return dict(
        _destination(pack, incident.service_id, incident.service_name, entry),
        assignment_group=entry.assignment_group if entry else None,
        category=entry.category if entry else None,
        priority=priority_for(pack.settings, incident.priority, incident.urgency), severity=None,
        reaches_threshold=None, rule=rule, why=why, stackflow_id=None,
        pagerduty_incident_id=incident.id)


def _destination(pack: Pack, service_id: Optional[str], name: Optional[str],
                 entry: Optional[ServiceMapping]) -> Dict[str, Any]:
    """Show a service, and its entry if it has one; a read that fails is a warning."""
    position, policy, warnings = None, None, []
    if entry is not None:
        position = "service_mapping[%d]" % pack.settings.service_mapping.index(entry)
    try:
        service = pack.account.service(service_id or "")
        policy = {"id": service.policy_id, "name": service.policy_name}
        if service.status in SILENT:
            warnings.append("the service is %s: nobody is paged" % service.status)
    except PackError as error:  # the routing itself needs no REST key
        warnings.append("the escalation policy is not known: %s" % error.message)
    url = "%s/service-directory/%s" % (pack.settings.pagerduty.web_url, service_id)
    return {"entry": position, "service_id": service_id, "service_name": name, "service_url": url,
            "key": entry and {"position": "%s.integration_key" % position,
                              "fingerprint": fingerprint(entry.integration_key)},
            "escalation_policy": policy, "warnings": warnings}


def list_oncall(pack: Pack, assignment_group: Optional[str] = None) -> Dict[str, Any]:
    """List who is on call now, per mapped service and level: `{services: [...], warnings}`.

    RoutingError for a group without an entry. A service that PagerDuty does not know is a warning.
    """
    entries = entries_for(pack.settings, assignment_group)
    services, warnings = {}, []
    for service_id in dict.fromkeys(entry.service_id for entry in entries):
        try:
            services[service_id] = pack.account.service(service_id)
        except NotFoundError as error:
            warnings.append("%s: %s" % (service_id, error.message))
    policies = sorted({one.policy_id for one in services.values() if one.policy_id})
    on_calls = pack.account.on_calls(policies)
    rows = []
    for entry in entries:
        if entry.service_id in services:
            service = services[entry.service_id]
            rows.append({
                "assignment_group": entry.assignment_group, "category": entry.category,
                "service_id": service.id, "service_name": service.name,
                "escalation_policy": {"id": service.policy_id, "name": service.policy_name},
                "levels": _levels(one for one in on_calls if one.policy_id == service.policy_id)})
    return {"services": rows, "warnings": warnings}


def _levels(on_calls: Iterable[OnCall]) -> List[Dict[str, Any]]:
    """Return the people of each level, the first level first; each person once."""
    levels: Dict[int, Dict[str, Dict[str, Any]]] = {}
    for one in on_calls:
        levels.setdefault(one.level, {}).setdefault(one.user_id, {
            "id": one.user_id, "name": one.name, "html_url": one.html_url,
            "schedule": one.schedule, "until": one.until})
    return [{"level": level, "people": list(levels[level].values())} for level in sorted(levels)]
