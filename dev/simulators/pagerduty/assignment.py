"""Who is responsible, who is paged, and how an incident climbs its escalation policy."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from dev.simulators.base import Simulator
from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.model import (
    ACKNOWLEDGED, BY_POLICY, DIRECT, HIGH, TRIGGERED, Agent, Incident, LogEntry, Notification,
    Refused, Switches)
from dev.simulators.pagerduty.webhooks import Webhooks

WEBSITE = {"type": "website"}
TIMEOUT = {"type": "timeout"}


class Assignment:
    """The part of an incident's life that concerns people. `Lifecycle` builds on it."""

    def __init__(self, simulator: Simulator, account: Account, hooks: Webhooks,
                 switches: Switches) -> None:
        self._simulator = simulator
        self._account = account
        self._hooks = hooks
        self._switches = switches

    def record(self, incident: Incident, kind: str, agent: Optional[Agent],
               channel: Optional[Dict[str, Any]] = None, note: Optional[str] = None) -> None:
        """Add a log entry of type `<kind>_log_entry`."""
        entry = LogEntry(self._account.new_id("R", 13), kind + "_log_entry",
                         self._simulator.now(), incident.id, agent, dict(channel or WEBSITE), note)
        incident.log.append(entry)
        self._account.log.append(entry)

    def touch(self, incident: Incident) -> None:
        incident.updated_at = self._simulator.now()

    def set_status(self, incident: Incident, status: str, agent: Optional[Agent]) -> None:
        self.touch(incident)
        if status != incident.status:
            incident.status = status
            incident.status_changed_at = self._simulator.now()
            incident.status_changed_by = agent
        if status != ACKNOWLEDGED:
            incident.acknowledgements = []
            self.stop_timer(incident, "unacknowledge")
        if status != TRIGGERED:
            self.stop_timer(incident, "escalate")

    def start_timer(self, incident: Incident, name: str, seconds: float,
                    action: Callable[[], None]) -> None:
        self.stop_timer(incident, name)

        def expire() -> None:
            del incident.timers[name]
            action()
        incident.timers[name] = self._simulator.after(seconds, expire)

    @staticmethod
    def stop_timer(incident: Incident, name: str) -> None:
        timer = incident.timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def page(self, incident: Incident, reason: str) -> None:
        """Notify the assignees: only a triggered incident pages [support: notifications]."""
        if incident.status != TRIGGERED:
            return
        now = self._simulator.now()
        for user_id in incident.assignees:
            pages = self._account.notifications.setdefault(user_id, [])
            pages.append(Notification(now, incident.id, reason))
            self.record(incident, "notify", None, {"type": "auto", "user": user_id})

    def assign_people(self, incident: Incident, user_ids: List[str], via: str) -> None:
        now = self._simulator.now()
        incident.assignments = [(now, user_id) for user_id in user_ids]
        incident.assigned_via = via
        if via == DIRECT:
            self.stop_timer(incident, "escalate")

    def staffed(self, policy_id: str, level: int) -> int:
        """The first level from `level` with somebody on call. Raises Refused with code 1015."""
        found = self._account.policies[policy_id].staffed(level)
        if found is None:
            raise Refused(1015, "No One Is On Call For The Escalation Policy")
        return found

    def assign_level(self, incident: Incident, level: int) -> None:
        """Assign by policy, from `level` upwards to the first with somebody on call."""
        incident.level = self.staffed(incident.policy_id, level)
        incident.policy_idle = False
        policy = self._account.policies[incident.policy_id]
        self.assign_people(incident, policy.levels[incident.level - 1].user_ids, BY_POLICY)
        self.start_climbing(incident)

    def start_climbing(self, incident: Incident) -> None:
        """Wait for the level's delay, where the incident climbs by itself at all.

        Low urgency does not climb [support: dynamic-notifications], nor does direct assignment
        [api-schema, Incident.assigned_via], nor an acknowledged incident [support: escalation].
        """
        self.stop_timer(incident, "escalate")
        climbs = (incident.status == TRIGGERED and incident.urgency == HIGH and
                  incident.assigned_via == BY_POLICY and not incident.policy_idle)
        policy = self._account.policies[incident.policy_id]
        if not climbs or self._next_level(incident) is None:
            return
        delay = policy.levels[incident.level - 1].delay_minutes * 60
        self.start_timer(incident, "escalate", delay, lambda: self._climb(incident))

    def _next_level(self, incident: Incident) -> Optional[int]:
        """Upwards, then again from the bottom while loops are left [EscalationPolicy.num_loops]."""
        policy = self._account.policies[incident.policy_id]
        above = policy.staffed(incident.level + 1)
        if above is None and incident.loops < policy.num_loops:
            return policy.staffed(1)
        return above

    def _climb(self, incident: Incident) -> None:
        level = self._next_level(incident)
        if level is None:
            return
        if level <= incident.level:
            incident.loops += 1
            self.record(incident, "repeat_escalation_path", None, TIMEOUT)
        self.assign_level(incident, level)
        self.touch(incident)
        self.record(incident, "escalate", None, TIMEOUT)
        self._hooks.incident("incident.escalated", incident, None)
        self.page(incident, "escalated")

    def reassign(self, incident: Incident, user_ids: List[str], agent: Optional[Agent]) -> None:
        """To people by name. They are paged anew, so an acknowledgement ends [support: reassign].

        Raises Refused with code 1011 when it is resolved [developer-docs, REST-API/14].
        """
        self._must_be_open(incident, 1011, "Incident Cannot Be Reassigned")
        self.set_status(incident, TRIGGERED, agent)
        self.assign_people(incident, user_ids, DIRECT)
        self.record(incident, "assign", agent)
        self._hooks.incident("incident.reassigned", incident, agent)
        self.page(incident, "reassigned")

    def escalate(self, incident: Incident, level: int, agent: Optional[Agent]) -> None:
        """By hand.

        Raises Refused with code 1006 for a level that the policy lacks [developer-docs,
        REST-API/14], and by switch for low urgency, which does not escalate.
        """
        self._must_be_open(incident, 1006, "Incident Cannot Be Escalated")
        self.check_level(incident.policy_id, level, incident.urgency)
        self.staffed(incident.policy_id, level)
        self.set_status(incident, TRIGGERED, agent)
        self.assign_level(incident, level)
        self.record(incident, "escalate", agent)
        self._hooks.incident("incident.escalated", incident, agent)
        self.page(incident, "escalated")

    def check_level(self, policy_id: str, level: Any, urgency: str) -> None:
        levels = range(1, len(self._account.policies[policy_id].levels) + 1)
        calm = urgency != HIGH and not self._switches.low_urgency_escalates
        if isinstance(level, bool) or level not in levels or calm:
            raise Refused(1006, "Incident Cannot Be Escalated")

    def delegate(self, incident: Incident, policy_id: str, agent: Optional[Agent],
                 level: int = 1) -> None:
        """To another escalation policy, at its first level.

        The policy and level that it is on already change nothing (not documented). Raises Refused
        with code 1011 when it is resolved.
        """
        self._must_be_open(incident, 1011, "Incident Cannot Be Reassigned")
        in_force = incident.assigned_via == BY_POLICY and not incident.policy_idle
        if (policy_id, level) == (incident.policy_id, incident.level) and in_force:
            return
        self.staffed(policy_id, level)
        self.set_status(incident, TRIGGERED, agent)
        self.take_policy(incident, policy_id, level)
        self.record(incident, "delegate", agent)
        self._hooks.incident("incident.delegated", incident, agent)
        self.page(incident, "delegated")

    def take_policy(self, incident: Incident, policy_id: str, level: int = 1) -> None:
        self.staffed(policy_id, level)
        incident.policy_id, incident.loops = policy_id, 0
        self.assign_level(incident, level)

    def _must_be_open(self, incident: Incident, code: int, message: str) -> None:
        if not incident.open:
            raise Refused(code, message)
