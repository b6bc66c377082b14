"""Creates the StackFlow incident of a PagerDuty incident."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import commands
from pagerduty_stackflow.running import perform

__all__ = ["CreateStackFlowIncidentAction"]


class CreateStackFlowIncidentAction(Action):
    """Creates the StackFlow incident of a PagerDuty incident."""

    def run(self, incident_id, incident=None):
        return perform(self, commands.create_stackflow_incident,
                       incident_id=incident_id, incident=incident)
