"""People's hands: what they do in PagerDuty's web UI or app. `by` is a user id."""

from __future__ import annotations

from typing import List, Optional, Sequence, Union

from dev.simulators.base import Simulator, serialised
from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.lifecycle import Lifecycle
from dev.simulators.pagerduty.model import TRIGGERED, Agent, Incident


class People(Simulator):
    """Incidents are named by id or number. Raises Refused where the button would be grey."""

    account: Account
    lifecycle: Lifecycle

    def _incident(self, identity: Union[str, int]) -> Incident:
        return self.account.incident(str(identity))

    @serialised
    def create_incident(self, service_id: str, title: str, by: str,
                        urgency: Optional[str] = None, priority: Optional[str] = None) -> str:
        """Returns the id. It has a key of its own and no alert [support: alerts]."""
        service = self.account.services[service_id]
        made = self.lifecycle.open(service, title, Agent("user", by),
                                   urgency or service.usual_urgency,
                                   incident_key=self.account.new_hex(),
                                   priority_id=self._priority(priority))
        return made.id

    @serialised
    def acknowledge(self, incident_id: str, by: str) -> None:
        self.lifecycle.acknowledge(self._incident(incident_id), Agent("user", by))

    @serialised
    def unacknowledge(self, incident_id: str, by: str) -> None:
        self.lifecycle.unacknowledge(self._incident(incident_id), Agent("user", by))

    @serialised
    def resolve(self, incident_id: str, by: str, note: Optional[str] = None) -> None:
        self.lifecycle.resolve(self._incident(incident_id), Agent("user", by), note)

    @serialised
    def reopen(self, incident_id: str, by: str, status: str = TRIGGERED) -> None:
        self.lifecycle.reopen(self._incident(incident_id), Agent("user", by), status)

    @serialised
    def snooze(self, incident_id: str, seconds: int, by: str) -> None:
        self.lifecycle.snooze(self._incident(incident_id), seconds, Agent("user", by))

    @serialised
    def reassign(self, incident_id: str, to: Union[str, Sequence[str]], by: str) -> None:
        people: List[str] = [to] if isinstance(to, str) else list(to)
        self.lifecycle.reassign(self._incident(incident_id), people, Agent("user", by))

    @serialised
    def escalate(self, incident_id: str, by: str, level: Optional[int] = None) -> None:
        """To a level of its policy, or to the next."""
        incident = self._incident(incident_id)
        if level is None:
            self.lifecycle.escalate_next(incident, Agent("user", by))
        else:
            self.lifecycle.escalate(incident, level, Agent("user", by))

    @serialised
    def delegate(self, incident_id: str, policy_id: str, by: str) -> None:
        """To another escalation policy."""
        self.lifecycle.delegate(self._incident(incident_id), policy_id, Agent("user", by))

    @serialised
    def merge(self, target_id: str, source_ids: Sequence[str], by: str) -> None:
        sources = [self._incident(one) for one in source_ids]
        self.lifecycle.merge(self._incident(target_id), sources, Agent("user", by))

    @serialised
    def move(self, incident_id: str, service_id: str, by: str,
             policy_id: Optional[str] = None) -> None:
        """To another service."""
        self.lifecycle.move(self._incident(incident_id), self.account.services[service_id],
                            Agent("user", by), policy_id)

    @serialised
    def add_note(self, incident_id: str, text: str, by: str) -> str:
        return self.lifecycle.add_note(self._incident(incident_id), text, Agent("user", by)).id

    @serialised
    def set_priority(self, incident_id: str, priority: Optional[str], by: str) -> None:
        """By name or id; None takes it away."""
        self.lifecycle.set_priority(self._incident(incident_id), self._priority(priority),
                                    Agent("user", by))

    @serialised
    def set_urgency(self, incident_id: str, urgency: str, by: str) -> None:
        self.lifecycle.set_urgency(self._incident(incident_id), urgency, Agent("user", by))

    @serialised
    def set_title(self, incident_id: str, title: str) -> None:
        self.lifecycle.set_title(self._incident(incident_id), title)

    def _priority(self, wanted: Optional[str]) -> Optional[str]:
        if wanted is None:
            return None
        named = {one.name: one.id for one in self.account.priorities.values()}
        return named.get(wanted, wanted)
