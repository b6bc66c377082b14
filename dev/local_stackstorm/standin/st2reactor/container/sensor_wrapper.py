"""Stands for ``st2reactor.container.sensor_wrapper``: what a sensor calls the platform with."""

from __future__ import annotations

import logging
import time
from typing import Any

from st2common.services.datastore import DatastoreService, call


class SensorService(DatastoreService):
    """Dispatches triggers and reaches the datastore."""

    def __init__(self, pack: str, class_name: str, time_scale: float) -> None:
        logger = logging.getLogger("SensorWrapper.%s.%s" % (pack, class_name))
        super().__init__(logger, pack, class_name)
        self._time_scale = time_scale

    def get_logger(self, name: str) -> logging.Logger:
        """A logger below the sensor's own."""
        return self._logger.getChild(name)

    def dispatch(self, trigger: str, payload: Any = None, trace_tag: Any = None) -> None:
        """Hand in a trigger. A misfit or an unknown trigger is a warning in the log, no exception.

        With the broker away it waits 10 seconds twice and then raises.
        """
        body = {"trigger": trigger, "payload": payload, "trace_tag": trace_tag}
        for pause in (10, 10, 0):
            status, answer = call("POST", "/dispatch", body)
            if status != 503:
                break
            time.sleep(pause * self._time_scale)
        if status >= 300:
            raise IOError("HTTP %d: %s" % (status, answer["faultstring"]))
        if answer["dropped"]:
            self._logger.warning("not dispatching trigger %s: %s", trigger, answer["dropped"])
