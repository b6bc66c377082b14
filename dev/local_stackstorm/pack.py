"""Registration of a pack directory: each YAML file is checked as StackStorm 3.9 checks it.

Stands for st2common/bootstrap/*registrar, models/api and validators/api. It is stricter in one way:
what the local platform does not know, and what could never work, is refused and not ignored.
"""

from __future__ import annotations

import os
import re
from typing import Any

import jinja2
import jsonschema
import yaml

from . import chat, criteria, schemas, templates, workflows
from .runners import RUNNERS, OrquestaRunner

_TEXT = {"type": "string"}
_NEEDED = dict(_TEXT, required=True)
_TEXTS = {"type": "array", "items": _TEXT}
_TABLE = {"type": "object", "default": {}}
_COMMON = {"name": _NEEDED, "description": _TEXT, "pack": _TEXT,
           "enabled": {"type": "boolean", "default": True}}
_PACK = {
    "name": _NEEDED, "description": _NEEDED, "author": _NEEDED, "email": _NEEDED,
    "ref": dict(_TEXT, pattern="^[a-z0-9_]+$"), "keywords": _TEXTS, "contributors": _TEXTS,
    "version": dict(_NEEDED, pattern=r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$"),
    "stackstorm_version": dict(_TEXT, pattern=r"^([<>=]+ *\d+\.\d+\.\d+( *, *)?)+$"),
    "python_versions": {"type": "array", "minItems": 1, "items": {"enum": ["2", "3"]}},
}
_TRIGGER = schemas.table({"name": _NEEDED, "description": _TEXT, "payload_schema": _TABLE})
_SHAPES: dict = {
    "sensors": {"class_name": _NEEDED, "entry_point": _NEEDED, "poll_interval": {"type": "number"},
                "trigger_types": {"type": "array", "items": _TRIGGER, "default": []},
                **{key: _COMMON[key] for key in ("description", "pack", "enabled")}},
    "actions": dict(_COMMON, runner_type=_NEEDED, entry_point=_NEEDED, parameters=_TABLE),
    "rules": dict(_COMMON, criteria=_TABLE, enabled={"type": "boolean", "default": False},
                  trigger=dict(schemas.table({"type": _NEEDED, "parameters": _TABLE}),
                               required=True),
                  action=dict(schemas.table({"ref": _NEEDED, "parameters": _TABLE}),
                              required=True)),
    "policies": dict(_COMMON, resource_ref=_NEEDED, policy_type=_NEEDED, parameters=_TABLE),
    "aliases": dict(_COMMON, action_ref=_NEEDED, ack=_TABLE, result=_TABLE, extra=_TABLE,
                    formats={"type": "array", "minItems": 1, "required": True},
                    immutable_parameters=_TABLE),
}
_LIMIT = {"threshold": {"type": "integer", "required": True},
          "action": {"enum": ["delay", "cancel"], "default": "delay"}}
_POLICIES = {"action.concurrency": _LIMIT,
             "action.concurrency.attr": dict(_LIMIT, attributes=_TEXTS)}
TIMER = "core.st2.IntervalTimer"
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}
_INTERVAL = schemas.table({"unit": {"enum": list(SECONDS), "required": True},
                           "delta": {"type": "integer", "required": True}, "timezone": _TEXT})


class RegistrationError(Exception):
    """StackStorm would not register this, or the local platform does not know what it asks for."""


def explain(error: Exception) -> str:
    """Where and what, in one line; of a schema's complaint not the whole schema."""
    where = ".".join(str(part) for part in getattr(error, "path", ()))
    return "%s%s%s" % (where, ": " if where else "", getattr(error, "message", error))


