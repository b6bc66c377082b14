"""Shows an incident on both sides, and what the pack remembers of the pair."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import views
from pagerduty_stackflow.running import perform

__all__ = ["GetIncidentAction"]


class GetIncidentAction(Action):
    """Shows an incident on both sides, and what the pack remembers of the pair."""

    def run(self, incident_id):
        return perform(self, views.get_incident, incident_id=incident_id)
