"""Triggers a PagerDuty alert for a StackFlow incident."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import commands
from pagerduty_stackflow.running import perform

__all__ = ["TriggerIncidentAction"]


class TriggerIncidentAction(Action):
    """Triggers a PagerDuty alert for a StackFlow incident."""

    def run(self, incident_id, incident=None, force=False):
        return perform(self, commands.trigger_incident,
                       incident_id=incident_id, incident=incident, force=force)
