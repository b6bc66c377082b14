"""Lists who is on call now, per mapped service and level."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import explain
from pagerduty_stackflow.running import perform

__all__ = ["ListOncallAction"]


class ListOncallAction(Action):
    """Lists who is on call now, per mapped service and level."""

    def run(self, assignment_group=None):
        return perform(self, explain.list_oncall, assignment_group=assignment_group)
