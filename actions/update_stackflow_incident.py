"""Writes fields of a StackFlow incident."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import commands
from pagerduty_stackflow.running import perform

__all__ = ["UpdateStackFlowIncidentAction"]


class UpdateStackFlowIncidentAction(Action):
    """Writes fields of a StackFlow incident."""

    def run(self, incident_id, fields):
        return perform(self, commands.update_stackflow_incident,
                       incident_id=incident_id, fields=fields)
