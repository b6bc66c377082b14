"""A whole site on this machine: both systems simulated on loopback, the pack on the local platform.

For the demo and for the end-to-end tests. Nothing leaves 127.0.0.1, and only what was started here
is ended.
"""

from __future__ import annotations

import copy
import json
import os
import secrets
import shutil
import socket
import tempfile
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Dict, List, Optional, Tuple

from dev.local_stackstorm import LocalStackStorm
from dev.simulators.base import RunningClock, Simulator, serve
from dev.simulators.pagerduty import PagerDuty
from dev.simulators.stackflow import StackFlow

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLATFORM, DATABASE, NOBODY = "Platform Engineering", "Database Reliability", "Facilities"
API, STORE = "Production API", "Database Service"
CASEY, ROBIN, DANA, LEE = ("casey@example.com", "robin@example.com", "dana@example.com",
                           "lee@example.com")
SLA = "P1-Response-SLA"
"""Its breach starts the escalation policy of the incident commanders, where it is mapped."""
OUTSIDER = "sam@example.com"
"""Works in StackFlow, unknown to PagerDuty."""
EVENT_DELAY = 0.05
RETRY_SECONDS = 0.5
WITHOUT_TIMER = {"rules": {"reconcile_every_5_minutes": {"enabled": False}}}
SOON_SECONDS = 1.0
"""What a simulator does within this time is waited for; further timers belong to people's pace."""


