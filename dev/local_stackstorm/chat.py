"""Chat: a command against the pack's aliases, and the messages that come back.

Stands for st2common/util/actionalias_matching, st2api's aliasexecution and contrib/chatops'
format_execution_result.
"""

from __future__ import annotations

from typing import Any

import jinja2

from . import templates
from .executions import Execution
from .standin.st2common.models.utils.action_alias_utils import ParseException, extract_parameters


def formats(alias: dict) -> list:
    """Every format of an alias that a command can fit."""
    nested = [item["representation"] if isinstance(item, dict) else [item]
              for item in alias["formats"]]
    return [text for texts in nested for text in texts]


def match(aliases: dict, command: str) -> tuple:
    """The alias that a command belongs to, and its parameters, all text. Raises ValueError."""
    found = []
    for alias in aliases.values():
        for text in formats(alias) if alias["enabled"] else ():
            try:
                found.append((alias, extract_parameters(text, command)))
            except ParseException:
                pass
    if len(found) != 1:
        raise ValueError("%r fits %d formats" % (command, len(found)))
    return found[0]


def parameters(env: jinja2.Environment, alias: dict, given: dict, user: str,
               declared: dict) -> dict:
    """What the action is started with: what was given, cast and never rendered, and the alias' own.

    Raises ValueError.
    """
    fixed = alias.get("immutable_parameters") or {}
    if set(fixed) & set(given):
        raise ValueError("%s cannot be given" % ", ".join(set(fixed) & set(given)))
    context = {"api_user": user, "user": "stanley", "source_channel": "local"}
    own = {name: env.from_string(value).render(context) if templates.is_template(value) else value
           for name, value in fixed.items()}
    return {name: templates.cast(name, value, declared.get(name, {}))
            for name, value in dict(given, **own).items()}


def acknowledgement(env: jinja2.Environment, alias: dict, execution: Execution) -> str:
    """What is said at once; empty where the alias says nothing."""
    shown = {"execution": _shown(execution), "actionalias": alias}
    return _rendered(env, alias["ack"], shown)


def answer(env: jinja2.Environment, alias: dict, execution: Execution) -> str:
    """What is said when the execution has ended; names that are not there are empty."""
    lenient = env.overlay(undefined=jinja2.Undefined)
    return _rendered(lenient, alias["result"], {"execution": _shown(execution), "alias": alias})


def _rendered(env: jinja2.Environment, message: dict, context: dict) -> str:
    if not message.get("enabled", True):
        return ""
    return env.from_string(message.get("format", "")).render(context)


def _shown(execution: Execution) -> dict[str, Any]:
    """An execution as StackStorm's API shows that of a Python action."""
    result = {"result": execution.result, "exit_code": execution.exit_code,
              "stdout": execution.stdout, "stderr": execution.stderr}
    return {"id": execution.id, "status": execution.status, "parameters": execution.parameters,
            "action": {"ref": execution.action}, "result": result if execution.exit_code is not None
            else {"error": execution.error}}
