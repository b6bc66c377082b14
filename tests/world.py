"""The whole arrangement in one process: both simulators, the pack's own rules and use cases, one
virtual clock.

What is left out is StackStorm itself: a delivery is verified, parsed and judged as the listener
does it, the rules are read from the pack's YAML, and the use case behind each action runs at once,
or when a test says so.
"""

from __future__ import annotations

import json
from collections import namedtuple
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import requests
import yaml

from dev.local_stackstorm import criteria, datastore, schemas, templates
from dev.simulators.base import VirtualClock, run
from dev.simulators.in_process import InProcess
from dev.simulators.pagerduty import PagerDuty
from dev.simulators.stackflow import StackFlow
from pagerduty_stackflow import (commands, diagnosis, explain, notes, prefilter, reconcile, sending,
                                 settings, sla, sync, verification, views)
from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.dispatching import Dispatcher
from pagerduty_stackflow.pack import Outcome, Pack
from pagerduty_stackflow.pagerduty import webhooks as pagerduty_webhooks
from pagerduty_stackflow.stackflow import webhooks as stackflow_webhooks
from pagerduty_stackflow.stores import Start
from pagerduty_stackflow.transport import Transport

ROOT = Path(__file__).resolve().parent.parent
PD_HOST = "https://api.pagerduty.com"
EVENTS_HOST = "https://events.pagerduty.com"
SF_HOST = "https://acme.stackflow.example"
LISTENER = "https://st2.example"
KeyValue = namedtuple("KeyValue", "name value")
Run = namedtuple("Run", "rule action parameters payload")
MODULES = (sync, commands, notes, sla, reconcile, views, sending, diagnosis, explain, verification)
"""Where the use cases are; each has the name of its action."""


class MemoryStore:
    """StackStorm's datastore as actions and sensors see it, on the virtual clock; counts its calls.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.values: Dict[str, Any] = {}
        self.calls = 0
        self.unreachable = False
        self.encryption = True
        self.before_call: Callable[[str], None] = lambda what: None

    def _called(self) -> None:
        self.calls += 1
        self.before_call("datastore")
        if self.unreachable:
            raise requests.exceptions.ConnectionError("the API is away")

    def list_values(self, local: bool = True, prefix: Optional[str] = None,
                    limit: Optional[int] = None, offset: int = 0) -> List[KeyValue]:
        self._called()
        now = self._clock.now()
        names = sorted(name for name, (_, end) in self.values.items()
                       if name.startswith(prefix or "") and (end is None or end > now))
        return [KeyValue(name, self.values[name][0])
                for name in names[offset or 0:][:limit or 100]]

    def get_value(self, name: str, local: bool = True, scope: str = "",
                  decrypt: bool = False) -> Any:
        self.calls += 1
        rows = {} if self.unreachable else dict(self.list_values(prefix=name))
        value = rows.get(name)
        return datastore.decrypt(value) if decrypt and value else value

    def set_value(self, name: str, value: str, ttl: Optional[int] = None, local: bool = True,
                  scope: str = "", encrypt: bool = False) -> bool:
        self._called()
        if encrypt and not self.encryption:
            raise requests.exceptions.HTTPError("400 Client Error: no crypto key")
        end = self._clock.now() + timedelta(seconds=ttl) if ttl else None
        self.values[name] = (datastore.encrypt(str(value)) if encrypt else str(value), end)
        return True

    def delete_value(self, name: str, local: bool = True, scope: str = "") -> bool:
        self._called()
        return self.values.pop(name, None) is not None


class Service:
    """What a sensor reaches the platform by: the datastore, and rules in place of the broker."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.store, name)

    def dispatch(self, trigger: str, payload: Any = None, trace_tag: Any = None) -> None:
        self._world.before_call("dispatch")
        self._world.dispatch(trigger, payload, trace_tag)


class Watched(InProcess):
    """The network, with a look at every call before it is made and after it was answered."""

    def __init__(self, simulator: Any, world: World) -> None:
        super().__init__(simulator)
        self._world = world

    def send(self, request: Any, **options: Any) -> requests.Response:
        self._world.before_call("%s %s" % (request.method, request.path_url))
        return super().send(request, **options)


class Crash(BaseException):
    """The process of an action was killed."""


class PackClock:
    """The virtual clock as the pack sees it: who sleeps lets the simulators work on. It may be
    ``ahead`` of the simulators by so many seconds.
    """

    def __init__(self, world: World, ahead: float = 0.0) -> None:
        self._world = world
        self._ahead = timedelta(seconds=ahead)

    def now(self) -> Any:
        return self._world.clock.now() + self._ahead

    def monotonic(self) -> float:
        return float(self._world.clock.now().timestamp())

    def sleep(self, seconds: float) -> None:
        self._world.run(seconds)


