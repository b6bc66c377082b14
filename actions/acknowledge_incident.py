"""Acknowledges the PagerDuty incident of a pair."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import commands
from pagerduty_stackflow.running import perform

__all__ = ["AcknowledgeIncidentAction"]


class AcknowledgeIncidentAction(Action):
    """Acknowledges the PagerDuty incident of a pair."""

    def run(self, incident_id, by=None, incident=None):
        return perform(self, commands.acknowledge_incident,
                       incident_id=incident_id, by=by, incident=incident)
