"""What can happen to an incident, whoever causes it: an event, a REST call, a person, a timer."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from dev.simulators.pagerduty.assignment import TIMEOUT, Assignment
from dev.simulators.pagerduty.model import (
    ACKNOWLEDGED, BY_POLICY, DIRECT, HIGH, LOW, RESOLVED, TRIGGERED, Agent, Alert, Incident, Note,
    Policy, Refused, Service)

LONGEST_SNOOZE = 604800
MOST_NOTES = 2000
MOST_MERGED_ALERTS = 1000


class Lifecycle(Assignment):
    """Methods change the incident, write its log, page people and tell the subscribers."""

    def open(self, service: Service, title: str, agent: Optional[Agent], urgency: str,
             policy: Optional[Policy] = None, user_ids: Optional[List[str]] = None,
             incident_key: Optional[str] = None, priority_id: Optional[str] = None,
             details: Optional[str] = None, client: Optional[Dict[str, Any]] = None,
             channel: Optional[Dict[str, Any]] = None) -> Incident:
        """A new incident. Raises Refused with code 1015 when nobody is on call."""
        now = self._simulator.now()
        account = self._account
        incident = Incident(
            account.new_id("Q", 13), len(account.incidents) + 1, title, service.id,
            policy.id if policy else service.policy_id, urgency, now, now, now,
            incident_key=incident_key, priority_id=priority_id, details=details,
            status_changed_by=agent)
        if user_ids:
            self.assign_people(incident, user_ids, DIRECT)
        else:
            self.assign_level(incident, 1)
        account.incidents[incident.id] = incident
        self.record(incident, "trigger", agent, channel)
        self._start_auto_resolve(incident)
        self._hooks.incident("incident.triggered", incident, agent, client)
        self.page(incident, "triggered")
        return incident

    def _start_auto_resolve(self, incident: Incident) -> None:
        """When left open for that long [api-schema, Service.auto_resolve_timeout]."""
        timeout = self._account.services[incident.service_id].auto_resolve_timeout
        self.stop_timer(incident, "resolve")
        if timeout:
            self.start_timer(incident, "resolve", timeout, lambda: self._expire(incident))

    def _expire(self, incident: Incident) -> None:
        self.resolve(incident, None, channel=TIMEOUT)

    def acknowledge(self, incident: Incident, agent: Agent) -> None:
        """By a person it also assigns the incident to them [hubot-pager-me#125; api-schema].

        Raises Refused: 1001 already resolved, 1002 already acknowledged by the same agent.
        """
        if not incident.open:
            raise Refused(1001, "Incident Already Resolved")
        self.check_acknowledged(incident, agent)
        self.set_status(incident, ACKNOWLEDGED, agent)
        incident.acknowledgements.append((self._simulator.now(), agent))
        if agent.kind == "user" and self._switches.rest_acknowledge_reassigns:
            self.assign_people(incident, [agent.id], incident.assigned_via)
        self._start_acknowledgement_timeout(incident)
        self.record(incident, "acknowledge", agent)
        self._hooks.incident("incident.acknowledged", incident, agent)

    @staticmethod
    def check_acknowledged(incident: Incident, agent: Agent) -> None:
        if agent in [one for _, one in incident.acknowledgements]:
            raise Refused(1002, "Incident Already Acknowledged")

    def _start_acknowledgement_timeout(self, incident: Incident) -> None:
        """[api-schema, Service.acknowledgement_timeout]"""
        timeout = self._account.services[incident.service_id].acknowledgement_timeout
        if timeout:
            self.start_timer(incident, "unacknowledge", timeout,
                             lambda: self.unacknowledge(incident, None))

    def unacknowledge(self, incident: Incident, agent: Optional[Agent]) -> None:
        """Triggered again, by the time-out, the end of a snooze or a person; pages.

        Raises Refused with code 1012 when it is not acknowledged.
        """
        if incident.status != ACKNOWLEDGED:
            raise Refused(1012, "Incident Not Acknowledged")
        self.set_status(incident, TRIGGERED, agent)
        self.record(incident, "unacknowledge", agent, TIMEOUT if agent is None else None)
        self.start_climbing(incident)
        self._hooks.incident("incident.unacknowledged", incident, agent)
        self.page(incident, "unacknowledged")

    def resolve(self, incident: Incident, agent: Optional[Agent], note: Optional[str] = None,
                channel: Optional[Dict[str, Any]] = None) -> None:
        """With all of its alerts [support: alerts]. A note gives a second webhook.

        Raises Refused with code 1001 when it is resolved already.
        """
        if not incident.open:
            raise Refused(1001, "Incident Already Resolved")
        for alert in self._account.alerts_of(incident):
            self.close_alert(alert)
        if note and self._switches.resolution_note_first:
            self.add_note(incident, "Resolution Note: " + note, agent)
        self._close(incident, agent, channel, note)
        if note and not self._switches.resolution_note_first:
            self.add_note(incident, "Resolution Note: " + note, agent)

    def _close(self, incident: Incident, agent: Optional[Agent],
               channel: Optional[Dict[str, Any]] = None, note: Optional[str] = None) -> None:
        self.set_status(incident, RESOLVED, agent)
        self.stop_timer(incident, "resolve")
        incident.resolved_at = self._simulator.now()
        incident.assignments = []
        self.record(incident, "resolve", agent, channel, note)
        self._hooks.incident("incident.resolved", incident, agent)

    def close_alert(self, alert: Alert) -> None:
        if alert.status == TRIGGERED:
            alert.status = RESOLVED
            alert.resolved_at = self._simulator.now()
            found = (alert.routing_key, alert.alert_key)
            if self._account.open_alerts.get(found) is alert:
                del self._account.open_alerts[found]

    def reopen(self, incident: Incident, agent: Agent, status: str = TRIGGERED) -> None:
        """Assigned to whoever reopens it [api-schema, CHANGELOG 2025-09-18].

        Its alerts stay resolved (not documented), and the log has no entry type for it.
        """
        if incident.open:
            raise Refused(2001, "Invalid Input Provided", ["Incident is open"])
        incident.reopened_at = self._simulator.now()
        incident.resolved_at = None
        incident.merged_into = None
        self.set_status(incident, status, agent)
        self.assign_people(incident, [agent.id], DIRECT)
        if status == ACKNOWLEDGED:
            incident.acknowledgements = [(self._simulator.now(), agent)]
            self._start_acknowledgement_timeout(incident)
        self._start_auto_resolve(incident)
        self._hooks.incident("incident.reopened", incident, agent)
        self.page(incident, "reopened")

    def snooze(self, incident: Incident, seconds: Any, agent: Agent) -> None:
        """Acknowledged until the time is over, then triggered again [support: incidents].

        Raises Refused with code 1013 for a duration outside 1..604800 seconds, 1001 when resolved.
        """
        whole = isinstance(seconds, int) and not isinstance(seconds, bool)
        if not whole or not 1 <= seconds <= LONGEST_SNOOZE:
            raise Refused(1013, "Snooze Duration Invalid")
        if not incident.open:
            raise Refused(1001, "Incident Already Resolved")
        if incident.status != ACKNOWLEDGED:
            if self._switches.snooze_needs_acknowledged:
                raise Refused(1012, "Incident Not Acknowledged")
            self.acknowledge(incident, agent)
        self.start_timer(incident, "unacknowledge", seconds,
                         lambda: self.unacknowledge(incident, None))
        self.touch(incident)
        self.record(incident, "snooze", agent)

    def add_note(self, incident: Incident, content: str, agent: Optional[Agent]) -> Note:
        """At most 2000 per incident [api-schema]."""
        if len(incident.notes) >= MOST_NOTES:
            raise Refused(2001, "Invalid Input Provided", ["Too many notes on this incident"])
        author = agent.id if agent is not None and agent.kind == "user" else None
        note = Note(self._account.new_id(), content, author, self._simulator.now())
        incident.notes.append(note)
        self.touch(incident)
        self.record(incident, "annotate", agent, {"type": "note", "summary": content})
        self._hooks.note(incident, note, agent)
        return note

    def set_priority(self, incident: Incident, priority_id: Optional[str],
                     agent: Optional[Agent]) -> None:
        if priority_id == incident.priority_id:
            return
        incident.priority_id = priority_id
        self.touch(incident)
        self._hooks.incident("incident.priority_updated", incident, agent)

    def set_urgency(self, incident: Incident, urgency: str, agent: Optional[Agent]) -> None:
        """No webhook tells of it [developer-docs, webhooks/01]."""
        if urgency not in (HIGH, LOW):
            raise Refused(2001, "Invalid Input Provided", ["Urgency is invalid"])
        if urgency == incident.urgency:
            return
        incident.urgency = urgency
        self.touch(incident)
        self.record(incident, "urgency_change", agent)
        self.start_climbing(incident)

    def set_title(self, incident: Incident, title: str) -> None:
        incident.title = title
        self.touch(incident)

    def merge(self, target: Incident, sources: List[Incident], agent: Agent) -> None:
        """Sources are resolved, their alerts move to the target [api-schema, mergeIncidents].

        Raises Refused: 1001 when the target is resolved, 1019 when a source is merged already.
        """
        if not target.open:
            raise Refused(1001, "Incident Already Resolved")
        if any(source.merged_into for source in sources) or target in sources:
            raise Refused(1019, "Incident Already Merged")
        total = sum(len(one.alert_ids) for one in [target] + sources)
        if total > MOST_MERGED_ALERTS:
            raise Refused(2001, "Invalid Input Provided", ["Too many alerts"])
        for source in sources:
            for alert in self._account.alerts_of(source):
                alert.incident_id, alert.service_id = target.id, target.service_id
            target.alert_ids += source.alert_ids
            source.alert_ids = []
            source.merged_into = target.id
            if source.open:
                self._close(source, agent)
        self.touch(target)

    def move(self, incident: Incident, service: Service, agent: Optional[Agent],
             policy_id: Optional[str] = None) -> None:
        """To another service. What it does to policy and state is not documented: `Switches`."""
        switches = self._switches
        if switches.move_needs_second_put:
            policy_id = None
        moves = service.id != incident.service_id and not switches.move_refused
        if not moves:
            if policy_id is not None:
                self.delegate(incident, policy_id, agent)
            return
        self._must_be_open(incident, 1011, "Incident Cannot Be Reassigned")
        if policy_id is None and switches.move_takes_service_policy:
            policy_id = service.policy_id
        anew = policy_id is not None and self._take_policy_in_move(incident, policy_id)
        incident.service_id = service.id
        for alert in self._account.alerts_of(incident):
            alert.service_id = service.id
            if not switches.moved_alert_follows_key:
                self._account.open_alerts.pop((alert.routing_key, alert.alert_key), None)
        acknowledged = incident.status == ACKNOWLEDGED
        if not (acknowledged and switches.move_keeps_acknowledgement):
            self.set_status(incident, TRIGGERED, agent)
            anew = anew or acknowledged
        self.touch(incident)
        self._hooks.incident("incident.service_updated", incident, agent)
        if anew:
            self.start_climbing(incident)
            self.page(incident, "moved")

    def _take_policy_in_move(self, incident: Incident, policy_id: str) -> bool:
        """True when people were assigned by it."""
        if self._switches.move_reassigns:
            self.take_policy(incident, policy_id)
            return True
        if policy_id != incident.policy_id:
            incident.policy_id, incident.loops, incident.level = policy_id, 0, 1
            # No climbing either: the assignees do not belong to the new policy.
            incident.policy_idle = True
            self.stop_timer(incident, "escalate")
        return False

    def escalate_next(self, incident: Incident, agent: Agent) -> None:
        """As the Escalate button does: to the level after the present one."""
        assigned = incident.assigned_via == BY_POLICY and not incident.policy_idle
        self.escalate(incident, incident.level + 1 if assigned else 1, agent)
