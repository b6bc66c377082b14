"""Receives the webhooks of PagerDuty and StackFlow, and dispatches them as triggers."""

from __future__ import annotations

import json
import threading
from typing import Any, Dict, List, Optional, Sequence, Tuple

from st2reactor.sensor.base import Sensor

from pagerduty_stackflow.clock import Clock
from pagerduty_stackflow.dispatching import Dispatcher
from pagerduty_stackflow.errors import ConfigError, words_of
from pagerduty_stackflow.incidents import format_time
from pagerduty_stackflow.links import PING, PREFIX, Links
from pagerduty_stackflow.listener import DEFAULT_ADDRESS, PAGERDUTY, Listener
from pagerduty_stackflow.settings import Settings, load

REFRESH_SECONDS = 10
"""Less than a ping of `check_connection` may take, which may follow `manage_webhooks` at once."""
RESTART_SECONDS = 5


class WebhookSensor(Sensor):
    """Stays up whatever happens: StackStorm starts an ended sensor twice again, and then never."""

    def setup(self) -> None:
        self._clock = Clock()
        self._logger = self.sensor_service.get_logger(__name__)
        self._links = Links(self.sensor_service)
        self._stored: Dict[str, str] = {}
        self._stopping = threading.Event()
        self._settings: Optional[Settings] = None
        config_error = None
        try:
            self._settings = load(self._config)
            self._dispatcher = Dispatcher(self.sensor_service, self._settings, self._clock)
        except ConfigError as error:
            config_error = error.message
            self._logger.error("the config is unusable, webhooks are answered 503:\n%s\n%s",
                               error.message, error.hint)
        self._listener = Listener(self._settings, config_error, self.secrets, self.handle,
                                  self.on_ping, self._clock, self._logger, _address(self._config))

    def run(self) -> None:
        threading.Thread(target=self._refresh_forever, daemon=True, name="webhook secrets").start()
        while not self._stopping.is_set():
            try:
                self._listener.serve_forever()
            except Exception:
                self._logger.exception("the webhook listener ended, and is started again")
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
        self._dispatcher.dispatch(trigger, payload)

    def on_ping(self, number: int) -> None:
        """Leave word for `check_connection` that a ping came, and which secret signed it."""
        word = {"received_at": format_time(self._clock.now()), "secret": number}
        self.sensor_service.set_value(PREFIX + PING, json.dumps(word), local=False)

    def refresh(self) -> None:
        """Read the stored secrets, and note the time of the first run; what is unreadable stays."""
        try:
            names = sorted(self._links.webhook_secret_keys())
            read = {name: self.sensor_service.get_value(name, local=False, decrypt=True) or
                    self._stored.get(name) for name in names}
            self._stored = {name: secret for name, secret in read.items() if secret}
            self._links.ensure_start(self._clock)
        except Exception as error:  # this thread has to go on
            self._logger.warning("the stored webhook secrets stay as they were: %s",
                                 words_of(error))

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
    wanted: List[Any] = list(DEFAULT_ADDRESS)
    listener = config.get("webhook_listener")
    if isinstance(listener, dict):
        wanted = [listener.get("host") or wanted[0], listener.get("port") or wanted[1]]
    fits = isinstance(wanted[0], str) and type(wanted[1]) is int and 0 <= wanted[1] < 65536
    return (wanted[0], wanted[1]) if fits else DEFAULT_ADDRESS
