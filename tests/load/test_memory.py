"""What the sensor has taken it forgets."""

import hashlib
import hmac
import http.client
import json
import os
import subprocess
import sys

import pytest
from burst import free_port

from world import World

HERE = os.path.dirname(os.path.abspath(__file__))
GROWTH = 5 * 1024 * 1024
"""Bytes of resident memory."""
WARM_UP = 3000


class Sensor:
    """The sensor in its own process; a context manager."""

    def __init__(self):
        self.config = dict(World().config, webhook_listener={"port": free_port()})
        self.secrets = [self.config[name]["webhook_secrets"][0].encode()
                        for name in ("pagerduty", "stackflow")]

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "listener_process.py")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._process.stdin.write(json.dumps(
            {"path": sys.path, "config": self.config}).encode() + b"\n")
        self._process.stdin.flush()
        self.port = int(self._process.stdout.readline())
        self.connection = None
        return self

    def __exit__(self, *_):
        self.connection.close()
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def resident(self):
        with open("/proc/%d/statm" % self._process.pid) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def deliver(self, path, body, signature):
        headers = {"X-PagerDuty-Signature": "v1=" + signature, "X-StackFlow-Signature": signature}
        self.connection.request("POST", path, body, headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


def delivery(sensor, number):
    """One of its own kind: genuine, doubled, forged, broken; and the answer that it deserves."""
    if number % 50 == 0:
        sensor.connection = http.client.HTTPConnection("127.0.0.1", sensor.port, timeout=10)
    side, kind = number % 2, number % 20
    event = {"id": "evt-%d" % (number - (kind == 7)), "timestamp": "2026-01-05T10:00:00Z"}
    if side:
        event.update(event="incident.created", incident={"number": "INC%07d" % number,
                                                         "short_description": "x" * 2000})
    else:
        event = {"event": dict(event, event_type="incident.triggered", data={
            "type": "incident", "id": "Q%013d" % number, "title": "x" * 2000})}
    body = b"[%d" % number if kind == 9 else json.dumps(event).encode()
    secret = b"another %d" % number if kind == 11 else sensor.secrets[side]
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return (("/webhooks/pagerduty", "/webhooks/stackflow")[side], body, signature,
            {9: 400, 11: 503}.get(kind, 202))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("count", [4000, pytest.param(100000, marks=pytest.mark.soak)])
def test_deliveries_leave_nothing_in_the_sensors_memory(count):
    with Sensor() as sensor:
        before = 0
        for number in range(WARM_UP + count):
            *given, status = delivery(sensor, number)
            assert sensor.deliver(*given) == status
            if number == WARM_UP:
                before = sensor.resident()
        grown = sensor.resident() - before
    assert grown < GROWTH
