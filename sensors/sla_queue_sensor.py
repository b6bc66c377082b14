"""Receives StackFlow's SLA alerts from an SQS queue, and dispatches them as triggers."""

from __future__ import annotations

from typing import Any, Dict, Optional

from st2reactor.sensor.base import PollingSensor

from pagerduty_stackflow.clock import Clock
from pagerduty_stackflow.deliveries import BadDelivery
from pagerduty_stackflow.dispatching import Dispatcher
from pagerduty_stackflow.errors import ConfigError, words_of
from pagerduty_stackflow.settings import load
from pagerduty_stackflow.stackflow.sla_queue import Message, SLAQueue, read

PAUSES = (5, 10, 20, 40, 80, 160, 300)
"""Seconds without a poll after so many failures in a row."""


class SLAQueueSensor(PollingSensor):
    """Deletes a message after its dispatch only. So one may be dispatched twice, which does no harm;
    what cannot be read stays in the queue, for the queue's own dead-letter policy.
    """

    def setup(self) -> None:
        self._clock = Clock()
        self._logger = self.sensor_service.get_logger(__name__)
        self._queue: Optional[SLAQueue] = None
        self._failures = 0
        self._resume_at = 0.0
        try:
            settings = load(self._config)
        except ConfigError as error:
            self._logger.error("the config is unusable, no SLA alert is received:\n%s\n%s",
                               error.message, error.hint)
            return
        if settings.sla.queue_url is None:
            self._logger.error("sla.queue_url is not set, no SLA alert is received: set it and "
                               "restart this sensor, or disable it")
            return
        self._stackflow = settings.stackflow
        self._dispatcher = Dispatcher(self.sensor_service, settings, self._clock)
        self._queue = SLAQueue(settings.sla.queue_url, settings)

    def poll(self) -> None:
        """Empty the queue, then wait up to 20 seconds for the next message."""
        if self._queue is None or self._clock.monotonic() < self._resume_at:
            return
        try:
            while any([self._take(message) for message in self._queue.receive()]):
                pass
            self._failures = 0
        except Exception as error:  # StackStorm starts an ended sensor twice again, and then never
            pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
            self._failures += 1
            self._resume_at = self._clock.monotonic() + pause
            self._logger.error("the SLA queue is polled again in %d s: %s", pause, words_of(error))

    def _take(self, message: Message) -> bool:
        """Whether the message was dispatched and deleted."""
        try:
            trigger, payload = read(message, self._stackflow)
        except BadDelivery as error:
            self._logger.warning("message %s stays in the SLA queue: %s", message.id,
                                 words_of(error))
            return False
        try:
            self._dispatcher.dispatch(trigger, payload)
        except Exception:
            self._logger.warning("message %s was not dispatched, and comes again", message.id)
            raise
        assert self._queue is not None
        self._queue.delete(message)
        return True

    def cleanup(self) -> None:
        pass

    def add_trigger(self, trigger: Dict[str, Any]) -> None:
        pass

    def update_trigger(self, trigger: Dict[str, Any]) -> None:
        pass

    def remove_trigger(self, trigger: Dict[str, Any]) -> None:
        pass
