"""Declare each key of the config once, as an attribute of a settings class, and read it by that.

StackStorm checks a config against ``config.schema.yaml`` before any code of the pack runs and stops
at its first failure. So that file is lenient, and a Reader lists every problem in one message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

_TYPES: Dict[str, Tuple[Any, str, str, str]] = {  # in Python; form, and what is wrong without it
    "boolean": ((bool, str), "(?i:true|yes|on|false|no|off)", "is not true or false",
                "true or false"),
    "integer": ((int, str), "[1-9][0-9]{0,8}", "is not a whole number above 0", "a whole number"),
    "number": ((int, float, str), r"(?=[0.]*[1-9])[0-9]{1,9}(\.[0-9]{1,20})?(e-[0-9]{1,2})?",
               "is not a number above 0", "a number"),
    "string": (str, "", "is none of the known values", "text in quotes"),
    "array": ((list, tuple), "", "", "a list"),
    "object": (Mapping, "", "", "a mapping of keys to values"),
}


class Values:
    """Immutable attributes, given by name. Their repr shows none of them, as some are secrets.

    Every action imports its subclasses: a dataclass takes longer to define (docs/performance.md).
    """

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("%s.%s does not change" % (type(self).__name__, name))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)


class Field:
    """Describe one key. Its type is that of its default, or text without one.

    ``key`` is its name in the config where its attribute ``name`` differs. A value that does not
    match ``form`` is ``wrong``; ``end`` lists characters to drop at its end. Of an object, ``make``
    builds settings from ``fields``; ``each`` is an item of a list, or of an object with free keys.
    No two items may share their ``unique`` attributes; ``label`` is the key that names an item.
    """

    name = key = form = wrong = end = label = want = ""
    required = secret = template = False
    unique: Tuple[str, ...] = ()
    fields: Dict[str, Field] = {}
    each: Optional[Field] = None
    make: Callable[..., Any] = dict

    def __init__(self, default: Any = None, **more: Any) -> None:
        self.default = default
        self.type = {bool: "boolean", int: "integer", float: "number", tuple: "array",
                     dict: "object"}.get(type(default), "string")
        vars(self).update(more)


key: Callable[..., Any] = Field
"""Declare a key by its default and by attributes of Field; its type is that of the setting."""


def section(settings: Type[Values], **more: Any) -> Any:
    """Declare an object that becomes ``settings``."""
    fields = {}
    for name, field in vars(settings).items():
        if isinstance(field, Field):
            field.name = name
            fields[field.key or name] = field
    return Field({}, fields=fields, make=settings, **more)


def describe(field: Field, schema: Dict[str, Any], above: str = "a value") -> None:
    """Set what messages ask for, here and below: the schema's description, or the one above."""
    text = schema.get("description", "").replace("Required. ", "")
    field.want = text[:1].lower() + text[1:] or above
    for name, each in field.fields.items():
        describe(each, schema.get("properties", {}).get(name, {}), field.want)
    if field.each:
        describe(field.each, schema.get("items", {}), field.want)


class Reader:
    """Read a config by its declaration, and collect all problems and warnings.

    They quote keys and the names of list entries only, because any other value may be a secret.
    ``retired`` maps paths that are ignored to what to do instead.
    """

    def __init__(self, retired: Dict[str, str]) -> None:
        self.problems: List[str] = []
        self.warnings: List[str] = []
        self._retired = retired

    def problem(self, path: str, wrong: str, remedy: str) -> None:
        """Add ``path: what is wrong: what to do``."""
        self.problems.append("%s: %s: %s" % (path or "config", wrong, remedy))

    def read(self, path: str, value: Any, field: Field) -> Any:
        """Return the value with defaults; None if it is wrong, or absent without a default."""
        if value is None and field.type == "object":
            value = {}
        if value is None or (field.required and value == []):
            if field.required:
                empty = " or its datastore key is empty" if field.secret else ""
                self.problem(path, "is missing" + empty, "give " + field.want)
            return field.default
        fault = _fault(value, field)
        if fault:
            self.problem(path, *fault)
            return None
        if field.type == "object":
            return self._object(path, value, field)
        if field.type == "array":
            return tuple(self._items(path, value, field))
        if field.template:
            return value
        text = str(value).strip().rstrip(field.end)  # a line break would end up in a header
        if field.type == "boolean":
            return text.lower() in ("true", "yes", "on")
        return {"integer": int, "number": float}.get(field.type, str)(text)

    def _items(self, path: str, value: Any, field: Field) -> Iterator[Any]:
        assert field.each
        seen: Dict[Any, str] = {}
        for at, item in enumerate(value):
            here = "%s[%d]" % (path, at)
            name = item.get(field.label) if isinstance(item, Mapping) else None
            if isinstance(name, str) and name.strip() and name.isprintable():
                here += " (%s)" % name.strip()[:60]
            if item is None and field.each.secret:
                item = ""  # StackStorm makes null of a datastore key that is not set
            entry = self.read(here, item, field.each)
            names = tuple((getattr(entry, one, None) or "").casefold() for one in field.unique)
            if any(names[:1]) and seen.setdefault(names, here) != here:
                self.problem(here, "stands for the same as " + seen[names], "keep one of the two")
            yield entry

    def _object(self, path: str, value: Any, field: Field) -> Any:
        prefix = path + "." if path else ""
        if field.each:
            read = {str(name): self.read(prefix + str(name), item, field.each)
                    for name, item in value.items()}
            return {name: item for name, item in read.items() if item is not None}
        for name, item in value.items():
            here = prefix + str(name)
            if here in self._retired and item is not None:
                self.warnings.append("%s: is no longer used: %s" % (here, self._retired[here]))
            if here not in self._retired and name not in field.fields:
                self.problem(here, "is not a known key", _nearest(str(name), field.fields))
        return field.make(**{each.name or name: self.read(prefix + name, value.get(name), each)
                             for name, each in field.fields.items()})


def _fault(value: Any, field: Field) -> Optional[Tuple[str, str]]:
    """Return what is wrong with a value, and what to do."""
    kind, form, wrong, spelling = _TYPES[field.type]
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        return "still holds {{ or {%", (
            "write [[ value ]] and [% statement %]" if field.template else
            'give the plain value, or "{{ st2kv.system.name }}" with a datastore key that holds it')
    if not isinstance(value, kind):
        return "is of the wrong type", "write " + spelling
    if field.type in ("array", "object") or value == field.default:
        return None
    text = str(value).strip()
    if text == "" and field.secret:
        return "came back empty", "store a value under its datastore key"
    if text == "":
        return "is empty", ("" if field.required else "leave it out, or ") + "give " + field.want
    if field.secret and not text.isprintable():
        return "holds a line break or a control character", "store it as one line"
    form = field.form or form
    if form and not re.match("(%s)\\Z" % form, text):
        return field.wrong or wrong, "give " + field.want
    return None


def _nearest(name: str, fields: Dict[str, Field]) -> str:
    import difflib
    names = {known.lower(): known for known in fields}
    near = difflib.get_close_matches(name.lower(), names, 1)
    return "did you mean %s?" % names[near[0]] if near else "known are " + ", ".join(fields)
