"""Resolves the PagerDuty incident of a pair."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import commands
from pagerduty_stackflow.running import perform

__all__ = ["ResolveIncidentAction"]


class ResolveIncidentAction(Action):
    """Resolves the PagerDuty incident of a pair."""

    def run(self, incident_id, by=None, resolution=None, incident=None):
        return perform(self, commands.resolve_incident,
                       incident_id=incident_id, by=by, resolution=resolution, incident=incident)
