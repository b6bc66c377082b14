"""Sends a test event to a mapped service and waits for its incident."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import verification
from pagerduty_stackflow.running import perform

__all__ = ["SendTestEventAction"]


class SendTestEventAction(Action):
    """Sends a test event to a mapped service and waits for its incident."""

    def run(self, service):
        return perform(self, verification.send_test_event, service=service)
