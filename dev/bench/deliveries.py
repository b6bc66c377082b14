"""Genuine deliveries of PagerDuty, as bytes that are ready to be sent."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import socket
from typing import Any, Dict, Iterator, List

from dev.simulators.base import VirtualClock, run
from dev.simulators.pagerduty import PagerDuty

SECRET = "not a secret of this listener"
CONFIG: Dict[str, Any] = {
    "pagerduty": {"subdomain": "acme", "from_email": "sync@example.com",
                  "webhook_secrets": [SECRET]},
    "stackflow": {"instance_url": "https://acme.stackflow.example",
                  "auth": {"method": "token", "token": "not-a-token"}},
    "service_mapping": [
        {"pagerduty_service_id": "P1234AB", "pagerduty_service_name": "Production API",
         "stackflow_assignment_group": "Platform Engineering", "integration_key": "0" * 32}]}


def deliveries() -> Iterator[bytes]:
    """Requests that tell of acknowledgements, each of another incident: what is told twice at once
    is held back by the listener.
    """
    event = json.loads(_acknowledgement())
    for number in itertools.count(1):
        event["event"]["id"] = "01BENCH%010d" % number
        event["event"]["data"].update(id="Q%013d" % number, number=number)
        yield signed("/webhooks/pagerduty", "X-PagerDuty-Signature: v1=", SECRET,
                     json.dumps(event).encode())


def _acknowledgement() -> bytes:
    """The body of one, as the simulator sends it."""
    sent: List[bytes] = []

    def receive(url: str, headers: Dict[str, str], body: bytes) -> int:
        sent.append(body)
        return 202

    pagerduty = PagerDuty(VirtualClock(), receive)
    casey = pagerduty.add_user("Casey Oncall")
    service = pagerduty.add_service(
        "Production API", pagerduty.add_escalation_policy("Default", [(5, [casey])]), id="P1234AB")
    pagerduty.subscribe("https://st2.example/webhooks/pagerduty")
    incident = pagerduty.create_incident(service, "Disk full", casey)
    pagerduty.acknowledge(incident, casey)
    run([pagerduty], 5)
    return sent[-1]


def signed(path: str, header: str, secret: str, body: bytes) -> bytes:
    """A request; ``header`` is the start of its line, up to the digest."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    lines = ["POST %s HTTP/1.1" % path, "Host: st2.example", "Connection: close",
             "Accept: application/json", "Content-Type: application/json",
             "User-Agent: PagerDuty-Webhook/V3.0", "Content-Length: %d" % len(body),
             header + digest]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def deliver(port: int, request: bytes) -> None:
    """Send it over a connection of its own, as PagerDuty and a proxy in front do."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = connection.recv(4096)
        while connection.recv(4096):
            pass
    if not answer.startswith(b"HTTP/1.1 202 "):
        raise AssertionError(answer)
