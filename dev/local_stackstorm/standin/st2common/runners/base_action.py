"""Stands for ``st2common.runners.base_action`` and the ``ActionService`` of the Python runner."""

from __future__ import annotations

import abc
import logging
from typing import Any

from st2common.services.datastore import DatastoreService


class PackConfig(dict):
    """A config whose missing keys raise ValueError with a hint; ``get`` does not."""

    def __getitem__(self, key: Any) -> Any:
        if key not in self:
            raise ValueError("the config has no %r: add it and register the config again" % key)
        return super().__getitem__(key)


def action_logger(name: str, level: str = "DEBUG") -> logging.Logger:
    """The action's logger, which writes to stderr."""
    logger = logging.getLogger("st2.actions.python.%s" % name)
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.handlers[0].setFormatter(logging.Formatter("%(name)s: %(levelname)s %(message)s"))
    logger.setLevel(level)
    return logger


class ActionService(DatastoreService):
    """What an action calls the platform with."""

    def __init__(self, pack: str, class_name: str, log_level: str) -> None:
        super().__init__(action_logger(class_name, log_level), pack, class_name)
        self.log_level = log_level


class Action(abc.ABC):
    """Base class of Python actions; ``run`` returns ``(True or False, result)``."""

    description = None

    def __init__(self, config: Any = None, action_service: Any = None) -> None:
        self.config = PackConfig(config or {})
        self.action_service = action_service
        level = getattr(action_service, "log_level", "DEBUG")
        self.logger = action_logger(type(self).__name__, level)

    @abc.abstractmethod
    def run(self, **kwargs: Any) -> Any:
        """Do it."""
