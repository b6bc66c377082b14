"""The process of a server under test: ``python -m dev.bench.listener_server pack|bare``.

Writes its port; for every line that it gets, the processor seconds that it has used.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import sys
import threading
import time
from typing import Any, Sequence

from dev.bench.deliveries import CONFIG, SECRET
from pagerduty_stackflow.clock import Clock
from pagerduty_stackflow.dispatching import Dispatcher
from pagerduty_stackflow.listener import Listener
from pagerduty_stackflow.settings import load
from pagerduty_stackflow.webserver import Connection, Response

ADDRESS = ("127.0.0.1", 0)
KEY = SECRET.encode()
LOGGER = logging.getLogger(__name__)


class Nothing:
    """In place of StackStorm: an empty datastore, and a dispatch that does nothing."""

    def list_values(self, **_: Any) -> list:
        return []

    def set_value(self, *_: Any, **__: Any) -> None:
        pass

    dispatch = set_value


class Pack(Listener):
    """The pack's listener with everything that the sensor does for a delivery."""

    def __init__(self) -> None:
        settings = load(CONFIG)
        self._known = settings.pagerduty.webhook_secrets
        self.handle = Dispatcher(Nothing(), settings, Clock()).dispatch
        super().__init__(self, ADDRESS, settings, None, LOGGER)

    def secrets(self, source: str) -> Sequence[str]:
        return self._known

    def on_ping(self, number: int) -> None:
        pass


class Bare(Listener):
    """The same server, which checks the signature and no more."""

    def __init__(self) -> None:
        super().__init__(self, ADDRESS, None, None, LOGGER)

    def answer(self, request: Connection) -> Response:
        digest = hmac.new(KEY, request.read_body(2 ** 18), hashlib.sha256).hexdigest()
        if not hmac.compare_digest("v1=" + digest, request.headers["X-PagerDuty-Signature"]):
            return Response(401, {"error": "signature"})
        return Response(202, {"status": "accepted"})


def main() -> None:
    """Serve until the end of stdin."""
    server = {"pack": Pack, "bare": Bare}[sys.argv[1]]()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while server.address is None:
        time.sleep(0.01)
    print(server.address[1], flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


if __name__ == "__main__":
    main()
