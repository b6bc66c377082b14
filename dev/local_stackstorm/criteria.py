"""Criteria of rules (st2common/operators, st2reactor/rules/filter): only ``equals`` is known."""

from __future__ import annotations

import re
from typing import Any

from .templates import is_template


def check(criteria: dict) -> None:
    """Raise ValueError for a criterion that StackStorm refuses or the local platform lacks."""
    for key, criterion in criteria.items():
        if not re.fullmatch(r"trigger(\.[A-Za-z_][\w-]*)+", key):
            raise ValueError("criterion %s: only names such as trigger.a.b are known" % key)
        if not isinstance(criterion, dict) or criterion.get("type") != "equals":
            raise ValueError("criterion %s: unknown operator in %r" % (key, criterion))
        if set(criterion) != {"type", "pattern"} or criterion["pattern"] is None:
            raise ValueError("criterion %s: type and pattern are needed, no more, no null" % key)
        if is_template(criterion["pattern"]):
            raise ValueError("criterion %s: patterns are not rendered here" % key)


def matches(criteria: dict, payload: dict) -> bool:
    """Whether every criterion holds; a field that is not there is null."""
    for key, criterion in criteria.items():
        value: Any = payload
        for name in key.split(".")[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        if value != criterion["pattern"]:
            return False
    return True
