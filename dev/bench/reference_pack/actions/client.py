"""The same with PagerDuty's own client library."""

import pagerduty
from st2common.runners.base_action import Action

__all__ = ["ClientAction"]

START = "pagerduty_stackflow.start"


class Client(pagerduty.EventsApiV2Client):
    url = None  # it takes https alone, and the server here speaks http


class ClientAction(Action):
    def run(self, url, key, event):
        store = self.action_service
        store.list_values(local=False, prefix=key)
        store.list_values(local=False, prefix=START)
        client = Client(event.pop("routing_key"))
        client.url = url
        client.send_event(event.pop("event_action"), event.pop("dedup_key"), **event)
        store.set_value(key, "x" * 500, ttl=86400, local=False)
        store.list_values(local=False, prefix=key)
        return True, None
