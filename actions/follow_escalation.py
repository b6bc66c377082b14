"""Takes one step of the workflow escalate_sla_breach."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import sla
from pagerduty_stackflow.running import perform

__all__ = ["FollowEscalationAction"]


class FollowEscalationAction(Action):
    """Takes one step of the workflow escalate_sla_breach."""

    def run(self, incident_id, sla_policy, breach=None):
        return perform(self, sla.follow_escalation,
                       incident_id=incident_id, sla_policy=sla_policy, breach=breach)