class Site:
    """PagerDuty and StackFlow with their accounts, and the config that a real site would have.

    Two services on two escalation policies with two people each, and a third policy for breached
    SLAs; a third service and a third group that nobody mapped. ``keys`` are the secrets by the
    names under which the datastore has them; the config holds only expressions that name these.
    ``ports`` are those of PagerDuty, StackFlow and the pack's listener; 0 is a free one.
    """

    def __init__(self, ports: Tuple[int, int, int] = (0, 0, 0)) -> None:
        self.clock = RunningClock()
        self.pagerduty = PagerDuty(self.clock, subdomain="acme", event_delay=EVENT_DELAY)
        self.pagerduty.outbox.delays = [RETRY_SECONDS]
        self.stackflow = StackFlow(self.clock)
        self.stackflow.switches.retry_delays = (RETRY_SECONDS,) * 1000
        self.port = ports[2] or free_port()
        self.listener_url = "http://127.0.0.1:%d" % self.port
        self.keys: Dict[str, str] = {}
        self._set_up_pagerduty()
        self._set_up_stackflow()
        self._servers = [serve(self.pagerduty, ports[0]), serve(self.stackflow, ports[1])]
        self.pagerduty_url, self.stackflow_url = [server.url for server in self._servers]

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *error: Any) -> None:
        for server in self._servers:
            server.close()

    def config(self, **changes: Any) -> Dict[str, Any]:
        """What configs/pagerduty_stackflow.yaml holds, with other values for whole top-level keys.
        """
        config = {
            "pagerduty": {"subdomain": "acme", "from_email": "sync@example.com",
                          "api_key": _key("pagerduty_api_key"),
                          "webhook_secrets": [_key("pagerduty_webhook_secret")],
                          "events_url": self.pagerduty_url, "api_url": self.pagerduty_url},
            "stackflow": {"instance_url": self.stackflow_url,
                          "auth": {"method": "token", "token": _key("stackflow_token")},
                          "webhook_secrets": [_key("stackflow_webhook_secret")]},
            "service_mapping": [
                self.entry(self.api, API, PLATFORM, "api", "pagerduty_key_production_api"),
                self.entry(self.database, STORE, DATABASE, "database",
                           "pagerduty_key_database_service")],
            "webhook_listener": {"port": self.port, "public_url": self.listener_url}}
        return copy.deepcopy(dict(config, **changes))

    def escalating(self, seconds: float) -> Dict[str, Any]:
        """Changes of the config with which breaches of SLA are escalated, with so many seconds to
        answer.
        """
        return {"escalation_mapping": [{"stackflow_sla_policy": SLA, "trigger_on": "sla_breach",
                                        "pagerduty_escalation_policy_id": self.command_policy}],
                "escalation": {"unanswered_after_minutes": seconds / 60}}

    @staticmethod
    def entry(service: str, name: str, group: str, category: Optional[str],
              key: str) -> Dict[str, Any]:
        """One entry of `service_mapping`; ``key`` is the datastore's name for the routing key."""
        return {"pagerduty_service_id": service, "pagerduty_service_name": name,
                "stackflow_assignment_group": group, "stackflow_category": category,
                "integration_key": _key(key)}

    def dedup_key(self, number: str, reopened: int = 0) -> str:
        """The key of a record's alert, or of its n-th after a reopening."""
        return "stackflow:127.0.0.1:%s%s" % (number, ":%d" % reopened if reopened else "")

    def paged(self, number: str, reopened: int = 0) -> Any:
        """The one PagerDuty incident of a StackFlow record under that key, or None."""
        found = self.pagerduty.incidents(dedup_key=self.dedup_key(number, reopened))
        if len(found) > 1:
            raise AssertionError("%s has %d PagerDuty incidents" % (number, len(found)))
        return found[0] if found else None

    def last_resort(self, number: str) -> Any:
        """The PagerDuty incident of a record's alert of last resort, or None."""
        found = self.pagerduty.incidents(dedup_key=self.dedup_key(number) + ":unanswered")
        return found[-1] if found else None

    def records_of(self, incident_id: str) -> List[Dict[str, Any]]:
        """The StackFlow records that name a PagerDuty incident in their descriptions."""
        return [record for record in self.stackflow.incidents()
                if incident_id in (record.get("description") or "")]

    def busy(self) -> str:
        """What is still on its way within or between the simulators, in words; or nothing."""
        for name, simulator in (("PagerDuty", self.pagerduty), ("StackFlow", self.stackflow)):
            with simulator.lock:
                if simulator.outbox.pending():
                    return "webhooks of %s wait" % name
                if _works_soon(simulator):
                    return "%s works" % name
        return ""

    def settle(self, idle: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until nothing is on its way any more, anywhere; ``idle`` speaks for the platform.
        """
        def quiet() -> bool:
            before = self._traffic()
            return not self.busy() and idle() and not self.busy() and before == self._traffic()

        wait_for(quiet, seconds, lambda: "it to become quiet: %s" % (self.busy() or "actions run"))

    def healthz(self) -> Optional[Dict[str, Any]]:
        """What the listener says of itself; None where it does not answer."""
        try:
            with urllib.request.urlopen(self.listener_url + "/healthz", timeout=5) as answer:
                return dict(json.loads(answer.read().decode()))
        except (OSError, ValueError):
            return None

    def post(self, path: str, body: bytes, headers: Dict[str, str]) -> Tuple[int, Dict[str, str]]:
        """Post to the listener as a sender would: status and headers of the answer."""
        request = urllib.request.Request(self.listener_url + path, body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers)

    def wait_for_listener(self, status: str = "ok") -> Dict[str, Any]:
        """Wait until the listener answers with that status; returns what it says."""
        def answer() -> Optional[Dict[str, Any]]:
            found = self.healthz()
            return found if found and found["status"] == status else None

        return dict(wait_for(answer, 60, lambda: "the listener to say %s; it says %s; log:\n%s" % (
            status, self.healthz(), self.log()[-2000:])))

    def next_second(self) -> None:
        """Wait until StackFlow, whose stamps have whole seconds, shows another time than now."""
        now = self.clock.now().replace(microsecond=0)
        wait_for(lambda: self.clock.now().replace(microsecond=0) > now, 5, lambda: "the clock")

    def log(self) -> str:
        """Everything that platform and sensor have logged."""
        raise NotImplementedError

    def _traffic(self) -> Tuple[int, ...]:
        return tuple(len(rows) for one in (self.pagerduty, self.stackflow)
                     for rows in (one.requests, one.deliveries))

    def _set_up_pagerduty(self) -> None:
        account = self.pagerduty
        self.casey, self.robin, self.dana, self.lee, self.kim, self.max, self.bot = [
            account.add_user(name, email) for name, email in (
                ("Casey Oncall", CASEY), ("Robin Second", ROBIN), ("Dana Database", DANA),
                ("Lee Later", LEE), ("Kim Command", "kim@example.com"),
                ("Max Command", "max@example.com"), ("StackFlow Sync", "sync@example.com"))]
        self.api_policy = account.add_escalation_policy(
            "Platform on-call", [(5, [self.casey]), (5, [self.robin])])
        self.database_policy = account.add_escalation_policy(
            "Database on-call", [(5, [self.dana]), (5, [self.lee])])
        self.command_policy = account.add_escalation_policy(
            "Incident command", [(30, [self.kim]), (30, [self.max])])
        self.api = account.add_service(API, self.api_policy, id="P1234AB")
        self.database = account.add_service(STORE, self.database_policy, id="P5678CD")
        self.unmapped = account.add_service("Office Network", self.api_policy, id="P0000ZZ")
        self.keys["pagerduty_key_production_api"] = account.add_integration(self.api)[1]
        self.keys["pagerduty_key_database_service"] = account.add_integration(self.database)[1]
        self.keys["pagerduty_api_key"] = secrets.token_hex(10)
        account.add_api_key(self.keys["pagerduty_api_key"])
        self.subscription, self.keys["pagerduty_webhook_secret"] = account.subscribe(
            self.listener_url + "/webhooks/pagerduty")

    def _set_up_stackflow(self) -> None:
        for group in (PLATFORM, DATABASE, NOBODY):
            self.stackflow.add_group(group)
        for person in (CASEY, ROBIN, DANA, LEE, OUTSIDER):
            self.stackflow.add_user(person)
        self.keys["stackflow_token"] = secrets.token_hex(20)
        self.stackflow.add_token(self.keys["stackflow_token"])
        self.keys["stackflow_webhook_secret"] = secrets.token_hex(24)
        self.stackflow.subscribe(self.listener_url + "/webhooks/stackflow",
                                 secret=self.keys["stackflow_webhook_secret"])


class LocalSite(Site):
    """A site with the pack of this repository, or of another folder, on the local platform, its
    listener up and running.

    ``time_scale`` multiplies the platform's own waits; ``overrides`` are a user's choice of what is
    enabled; ``changes`` are other values of the config's top-level keys. ``home`` is a temporary
    folder with its log, removed at the end. No timer starts the reconcile: it would repair what is
    to be seen broken.
    """

    def __init__(self, time_scale: float = 0.2, overrides: Any = None, pack: str = ROOT,
                 **changes: Any) -> None:
        super().__init__()
        self.platform_config = self.config(**changes)
        self.home = tempfile.mkdtemp(prefix="pagerduty_stackflow_")
        try:
            self.platform = LocalStackStorm(pack, self.home, self.platform_config,
                                            time_scale=time_scale, secret_keys=self.keys,
                                            overrides=dict(WITHOUT_TIMER, **(overrides or {})))
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> LocalSite:
        try:
            self.platform.start()
            self.wait_for_listener()
            self._wait_for_first_run()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        if hasattr(self, "platform"):
            self.platform.stop()
        super().__exit__(*error)
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self) -> str:
        with open(self.platform.log_path, encoding="utf-8") as file:
            return file.read()

    def _wait_for_first_run(self) -> None:
        # What was created before it counts as older than the pack, and pages nobody.
        wait_for(lambda: self.platform.datastore.get("pagerduty_stackflow.start"), 30,
                 lambda: "the sensor to note its first run")

    def idle(self) -> bool:
        """Whether every trigger is processed and every execution has ended."""
        try:
            self.platform.wait_idle(0)
        except TimeoutError:
            return False
        return True


def wait_for(condition: Callable[[], Any], seconds: float, what: Callable[[], str]) -> Any:
    """The first true value of ``condition()``; an AssertionError says after that many seconds what
    was waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited %g seconds in vain for %s" % (seconds, what()))
        time.sleep(0.01)


def _works_soon(simulator: Simulator) -> bool:
    due = simulator.agenda.next_due()
    return due is not None and (due - simulator.clock.now()).total_seconds() < SOON_SECONDS


def _key(name: str) -> str:
    return "{{ st2kv.system.%s }}" % name


def free_port() -> int:
    """Below the ports that systems give out by themselves, so that it stays free while the sensor
    is down.
    """
    while True:
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
