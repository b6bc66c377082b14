"""The webhook sensor in a process of its own, over a platform that forgets everything.

Reads a line of JSON from stdin: ``path`` (of sys.path) and ``config``. Writes the port that it
listens on, and ends with its stdin.
"""

import json
import logging
import sys
import threading
import time


class Forgetful:
    """StackStorm's `sensor_service`: takes every trigger and keeps none."""

    def get_logger(self, name):
        return logging.getLogger(name)

    def list_values(self, local=True, prefix=None, limit=None, offset=0):
        return []

    def get_value(self, name, local=True, scope="system", decrypt=False):
        return None

    def set_value(self, name, value, ttl=None, local=True, scope="system", encrypt=False):
        return True

    def dispatch(self, trigger, payload=None, trace_tag=None):
        json.dumps(payload)


def main():
    job = json.loads(sys.stdin.readline())
    sys.path[:0] = job["path"]
    from webhook_sensor import WebhookSensor
    sensor = WebhookSensor(Forgetful(), job["config"])
    sensor.setup()
    threading.Thread(target=sensor.run, daemon=True).start()
    while sensor._listener.address is None:
        time.sleep(0.01)
    print(sensor._listener.address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