class Pack:
    """A registered pack: its resources by name, each the YAML's dict with defaults filled in.

    ``overrides`` stands for ``/opt/stackstorm/overrides/<pack>.yaml``:
    ``{"sensors": {name: {"enabled": True}}}``. Raises ``RegistrationError``.
    """

    def __init__(self, path: str, env: jinja2.Environment, overrides: dict) -> None:
        self.path, self._env, self._overrides = os.path.abspath(path), env, overrides
        meta = self._read("pack.yaml", _PACK, open_ended=True)
        self.ref = meta.get("ref") or meta["name"]
        self.config_schema = {}
        if os.path.exists(os.path.join(self.path, "config.schema.yaml")):
            self.config_schema = self._read("config.schema.yaml", {}, open_ended=True,
                                            check=schemas.check_parameters)
        self.triggers: dict = {}
        if self._files("triggers"):
            raise RegistrationError("triggers/: only triggers of sensors are known here")
        self.sensors = self._load("sensors", self._check_sensor)
        self.actions = self._load("actions", self._check_action)
        self._inspect_workflows()
        self.rules = self._load("rules", self._check_rule)
        self.policies = self._load("policies", self._check_policy)
        self.aliases = self._load("aliases", self._check_alias)

    def action(self, ref: str) -> dict:
        """The action called ``<pack>.<name>``. Raises ValueError."""
        pack, _, name = ref.partition(".")
        if pack != self.ref or name not in self.actions:
            raise ValueError("action %s does not exist" % ref)
        return self.actions[name]

    def _files(self, kind: str) -> list:
        folder = os.path.join(self.path, kind)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        return [os.path.join(kind, name) for name in names if name.endswith((".yaml", ".yml"))]

    def _read(self, name: str, shape: dict, open_ended: bool = False, check: Any = None) -> dict:
        try:
            with open(os.path.join(self.path, name), encoding="utf-8") as file:
                content = schemas.validate(yaml.safe_load(file), schemas.table(shape, open_ended))
            if check:
                check(content)
            return content
        except (OSError, ValueError, yaml.YAMLError, jsonschema.ValidationError,
                jsonschema.SchemaError) as error:
            raise RegistrationError("%s: %s" % (name, explain(error)))

    def _load(self, kind: str, check: Any) -> dict:
        found: dict = {}

        def register(content: dict) -> None:
            name = content.get("class_name") or content["name"]
            if name in found or content.get("pack", self.ref) != self.ref:
                raise ValueError("%s is defined twice or belongs to another pack" % name)
            found[name] = content
            content["ref"] = "%s.%s" % (self.ref, name)
            check(content)

        for path in self._files(kind):
            self._read(path, _SHAPES[kind], check=register)
        for name, override in self._overrides.get(kind, {}).items():
            if name not in found or set(override) != {"enabled"} or kind == "policies":
                raise RegistrationError("overrides: %s %s cannot be overridden so" % (kind, name))
            found[name].update(override)
        return found

    def _entry_point(self, folder: str, entry_point: str) -> str:
        folder = os.path.join(self.path, folder)
        path = os.path.abspath(os.path.join(folder, entry_point))
        if os.path.commonpath([folder, path]) != folder or not os.path.isfile(path):
            raise ValueError("entry_point %s is outside %s or missing" % (entry_point, folder))
        return path

    def _check_sensor(self, sensor: dict) -> None:
        sensor["path"] = self._entry_point("sensors", sensor["entry_point"])
        if sensor.get("poll_interval") and sensor["poll_interval"] < 4:
            raise ValueError("the smallest poll_interval is 4 seconds")
        for trigger in sensor["trigger_types"]:
            # StackStorm registers a schema that is itself wrong and then drops every payload.
            schemas.Validator.check_schema(trigger["payload_schema"])
            self.triggers["%s.%s" % (self.ref, trigger["name"])] = trigger["payload_schema"]

    def _check_action(self, action: dict) -> None:
        if action["runner_type"] not in RUNNERS:
            raise ValueError("runner_type %s is not supported by the local platform, only %s"
                             % (action["runner_type"], ", ".join(RUNNERS)))
        action["path"] = self._entry_point("actions", action["entry_point"])
        schemas.check_parameters(action["parameters"])
        runner = RUNNERS[action["runner_type"]].parameters
        action["declared"] = {name: dict(schema) for name, schema in runner.items()}
        for name, parameter in action["parameters"].items():
            declared = action["declared"].setdefault(name, {})
            declared.update(parameter)
            if declared.get("immutable") and "default" not in declared:
                raise ValueError("parameter %s is immutable and has no default" % name)
            templates.check_filters(self._env, parameter.get("default"))
        positions = sorted(item["position"] for item in action["parameters"].values()
                           if "position" in item)
        if positions and positions != list(range(positions[0], positions[0] + len(positions))):
            raise ValueError("positions %s are not unique and contiguous" % positions)

    def _inspect_workflows(self) -> None:
        for name, action in self.actions.items():
            if RUNNERS[action["runner_type"]] is OrquestaRunner:
                try:
                    action["workflow"] = workflows.read(action["path"])
                    wrong = workflows.inspect(action["workflow"], self.action)
                except ValueError as error:
                    wrong = [str(error)]
                if wrong:
                    raise RegistrationError("%s: %s" % (action["entry_point"], "; ".join(wrong)))

    def _check_rule(self, rule: dict) -> None:
        trigger = rule["trigger"]
        if trigger["type"] == TIMER:
            schemas.validate(trigger["parameters"], _INTERVAL)
        elif trigger["type"] not in self.triggers or trigger["parameters"]:
            raise ValueError("trigger %s does not exist or takes no parameters" % trigger["type"])
        criteria.check(rule["criteria"])
        self.action(rule["action"]["ref"])
        for value in rule["action"]["parameters"].values():
            templates.check_filters(self._env, value)

    def _check_policy(self, policy: dict) -> None:
        if policy["policy_type"] not in _POLICIES:
            raise ValueError("policy_type %s is not known here" % policy["policy_type"])
        shape = schemas.table(_POLICIES[policy["policy_type"]])
        policy["parameters"] = schemas.validate(policy["parameters"], shape)
        known = self.action(policy["resource_ref"])["parameters"]
        unknown = set(policy["parameters"].get("attributes") or ()) - set(known)
        if unknown:
            raise ValueError("%s: no parameter of %s" % (sorted(unknown), policy["resource_ref"]))

    def _check_alias(self, alias: dict) -> None:
        known = self.action(alias["action_ref"])["parameters"]
        named = set(re.findall(r"(?:\{\{\s*|\(\?P<)(\w+)", " ".join(chat.formats(alias))))
        unknown = named.union(alias["immutable_parameters"]) - set(known)
        if unknown:
            raise ValueError("%s: no parameter of %s" % (sorted(unknown), alias["action_ref"]))
