"""Moves the PagerDuty incident of a pair to an escalation policy or level."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import sla
from pagerduty_stackflow.running import perform

__all__ = ["EscalateIncidentAction"]


class EscalateIncidentAction(Action):
    """Moves the PagerDuty incident of a pair to an escalation policy or level."""

    def run(self, incident_id, escalation_policy_id=None, escalation_level=None, reason=None):
        return perform(self, sla.escalate_incident,
                       incident_id=incident_id, escalation_policy_id=escalation_policy_id,
                       escalation_level=escalation_level, reason=reason)
