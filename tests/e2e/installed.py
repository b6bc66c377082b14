"""A running StackStorm that has the pack installed, driven by st2client.

Nobody may be paged by testing: it is used only where the installed config leads to this machine
alone, and where nothing of a real site is stored. What was there before is put back.
"""

from __future__ import annotations

import os
import re
import time
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Optional, Tuple
from urllib.parse import urlsplit

import pytest
import requests
from target import FINAL, SENSOR, WAIT_SECONDS, Execution, TriggerInstance, bare, ended

from dev.site import Site, wait_for

PACK = "pagerduty_stackflow"
LOOPBACK = "127.0.0.1"
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/?")
NEEDED = ("pagerduty.events_url", "pagerduty.api_url", "stackflow.instance_url", "aws.endpoint_url")
"""Without them the pack turns to the public addresses."""
TIMER_RULE = PACK + ".reconcile_every_5_minutes"
MARK = PACK + ".scenarios"
"""Stored while scenarios are played: whatever the pack has stored is theirs."""
RECORDS = tuple("%s.%s." % (PACK, kind)
                for kind in ("link", "pagerduty", "cursor", "webhook_secret"))
LOG = "/var/log/st2/st2sensorcontainer.log"
DROPPED = re.compile(r'Failed to validate payload \(.*\) for trigger "(.*?)": (.*)')
PAUSE_SECONDS = 0.5


class Refused(Exception):
    """Scenarios may not be played on this StackStorm."""


def ports(config: Dict[str, Any]) -> Tuple[int, int, int]:
    """On which ports a config expects PagerDuty, StackFlow and its own listener.

    Raises ``Refused`` unless every address in it is one of this machine's loopback.
    """
    found = dict(_texts(config, ""))
    matches = {name: ADDRESS.fullmatch(found.get(name, "")) for name in NEEDED}
    wrong = {name: found.get(name, "missing") for name in NEEDED if matches[name] is None}
    wrong.update((name, text) for name, text in found.items()
                 if "://" in text and urlsplit(text).hostname != LOOPBACK)
    if found.get("webhook_listener.host", LOOPBACK) != LOOPBACK:
        wrong["webhook_listener.host"] = found["webhook_listener.host"]
    if found.get("pagerduty.events_url") != found.get("pagerduty.api_url"):
        wrong["pagerduty.api_url"] = "not the same as pagerduty.events_url: one simulator is both"
    if wrong:
        raise Refused("The config of %s has to lead to http://%s:<port> everywhere: %s." % (
            PACK, LOOPBACK, "; ".join("%s is %s" % item for item in sorted(wrong.items()))))
    pagerduty, stackflow = [int(match[1]) for match in (
        matches["pagerduty.api_url"], matches["stackflow.instance_url"]) if match]
    return pagerduty, stackflow, int(config.get("webhook_listener", {}).get("port", 8091))


