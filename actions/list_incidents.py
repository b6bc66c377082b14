"""Lists incidents, each side beside the other."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import views
from pagerduty_stackflow.running import perform

__all__ = ["ListIncidentsAction"]


class ListIncidentsAction(Action):
    """Lists incidents, each side beside the other."""

    def run(self, status=None, assignment_group=None):
        return perform(self, views.list_incidents, status=status,
                       assignment_group=assignment_group)
