"""Shows both sides of an incident, the link, and what a reconcile would do, or why nothing."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import views
from pagerduty_stackflow.running import perform

__all__ = ["SyncStatusAction"]


class SyncStatusAction(Action):
    """Shows both sides of an incident, the link, and what a reconcile would do, or why nothing."""

    def run(self, incident_id):
        return perform(self, views.sync_status, incident_id=incident_id)
