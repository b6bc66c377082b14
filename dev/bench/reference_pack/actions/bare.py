"""The least that an action has to do to trigger an alert: one POST, and the same calls of the
datastore.
"""

import requests
from st2common.runners.base_action import Action

__all__ = ["BareAction"]

START = "pagerduty_stackflow.start"


class BareAction(Action):
    def run(self, url, key, event, looks=1):
        store = self.action_service
        for _ in range(looks):  # an event's link was looked at by the sensor before
            store.list_values(local=False, prefix=key)
        store.list_values(local=False, prefix=START)
        self.send(url, event)
        store.set_value(key, "x" * 500, ttl=86400, local=False)
        store.list_values(local=False, prefix=key)
        return True, None

    def send(self, url, event):
        requests.post(url + "/v2/enqueue", json=event, timeout=10).raise_for_status()
