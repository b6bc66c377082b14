"""JSON schema as StackStorm 3.9 reads it (st2common/util/schema).

It is draft 4 with one exception that is easy to get wrong: ``required`` is a boolean beside the
property, as in draft 3. A list of names under ``required`` makes the whole schema invalid.
"""

from __future__ import annotations

import copy
from typing import Any, Iterator

import jsonschema
from jsonschema.validators import create


def _meta() -> dict:
    meta = copy.deepcopy(jsonschema.Draft4Validator.META_SCHEMA)
    meta.pop("id")  # else "#" inside would lead back to plain draft 4
    for word in ("required", "secret", "immutable"):
        meta["properties"][word] = {"type": "boolean"}
    meta["properties"]["position"] = {"type": "number", "minimum": 0}
    return meta


def _properties(validator: Any, properties: dict, instance: Any, schema: dict) -> Iterator[Any]:
    for name, rules in properties.items() if isinstance(instance, dict) else ():
        if name in instance:
            yield from validator.descend(instance[name], rules, path=name, schema_path=name)
        elif rules.get("required"):
            yield jsonschema.ValidationError("%r is a required property" % name)


Validator = create(meta_schema=_meta(), type_checker=jsonschema.Draft4Validator.TYPE_CHECKER,
                   validators={word: check for word, check in
                               dict(jsonschema.Draft4Validator.VALIDATORS,
                                    properties=_properties).items() if word != "required"})


def check_parameters(parameters: dict) -> None:
    """Check a table of parameters, of an action or of config.schema.yaml, as registration does.

    Raises ``jsonschema.SchemaError`` for a malformed entry, ValueError for an unknown attribute.
    """
    known = set(Validator.META_SCHEMA["properties"]) - {"format"}
    for name, schema in parameters.items():
        Validator.check_schema(schema)
        unknown = sorted(set(schema) - known)
        if unknown or isinstance(schema.get("type"), list) or not name.isidentifier():
            raise ValueError("parameter %s: a bad name, a list of types, or unknown attributes %s"
                             % (name, unknown))


def table(properties: dict, open_ended: bool = False) -> dict:
    """The object schema of a table of parameters; other names are refused unless ``open_ended``."""
    return {"type": "object", "properties": properties, "additionalProperties": open_ended}


def validate(instance: Any, schema: dict) -> Any:
    """A copy of ``instance`` with defaults filled in, once it fits.

    Null counts as absent where the property is optional. Raises ``jsonschema.ValidationError`` with
    ONE problem, and ``jsonschema.SchemaError`` for a malformed schema.
    """
    schema, instance = copy.deepcopy(schema), copy.deepcopy(instance)
    _allow_null(schema)
    Validator.check_schema(schema)
    _fill(instance, schema)
    error = jsonschema.exceptions.best_match(Validator(schema).iter_errors(instance))
    if error is not None:
        raise error
    return instance


def _kinds(schema: dict) -> list:
    kinds = schema.get("type", [])
    return kinds if isinstance(kinds, list) else [kinds]


def _allow_null(schema: dict) -> None:
    for rules in schema.get("properties", {}).values():
        if rules.get("default") is None and ("default" in rules or not rules.get("required")):
            choice = next((word for word in ("anyOf", "oneOf") if word in rules), None)
            if choice:
                rules[choice].append({"type": "null"})
            elif "null" not in _kinds(rules):
                # A property without a type counts as a string here, in StackStorm too.
                rules["type"] = (_kinds(rules) or ["string"]) + ["null"]
        if "array" in _kinds(rules) and isinstance(rules.get("items"), dict):
            _allow_null(rules["items"])
        if "object" in _kinds(rules):
            _allow_null(rules)


def _fill(value: Any, schema: dict) -> None:
    if isinstance(value, dict) and "object" in _kinds(schema):
        for name, rules in schema.get("properties", {}).items():
            if "default" in rules and value.get(name) is None:
                value[name] = copy.deepcopy(rules["default"])
            _fill(value.get(name), rules)
    elif isinstance(value, list) and "array" in _kinds(schema):
        for item in value if isinstance(schema.get("items"), dict) else ():
            _fill(item, schema["items"])
