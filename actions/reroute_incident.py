"""Moves a PagerDuty incident to the service of an assignment group."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import commands
from pagerduty_stackflow.running import perform

__all__ = ["RerouteIncidentAction"]


class RerouteIncidentAction(Action):
    """Moves a PagerDuty incident to the service of an assignment group."""

    def run(self, incident_id, assignment_group=None, category=None, incident=None):
        return perform(self, commands.reroute_incident, incident_id=incident_id,
                       assignment_group=assignment_group, category=category, incident=incident)
