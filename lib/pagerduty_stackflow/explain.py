"""Answers to "who would be paged, and why?": explain_routing and list_oncall. Nothing here writes.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from .errors import BadInputError, NotFoundError, PackError
from .incidents import (PRIORITIES, StackFlowIncident, is_stackflow_number, parse_time,
                        reaches)
from .links import Link
from .merge import DONE_STATES
from .pack import Pack
from .pagerduty.account import SILENT, OnCall
from .pagerduty.events import fingerprint
from .pairs import numbers_of
from .routing import (Route, entries_for, entry_of_service, find_route, priority_for,
                      route_for_opening, same_name, severity)
from .settings import ServiceMapping


def explain_routing(pack: Pack, incident_id: Optional[str] = None,
                    assignment_group: Optional[str] = None, category: Optional[str] = None,
                    priority: Optional[str] = None) -> Dict[str, Any]:
    """Which entry, service, key, policy and rule an incident leads to, and why.

    Of ``incident_id`` the group, category and priority are read, and those that are given stand in
    their place. The key is shown as its position in the config and its fingerprint. RoutingError
    for a group that leads nowhere, BadInputError where there is neither incident nor group, or
    another priority than P1 to P4.
    """
    if priority and priority.strip().upper() not in PRIORITIES:
        raise BadInputError("priority is %r" % priority, "give one of " + ", ".join(PRIORITIES))
    record: Optional[StackFlowIncident] = None
    if incident_id:
        number: Optional[str] = incident_id
        if not is_stackflow_number(incident_id):
            number = next(iter(numbers_of(pack, incident_id)), None)
            if number is None:
                return _explain_record(pack, incident_id)
        record = pack.stackflow.incident(number or "")
    elif not assignment_group:
        raise BadInputError("neither an incident nor an assignment group is given",
                            "give incident_id or assignment_group")
    group = assignment_group or (record.assignment_group if record else None)
    wanted = category or (record.category if record else None)
    level = priority.strip().upper() if priority else record.priority if record else None
    route = route_for_opening(pack.settings, group, wanted)
    link = pack.links.read(record.number)[0] if record else None
    rule, why = _rule(pack, route, group, wanted, level, record, link)
    return dict(
        _destination(pack, route.mapping), assignment_group=group, category=wanted, priority=level,
        severity=severity(pack.settings, level) if level else None,
        reaches_threshold=reaches(level, pack.settings.priority_threshold) if level else None,
        rule=rule, why="entry chosen for %s; %s" % (route.reason, why),
        stackflow_id=record.number if record else None,
        pagerduty_incident_id=link.pagerduty_id if link else None)


def _rule(pack: Pack, route: Route, group: Optional[str], category: Optional[str],
          priority: Optional[str], record: Optional[StackFlowIncident],
          link: Optional[Link]) -> Tuple[Optional[str], str]:
    """The rule that would act on the incident next, or None, and why."""
    settings = pack.settings
    threshold = settings.priority_threshold
    if record is not None and record.state in DONE_STATES:
        return None, ("it is %s: nothing opens; opened again, stackflow_reopened triggers a new "
                      "alert" % record.state)
    if link is not None and link.joined and link.closed:
        return "stackflow_reopened", "it was resolved and is open again, which triggers a new alert"
    if link is not None and link.joined:
        if link.service_id in (None, route.mapping.service_id):
            seen = link.seen or link.pagerduty_id is not None
            return None, "%s, and it is kept in step whatever its priority" % (
                "it is paged there already" if seen else "an alert was sent there already (whether "
                "PagerDuty opened an incident of it, sync_status shows)")
        if find_route(settings, group, category) is None:
            return None, ("it is paged by %s, and the default service serves opening only" %
                          link.service_id)
        if link.group and same_name(link.group, group):
            return None, "it was moved to %s in PagerDuty, and stays there" % link.service_id
        return "stackflow_regrouped", "paged by %s, it moves with its group" % link.service_id
    if priority and not reaches(priority, threshold):
        return None, ("%s is under the threshold %s: nothing opens until it is raised "
                      "(stackflow_priority_raised)" % (priority, threshold))
    start = parse_time(pack.links.start())
    if record is not None and record.created_at and start and record.created_at < start:
        return None, ("it was created before the pack was installed: only trigger_incident with "
                      "force pages")
    if priority:
        return "stackflow_created", "%s reaches the threshold %s" % (priority, threshold)
    return "stackflow_created", "if its priority reaches the threshold %s" % threshold


def _explain_record(pack: Pack, incident_id: str) -> Dict[str, Any]:
    """The other way: where the StackFlow record of a PagerDuty incident would go."""
    incident = pack.rest.incident(incident_id)
    entry = entry_of_service(pack.settings, incident.service_id)
    found: Dict[str, Any] = {
        "entry": None, "service_id": incident.service_id, "service_name": incident.service_name,
        "service_url": incident.service_id and _url(pack, incident.service_id), "key": None,
        "escalation_policy": None, "warnings": []}
    rule: Optional[str] = None
    if entry is not None:
        found = _destination(pack, entry)
    if entry is None:
        why = "service %s (%s) is not in service_mapping: no record is created" % (
            incident.service_id, incident.service_name)
    elif not pack.settings.bidirectional_sync:
        why = "bidirectional_sync is off: no record is created"
    else:
        rule = "pagerduty_triggered"
        why = ("it has no StackFlow record yet; one is created in the group and category of its "
               "service")
    return dict(
        found, assignment_group=entry.assignment_group if entry else None,
        category=entry.category if entry else None,
        priority=priority_for(pack.settings, incident.priority, incident.urgency),
        severity=None, reaches_threshold=None, rule=rule, why=why, stackflow_id=None,
        pagerduty_incident_id=incident.id)


def _destination(pack: Pack, entry: ServiceMapping) -> Dict[str, Any]:
    """The entry and what lies behind it; what PagerDuty does not tell is a warning."""
    place = "service_mapping[%d]" % pack.settings.service_mapping.index(entry)
    policy, warnings = None, []
    try:
        service = pack.account.service(entry.service_id)
        policy = {"id": service.policy_id, "name": service.policy_name}
        if service.status in SILENT:
            warnings.append("the service is %s: nobody is paged" % service.status)
    except PackError as error:  # the routing itself needs no REST key
        warnings.append("the escalation policy is not known: %s" % error.message)
    return {"entry": place, "service_id": entry.service_id, "service_name": entry.service_name,
            "service_url": _url(pack, entry.service_id),
            "key": {"position": place + ".integration_key",
                    "fingerprint": fingerprint(entry.integration_key)},
            "escalation_policy": policy, "warnings": warnings}


def _url(pack: Pack, service_id: str) -> str:
    """Where people see a service (REST API, Get a Service, `html_url`)."""
    return "%s/service-directory/%s" % (pack.settings.pagerduty.web_url, service_id)


def list_oncall(pack: Pack, assignment_group: Optional[str] = None) -> Dict[str, Any]:
    """Who is on call now, per mapped service and level: `{services: [...], warnings}`.

    RoutingError for a group without an entry. A service that PagerDuty does not know is a warning.
    """
    account = pack.account
    entries = entries_for(pack.settings, assignment_group)
    services, warnings = {}, []
    for entry in entries:
        if entry.service_id not in services:
            try:
                services[entry.service_id] = account.service(entry.service_id)
            except NotFoundError as error:
                warnings.append("%s: %s" % (entry.service_id, error.message))
    policies = sorted({one.policy_id for one in services.values() if one.policy_id})
    on_calls = account.on_calls(policies)
    rows = []
    for entry in entries:
        service = services.get(entry.service_id)
        if service is not None:
            rows.append({
                "assignment_group": entry.assignment_group, "category": entry.category,
                "service_id": service.id, "service_name": service.name,
                "escalation_policy": {"id": service.policy_id, "name": service.policy_name},
                "levels": _levels([one for one in on_calls if one.policy_id == service.policy_id])})
    return {"services": rows, "warnings": warnings}


def _levels(on_calls: List[OnCall]) -> List[Dict[str, Any]]:
    """The people of each level, from the first up; somebody on two schedules is there once."""
    levels: Dict[int, Dict[str, Dict[str, Any]]] = {}
    for one in on_calls:
        levels.setdefault(one.level, {}).setdefault(one.user_id, {
            "id": one.user_id, "name": one.name, "html_url": one.html_url,
            "schedule": one.schedule, "until": one.until})
    return [{"level": level, "people": list(levels[level].values())} for level in sorted(levels)]
