"""The world with SLAs: a policy to escalate to, the rule's workflow on its engine, and the policies
of StackStorm that the pack ships.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Dict, List

import yaml
from conducted import Workflow
from world import ROOT, Run, World

RESPONSE, RESOLUTION = "P1-Response-SLA", "P1-Resolution-SLA"
GROUP = "Platform Engineering"
KEY = "stackflow:acme.stackflow.example:"
POLICIES = [yaml.safe_load(path.read_text()) for path in ROOT.glob("policies/*.yaml")]
MINUTES = 3
"""Time to answer."""


class SlaWorld(World):
    """Two SLA policies lead to the escalation policy "Command": Lee, and Kim a minute later."""

    def __init__(self, **config: Any) -> None:
        self.workflows: List[Workflow] = []
        self._receiving = 0
        super().__init__(**config)

    def _set_up_accounts(self) -> None:
        super()._set_up_accounts()
        self.lee = self.pagerduty.add_user("Lee Command", "lee@example.com", id="PLEE000")
        self.kim = self.pagerduty.add_user("Kim Command", "kim@example.com", id="PKIM000")
        self.command = self.pagerduty.add_escalation_policy(
            "Command", [(1, [self.lee]), (1, [self.kim])], id="PCOMMAN")

    def _config(self) -> Dict[str, Any]:
        mapping = [{"stackflow_sla_policy": policy, "trigger_on": "sla_breach",
                    "pagerduty_escalation_policy_id": self.command}
                   for policy in (RESPONSE, RESOLUTION)]
        return dict(super()._config(), escalation_mapping=mapping,
                    escalation={"unanswered_after_minutes": MINUTES})

    def run_one(self, one: Run) -> Any:
        if one.action != "escalate_sla_breach":
            return super().run_one(one)
        if not any(self._cancels(policy, one) for policy in POLICIES):
            name = "execution-%d" % len(self.workflows)
            self.workflows.append(Workflow(self, one.action, name, **one.parameters))
        return None

    def _cancels(self, policy: Dict[str, Any], one: Run) -> bool:
        """Whether a policy of StackStorm cancels a run because the same one is under way."""
        names = policy["parameters"].get("attributes", ())
        return policy["resource_ref"].endswith("." + one.action) and any(
            not run.status and all(run.inputs[name] == one.parameters[name] for name in names)
            for run in self.workflows)

    def _receive(self, url: str, headers: Dict[str, str], body: bytes) -> int:
        self._receiving += 1
        try:
            return super()._receive(url, headers, body)
        finally:
            self._receiving -= 1

    @property
    def in_task(self) -> bool:
        """Whether it is a workflow's task that makes a call, and not the listener meanwhile."""
        return not self._receiving and any(one.performs for one in self.workflows)

    def opened(self, priority: str = "P1", **fields: Any) -> str:
        """A StackFlow incident, paged where its priority asks for it."""
        number = self.stackflow.create_incident("Database timeout", priority, group=fields.pop(
            "group", GROUP), category=fields.pop("category", "api"), **fields)
        self.settle()
        return number

    def breach(self, number: str, policy: str = RESOLUTION, seconds: float = 5) -> None:
        """StackFlow reports a breach, and what follows within some seconds."""
        self.stackflow.breach_sla(number, policy)
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Let time pass for everybody: people, systems, rules and workflows."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while True:
            self.settle(0.1)
            for one in self.workflows:
                one.advance()
            due = min((one.due for one in self.workflows if one.due), default=end)
            if self.clock.now() >= end:
                return
            self.run(max(0.0, (min(due, end) - self.clock.now()).total_seconds()))

    def incident(self, number: str, end: str = "") -> Any:
        """The newest PagerDuty incident of a record, or of its key with another end."""
        found = self.pagerduty.incidents(dedup_key=KEY + number + end)
        return found[-1] if found else None

    def pages(self, person: str) -> List[str]:
        """Why somebody was notified, in order."""
        return [page.reason for page in self.pagerduty.notifications[person]]

    def notes(self, number: str) -> List[str]:
        """The work notes of a record."""
        return [note["note"] for note in self.stackflow.notes(number)]

    def puts(self) -> List[Any]:
        """What was written to incidents by REST, without the type."""
        return [{name: value for name, value in write.document["incident"].items()
                 if name != "type"} for write in self.pagerduty.writes if write.method == "PUT"]
