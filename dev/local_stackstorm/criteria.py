"""Criteria of rules (st2common/operators and st2reactor/rules/filter)."""

from __future__ import annotations

import fnmatch
import operator
import re
from typing import Any, Callable

from .templates import is_template


def _lower(test: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, pattern: test(value.lower(), pattern.lower())


def _in(value: Any, pattern: Any) -> bool:
    return value in pattern


def _not_in(value: Any, pattern: Any) -> bool:
    return value not in pattern


_TESTS: dict = {
    "equals": operator.eq, "nequals": operator.ne, "iequals": _lower(operator.eq),
    "contains": operator.contains, "icontains": _lower(operator.contains),
    "ncontains": lambda value, pattern: pattern not in value,
    "incontains": _lower(lambda value, pattern: pattern not in value),
    "startswith": str.startswith, "istartswith": _lower(str.startswith),
    "endswith": str.endswith, "iendswith": _lower(str.endswith),
    "lessthan": operator.lt, "greaterthan": operator.gt, "inside": _in, "ninside": _not_in,
    "exists": lambda value, pattern: value is not None,
    "nexists": lambda value, pattern: value is None,
    "matchwildcard": fnmatch.fnmatch,
    "matchregex": lambda value, pattern: re.match(pattern, value, re.DOTALL),
    "regex": lambda value, pattern: re.search(pattern, value),
    "iregex": lambda value, pattern: re.search(pattern, value, re.IGNORECASE),
}
_SHORT = {"eq": "equals", "neq": "nequals", "ieq": "iequals", "lt": "lessthan",
          "gt": "greaterthan", "in": "inside", "nin": "ninside"}
_TESTS.update({short: _TESTS[name] for short, name in _SHORT.items()})


def check(criteria: dict) -> None:
    """Raise ValueError for a criterion that StackStorm refuses or the local platform lacks."""
    for key, criterion in criteria.items():
        if not re.fullmatch(r"trigger(\.[A-Za-z_][\w-]*)+(#.*)?", key):
            raise ValueError("criterion %s: only names such as trigger.a.b are known" % key)
        if not isinstance(criterion, dict) or criterion.get("type") not in _TESTS:
            raise ValueError("criterion %s: unknown operator in %r" % (key, criterion))
        if set(criterion) != {"type", "pattern"} or criterion["pattern"] is None:
            raise ValueError("criterion %s: type and pattern are needed, no more, no null" % key)
        if is_template(criterion["pattern"]):
            raise ValueError("criterion %s: patterns are not rendered here" % key)


def matches(criteria: dict, payload: dict) -> bool:
    """Whether every criterion holds; an empty payload meets none.

    Raises ValueError where an operator cannot be applied, such as a text operator to null:
    StackStorm then records a failed enforcement and the rule does not match.
    """
    if criteria and not payload:
        return False
    for key, criterion in criteria.items():
        value: Any = payload
        for name in key.split("#")[0].split(".")[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        try:
            if not _TESTS[criterion["type"]](value, criterion["pattern"]):
                return False
        except Exception as error:
            raise ValueError("criterion %s %s: %s" % (key, criterion["type"], error))
    return True
