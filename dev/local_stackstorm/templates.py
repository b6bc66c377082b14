"""Jinja2 as StackStorm 3.9 uses it: configs, parameters of rules' actions, defaults of parameters.

Stands for st2common/util/jinja, util/param and util/casts. Undefined names are errors, null renders
as ``None``, a template always yields text, and the text is then cast to the parameter's type.
"""

from __future__ import annotations

import ast
import json
import re
from functools import lru_cache
from typing import Any, Callable

import jinja2
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox

_NONE = "\0none\0"  # what use_none leaves: it survives a template, unlike None itself


class ParameterError(ValueError):
    """A parameter cannot be rendered or cast: the action is not started."""


class Keys:
    """``st2kv.system``: dotted look-up of datastore keys; one that does not exist is empty text."""

    def __init__(self, read: Callable[[str], str], key: str = "") -> None:
        self._read, self._key = read, key

    def __getattr__(self, name: str) -> Keys:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Keys:
        return Keys(self._read, "%s.%s" % (self._key, name) if self._key else name)

    def __str__(self) -> str:
        return self._read(self._key)


def environment(decrypt: Callable[[str], str]) -> jinja2.Environment:
    """The sandbox, with those of StackStorm's filters that the local platform knows."""
    env = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined, trim_blocks=True,
                                              lstrip_blocks=True)
    env.filters.update({
        "decrypt_kv": lambda value: decrypt(str(value)),
        "to_complex": json.dumps,
        "to_json_string": lambda value: json.dumps(value, separators=(",", ": ")),
        "from_json_string": lambda value: json.loads(str(value)),
        "use_none": lambda value: _NONE if value is None else value,
    })
    return env


def is_template(value: Any) -> bool:
    """Whether StackStorm would render this value."""
    return "{{" in str(value) or "{%" in str(value)


@lru_cache(maxsize=1024)
def _names_in(env: jinja2.Environment, text: str) -> frozenset:
    return frozenset(jinja2.meta.find_undeclared_variables(env.parse(text)))


@lru_cache(maxsize=1024)
def _compiled(env: jinja2.Environment, text: str) -> jinja2.Template:
    return env.from_string(text)


def check_filters(env: jinja2.Environment, value: Any) -> None:
    """Raise ValueError for a filter that the local platform does not have."""
    if is_template(value):
        for node in env.parse(str(value)).find_all(jinja2.nodes.Filter):
            if node.name not in env.filters:
                raise ValueError("filter %s is unknown to the local platform" % node.name)


def render_parameters(env: jinja2.Environment, declared: dict, given: dict, context: dict) -> dict:
    """What is stored with an execution: what was given, rendered and cast, and template defaults.

    A given template for a parameter whose default is a template too LOSES against that default, as
    in 3.9.0. Raises ``ParameterError``.
    """
    values, templates = dict(context), {}  # type: dict, dict
    for name, value in given.items():
        _sort_in(env, values, templates, name, value)
    _resolve(env, values, templates, declared)
    wanted = set(given)
    for name, schema in declared.items():
        default = schema.get("default")
        if isinstance(default, str) and values[name] != default and not schema.get("immutable"):
            wanted.add(name)
    return {name: cast(name, values[name], declared.get(name, {})) for name in sorted(wanted)}


def complete_parameters(env: jinja2.Environment, declared: dict, stored: dict,
                        context: dict) -> dict:
    """What the action is called with: stored values as they are, and defaults, all of them cast."""
    values = dict(context, **stored)
    _resolve(env, values, {}, declared)
    return {name: cast(name, values[name], schema) for name, schema in declared.items()}


def _sort_in(env: jinja2.Environment, values: dict, templates: dict, name: str, value: Any) -> None:
    if is_template(value):
        try:
            needed = _names_in(env, str(value))
        except jinja2.TemplateAssertionError:  # an unknown filter: rendering will say so
            templates[name] = value, set()
        except jinja2.TemplateSyntaxError:
            pass  # StackStorm takes what does not parse for plain text
        else:
            values.pop(name, None)
            # What a losing template needs must be there all the same.
            templates[name] = value, needed | templates.get(name, ("", set()))[1]
    if name not in templates:
        values[name] = value


def _resolve(env: jinja2.Environment, values: dict, templates: dict, declared: dict) -> None:
    for name, schema in declared.items():
        if values.get(name) is None or schema.get("immutable"):
            _sort_in(env, values, templates, name, schema.get("default"))
    for name in list(templates):
        _render(env, values, templates, name, ())


def _render(env: jinja2.Environment, values: dict, templates: dict, name: str,
            above: tuple) -> None:
    if name in values:
        return
    if name in above or name not in templates:
        raise ParameterError("parameter %s refers to itself, or to nothing" % name)
    template, needed = templates[name]
    for other in needed:
        _render(env, values, templates, other, above + (name,))
    try:
        if isinstance(template, str):
            values[name] = _compiled(env, template).render(values)
        else:
            # Only an item that is nothing but "{{name}}", without a blank, keeps its type.
            text = re.sub(r'"\{\{([\w-]+)\}\}"', r"{{ \1|to_complex }}", json.dumps(template))
            values[name] = json.loads(env.from_string(text).render(values))
    except Exception as error:
        raise ParameterError("parameter %s cannot be rendered: %s" % (name, error))


def _structure(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return ast.literal_eval(value)  # an object that went through a template is Python's repr


def _boolean(value: Any) -> Any:
    return ast.literal_eval(value.capitalize()) if isinstance(value, str) else value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("%s is not text" % type(value).__name__)
    return value


_CASTS: dict = {"array": _structure, "object": _structure, "boolean": _boolean,
                "integer": int, "number": float, "string": _text}


def cast(name: str, value: Any, schema: dict) -> Any:
    """``value`` as the type that ``schema`` names.

    The mark of ``use_none`` gives None, except for numbers, which it does not fit.
    """
    kind = schema.get("type")
    if value is None or (value == _NONE and kind in ("string", "boolean", "object", "array")):
        return None
    try:
        return _CASTS.get(kind, lambda same: same)(value)
    except (ValueError, SyntaxError, TypeError) as error:
        raise ParameterError("parameter %s does not fit type %s: %s"
                             % (name, kind, error))
