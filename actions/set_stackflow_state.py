"""Brings a StackFlow incident to its PagerDuty incident's state."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import commands
from pagerduty_stackflow.running import perform

__all__ = ["SetStackFlowStateAction"]


class SetStackFlowStateAction(Action):
    """Brings a StackFlow incident to its PagerDuty incident's state."""

    def run(self, incident_id, state, note=None, by=None):
        return perform(self, commands.set_stackflow_state,
                       incident_id=incident_id, state=state, note=note, by=by)
