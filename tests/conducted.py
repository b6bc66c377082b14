"""Workflows on their real engine, in one process with both simulators and on the virtual clock.

The engine is ended after every message, so that between two tasks it holds nothing but text: as if
its process had been killed there and started again. What is left out is the platform around it:
processes, policies, and the rendering of parameters.
"""

from __future__ import annotations

import json
import logging
from collections import namedtuple
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from world import ACTIONS, ROOT, Crash, use_case

from dev.local_stackstorm import workflows
from pagerduty_stackflow import diagnosis
from pagerduty_stackflow.running import perform

Conducted = namedtuple("Conducted", "status output tasks errors")
"""How a run ended, its output, its tasks in order, each once, and the errors in its result."""
STARTING = 1
"""Seconds from the request of a task to its start, in which rules act on what came in."""


def specification(action: str) -> Any:
    """The workflow of an action; the engine's own inspection finds nothing wrong with it."""
    spec = workflows.read(str(ROOT / "actions" / ACTIONS[action]["entry_point"]))
    wrong = workflows.inspect(spec, lambda ref: {"declared": _metadata(ref)["parameters"]})
    assert wrong == []
    return spec


class Workflow:
    """One run of a workflow action: what is behind each task runs when its time has come.

    ``status`` is empty until it has ended; then ``output`` and ``errors`` are there. ``results``
    are those of its tasks, in order; ``performs``: one is at work right now.
    """

    def __init__(self, world: Any, action: str, name: str = "run", **inputs: Any) -> None:
        self.world, self.inputs = world, inputs
        self.status, self.output = "", {}  # type: str, Dict[str, Any]
        self.errors: List[Any] = []
        self.results: List[Tuple[str, Any]] = []
        self.performs = False
        self.before: Callable[[str], None] = lambda task: None
        self._waiting: List[Any] = []
        self._run = SimpleNamespace(id=name)
        self._engine = workflows.Engine(self._request, self._end)
        given = {key: inputs.get(key) for key in ACTIONS[action]["parameters"]}
        self._engine.begin(self._run, specification(action), given,
                           {"st2": {"action_execution_id": name}, "parent": {}})
        self._turn()

    @property
    def due(self) -> Any:
        """When its next task starts; None once it has ended."""
        return min((due for due, *_ in self._waiting), default=None)

    def advance(self) -> None:
        """Run the tasks whose time has come."""
        now = self.world.clock.now()
        for one in [one for one in self._waiting if one[0] <= now]:
            self._waiting.remove(one)
            self._perform(*one[1:])

    def transitions(self) -> Set[str]:
        """Those that were taken so far, as "task -> task"."""
        record = json.loads(self._engine._records[self._run.id])
        return {"%s -> %s" % (entry["id"], following.rpartition("__")[0])
                for entry in record["state"]["sequence"]
                for following, taken in entry["next"].items() if taken}

    def _turn(self) -> None:
        self._engine.start()
        self._engine.stop()

    def _request(self, _: Any, task: Any, ref: str, given: Any, delay: int) -> None:
        assert type(delay) is int, "a fraction fails a workflow"
        due = self.world.clock.now() + timedelta(seconds=delay)
        self._waiting.append((due, task, ref, given))

    def _end(self, _: Any, outcome: Dict[str, Any]) -> None:
        self.status, self.output = outcome["status"], outcome["result"]["output"]
        self.errors = outcome["result"].get("errors") or []

    def _perform(self, task: Any, ref: str, given: Dict[str, Any]) -> None:
        world = self.world
        name = ref.partition(".")[2]
        self.before(task["task_id"])
        action = SimpleNamespace(config=world.config, action_service=world.store,
                                 logger=logging.getLogger(__name__))
        self.performs = True
        try:
            fine, result = perform(action, lambda _, **asked: use_case(name)(world.pack(), **asked),
                                   diagnosis.without_config, **given)
        except Crash:
            fine, result = False, None
        finally:
            self.performs = False
        result = json.loads(json.dumps(result))
        self.results.append((task["task_id"], result))
        self._engine.ended(SimpleNamespace(
            parent=self._run, task=task, status="succeeded" if fine else "failed",
            runner_type="python-script", result=result, exit_code=0 if fine else 1, stdout="",
            stderr="", error=None))
        self._turn()


def conduct(world: Any, action: str, inputs: Dict[str, Any],
            before: Optional[Dict[str, Callable[[], None]]] = None) -> Conducted:
    """Run a workflow to its end; ``before`` has what is to happen right before a task starts."""
    run, names = Workflow(world, action, **inputs), []  # type: Workflow, List[str]

    def starts(task: str) -> None:
        if task not in names:
            names.append(task)
            (before or {}).get(task, lambda: None)()

    run.before = starts
    while not run.status:
        assert run.due is not None, "it stands still after %s" % names
        world.settle(max(0.0, (run.due - world.clock.now()).total_seconds()) + STARTING)
        run.advance()
    world.settle()
    return Conducted(run.status, run.output, names, run.errors)


def _metadata(ref: str) -> Dict[str, Any]:
    return dict(ACTIONS[ref.partition(".")[2]])


def all_transitions(action: str) -> Set[str]:
    """Every transition that a workflow's file has."""
    tasks = specification(action).tasks
    return {"%s -> %s" % (name, following) for name in tasks.keys()
            for following, *_ in tasks.get_next_tasks(name)}
