"""Receives the webhooks of PagerDuty and StackFlow, and dispatches them as triggers."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any, Dict, Optional, Sequence, Tuple

from st2reactor.sensor.base import Sensor

from pagerduty_stackflow.clock import Clock
from pagerduty_stackflow.config_fields import Reader
from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.dispatching import Dispatcher
from pagerduty_stackflow.errors import ConfigError, describe
from pagerduty_stackflow.incidents import format_time
from pagerduty_stackflow.listener import DEFAULT_ADDRESS, PAGERDUTY, Listener
from pagerduty_stackflow.settings import CONFIG, Settings, load
from pagerduty_stackflow.stores import Claims, Start, WebhookSecrets

REFRESH_SECONDS = 10
"""Less than a ping of `check_connection` may take, which may follow `manage_webhooks` at once."""
RESTART_SECONDS = 5


class WebhookSensor(Sensor):
    """Stays up whatever happens: StackStorm starts an ended sensor twice again, and then never."""

    def setup(self) -> None:
        self._clock = Clock()
        self._logger = self.sensor_service.get_logger(__name__)
        self._datastore = Datastore(self.sensor_service)
        self._stored: Dict[str, str] = {}
        self._stopping = threading.Event()
        self._settings: Optional[Settings] = None
        config_error = None
        self._address = _address(self._config)
        try:
            self._settings = load(self._config)
            self._address = (self._settings.listener.host, self._settings.listener.port)
            self._dispatcher = Dispatcher(self.sensor_service, self._settings, self._clock)
            for warning in self._settings.warnings:
                self._logger.warning(warning)
        except ConfigError as error:
            config_error = error.message
            self._logger.error("the config is unusable, webhooks are answered 503:\n%s\n%s",
                               error.message, error.hint)
        self._claims = Claims(self._datastore, "%s:%d" % (socket.gethostname(), self._address[1]),
                              self._clock)
        self._listener = Listener(self, self._address, self._settings, config_error, self._logger)

    def run(self) -> None:
        threading.Thread(target=self._refresh_forever, daemon=True, name="webhook secrets").start()
        while not self._stopping.is_set():
            try:
                self._listener.serve_forever()
            except Exception as error:
                self._logger.error(
                    "the webhook listener on %s port %s ended, next attempt in %s s: %s",
                    *self._address, RESTART_SECONDS, error,
                    exc_info=not isinstance(error, OSError))
                self._stopping.wait(RESTART_SECONDS)

    def cleanup(self) -> None:
        self._stopping.set()
        self._listener.stop()

    def secrets(self, source: str) -> Sequence[str]:
        """The configured secrets of a source; for PagerDuty then those of `manage_webhooks`."""
        if self._settings is None:
            return ()
        if source != PAGERDUTY:
            return self._settings.stackflow.webhook_secrets
        return self._settings.pagerduty.webhook_secrets + tuple(self._stored.values())

    def handle(self, trigger: str, payload: Dict[str, Any]) -> None:
        """Dispatch an event; the listener calls it with a usable config only."""
        self._claims.once(payload, lambda: self._dispatcher.dispatch(trigger, payload))

    def on_ping(self, number: int) -> None:
        """Leave word for `check_connection` that a ping came, and which secret signed it."""
        word = {"received_at": format_time(self._clock.now()), "secret": number}
        self._datastore.set("ping", json.dumps(word), None)

    def refresh(self) -> None:
        """Read the stored secrets, note the time of the first run, and look for other listeners.
        Unreadable secrets stay as they were.
        """
        try:
            names = sorted(WebhookSecrets(self._datastore).keys())
            read = {name: self.sensor_service.get_value(name, local=False, decrypt=True) or
                    self._stored.get(name) for name in names}
            self._stored = {name: secret for name, secret in read.items() if secret}
            Start(self._datastore).ensure(self._clock)
            self._claims.announce()
        except Exception as error:  # this thread has to go on
            self._logger.warning("the stored webhook secrets stay as they were: %s",
                                 describe(error))

    def _refresh_forever(self) -> None:
        while not self._stopping.is_set():
            self.refresh()
            self._stopping.wait(REFRESH_SECONDS)

    def add_trigger(self, trigger: Dict[str, Any]) -> None:
        pass

    def update_trigger(self, trigger: Dict[str, Any]) -> None:
        pass

    def remove_trigger(self, trigger: Dict[str, Any]) -> None:
        pass


def _address(config: Any) -> Tuple[str, int]:
    """Where to listen with an unusable config, so that `/healthz` is found nevertheless."""
    found = Reader({}).read("", config.get("webhook_listener"), CONFIG.fields["webhook_listener"])
    return (found.host, found.port) if found and found.host and found.port else DEFAULT_ADDRESS