def _texts(value: Any, path: str) -> Iterator[Tuple[str, str]]:
    items = value.items() if isinstance(value, dict) else enumerate(
        value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _texts(item, "%s.%s" % (path, key) if path else str(key))
    if isinstance(value, str):
        yield path, value


class Installed:
    """The StackStorm at ST2_API_URL, signed in to with ST2_API_KEY or ST2_AUTH_TOKEN if there is one.

    A context manager: within it the pack's other sensors and its timer are off. ``names`` are the
    keys that will be stored. Raises ``Refused``, with nothing changed.
    """

    def __init__(self, names: List[str]) -> None:
        from st2client import models
        from st2client.client import Client
        self.models = models
        try:
            client = Client(cacert=os.environ.get("ST2_CACERT") or requests.certs.where())
        except ValueError as error:
            raise Refused("%s Name one in ST2_CACERT." % error) from error
        self.manager = client.managers
        self._log_path = os.environ.get("ST2_SENSOR_LOG") or LOG
        if not os.access(self._log_path, os.R_OK):
            raise Refused("%s cannot be read, and dropped payloads show nowhere else: name the "
                          "sensor container's log in ST2_SENSOR_LOG." % self._log_path)
        self._log_start = os.path.getsize(self._log_path)
        config = self.manager["Config"].get_by_id(PACK, params={"show_secrets": "true"})
        if config is None:
            raise Refused("%s is not installed there, or has no config." % PACK)
        self._config = config.values
        self.ports = ports(self._config)
        stored = self.keys("")
        real = [] if MARK in stored else [
            key for key in stored if key in names or key.startswith(RECORDS)]
        if real:
            raise Refused("The datastore holds what scenarios would overwrite: %s. Remove it with "
                          "st2 key delete, or take another StackStorm." % ", ".join(real))

    def __enter__(self) -> Installed:
        self.set(MARK, "a run of the scenarios was cut short if this is here without one")
        self._sensors = self.manager["Sensor"].query(pack=PACK)
        self._enabled = {one.ref: one.enabled for one in self._sensors}
        for one in self._sensors:
            self.enable(one.ref, False)
        self._set_timer(False)
        return self

    def __exit__(self, *error: Any) -> None:
        self.configure(self._config)
        for ref, enabled in self._enabled.items():
            self.enable(ref, enabled)
        self._set_timer(True)
        self.delete(MARK)

    def configure(self, config: Dict[str, Any]) -> None:
        """Validate, store and register the pack's config."""
        ports(config)
        self.manager["Config"].update(self.models.Config(pack=PACK, values=config))

    def enable(self, ref: str, enabled: bool) -> None:
        """Enable or disable a sensor."""
        sensor = self.manager["Sensor"].get_by_ref_or_id(ref)
        sensor.enabled = enabled
        self.manager["Sensor"].update(sensor)

    def keys(self, prefix: str) -> Dict[str, str]:
        """Keys that start so, with their values, decrypted."""
        found = self.manager["KeyValuePair"].get_all(prefix=prefix, limit=-1,
                                                     params={"decrypt": "true"})
        return {one.name: one.value for one in found}

    def set(self, key: str, value: str, secret: bool = False) -> None:
        """Store a value; encrypted where it is a secret."""
        pair = self.models.KeyValuePair(name=key, value=value, secret=secret)
        self.manager["KeyValuePair"].update(pair)

    def delete(self, key: str) -> None:
        """Remove a key."""
        self.manager["KeyValuePair"].delete(self.models.KeyValuePair(name=key))

    def log(self) -> str:
        """What the sensor container has logged since then."""
        with open(self._log_path, encoding="utf-8", errors="replace") as file:
            file.seek(self._log_start)
            return file.read()

    def _set_timer(self, enabled: bool) -> None:
        rule = self.manager["Rule"].get_by_ref_or_id(TIMER_RULE)
        rule.enabled = enabled
        self.manager["Rule"].update(rule)


class InstalledSite(Site):
    """Simulators where the installed config expects the systems, and that config completed.

    At its end everything that was stored for it is removed.
    """

    def __init__(self, installed: Installed) -> None:
        super().__init__(installed.ports)
        self.installed = installed

    def __enter__(self) -> InstalledSite:
        try:
            self._forget()
            for name, value in self.keys.items():
                self.installed.set(name, value, secret=True)
            self.installed.configure(self.config())
            self.installed.enable("%s.%s" % (PACK, SENSOR), True)
            self.wait_for_listener()
            wait_for(lambda: self.installed.keys(PACK + ".start"), WAIT_SECONDS,
                     lambda: "the sensor to note its first run")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        self.installed.enable("%s.%s" % (PACK, SENSOR), False)
        super().__exit__(*error)
        self._forget()
        for name in self.keys:
            self.installed.delete(name)

    def config(self, **changes: Any) -> Dict[str, Any]:
        changes.setdefault("aws", {"endpoint_url": self.pagerduty_url})
        return super().config(**changes)

    def log(self) -> str:
        return self.installed.log()

    def _forget(self) -> None:
        for key in self.installed.keys(PACK + "."):
            if key != MARK:
                self.installed.delete(key)


class InstalledTarget:
    """The running StackStorm as a ``Target``; what ran before it was made is not seen."""

    def __init__(self, site: InstalledSite) -> None:
        self._site, self._installed = site, site.installed
        self._manager, self._models = site.installed.manager, site.installed.models
        self._since = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._ended: Dict[str, Execution] = {}

    def run(self, action: str, **parameters: Any) -> Execution:
        started = self._start("%s.%s" % (PACK, action), parameters)
        return _execution(self._wait(started.id))

    def chat(self, command: str, user: str = "") -> Tuple[Execution, List[str]]:
        said = self._models.ActionAliasExecution()
        said.command, said.user, said.source_channel = command, user, "scenarios"
        try:
            found = self._manager["ActionAliasExecution"].match_and_execute(said)
        except requests.HTTPError as error:
            raise ValueError(str(error))
        execution = self._wait(found.execution["id"])
        shown = self._wait(self._start("chatops.format_execution_result",
                                       {"execution_id": execution.id}).id).result["result"]
        answers = [getattr(found, "message", ""), shown["message"] if shown["enabled"] else ""]
        return _execution(execution), [answer for answer in answers if answer]

    def executions(self, action: str = "", rule: str = "") -> List[Execution]:
        listed = sorted(self._runs("status,start_timestamp"),
                        key=lambda one: (one.start_timestamp, one.id))
        found = []
        for one in listed:
            known = self._ended.get(one.id) or _execution(
                self._manager["Execution"].get_by_id(one.id))
            if known.status in FINAL:
                self._ended[one.id] = known
            found.append(known)
        return [one for one in found if action in ("", one.action) and rule in ("", one.rule)]

    def caused_by(self, instance: TriggerInstance, count: int = 1) -> List[Execution]:
        return ended(self, instance, count)

    def trigger_instances(self, trigger: str = "") -> List[TriggerInstance]:
        listed = sorted(self._triggers("occurrence_time,payload"),
                        key=lambda one: (one.occurrence_time, one.id))
        found = [TriggerInstance(one.id, bare(one.trigger), one.payload) for one in listed]
        return [one for one in found if trigger in ("", one.trigger)]

    def dropped(self) -> List[str]:
        return ["%s: %s" % found for found in DROPPED.findall(self.log())]

    def idle(self) -> bool:
        first = self._counts()
        time.sleep(PAUSE_SECONDS)  # what was dispatched is no trigger instance at once
        return first is not None and first == self._counts()

    def get(self, key: str) -> Optional[str]:
        return self._installed.keys(key).get(key)

    def keys(self, prefix: str) -> Dict[str, str]:
        return self._installed.keys(prefix)

    def set(self, key: str, value: str, secret: bool = False) -> None:
        self._installed.set(key, value, secret)

    def delete(self, key: str) -> None:
        self._installed.delete(key)

    def configure(self, config: Dict[str, Any], status: str = "ok") -> None:
        self.stop_sensor()
        self._installed.configure(config)
        self.start_sensor(status)

    def start_sensor(self, status: str = "ok") -> None:
        self._installed.enable("%s.%s" % (PACK, SENSOR), True)
        self._site.wait_for_listener(status)

    def stop_sensor(self) -> None:
        self._installed.enable("%s.%s" % (PACK, SENSOR), False)
        wait_for(lambda: self._site.healthz() is None, WAIT_SECONDS, lambda: "the sensor to end")

    def kill_sensor(self) -> None:
        pytest.skip("StackStorm's API cannot crash a sensor")

    def log(self) -> str:
        return self._installed.log()

    def _start(self, ref: str, parameters: Dict[str, Any]) -> Any:
        return self._manager["Execution"].create(
            self._models.Execution(action=ref, parameters=parameters))

    def _wait(self, execution_id: str) -> Any:
        def ended() -> Any:
            found = self._manager["Execution"].get_by_id(execution_id)
            time.sleep(0 if found.status in FINAL else PAUSE_SECONDS)
            return found if found.status in FINAL else None

        return wait_for(ended, WAIT_SECONDS, lambda: "execution %s to end" % execution_id)

    def _listed(self, kind: str, attributes: str) -> List[Any]:
        return list(self._manager[kind].query(timestamp_gt=self._since, limit=-1,
                                              include_attributes=attributes))

    def _runs(self, attributes: str) -> List[Any]:
        return [one for one in self._listed("Execution", "action.ref," + attributes)
                if one.action["ref"].startswith(PACK + ".")]

    def _triggers(self, attributes: str) -> List[Any]:
        return [one for one in self._listed("TriggerInstance", "id,trigger," + attributes)
                if one.trigger.startswith(PACK + ".")]

    def _counts(self) -> Optional[Tuple[int, int]]:
        executions = self._runs("status")
        triggers = self._triggers("status")
        busy = any(one.status not in FINAL for one in executions) or any(
            one.status in ("pending", "processing") for one in triggers)
        return None if busy else (len(executions), len(triggers))


def _execution(found: Any) -> Execution:
    result = getattr(found, "result", None) or {}
    output = ""
    if "exit_code" in result:
        output = "%s%s" % (result.get("stdout"), result.get("stderr"))
        result = result["result"] if not result.get("error") else {"platform": result["error"]}
    rule, instance, parameters = [getattr(found, name, None) or {} for name in (
        "rule", "trigger_instance", "parameters")]
    return Execution(found.id, bare(found.action["ref"]), bare(rule["ref"]) if rule else None,
                     instance.get("id"), found.status, parameters, result, output)
