"""A webhook listener on a free port, and clients good and bad."""

import hashlib
import hmac
import http.client
import json
import logging
import socket
import threading
import time

from config_samples import changed
from pagerduty_stackflow import listener
from pagerduty_stackflow.clock import Clock
from pagerduty_stackflow.listener import Listener
from pagerduty_stackflow.settings import load

SECRET = "not a secret" * 4
ROTATED = "not a secret either" * 3
SETTINGS = load(changed(("stackflow.webhook_secrets", [SECRET])))
PAGERDUTY = "/webhooks/pagerduty"
STACKFLOW = "/webhooks/stackflow"
PING = b'{"event": {"id": "01PING", "event_type": "pagey.ping", "data": {"type": "ping"}}}'
EVENT = b'{"event": {"id": "01EVENT", "event_type": "incident.triggered"}}'
CREATED = b'{"event": "incident.created", "id": "evt-1", "incident": {"id": "INC0001234"}}'


def sign(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Bench:
    """A listener on a free port, and what it handed on."""

    def __init__(self, config_error=None, secrets=(SECRET, ROTATED), handle=None, clock=None):
        self.handled, self.pings, self.messages = [], [], []
        self.known_secrets = secrets
        self.handle = handle or self.handle
        logger = logging.Logger("listener")
        logger.addHandler(logging.Handler())
        logger.handlers[0].emit = lambda record: self.messages.append(record.getMessage())
        self.listener = Listener(self, ("127.0.0.1", 0), None if config_error else SETTINGS,
                                 config_error, logger)
        self.listener.clock = clock or Clock()
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()
        eventually(lambda: self.listener.address)

    def secrets(self, source):
        return self.known_secrets

    def on_ping(self, number):
        self.pings.append(number)

    def handle(self, trigger, payload):
        self.handled.append((trigger, payload["event_id"], payload["event_type"]))

    def connect(self):
        return socket.create_connection(self.listener.address, timeout=10)

    def ask(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection(*self.listener.address, timeout=10)
        try:
            connection.request(method, path, body, dict(headers))
            return read_answer(connection.getresponse())
        finally:
            connection.close()

    def post(self, path=PAGERDUTY, body=EVENT, **headers):
        return self.ask("POST", path, body,
                        {name.replace("_", "-"): value for name, value in headers.items()})

    def genuine(self, body=EVENT, secret=SECRET):
        return self.post(body=body, x_pagerduty_signature="v1=" + sign(body, secret))

    def raw(self, *pieces):
        """What comes back for bytes as they are, until the listener closes the connection."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            return received(connection)

    def refused(self, source="pagerduty"):
        return self.listener.health()[source]["refused"]


def read_answer(response):
    body = response.read()
    return response.status, dict(response.getheaders()), json.loads(body) if body else None


def received(connection):
    """Everything until the end of the connection; a reset ends it too."""
    pieces = []
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def eventually(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass within 10 s"
        time.sleep(0.01)


def slow_clients(one, count):
    """Connections that sent nothing, half a line, half the headers or half a body."""
    starts = [b"", b"POST /webhooks", b"POST /webhooks/pagerduty HTTP/1.1\r\nX-Slow: y\r\n",
              b"POST /webhooks/pagerduty HTTP/1.1\r\nContent-Length: 1000\r\n\r\nhalf"]
    connections = []
    for number in range(count):
        connections.append(one.connect())
        connections[-1].sendall(starts[number % len(starts)])
    return connections


def benches(monkeypatch):
    """A maker of benches, for a fixture; they are stopped at its end."""
    monkeypatch.setattr(listener, "POLL_SECONDS", 0.02)  # or each stop takes longer
    made = []

    def make(**options):
        made.append(Bench(**options))
        return made[-1]

    yield make
    for one in made:
        one.listener.stop()
