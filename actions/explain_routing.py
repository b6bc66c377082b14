"""Tells which service, key, escalation policy and rule an incident leads to, and why."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import explain
from pagerduty_stackflow.running import perform

__all__ = ["ExplainRoutingAction"]


class ExplainRoutingAction(Action):
    """Tells which service, key, escalation policy and rule an incident leads to, and why."""

    def run(self, incident_id=None, assignment_group=None, category=None, priority=None):
        return perform(self, explain.explain_routing, incident_id=incident_id,
                       assignment_group=assignment_group, category=category, priority=priority)
