"""What `PUT /incidents` asks for: read and checked first, then carried out as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.call import invalid
from dev.simulators.pagerduty.lifecycle import Lifecycle
from dev.simulators.pagerduty.model import (
    ACKNOWLEDGED, HIGH, LOW, RESOLVED, TRIGGERED, Agent, Incident, Refused)

UNSET = object()
Json = Dict[str, Any]


@dataclass
class Change:
    """References are resolved to ids. Fields that were not sent are None (priority: UNSET)."""

    incident: Incident
    status: Optional[str] = None
    resolution: Optional[str] = None
    title: Optional[str] = None
    urgency: Optional[str] = None
    priority_id: Any = UNSET
    service_id: Optional[str] = None
    policy_id: Optional[str] = None
    level: Optional[int] = None
    user_ids: Optional[List[str]] = None

    @property
    def reopens(self) -> bool:
        """[api-schema, CHANGELOG 2025-09-18]"""
        return not self.incident.open and self.status in (TRIGGERED, ACKNOWLEDGED)


def reference_id(value: Any, name: str) -> str:
    identity = value.get("id") if isinstance(value, dict) else None
    if not isinstance(identity, str):
        raise invalid("{} must be a reference".format(name))
    return identity


class Changes:
    def __init__(self, account: Account, lifecycle: Lifecycle) -> None:
        self._account = account
        self._lifecycle = lifecycle

    def read(self, incident: Incident, sent: Json, agent: Agent) -> Change:
        """Raises Refused for anything that could not be carried out."""
        if sent.get("type") not in ("incident", "incident_reference"):
            raise invalid("Type must be incident_reference")
        change = Change(incident, sent.get("status"), sent.get("resolution"), sent.get("title"),
                        sent.get("urgency"), level=sent.get("escalation_level"))
        if sent.get("service") is not None:
            change.service_id = reference_id(sent["service"], "Service")
        if sent.get("escalation_policy") is not None:
            change.policy_id = self.policy(sent["escalation_policy"])
        if sent.get("assignments") is not None:
            change.user_ids = self.assignees(sent["assignments"])
        if "priority" in sent:
            change.priority_id = self.priority(sent["priority"])
        self.check_urgency(change.urgency)
        self._check(change, agent)
        return change

    def policy(self, value: Any) -> str:
        identity = reference_id(value, "Escalation policy")
        if identity not in self._account.policies:
            raise Refused(1014, "Escalation Policy Not Found")
        return identity

    def assignees(self, value: Any) -> List[str]:
        if not isinstance(value, list) or not value:
            raise invalid("Assignments must be a list")
        found = [reference_id(one.get("assignee") if isinstance(one, dict) else None, "Assignee")
                 for one in value]
        for identity in found:
            if identity not in self._account.users:
                raise invalid("Assignee not found")
        return found

    def priority(self, value: Any) -> Optional[str]:
        """A reference or a name; null takes it away. Raises code 1020, or 402 without the plan."""
        if "priorities" not in self._account.abilities:
            raise Refused(2014, "Required abilities are unavailable", ["priorities"], status=402)
        if value is None:
            return None
        for priority in self._account.priorities.values():
            wanted = value.get("id") if isinstance(value, dict) else None
            if priority.name == value or priority.id == wanted:
                return priority.id
        raise Refused(1020, "Invalid Priority")

    def check_urgency(self, urgency: Optional[str]) -> None:
        if urgency is None:
            return
        if urgency not in (HIGH, LOW):
            raise invalid("Urgency is invalid")
        if "urgencies" not in self._account.abilities:
            raise Refused(2014, "Required abilities are unavailable", ["urgencies"], status=402)

    def _check(self, change: Change, agent: Agent) -> None:
        incident = change.incident
        if change.title is not None and not str(change.title).strip():
            raise invalid("Title cannot be blank")
        if change.policy_id is not None and change.user_ids is not None:
            raise invalid("Only one of escalation policy and assignments may be given")
        if change.service_id is not None and change.service_id not in self._account.services:
            raise invalid("Service not found")
        self._check_status(change, agent)
        open_then = incident.open or change.reopens
        moves = (change.policy_id, change.user_ids, change.service_id)
        if not open_then and any(one is not None for one in moves):
            raise Refused(1011, "Incident Cannot Be Reassigned")
        policy_id = change.policy_id or incident.policy_id
        if change.level is not None:
            if not open_then:
                raise Refused(1006, "Incident Cannot Be Escalated")
            self._lifecycle.check_level(policy_id, change.level, change.urgency or incident.urgency)
        if change.policy_id is not None or change.level is not None:
            self._lifecycle.staffed(policy_id, change.level or 1)

    def _check_status(self, change: Change, agent: Agent) -> None:
        if change.status not in (None, TRIGGERED, ACKNOWLEDGED, RESOLVED):
            raise invalid("Status is invalid")
        incident = change.incident
        if change.status == RESOLVED and not incident.open:
            raise Refused(1001, "Incident Already Resolved")
        if change.status == ACKNOWLEDGED:
            self._lifecycle.check_acknowledged(incident, agent)

    def apply(self, change: Change, agent: Agent) -> None:
        """Carry out what `read` has found possible."""
        incident, lifecycle = change.incident, self._lifecycle
        reopens = change.reopens
        if reopens:
            lifecycle.reopen(incident, agent, str(change.status))
        if change.title is not None and change.title != incident.title:
            lifecycle.set_title(incident, str(change.title))
        if change.urgency is not None:
            lifecycle.set_urgency(incident, change.urgency, agent)
        if change.priority_id is not UNSET:
            lifecycle.set_priority(incident, change.priority_id, agent)
        self._route(change, agent)
        if not reopens:
            self._apply_status(change, agent)

    def _route(self, change: Change, agent: Agent) -> None:
        incident, lifecycle = change.incident, self._lifecycle
        if change.service_id is not None:
            service = self._account.services[change.service_id]
            lifecycle.move(incident, service, agent, change.policy_id)
        elif change.policy_id is not None:
            lifecycle.delegate(incident, change.policy_id, agent, change.level or 1)
            return
        if change.user_ids is not None:
            lifecycle.reassign(incident, change.user_ids, agent)
        elif change.level is not None:
            lifecycle.escalate(incident, change.level, agent)

    def _apply_status(self, change: Change, agent: Agent) -> None:
        incident = change.incident
        if change.status == RESOLVED:
            self._lifecycle.resolve(incident, agent, change.resolution)
        elif change.status == ACKNOWLEDGED:
            self._lifecycle.acknowledge(incident, agent)
        elif change.status == TRIGGERED and incident.status == ACKNOWLEDGED:
            self._lifecycle.unacknowledge(incident, agent)
