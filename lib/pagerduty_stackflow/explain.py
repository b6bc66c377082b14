"""Answer "who would be paged, and why?": explain_routing and list_oncall. Nothing here writes."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from .errors import BadInputError, NotFoundError, PackError
from .fields import same_name
from .incidents import PRIORITIES, StackFlowIncident, is_stackflow_number, parse_time, reaches
from .links import Link
from .decide import DONE_STATES
from .pack import Pack
from .pagerduty.account import SILENT
from .pagerduty.events import fingerprint
from .matching import numbers_of
from .routing import (Route, entries_for, entry_of_service, find_route, priority_for,
                      route_for_opening, severity)
from .settings import ServiceMapping

Rule = Tuple[Optional[str], str]
"""The rule that acts next, or None, and why."""


def explain_routing(pack: Pack, incident_id: Optional[str] = None,
                    assignment_group: Optional[str] = None, category: Optional[str] = None,
                    priority: Optional[str] = None) -> Dict[str, Any]:
    """Show which entry, service, key, policy and rule an incident leads to, and why.

    The group, category and priority are those of ``incident_id``, unless they are given too. The
    key is shown as its position in the config and its fingerprint. Raises RoutingError for a group
    that leads nowhere.
    """
    level = (priority or "").strip().upper() or None
    if level and level not in PRIORITIES:
        raise BadInputError("priority is %r" % priority, "give one of " + ", ".join(PRIORITIES))
    number, record, link = incident_id or None, None, None
    if incident_id and not is_stackflow_number(incident_id):
        number = next(iter(numbers_of(pack, incident_id)), None)
        if number is None:
            return _explain_record(pack, incident_id)
    if not number and not assignment_group:
        raise BadInputError("neither an incident nor an assignment group is given",
                            "give incident_id or assignment_group")
    if number:
        record, link = pack.stackflow.incident(number), pack.links.read(number)
        assignment_group = assignment_group or record.assignment_group
        category, level = category or record.category, level or record.priority
    route = route_for_opening(pack.settings, assignment_group, category)
    if record is not None and record.state in DONE_STATES:
        rule, why = None, ("it is %s, so nothing opens; if somebody reopens it, stackflow_reopened "
                           "triggers a new alert" % record.state)
    elif link is not None and link.joined:
        is_mapped = find_route(pack.settings, assignment_group, category) is not None
        rule, why = _rule_of_pair(link, route, assignment_group, is_mapped)
    else:
        rule, why = _rule_of_opening(pack, level, record)
    entry = route.mapping
    return dict(
        _destination(pack, entry.service_id, entry.service_name, entry),
        assignment_group=assignment_group, category=category, priority=level,
        severity=severity(pack.settings, level) if level else None,
        reaches_threshold=reaches(level, pack.settings.priority_threshold) if level else None,
        rule=rule, why="entry chosen for %s; %s" % (route.reason, why), stackflow_id=number,
        pagerduty_incident_id=link.pagerduty_id if link else None)


def _rule_of_pair(link: Link, route: Route, group: Optional[str], is_mapped: bool) -> Rule:
    """The rule that acts next on an incident with an alert."""
    service = link.there.get("place")
    if link.closed:
        return "stackflow_reopened", "it was resolved and reopened, which triggers a new alert"
    if service in (None, route.mapping.service_id):
        paged = ("it is paged there already" if link.incident_id else
                 "an alert was sent there already (sync_status shows whether PagerDuty opened an "
                 "incident)")
        return None, paged + ", and the pack keeps it in sync whatever its priority"
    if not is_mapped:
        return None, "%s pages for it, and the default service serves opening only" % service
    if same_name(link.here.get("place"), group):
        return None, "somebody moved it to %s in PagerDuty, where it stays" % service
    return "stackflow_regrouped", "paged by %s, it moves with its group" % service


def _rule_of_opening(pack: Pack, priority: Optional[str],
                     record: Optional[StackFlowIncident]) -> Rule:
    """The rule that opens an incident without an alert."""
    threshold, start = pack.settings.priority_threshold, parse_time(pack.start.read())
    if priority and not reaches(priority, threshold):
        return None, ("%s is under the threshold %s: nothing opens until it is raised "
                      "(stackflow_priority_raised)" % (priority, threshold))
    if record is not None and record.created_at and start and record.created_at < start:
        return None, ("it was created before the pack was installed: only trigger_incident with "
                      "force pages")
    return "stackflow_created", "%s the threshold %s" % (
        "%s reaches" % priority if priority else "if its priority reaches", threshold)


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
        assignment_group=entry and entry.assignment_group, category=entry and entry.category,
        priority=priority_for(pack.settings, incident.priority, incident.urgency), severity=None,
        reaches_threshold=None, rule=rule, why=why, stackflow_id=None,
        pagerduty_incident_id=incident.id)


def _destination(pack: Pack, service_id: Optional[str], name: Optional[str],
                 entry: Optional[ServiceMapping]) -> Dict[str, Any]:
    """Show a service, and its entry if it has one; a read that fails is a warning."""
    policy, warnings = None, []
    position = entry and "service_mapping[%d]" % pack.settings.service_mapping.index(entry)
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
    """List who is on call now, per mapped service and level: `{services: [...], warnings}`."""
    services, warnings = {}, []
    entries = entries_for(pack.settings, assignment_group)
    for service_id in dict.fromkeys(entry.service_id for entry in entries):
        try:
            services[service_id] = pack.account.service(service_id)
        except NotFoundError as error:
            warnings.append("%s: %s" % (service_id, error.message))
    levels: Dict[str, Dict[int, Dict[str, Dict[str, Any]]]] = {}
    for one in pack.account.on_calls(sorted({service.policy_id for service in services.values()
                                             if service.policy_id})):
        people = levels.setdefault(one.policy_id, {}).setdefault(one.level, {})
        people.setdefault(one.user_id, {  # each person once
            "id": one.user_id, "name": one.name, "html_url": one.html_url,
            "schedule": one.schedule, "until": one.until})
    rows = [{"assignment_group": entry.assignment_group, "category": entry.category,
             "service_id": service.id, "service_name": service.name,
             "escalation_policy": {"id": service.policy_id, "name": service.policy_name},
             "levels": [{"level": level, "people": list(people.values())} for level, people in
                        sorted(levels.get(service.policy_id or "", {}).items())]}
            for entry in entries for service in [services.get(entry.service_id)] if service]
    return {"services": rows, "warnings": warnings}
