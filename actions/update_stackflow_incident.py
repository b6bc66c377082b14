"""Writes fields of a StackFlow incident."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import rerouting
from pagerduty_stackflow.running import perform

__all__ = ["UpdateStackflowIncidentAction"]


class UpdateStackflowIncidentAction(Action):
    """Writes fields of a StackFlow incident."""

    def run(self, incident_id, fields):
        return perform(self, rerouting.update_stackflow_incident,
                       incident_id=incident_id, fields=fields)
