"""Lists, creates, enables, pings and deletes PagerDuty's webhook subscriptions."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import webhook_setup
from pagerduty_stackflow.running import perform

__all__ = ["ManageWebhooksAction"]


class ManageWebhooksAction(Action):
    """Lists, creates, enables, pings and deletes PagerDuty's webhook subscriptions."""

    def run(self, operation, service=None, subscription_id=None):
        return perform(self, webhook_setup.manage_webhooks, operation=operation, service=service,
                       subscription_id=subscription_id)
