"""Stands for ``st2tests.base``: bases of a pack's unit tests. They check no schema, no metadata."""

from __future__ import annotations

import inspect
import logging
import os
from types import SimpleNamespace
from typing import Any
from unittest import TestCase, mock

import yaml
from st2common.models.utils.action_alias_utils import ParseException, extract_parameters
from st2common.services.datastore import DatastoreService, KeyValuePair


class MockService(DatastoreService):
    """``action_service`` and ``sensor_service`` of a test: triggers in a list, keys in a dict.

    Values stay as they were given, nothing expires and nothing is encrypted.
    """

    def __init__(self, class_name: str) -> None:
        super().__init__(mock.Mock(spec=logging.RootLogger), "tests", class_name)
        self._items: dict = {}
        self.dispatched_triggers: list = []

    def list_values(self, local: bool = True, prefix: Any = None, limit: Any = None,
                    offset: Any = None) -> list:
        start = self._name(prefix or "", local)
        return [item for name, item in self._items.items() if name.startswith(start)]

    def get_value(self, name: str, local: bool = True, scope: str = "system",
                  decrypt: bool = False) -> Any:
        item = self._items.get(self._name(name, local))
        return item and item.value

    def set_value(self, name: str, value: Any, ttl: Any = None, local: bool = True,
                  scope: str = "system", encrypt: bool = False) -> bool:
        name = self._name(name, local)
        self._items[name] = KeyValuePair(id=name, name=name, value=value)
        return True

    def delete_value(self, name: str, local: bool = True, scope: str = "system") -> bool:
        return self._items.pop(self._name(name, local), None) is not None

    def get_logger(self, name: str) -> Any:
        return self._logger

    def dispatch(self, trigger: str, payload: Any = None, trace_tag: Any = None) -> dict:
        context = SimpleNamespace(id_=None, trace_tag=trace_tag) if trace_tag else None
        item = {"trigger": trigger, "payload": payload, "trace_context": context}
        self.dispatched_triggers.append(item)
        return item


class BasePackResourceTestCase(TestCase):
    """Takes the folder above the test file's own for the pack, so tests lie right in ``tests/``."""

    def get_fixture_content(self, fixture_path: str) -> str:
        """The text of ``tests/fixtures/<fixture_path>``."""
        path = os.path.join(self._get_base_pack_path(), "tests", "fixtures", fixture_path)
        with open(path, encoding="utf-8") as file:
            return file.read()

    def _get_base_pack_path(self) -> str:
        return os.path.dirname(os.path.dirname(os.path.abspath(inspect.getfile(type(self)))))


class BaseActionTestCase(BasePackResourceTestCase):
    """For the action ``action_cls``."""

    action_cls: Any = None

    def setUp(self) -> None:
        super().setUp()
        self.action_service = MockService(self.action_cls.__name__)

    def get_action_instance(self, config: Any = None) -> Any:
        """A new action with this config."""
        return self.action_cls(config=config, action_service=self.action_service)


class BaseSensorTestCase(BasePackResourceTestCase):
    """For the sensor ``sensor_cls``."""

    sensor_cls: Any = None

    def setUp(self) -> None:
        super().setUp()
        self.sensor_service = MockService(self.sensor_cls.__name__)

    def get_sensor_instance(self, config: Any = None, poll_interval: Any = None) -> Any:
        """A new sensor with this config."""
        options = {"config": config} if config else {}
        if poll_interval is not None:
            options["poll_interval"] = poll_interval
        return self.sensor_cls(sensor_service=self.sensor_service, **options)

    def get_dispatched_triggers(self) -> list:
        """All that was dispatched, in order: dicts of trigger, payload and trace_context."""
        return self.sensor_service.dispatched_triggers

    def get_last_dispatched_trigger(self) -> dict:
        """The newest of them."""
        return self.sensor_service.dispatched_triggers[-1]

    def assertTriggerDispatched(self, trigger: str, payload: Any = None,
                                trace_context: Any = None) -> bool:
        """Fail unless such a trigger was dispatched; what is not given is not compared."""
        wanted = {"trigger": trigger, "payload": payload, "trace_context": trace_context}
        for item in self.get_dispatched_triggers():
            if all(item[key] == value for key, value in wanted.items() if value):
                return True
        raise AssertionError("trigger %s was not dispatched like that" % trigger)


class BaseActionAliasTestCase(BasePackResourceTestCase):
    """For the alias ``action_alias_name``."""

    action_alias_name: Any = None

    def setUp(self) -> None:
        super().setUp()
        folder = os.path.join(self._get_base_pack_path(), "aliases")
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                self.action_alias_db = SimpleNamespace(**yaml.safe_load(file))
            if self.action_alias_db.name == self.action_alias_name:
                self.action_alias_db.get_format_strings = self._format_strings
                return
        raise ValueError("there is no alias %s" % self.action_alias_name)

    def _format_strings(self) -> list:
        nested = [item["representation"] if isinstance(item, dict) else [item]
                  for item in self.action_alias_db.formats]
        return [text for texts in nested for text in texts]

    def assertCommandMatchesExactlyOneFormatString(self, format_strings: list,
                                                   command: str) -> None:
        """Fail unless the command fits one of these formats and no more."""
        fitting = []
        for text in format_strings:
            try:
                extract_parameters(format_str=text, param_stream=command)
                fitting.append(text)
            except ParseException:
                pass
        if len(fitting) != 1:
            raise AssertionError("%r fits %d formats: %s" % (command, len(fitting), fitting))

    def assertExtractedParametersMatch(self, format_string: str, command: str,
                                       parameters: dict) -> None:
        """Fail unless the command gives these parameters by this format of the alias."""
        if format_string not in self._format_strings():
            raise ValueError("%r is no format of %s" % (format_string, self.action_alias_name))
        self.assertEqual(extract_parameters(format_string, command), parameters)
