"""A workflow on its real engine, in one process with both simulators: what is behind each of its
tasks runs at once, and waits are waited on the virtual clock.

What is left out is the platform: processes, policies and the rendering of parameters.
"""

from __future__ import annotations

import json
import logging
from collections import namedtuple
from functools import lru_cache
from types import SimpleNamespace

from world import ACTIONS, ROOT, use_case

from dev.local_stackstorm import workflows
from pagerduty_stackflow import diagnosis
from pagerduty_stackflow.running import perform

Conducted = namedtuple("Conducted", "status output tasks")
"""How a run ended, its output, and its tasks in order, each once."""
STARTING = 1
"""Seconds from the request of a task to its start, in which rules act on what came in."""


def conduct(world, action, inputs, before=None):
    """Run a workflow to its end; ``before`` has what is to happen right before a task starts."""
    requested, ended, names = [], [], []
    engine = workflows.Engine(lambda *task: requested.append(task),
                              lambda _, outcome: ended.append(outcome))
    run = SimpleNamespace(id="run")
    engine.begin(run, _specification(action), inputs, {"st2": {}, "parent": {}})
    while not ended:
        engine.start()
        engine.stop()  # once it has done what is there to do
        assert requested or ended, "it stands still after %s" % names
        while requested:
            _, task, ref, given, delay = requested.pop(0)
            world.settle(delay + STARTING)
            if task["task_id"] not in names:
                (before or {}).get(task["task_id"], lambda: None)()
                names.append(task["task_id"])
            engine.ended(_execution(world, run, task, ref, given))
    world.settle()
    return Conducted(ended[0]["status"], ended[0]["result"]["output"], names)


@lru_cache()
def _specification(action):
    spec = workflows.read(str(ROOT / "actions" / ACTIONS[action]["entry_point"]))
    assert workflows.inspect(spec, lambda ref: {
        "declared": ACTIONS[ref.partition(".")[2]]["parameters"]}) == []
    return spec


def _execution(world, run, task, ref, given):
    """What the engine sees of an action's run that has ended."""
    name = ref.partition(".")[2]
    action = SimpleNamespace(config=world.config, action_service=world.store,
                             logger=logging.getLogger(__name__))
    fine, result = perform(action, lambda _, **asked: use_case(name)(world.pack(), **asked),
                           diagnosis.without_config, **given)
    return SimpleNamespace(parent=run, task=task, status="succeeded" if fine else "failed",
                           runner_type="python-script", result=json.loads(json.dumps(result)),
                           exit_code=0 if fine else 1, stdout="", stderr="", error=None)
