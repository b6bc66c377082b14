"""``LocalStackStorm``: one pack on one machine, without database, broker or services."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
import time
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import jsonschema

from . import config as pack_config
from . import chat, criteria, schemas, templates
from .datastore import Api, Datastore, decrypt
from .executions import FINAL, STOPPED, Execution, Scheduler
from .pack import SECONDS, TIMER, Pack, RegistrationError, explain
from .runners import RUNNERS, OrquestaRunner
from .sensors import Sensor
from .workflows import Engine


class LocalStackStorm:
    """Runs a pack as StackStorm 3.9 would, from the pack's own YAML; a context manager.

    ``home`` gets the log file; ``config`` is what /opt/stackstorm/configs/<pack>.yaml would hold;
    ``keys`` and ``secret_keys`` are put into the datastore, the latter encrypted; ``time_scale``
    multiplies StackStorm's own waits (timers, poll intervals, policy delays, restarts of sensors)
    but no time-out and no lifetime of a key; ``overrides`` as in ``Pack``. ``engine`` conducts the
    workflows and can be stopped and started. Raises ``RegistrationError``.
    """

    def __init__(self, pack_dir: str, home: str, config: Any = None, keys: Any = None,
                 time_scale: float = 1.0, max_parallel: int = 4, overrides: Any = None,
                 secret_keys: Any = None) -> None:
        self.time_scale, self.max_parallel = time_scale, max_parallel
        self._pack_dir, self._config, self._overrides = str(pack_dir), config, overrides or {}
        self.datastore = Datastore()
        for secret, presets in ((False, keys), (True, secret_keys)):
            for name, value in (presets or {}).items():
                self.datastore.set(name, value, secret=secret)
        self._env = templates.environment(decrypt)
        self.pack = self._registered()
        os.makedirs(str(home), exist_ok=True)
        self.log_path = os.path.join(str(home), "local_stackstorm.log")
        self._log = logging.Logger("local_stackstorm")
        self._instances: list = []
        self._enforcements: list = []
        self._arrived: queue.Queue = queue.Queue()
        self._sensors: dict = {}
        self._others: list = []
        self._children: set = set()
        self._stopping = threading.Event()

    def start(self) -> LocalStackStorm:
        """Start the API, the rules engine, the timers and the enabled sensors."""
        handler = logging.FileHandler(self.log_path)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        self._log.addHandler(handler)
        self._scheduler = Scheduler(lambda: self.pack.policies.values(), self._run, self._ended,
                                    self.max_parallel, self.time_scale)
        self.engine = Engine(self._request_task, self._scheduler.end)
        self.engine.start()
        self._api = Api(self.datastore, self.dispatch)
        threading.Thread(target=self._match_rules, daemon=True).start()
        for name, rule in self.pack.rules.items():
            if rule["trigger"]["type"] == TIMER:
                threading.Thread(target=self._tick, args=(name,), daemon=True).start()
        for name in self.pack.sensors:
            self._sensors[name] = Sensor(lambda name=name: self._sensor_job(name), self.log_path,
                                         self.time_scale)
        self._apply_enabled()
        return self

    def stop(self) -> None:
        """End every process that was started here, by its id, and wait for the executions."""
        self._stopping.set()
        for sensor in [*self._sensors.values(), *self._others]:
            sensor.stop()
        self.engine.stop()
        self._scheduler.stop(self._kill)
        self._arrived.put(None)
        self._api.close()
        for handler in self._log.handlers:
            handler.close()

    def __enter__(self) -> LocalStackStorm:
        return self.start()

    def __exit__(self, *error: Any) -> None:
        self.stop()

    def register(self) -> None:
        """Read the pack again: enabled states are once more what metadata and overrides say."""
        self.pack = self._registered()
        self._apply_enabled()

    def sensor(self, name: str) -> Sensor:
        """The sensor of this class name."""
        return self._sensors[name]

    def start_another(self, name: str, **config: Any) -> None:
        """Start one more process of a sensor with other values of these top-level keys of the
        config, as the sensor container of a second machine would.
        """
        def job() -> tuple:
            found, environ = self._sensor_job(name, "%s %d" % (name, len(self._others)))
            return dict(found, config=dict(found["config"], **config)), environ

        self._others.append(Sensor(job, self.log_path, self.time_scale))
        self._others[-1].start()

    def executions(self, action: str = "") -> list:
        """All executions so far, oldest first; or those of one action, by its name."""
        wanted = "%s.%s" % (self.pack.ref, action)
        return [item for item in list(self._scheduler.all) if not action or item.action == wanted]

    def trigger_instances(self) -> list:
        """What was handed in, with id, trigger, payload, trace_tag, status and reason.

        A dropped one has the status dropped and says why; StackStorm keeps no trace of it.
        """
        return list(self._instances)

    def enforcements(self) -> list:
        """Rules that matched or failed to decide: rule, trigger_instance, execution, failure."""
        return list(self._enforcements)

    def start_action(self, ref: str, parameters: Any = None) -> Execution:
        """Queue a run of ``<pack>.<action>`` as ``st2 run -a`` does. Raises ValueError."""
        return self._request(ref, parameters or {}, {})

    def run_action(self, ref: str, parameters: Any = None, timeout: float = 60) -> Execution:
        """Run an action and wait for its end, at most ``timeout`` seconds."""
        return self._ended_within(self.start_action(ref, parameters), timeout)

    def chat(self, command: str, user: str = "", timeout: float = 60) -> tuple:
        """Say something in chat: the execution, and the messages that came back.

        Raises ValueError where the command fits no alias, or several, or gives what does not fit.
        """
        alias, given = chat.match(self.pack.aliases, command)
        declared = self.pack.action(alias["action_ref"])["declared"]
        execution = self._request(alias["action_ref"], chat.parameters(
            self._env, alias, given, user, declared), None)
        acknowledged = chat.acknowledgement(self._env, alias, execution)
        answer = chat.answer(self._env, alias, self._ended_within(execution, timeout))
        return execution, [message for message in (acknowledged, answer) if message]

    def _ended_within(self, execution: Execution, timeout: float) -> Execution:
        with self._scheduler.changed:
            if not self._scheduler.changed.wait_for(lambda: execution.status in FINAL, timeout):
                raise TimeoutError("%r has not ended after %s seconds" % (execution, timeout))
        return execution

    def wait_idle(self, timeout: float = 30) -> None:
        """Wait until all triggers are processed and all executions ended. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while self._arrived.unfinished_tasks or not self._scheduler.idle():
            if time.monotonic() > deadline:
                raise TimeoutError("still busy: %s" % [item for item in self.executions()
                                                       if item.status not in FINAL])
            time.sleep(0.01)

    def dispatch(self, trigger: str, payload: Any = None, trace_tag: Any = None) -> tuple:
        """What a sensor's ``dispatch`` reaches: status, and why the trigger was dropped or None."""
        reason = None
        try:
            if trigger not in self.pack.triggers:
                raise ValueError("no trigger type %s is found" % trigger)
            schemas.validate(payload, self.pack.triggers[trigger])
        except (ValueError, jsonschema.ValidationError) as error:
            reason = explain(error)
            self._log.warning("a payload of trigger %s is dropped", trigger)
        self._arrive(trigger, payload, trace_tag, reason)
        return 200, {"dropped": reason}

    def _registered(self) -> Pack:
        pack = Pack(self._pack_dir, self._env, self._overrides)
        try:
            if self._config is not None:
                pack_config.check(pack.config_schema, self._config)
        except (ValueError, jsonschema.ValidationError) as error:
            raise RegistrationError("config: %s" % explain(error))
        return pack

    def _kill(self) -> None:
        for child in list(self._children):
            child.kill()
        for execution in self.executions():
            if execution.status == "running" and execution.runner_type == "orquesta":
                self._scheduler.end(execution, {"status": "canceled", "error": STOPPED})

    def _apply_enabled(self) -> None:
        for name, sensor in self._sensors.items():
            (sensor.start if self.pack.sensors[name]["enabled"] else sensor.stop)()

    def _load_config(self) -> dict:
        return pack_config.load(self.pack.config_schema, self._config or {}, self.datastore,
                                self._env)

    def _environ(self, owner: str) -> dict:
        token = secrets.token_hex(16)
        self._revoke(owner)
        self._api.tokens[token] = owner
        return {"ST2_API_URL": self._api.url, "ST2_AUTH_TOKEN": token}

    def _revoke(self, owner: str) -> None:
        for token, other in list(self._api.tokens.items()):
            if other == owner:
                self._api.tokens.pop(token, None)

    def _sensor_job(self, name: str, owner: str = "") -> tuple:
        sensor = self.pack.sensors[name]
        refs = ["%s.%s" % (self.pack.ref, item["name"]) for item in sensor["trigger_types"]]
        job = {"kind": "sensor", "pack": self.pack.ref, "path": sensor["path"], "class_name": name,
               "poll_interval": sensor.get("poll_interval"), "time_scale": self.time_scale,
               "triggers": [{"ref": ref, "type": ref, "parameters": {}} for ref in refs],
               "config": {}, "config_error": None}
        try:
            job["config"] = self._load_config()
        except ValueError as error:
            job["config_error"] = str(error)
        return job, self._environ(owner or name)

    def _arrive(self, trigger: str, payload: Any, trace_tag: Any = None, reason: Any = None,
                timer: Any = None) -> None:
        instance = SimpleNamespace(id=secrets.token_hex(12), trigger=trigger, payload=payload or {},
                                   trace_tag=trace_tag, timer=timer, reason=reason,
                                   status="dropped" if reason else "pending")
        self._instances.append(instance)
        if not reason:
            self._arrived.put(instance)

    def _tick(self, rule: str) -> None:
        parameters = self.pack.rules[rule]["trigger"]["parameters"]
        pause = parameters["delta"] * SECONDS[parameters["unit"]] * self.time_scale
        while not self._stopping.wait(pause):
            now = str(datetime.now(timezone.utc))
            self._arrive(TIMER, {"executed_at": now, "schedule": None}, timer=rule)

    def _match_rules(self) -> None:
        for instance in iter(self._arrived.get, None):
            for name, rule in self.pack.rules.items():
                if rule["enabled"] and rule["trigger"]["type"] == instance.trigger:
                    if instance.timer in (None, name):
                        self._enforce(rule, instance)
            instance.status = "processed"
            self._arrived.task_done()

    def _enforce(self, rule: dict, instance: Any) -> None:
        execution = failure = None
        try:
            if not criteria.matches(rule["criteria"], instance.payload):
                return
            execution = self._request(rule["action"]["ref"], rule["action"]["parameters"],
                                      {"trigger": instance.payload}, rule["ref"], instance.id)
            failure = execution.error if execution.status == "failed" else None
        except ValueError as error:
            failure = str(error)
        self._enforcements.append(SimpleNamespace(rule=rule["ref"], trigger_instance=instance.id,
                                                  execution=execution, failure=failure))

    def _context(self, rule: Any) -> dict:
        return {"st2kv": {"system": templates.Keys(self.datastore.raw)},
                "action_context": {"pack": self.pack.ref, "rule": rule},
                "config_context": self._load_config()}

    def _request_task(self, parent: Execution, task: dict, ref: str, given: dict,
                      delay: int) -> None:
        execution = self._request(ref, given, {}, parent=parent, task=task, delay=delay)
        if execution.error:
            raise ValueError(execution.error)

    def _ended(self, execution: Execution) -> None:
        if execution.parent:
            self.engine.ended(execution)

    def _request(self, ref: str, given: dict, context: Any, rule: Any = None, instance: Any = None,
                 parent: Any = None, task: Any = None, delay: int = 0) -> Execution:
        """Render, check and queue an execution; what does not fit is kept as a failed one. Without
        a ``context``, from chat, nothing is rendered, and it raises ValueError.

        StackStorm keeps no execution for it: the API answers 400, a rule's enforcement fails, and
        so does a workflow, whatever was to follow the task.
        """
        action = self.pack.action(ref)
        execution = Execution(action, given, rule, instance, parent, task)
        try:
            if not action["enabled"]:
                raise ValueError("action %s is disabled" % ref)
            declared = action["declared"]
            execution.stored = stored = given if context is None else templates.render_parameters(
                self._env, declared, given, dict(self._context(rule), **context))
            schemas.validate(stored, schemas.table(declared))
            fixed = [name for name in stored if declared[name].get("immutable")]
            if fixed:
                raise ValueError("parameters %s are immutable" % fixed)
        except (ValueError, jsonschema.ValidationError) as error:
            if context is None:
                raise ValueError(explain(error))
            execution.status, execution.error = "failed", explain(error)
        self._log.info("execution %s of %s is %s", execution.id, ref, execution.status)
        self._scheduler.submit(execution, delay)
        return execution

    def _run(self, execution: Execution) -> Any:
        action, environ = self.pack.action(execution.action), self._environ(execution.id)
        facts = {"PACK_NAME": self.pack.ref, "EXECUTION_ID": execution.id, "DEBUG": "False",
                 "API_URL": environ["ST2_API_URL"], "AUTH_TOKEN": environ["ST2_AUTH_TOKEN"]}
        environ.update({"ST2_ACTION_" + name: value for name, value in facts.items()})
        try:
            values = templates.complete_parameters(self._env, action["declared"], execution.stored,
                                                   self._context(execution.rule))
            runner = RUNNERS[action["runner_type"]]
            if runner is OrquestaRunner:
                return self._begin_workflow(execution, action, values)
            job = {"pack": self.pack.ref, "pack_path": self.pack.path,
                   "path": action["path"], "config": self._load_config()}
            return runner.run(job, values, environ, self._children)
        finally:
            self._revoke(execution.id)
            self._log.info("execution %s of %s has ended", execution.id, execution.action)

    def _begin_workflow(self, execution: Execution, action: dict, values: dict) -> None:
        context = {"action_execution_id": execution.id, "api_url": self._api.url, "user": "stanley",
                   "pack": self.pack.ref, "action": action["ref"], "runner": action["runner_type"]}
        inputs = {name: values[name] for name in action["parameters"]}
        self.engine.begin(execution, action["workflow"], inputs, {"st2": context, "parent": {}})
