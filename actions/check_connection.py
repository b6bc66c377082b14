"""Checks every prerequisite of the integration, and every row of its troubleshooting table."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import diagnosis
from pagerduty_stackflow.running import perform

__all__ = ["CheckConnectionAction"]


class CheckConnectionAction(Action):
    """Checks every prerequisite of the integration, and every row of its troubleshooting table."""

    def run(self):
        return perform(self, diagnosis.check_connection, diagnosis.without_config)
