"""What scenarios ask of the platform that runs the pack: only what st2client can do as well."""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple, Optional, Protocol, Tuple

from dev.site import LocalSite, wait_for

PACK = "pagerduty_stackflow."
SENSOR = "WebhookSensor"
FINAL = ("succeeded", "failed", "timeout", "canceled", "abandoned")
WAIT_SECONDS = 120.0 if os.environ.get("ST2_API_URL") else 30.0


class Execution(NamedTuple):
    """One run of an action; ``action`` and ``rule`` without the pack, ``rule`` and
    ``trigger_instance`` None where a person asked for it; ``output`` is its stdout and stderr.
    """

    id: str
    action: str
    rule: Optional[str]
    trigger_instance: Optional[str]
    status: str
    parameters: Dict[str, Any]
    result: Any
    output: str


class TriggerInstance(NamedTuple):
    """An event that rules were matched against; ``trigger`` without the pack."""

    id: str
    trigger: str
    payload: Dict[str, Any]


class Target(Protocol):
    """A running StackStorm with the pack, whose config names a site's simulators."""

    def run(self, action: str, **parameters: Any) -> Execution:
        """Run an action of the pack and wait for its end."""

    def chat(self, command: str, user: str = "") -> Tuple[Execution, List[str]]:
        """Say something to the bot: its run, when that has ended, and all that was answered.

        Raises ValueError where the words fit no alias, or do not fit its action.
        """

    def executions(self, action: str = "", rule: str = "") -> List[Execution]:
        """Executions, oldest first; those of one action or of one rule where it is named."""

    def caused_by(self, instance: TriggerInstance, count: int = 1) -> List[Execution]:
        """Wait until a trigger has caused so many executions and all of them have ended."""

    def trigger_instances(self, trigger: str = "") -> List[TriggerInstance]:
        """Events that were taken, oldest first; those of one trigger where it is named."""

    def dropped(self) -> List[str]:
        """Why payloads were dropped: what StackStorm writes into its log and nowhere else."""

    def idle(self) -> bool:
        """Whether no event and no execution is under way."""

    def get(self, key: str) -> Optional[str]:
        """A value of the datastore, decrypted."""

    def keys(self, prefix: str) -> Dict[str, str]:
        """All keys that start so, with their values."""

    def set(self, key: str, value: str, secret: bool = False) -> None:
        """Store a value; encrypted where it is a secret."""

    def delete(self, key: str) -> None:
        """Remove a key."""

    def configure(self, config: Dict[str, Any], status: str = "ok") -> None:
        """Register another config of the pack and restart the sensor, as operators do; returns
        when its listener says this status.
        """

    def start_sensor(self, status: str = "ok") -> None:
        """Enable the sensor and wait until its listener says this status."""

    def stop_sensor(self) -> None:
        """Disable the sensor."""

    def kill_sensor(self) -> None:
        """End the sensor's process as a crash would; the platform starts another one."""

    def log(self) -> str:
        """Everything that platform and sensor have logged."""


class LocalTarget:
    """The local platform as a ``Target``."""

    def __init__(self, site: LocalSite) -> None:
        self._site, self._platform = site, site.platform

    def run(self, action: str, **parameters: Any) -> Execution:
        return _execution(self._platform.run_action(PACK + action, parameters, WAIT_SECONDS))

    def chat(self, command: str, user: str = "") -> Tuple[Execution, List[str]]:
        execution, messages = self._platform.chat(command, user, WAIT_SECONDS)
        return _execution(execution), messages

    def executions(self, action: str = "", rule: str = "") -> List[Execution]:
        found = [_execution(one) for one in self._platform.executions(action)]
        return [one for one in found if rule in ("", one.rule)]

    def caused_by(self, instance: TriggerInstance, count: int = 1) -> List[Execution]:
        return ended(self, instance, count)

    def trigger_instances(self, trigger: str = "") -> List[TriggerInstance]:
        found = [TriggerInstance(one.id, bare(one.trigger), one.payload)
                 for one in self._platform.trigger_instances()
                 if one.status != "dropped" and one.timer is None]
        return [one for one in found if trigger in ("", one.trigger)]

    def dropped(self) -> List[str]:
        return ["%s: %s" % (one.trigger, one.reason)
                for one in self._platform.trigger_instances() if one.status == "dropped"]

    def idle(self) -> bool:
        return self._site.idle()

    def get(self, key: str) -> Optional[str]:
        value: Optional[str] = self._platform.datastore.get(key)
        return value

    def keys(self, prefix: str) -> Dict[str, str]:
        return dict(self._platform.datastore.list(prefix))

    def set(self, key: str, value: str, secret: bool = False) -> None:
        self._platform.datastore.set(key, value, secret=secret)

    def delete(self, key: str) -> None:
        self._platform.datastore.delete(key)

    def configure(self, config: Dict[str, Any], status: str = "ok") -> None:
        self.stop_sensor()
        # The platform keeps the very object that it was given, as it would a file.
        self._site.platform_config.clear()
        self._site.platform_config.update(config)
        self._platform.register()
        self.start_sensor(status)

    def start_sensor(self, status: str = "ok") -> None:
        self._platform.sensor(SENSOR).start()
        self._site.wait_for_listener(status)

    def stop_sensor(self) -> None:
        self._platform.sensor(SENSOR).stop()

    def kill_sensor(self) -> None:
        self._platform.sensor(SENSOR).kill()

    def log(self) -> str:
        return self._site.log()


def ended(target: Target, instance: TriggerInstance, count: int) -> List[Execution]:
    """Wait until a trigger has caused so many executions and all of them have ended."""
    def found() -> List[Execution]:
        caused = [one for one in target.executions() if one.trigger_instance == instance.id]
        fits = len(caused) >= count and all(one.status in FINAL for one in caused)
        return caused if fits else []

    return list(wait_for(found, WAIT_SECONDS, lambda: "%d executions of %s" % (
        count, instance.payload["event_type"])))


def bare(ref: str) -> str:
    """The name without the pack."""
    return ref[len(PACK):] if ref.startswith(PACK) else ref


def _execution(found: Any) -> Execution:
    result = found.result if found.error is None else {"platform": found.error}
    return Execution(found.id, bare(found.action), found.rule and bare(found.rule),
                     found.trigger_instance, found.status, found.parameters, result,
                     found.stdout + found.stderr)
