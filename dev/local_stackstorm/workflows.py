"""Workflows, on the ``orquesta`` engine: what StackStorm's workflow engine does around it.

Stands for st2common/services/workflows, st2actions/workflows and the Orquesta runner. Known are
tasks of one action of the pack, or of none; ``with`` and actions named by an expression are not.
"""

from __future__ import annotations

import collections.abc
import fractions
import json
import math
import queue
import threading
from types import SimpleNamespace
from typing import Any, Callable

# What orquesta 1.2.0 and networkx 1.11 still look for, and Python 3.9 and 3.10 dropped.
for _name in collections.abc.__all__:
    vars(collections).setdefault(_name, getattr(collections.abc, _name))
vars(fractions).setdefault("gcd", math.gcd)

from orquesta import conducting, events, statuses  # noqa: E402
from orquesta.specs import loader  # noqa: E402
from orquesta.utils import parameters  # noqa: E402

# Since Python 3.11 a flag may not stand in the middle of a regular expression.
for _name in ("REGEX_TRUE", "REGEX_FALSE"):
    _old = getattr(parameters, _name)
    parameters.REGEX_INLINE_PARAMS = parameters.REGEX_INLINE_PARAMS.replace(
        _old, "(?i:%s)" % _old.replace("(?i)", ""))

_CONTEXT = ("action_execution_id", "api_url", "user", "pack", "action", "runner")


def read(path: str) -> Any:
    """The specification in a file. Raises ValueError for what is no workflow at all."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        return loader.get_spec_module("native").instantiate(text)
    except Exception as error:
        raise ValueError("not a workflow: %s" % error)


def inspect(spec: Any, action: Callable[[str], dict]) -> list:
    """What is wrong with a workflow, in words; ``action`` gives an action or raises ValueError.

    StackStorm looks when a run is asked for: each one fails then.
    """
    context = {"st2": dict.fromkeys(_CONTEXT), "parent": {}}
    found = spec.inspect(app_ctx=context, raise_exception=False)
    wrong = ["%s: %s" % (item.get("spec_path", ""), item["message"])
             for items in found.values() for item in items]
    for name, task in () if wrong else spec.tasks.items():
        ref, given = getattr(task, "action", None), getattr(task, "input", None) or {}
        try:
            if getattr(task, "with", None) or not isinstance(given, dict):
                raise ValueError("tasks with items, or all input in one expression, are not known")
            declared = action(ref)["declared"] if ref else {}
            unexpected = set(given) - set(declared) if ref else set()
            missing = [key for key, rules in declared.items() if rules.get("required") and
                       "default" not in rules and key not in given]
            if unexpected or missing:
                raise ValueError("%s does not take %s, or lacks %s"
                                 % (ref, sorted(unexpected), missing))
        except ValueError as error:
            wrong.append("tasks.%s: %s" % (name, error))
    return wrong


class Engine:
    """Conducts the workflow executions, one message at a time.

    Between two messages all it knows of a workflow is text, as in StackStorm's database: ``stop``
    is therefore like killing the engine between two tasks; what happens then waits for ``start``.
    ``request`` asks for the execution of a task, and gives it; ``end`` ends a workflow's.
    """

    def __init__(self, request: Callable[..., Any], end: Callable[[Any, dict], None]) -> None:
        self._request, self._end = request, end
        self._records: dict = {}
        self._messages: queue.Queue = queue.Queue()
        self._thread: Any = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Take up what waits."""
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the messages that are there, and take no more."""
        self._messages.put(None)
        self._thread.join()

    def begin(self, execution: Any, spec: Any, inputs: dict, context: dict) -> None:
        """A workflow execution was started with these inputs."""
        conductor = conducting.WorkflowConductor(spec, context=context, inputs=inputs)
        conductor.serialize()  # fills in what a conductor has from its start
        conductor.request_workflow_status(statuses.REQUESTED)
        self._store(execution, conductor)
        self._messages.put(SimpleNamespace(parent=execution, task=None))

    def ended(self, execution: Any) -> None:
        """The execution of a task has ended."""
        self._messages.put(execution)

    def _store(self, execution: Any, conductor: Any) -> None:
        self._records[execution.id] = json.dumps(conductor.serialize())

    def _work(self) -> None:
        for message in iter(self._messages.get, None):
            execution, task = message.parent, message.task
            conductor = conducting.WorkflowConductor.deserialize(
                json.loads(self._records[execution.id]))
            try:
                if task is None:
                    conductor.request_workflow_status(statuses.RUNNING)
                else:
                    self._update(conductor, task, message.status, result_of(message))
                self._advance(execution, conductor)
            except Exception as error:
                # As StackStorm does: the workflow fails, whatever was to follow the task.
                conductor.request_workflow_status(statuses.FAILED)
                conductor.log_error(error, **(task or {}))
            if conductor.get_workflow_status() in statuses.COMPLETED_STATUSES:
                conductor.render_workflow_output()
                self._finish(execution, conductor)
            self._store(execution, conductor)

    def _advance(self, execution: Any, conductor: Any) -> None:
        tasks = conductor.get_next_tasks()
        while tasks:
            names = [{"task_id": task["id"], "route": task["route"]} for task in tasks]
            for name in names:
                self._update(conductor, name, statuses.RUNNING)
            self._store(execution, conductor)
            for name, task in zip(names, tasks):
                action = task["actions"][0]
                if action["action"] is None:
                    self._update(conductor, name, statuses.SUCCEEDED)  # its delay is not kept
                else:
                    self._request(execution, name, action["action"], action["input"] or {},
                                  task.get("delay") or 0)
            tasks = conductor.get_next_tasks()

    @staticmethod
    def _update(conductor: Any, name: dict, status: str, result: Any = None) -> None:
        event = events.ActionExecutionEvent(status, result=result)
        conductor.update_task_state(name["task_id"], name["route"], event)

    def _finish(self, execution: Any, conductor: Any) -> None:
        status, result = conductor.get_workflow_status(), {}
        result["output"] = conductor.get_workflow_output() or None
        if status in statuses.ABENDED_STATUSES:
            result["errors"] = conductor.errors
        self._end(execution, {"status": status, "result": result})


def result_of(execution: Any) -> Any:
    """What ``result()`` is in an expression."""
    if execution.runner_type == "orquesta":
        return execution.result
    found = {name: getattr(execution, name) for name in ("result", "exit_code", "stdout", "stderr")}
    return dict(found, error=execution.error) if execution.error else found
