"""Receives StackFlow's SLA alerts from an SQS queue."""

from __future__ import annotations

from typing import Any, Dict

from st2reactor.sensor.base import PollingSensor

from pagerduty_stackflow.polling import Polling
from pagerduty_stackflow.sla_queue import QueuePoller


class SLAQueueSensor(PollingSensor):
    """Dispatches the triggers that webhooks of these alerts would be."""

    def setup(self) -> None:
        logger = self.sensor_service.get_logger(__name__)
        self._polling = Polling(self.sensor_service, self._config, QueuePoller, logger)

    def poll(self) -> None:
        self._polling.poll()

    def cleanup(self) -> None:
        pass

    def add_trigger(self, trigger: Dict[str, Any]) -> None:
        pass

    def update_trigger(self, trigger: Dict[str, Any]) -> None:
        pass

    def remove_trigger(self, trigger: Dict[str, Any]) -> None:
        pass