def load_rules() -> List[Dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "rules").glob("*.yaml"))]


def use_case(action: str) -> Callable[..., Any]:
    """What an action of this name does."""
    return next(getattr(module, action) for module in MODULES if hasattr(module, action))


RULES = load_rules()
ENVIRONMENT = templates.environment(lambda value: value)
TRIGGERS = {"pagerduty_stackflow." + kind["name"]: schemas.Validator(kind["payload_schema"])
            for kind in yaml.safe_load((ROOT / "sensors" / "webhook_sensor.yaml").read_text())[
                "trigger_types"]}
ACTIONS = {path.stem: yaml.safe_load(path.read_text())
           for path in sorted((ROOT / "actions").glob("*.yaml"))}


class World:
    """Two services (Production API and Database Service), two people in PagerDuty, two groups in
    StackFlow.
    """

    def __init__(self, pagerduty: Optional[Dict[str, Any]] = None, start: bool = True,
                 **config: Any) -> None:
        self.clock = VirtualClock()
        self.pagerduty = PagerDuty(self.clock, self._receive, subdomain="acme",
                                   **(pagerduty or {}))
        self.stackflow = StackFlow(self.clock, self._receive)
        self.store = MemoryStore(self.clock)
        self.service = Service(self)
        self.queue: List[Run] = []
        self.outcomes: List[Any] = []
        self.payloads: List[Any] = []
        self.listening = True
        self._set_up_accounts()
        self.config = dict(self._config(), **config)
        self.settings = settings.load(self.config)
        self.session = requests.Session()
        for host, simulator in ((PD_HOST, self.pagerduty), (EVENTS_HOST, self.pagerduty),
                                (SF_HOST, self.stackflow)):
            self.session.mount(host, Watched(simulator, self))
        if start:
            Start(Datastore(self.store)).ensure(PackClock(self))

    def _set_up_accounts(self) -> None:
        pagerduty, stackflow = self.pagerduty, self.stackflow
        self.casey = pagerduty.add_user("Casey Oncall", "casey@example.com", id="PCASEY0")
        self.robin = pagerduty.add_user("Robin Second", "robin@example.com", id="PROBIN0")
        self.bot = pagerduty.add_user("StackFlow Sync", "sync@example.com", id="PSYNC00")
        self.policy = pagerduty.add_escalation_policy("Default", [(5, [self.casey]),
                                                                  (5, [self.robin])])
        self.api = pagerduty.add_service("Production API", self.policy, id="P1234AB")
        self.database = pagerduty.add_service("Database Service", self.policy, id="P5678CD")
        self.other = pagerduty.add_service("Unmapped", self.policy, id="P0000ZZ")
        self.api_key = pagerduty.add_integration(self.api)[1]
        self.database_key = pagerduty.add_integration(self.database)[1]
        pagerduty.add_api_key("rest-key-0123456789x")
        self.webhook_secret = pagerduty.subscribe(LISTENER + "/webhooks/pagerduty")[1]
        stackflow.add_token("stackflow-token")
        for group in ("Platform Engineering", "Database Reliability", "Nobody Mapped"):
            stackflow.add_group(group)
        stackflow.subscribe(LISTENER + "/webhooks/stackflow", secret="stackflow-secret")

    def _config(self) -> Dict[str, Any]:
        return {
            "pagerduty": {"subdomain": "acme", "from_email": "sync@example.com",
                          "api_key": "rest-key-0123456789x",
                          "webhook_secrets": [self.webhook_secret]},
            "stackflow": {"instance_url": SF_HOST, "webhook_secrets": ["stackflow-secret"],
                          "auth": {"method": "token", "token": "stackflow-token"}},
            "service_mapping": [
                {"pagerduty_service_id": self.api, "pagerduty_service_name": "Production API",
                 "stackflow_assignment_group": "Platform Engineering",
                 "stackflow_category": "api", "integration_key": self.api_key},
                {"pagerduty_service_id": self.database,
                 "pagerduty_service_name": "Database Service",
                 "stackflow_assignment_group": "Database Reliability",
                 "stackflow_category": "database", "integration_key": self.database_key}]}

    def configure(self, **config: Any) -> None:
        """Change the config, as an operator would and the next action sees it."""
        self.config.update(config)
        self.settings = settings.load(self.config)

    def pack(self) -> Pack:
        """What one action run works with."""
        return Pack(self.settings, self.store, PackClock(self), self.session)

    def transport(self) -> Transport:
        """Calls over this network, by this clock."""
        return Transport(self.settings.http, PackClock(self), self.session)

    @property
    def before_call(self) -> Callable[[str], None]:
        """Called with the name of every datastore and network call, before it is made."""
        return self.store.before_call

    @before_call.setter
    def before_call(self, hook: Callable[[str], None]) -> None:
        self.store.before_call = hook

    def act(self, action: str, **parameters: Any) -> Outcome:
        """Run a use case at once, as a person or a rule of somebody's own would."""
        outcome = use_case(action)(self.pack(), **parameters)
        self.outcomes.append(outcome)
        return outcome

    def run(self, seconds: float = 1.0) -> None:
        """Let so much time pass on both sides; deliveries come in, but no action is started."""
        run([self.pagerduty, self.stackflow], seconds)

    def settle(self, seconds: float = 2.0) -> None:
        """Let time pass and run every action that comes of it, until nothing happens any more."""
        self.run(seconds)
        for _ in range(50):
            if not self.queue:
                return
            self.run_queue()
            self.run(seconds)
        raise AssertionError("a loop: %r" % self.queue[:3])

    def run_queue(self, order: Optional[Callable[[List[Run]], List[Run]]] = None) -> None:
        """Run the actions that wait, in the given order."""
        queue, self.queue = self.queue, []
        for one in (order(queue) if order else queue):
            self.run_one(one)

    def run_one(self, one: Run) -> Any:
        """Run one waiting action; what it raises is kept with its outcomes."""
        try:
            result: Any = use_case(one.action)(self.pack(), **one.parameters)
        except Exception as error:
            result = error
        self.outcomes.append(result)
        return result

    def _receive(self, url: str, headers: Dict[str, str], body: bytes) -> int:
        """The listener: verify, parse, judge, match the rules."""
        if not self.listening:
            raise OSError("the listener is down")
        named = {name.lower(): value for name, value in headers.items()}
        if url.endswith("/pagerduty"):
            pagerduty_webhooks.verify(body, named.get("x-pagerduty-signature"),
                                      self.settings.pagerduty.webhook_secrets)
            trigger, payload = prefilter.TRIGGERS["pagerduty"], pagerduty_webhooks.parse(body)
        else:
            stackflow_webhooks.verify(body, named, self.settings.stackflow)
            trigger, payload = stackflow_webhooks.parse(body, self.settings.stackflow)
        Dispatcher(self.service, self.settings, PackClock(self)).dispatch(trigger, payload)
        return 202

    def dispatch(self, trigger: str, payload: Any = None, trace_tag: Any = None) -> None:
        """A trigger of a sensor: it has to fit its schema, and is matched with the rules."""
        payload = json.loads(json.dumps(payload))
        TRIGGERS[trigger].validate(payload)
        self.payloads.append((trigger.partition(".")[2], payload))
        for rule in RULES:
            if rule["trigger"]["type"] == trigger and criteria.matches(rule["criteria"], payload):
                self.queue.append(self._run_of(rule, payload))

    def _run_of(self, rule: Dict[str, Any], payload: Dict[str, Any]) -> Run:
        action = rule["action"]["ref"].partition(".")[2]
        declared = ACTIONS[action]["parameters"]
        given = templates.render_parameters(ENVIRONMENT, declared, rule["action"]["parameters"],
                                            {"trigger": payload})
        return Run(rule["name"], action, given, payload)

    # What tests look at.

    def paged(self) -> Dict[str, int]:
        """Notifications per person."""
        return {user: len(rows) for user, rows in self.pagerduty.notifications.items()}

    def pd_writes(self) -> List[str]:
        """What reached PagerDuty as a change of state, by anybody but people."""
        return [write.document.get("event_action") or
                write.document.get("incident", {}).get("status") or write.path
                for write in self.pagerduty.writes]

    def sf_writes(self, number: str) -> List[str]:
        """The states that API clients wrote to a record."""
        return [write.body.get("state") for write in self.stackflow.state_writes(number)]

    def status(self, number: str) -> str:
        """Status of the one PagerDuty incident of a StackFlow record under its first dedup key."""
        found = self.pagerduty.incidents(dedup_key="stackflow:acme.stackflow.example:" + number)
        assert len(found) == 1, found
        return found[0].status

    def records_of(self, incident_id: str) -> List[Any]:
        """StackFlow records with the mark of a PagerDuty incident."""
        return [one for one in self.stackflow.incidents() if incident_id in
                (one.get("description") or "")]
