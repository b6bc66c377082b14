"""Stands for ``st2reactor.sensor.base``."""

from __future__ import annotations

import abc
from time import sleep
from typing import Any


class BaseSensor(abc.ABC):
    """What both kinds of sensors share; not to be subclassed directly."""

    def __init__(self, sensor_service: Any, config: Any = None) -> None:
        self.sensor_service = self._sensor_service = sensor_service
        self.config = self._config = config or {}

    @abc.abstractmethod
    def setup(self) -> None:
        """Runs once, before everything else."""

    @abc.abstractmethod
    def run(self) -> None:
        """Runs until the sensor ends."""

    @abc.abstractmethod
    def cleanup(self) -> None:
        """Runs at a normal end and after an exception."""

    @abc.abstractmethod
    def add_trigger(self, trigger: dict) -> None:
        """A trigger of this sensor's types exists."""

    @abc.abstractmethod
    def update_trigger(self, trigger: dict) -> None:
        """A trigger changed."""

    @abc.abstractmethod
    def remove_trigger(self, trigger: dict) -> None:
        """A trigger is gone."""


class Sensor(BaseSensor):
    """A sensor with a loop of its own in ``run``."""


class PollingSensor(BaseSensor):
    """A sensor whose ``poll`` is called every ``poll_interval`` seconds.

    An exception out of it ends the sensor.
    """

    def __init__(self, sensor_service: Any, config: Any = None,
                 poll_interval: float = 5) -> None:
        super().__init__(sensor_service, config)
        self._poll_interval = poll_interval

    @abc.abstractmethod
    def poll(self) -> None:
        """Look for news."""

    def run(self) -> None:
        while True:
            self.poll()
            sleep(self._poll_interval)

    def get_poll_interval(self) -> float:
        """Seconds between two polls."""
        return self._poll_interval

    def set_poll_interval(self, poll_interval: float) -> None:
        """Change the seconds between two polls."""
        self._poll_interval = poll_interval
