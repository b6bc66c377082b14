"""The process of a server under test: ``python -m dev.bench.listener_server pack|bare``.

Writes its port; for every line that it gets, the processor seconds that it has used.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import sys
import time
from typing import Any

from dev.bench.deliveries import CONFIG, SECRET
from pagerduty_stackflow.clock import Clock
from pagerduty_stackflow.http_connection import Answer, Request
from pagerduty_stackflow.dispatching import Dispatcher
from pagerduty_stackflow.listener import Listener
from pagerduty_stackflow.settings import load
from pagerduty_stackflow.webserver import WebServer

LOGGER = logging.getLogger(__name__)


class Nothing:
    """In place of StackStorm: an empty datastore, and a dispatch that does nothing."""

    def list_values(self, **_: Any) -> list:
        return []

    def set_value(self, *_: Any, **__: Any) -> None:
        pass

    dispatch = set_value


def pack() -> Any:
    """The pack's listener with everything that the sensor does for a delivery."""
    settings = load(CONFIG)
    vars(settings.listener)["port"] = 0
    secrets = settings.pagerduty.webhook_secrets
    dispatcher = Dispatcher(Nothing(), settings, Clock())
    return Listener(settings, None, lambda source: secrets, dispatcher.dispatch,
                    lambda number: None, Clock(), LOGGER)


def bare() -> Any:
    """The same server with a handler that checks the signature and no more."""
    key = SECRET.encode()

    def answer(request: Request) -> Answer:
        digest = hmac.new(key, request.read_body(2 ** 18), hashlib.sha256).hexdigest()
        if not hmac.compare_digest("v1=" + digest, request.headers["x-pagerduty-signature"]):
            return Answer(401, {"error": "signature"})
        return Answer(202, {"status": "accepted"})

    return WebServer(("127.0.0.1", 0), answer, Clock(), LOGGER)


def main() -> None:
    """Serve until the end of stdin."""
    server = {"pack": pack, "bare": bare}[sys.argv[1]]()
    server.start()
    print(server.address[1], flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


if __name__ == "__main__":
    main()
