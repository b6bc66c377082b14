"""Sends an event of the Events API v2 through a mapped service."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import sending
from pagerduty_stackflow.running import perform

__all__ = ["SendEventAction"]


class SendEventAction(Action):
    """Sends an event of the Events API v2 through a mapped service."""

    def run(self, event_action, service, summary=None, severity=None, source=None, dedup_key=None,
            custom_details=None, links=None):
        return perform(self, sending.send_event, event_action=event_action, service=service,
                       summary=summary, severity=severity, source=source, dedup_key=dedup_key,
                       custom_details=custom_details, links=links)
