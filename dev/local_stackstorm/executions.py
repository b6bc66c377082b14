"""Executions: their queue, the policies and a bounded number of processes at a time.

Stands for st2actions/scheduler, st2actions/policies and st2actions/container.
"""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

POLICY_DELAY = 2.5  # seconds after which a delayed execution is looked at again
FINAL = ("succeeded", "failed", "timeout", "canceled")
STOPPED = "the platform was stopped"


class Execution:
    """One run of an action.

    ``status`` is requested, delayed, scheduled, running or one of ``FINAL``; ``parameters`` are
    those that were given, secrets masked; ``result`` is what the action returned and ``error`` the
    platform's own complaint; ``rule`` and ``trigger_instance`` (its id) say what asked for it, or
    ``parent`` and ``task`` (task_id and route) which task of which workflow's execution it is.
    """

    def __init__(self, action: dict, given: dict, rule: Any = None, instance: Any = None,
                 parent: Any = None, task: Any = None) -> None:
        self.id, self.action, self.status = secrets.token_hex(12), action["ref"], "requested"
        self.rule, self.trigger_instance, self.delays = rule, instance, 0
        self.runner_type, self.parent, self.task = action["runner_type"], parent, task
        self.result: Any = None
        self.error: Any = None
        self.exit_code: Any = None
        self.stdout = self.stderr = ""
        self.stored = given
        self._secret = {name for name, item in action["declared"].items() if item.get("secret")}

    @property
    def parameters(self) -> dict:
        return {name: "********" if name in self._secret else value
                for name, value in self.stored.items()}

    def __repr__(self) -> str:
        return "<Execution %s %s %s %s>" % (self.id, self.action, self.status, self.error or "")


class Scheduler:
    """Starts executions when their policies let them; delayed ones keep no order.

    ``run`` gives the outcome, or None where it comes later, by ``end``; ``ended`` hears of each.
    """

    def __init__(self, policies: Callable[[], Any], run: Callable[[Execution], Any],
                 ended: Callable[[Execution], None], max_parallel: int, time_scale: float) -> None:
        self.all: list = []
        self.changed = threading.Condition()
        self._policies, self._run, self._ended = policies, run, ended
        self._scale = time_scale
        self._stopped = False
        self._pool = ThreadPoolExecutor(max_parallel)

    def submit(self, execution: Execution, delay: float = 0) -> None:
        """Record an execution and start it when it is time, unless it has failed already."""
        with self.changed:
            self.all.append(execution)
            if execution.status not in FINAL:
                self._later(execution, delay)

    def end(self, execution: Execution, outcome: dict) -> None:
        """End an execution; ``outcome`` has its status and whatever else is known."""
        with self.changed:
            self._end(execution, outcome)

    def idle(self) -> bool:
        """Whether everything submitted has ended."""
        return all(execution.status in FINAL for execution in list(self.all))

    def stop(self, kill: Callable[[], Any]) -> None:
        """Start nothing more and ``kill`` until nothing runs."""
        with self.changed:
            self._stopped = True
        while any(item.status in ("scheduled", "running") for item in self.all):
            kill()
            time.sleep(0.01)
        self._pool.shutdown()

    def _later(self, execution: Execution, seconds: float) -> None:
        timer = threading.Timer(seconds * self._scale, self._consider, (execution,))
        timer.daemon = True
        timer.start()

    def _consider(self, execution: Execution) -> None:
        with self.changed:
            verdict = "stop" if self._stopped else self._verdict(execution)
            if verdict == "delay":
                execution.status, execution.delays = "delayed", execution.delays + 1
                self._later(execution, POLICY_DELAY)
            elif verdict == "cancel":
                self._end(execution, {"status": "canceled", "error": "a policy forbids it now"})
            elif verdict is None:
                execution.status = "scheduled"
                self._pool.submit(self._work, execution)

    def _verdict(self, execution: Execution) -> Any:
        for policy in self._policies():
            if policy["enabled"] and policy["resource_ref"] == execution.action:
                rules = policy["parameters"]
                # Only attributes that were given are compared, as in StackStorm: defaults are not.
                same = {name: execution.stored[name] for name in rules.get("attributes") or ()
                        if name in execution.stored}
                busy = [other for other in self.all if other.action == execution.action and
                        other.status in ("scheduled", "running") and
                        all(other.stored.get(name) == value for name, value in same.items())]
                if len(busy) >= rules["threshold"]:
                    return rules["action"]
        return None

    def _work(self, execution: Execution) -> None:
        with self.changed:
            execution.status = "running"
        try:
            stopped = {"status": "canceled", "error": STOPPED}
            outcome = stopped if self._stopped else self._run(execution)
        except Exception as error:
            outcome = {"status": "failed", "error": str(error)}
        if outcome is not None:
            self.end(execution, outcome)

    def _end(self, execution: Execution, outcome: dict) -> None:
        vars(execution).update(outcome)
        self._ended(execution)
        self.changed.notify_all()
