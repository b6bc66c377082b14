"""A pack's config as sensors and actions see it (st2common/util/config_loader and util/pack)."""

from __future__ import annotations

import copy
from typing import Any

import jinja2

from . import schemas, templates
from .datastore import Datastore, decrypt


def check(schema: dict, values: dict) -> None:
    """Validate as registration does. Raises with the FIRST problem only; unknown keys pass."""
    cleaned = schemas.validate(values, schemas.table(schema, open_ended=True))
    for key, rules in schema.items():
        if rules.get("secret") and "decrypt_kv" in str(cleaned.get(key)):
            raise ValueError("%s is secret, so it is decrypted without decrypt_kv" % key)


def load(schema: dict, values: dict, datastore: Datastore, env: jinja2.Environment) -> dict:
    """Render ``{{ }}``, decrypt secrets and fill in defaults; done anew for every process.

    What renders to nothing becomes None. A null stays, hiding its default, except that of an object
    or a list with declared contents, which becomes an empty one. Raises ValueError.
    """
    def rendered(value: Any, rules: dict, path: str) -> Any:
        if isinstance(value, dict):
            return {key: rendered(item, _rules_of(rules, key), "%s.%s" % (path, key))
                    for key, item in value.items()}
        if isinstance(value, list):
            return [rendered(item, rules.get("items") or {}, path) for item in value]
        if not isinstance(value, str) or not templates.is_template(value):
            return value
        try:
            text = env.from_string(value).render(st2kv={"system": templates.Keys(datastore.raw)})
            return (decrypt(text) if rules.get("secret") else text) if text else None
        except (jinja2.TemplateError, ValueError) as error:
            raise ValueError("config value %s cannot be rendered: %s" % (path.lstrip("."), error))

    result = rendered(values, {"properties": schema}, "")
    _fill(result, schema)
    return result


def _rules_of(rules: dict, key: str) -> dict:
    other = rules.get("additionalProperties")
    return rules.get("properties", {}).get(key, other if isinstance(other, dict) else {})


def _fill(values: Any, schema: dict) -> None:
    for key, rules in schema.items():
        if "default" in rules and isinstance(values, dict) and key not in values:
            values[key] = copy.deepcopy(rules["default"])
        present = values[key] if isinstance(values, list) or key in values else None
        kind = rules.get("type")
        if kind == "object" and (rules.get("properties") or rules.get("additionalProperties")):
            values[key] = present = present or {}
            names = list(rules.get("properties", {})) + list(present)
            _fill(present, {name: _rules_of(rules, name) for name in names})
        elif kind == "array" and rules.get("items"):
            values[key] = present = present or []
            _fill(present, {index: rules["items"] for index in range(len(present))})
