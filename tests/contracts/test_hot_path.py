"""What it costs to page: one request, few datastore calls, no REST key and no heavy module.

Each run is a process of its own, as StackStorm starts one for every action. The datastore calls of
each case are listed beside it, so that one more is noticed:

* trigger: list `link.<number>`; list `start`; set `link.<number>`; list `link.<number>`, to see
  whether another run wrote meanwhile.
* acknowledge and resolve: list `link.<number>`; set `link.<number>`; list `link.<number>`.
* resolve, once the PagerDuty id is known: also set `pagerduty.<id>`, so that it expires.
* a trigger that is doubled: list `link.<number>`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from dev.simulators.base import RunningClock, serve
from dev.simulators.pagerduty import PagerDuty
from dev.simulators.stackflow import StackFlow

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GROUP = "Platform Engineering"
HEAVY = {"boto3", "botocore", "jinja2", "jsonschema", "yaml"}
PREFIX = "pagerduty_stackflow."
MODULES = 60
"""How many modules more than requests a run may import."""


class Site:
    """Both systems on loopback, and a config that holds no REST key."""

    def __init__(self):
        self.clock = RunningClock()
        self.pagerduty = PagerDuty(self.clock, event_delay=0)
        self.stackflow = StackFlow(self.clock)
        self.servers = [serve(self.pagerduty), serve(self.stackflow)]
        person = self.pagerduty.add_user("Casey Oncall")
        policy = self.pagerduty.add_escalation_policy("Default", [(5, [person])])
        service = self.pagerduty.add_service("Production API", policy)
        self.config = {
            "pagerduty": {"subdomain": "acme", "from_email": "sync@example.com",
                          "events_url": self.servers[0].url, "api_url": self.servers[0].url},
            "stackflow": {"instance_url": self.servers[1].url,
                          "auth": {"method": "token", "token": "not-a-token"}},
            "service_mapping": [
                {"pagerduty_service_id": service, "pagerduty_service_name": "Production API",
                 "stackflow_assignment_group": GROUP,
                 "integration_key": self.pagerduty.add_integration(service)[1]}]}
        self.store = {}
        self.number = self.stackflow.create_incident("Database timeout", "P1", group=GROUP)

    def close(self):
        for server in self.servers:
            server.close()

    def run(self, action, **parameters):
        """What one process did with the record as an event would carry it now."""
        del self.pagerduty.requests[:], self.stackflow.requests[:]
        parameters.update(incident_id=self.number, incident=self.stackflow.incident(self.number))
        job = {"path": [os.path.join(ROOT, "actions"), os.path.join(ROOT, "lib"),
                        os.path.join(ROOT, "dev", "local_stackstorm", "standin")],
               "action": action, "config": self.config, "parameters": parameters,
               "store": self.store}
        environ = {name: value for name, value in os.environ.items()
                   if not name.startswith(("AWS_", "PYTHONPATH"))}
        done = subprocess.run([sys.executable, os.path.join(HERE, "hot_path_process.py")],
                              input=json.dumps(job).encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=environ, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        answer = json.loads(done.stdout.decode())
        self.store = answer["store"]
        self.pagerduty.tick()
        assert answer["status"] is True, answer["result"]
        assert HEAVY.isdisjoint(name.split(".")[0] for name in answer["modules"])
        return answer

    def requests(self):
        return ["%s %s" % (one.method, one.path)
                for one in self.pagerduty.requests + self.stackflow.requests]

    def status(self):
        one, = self.pagerduty.incidents()
        return one.status

    def calls(self, answer):
        """The datastore calls, with short names."""
        names = {PREFIX + "link." + self.number: "link", PREFIX + "start": "start"}
        names.update({PREFIX + "pagerduty." + one.id: "pagerduty"
                      for one in self.pagerduty.incidents()})
        words = [call.split(" ", 1) for call in answer["calls"]]
        return ["%s %s" % (verb, names.get(name, name)) for verb, name in words]


@pytest.fixture
def site():
    made = Site()
    yield made
    made.close()


@pytest.fixture
def paged(site):
    site.run("trigger_incident")
    site.clock.advance(1)  # StackFlow's stamps are whole seconds
    return site


def test_trigger(site):
    answer = site.run("trigger_incident")
    assert answer["result"]["outcome"] == "done"
    assert site.requests() == ["POST /v2/enqueue"]
    assert site.status() == "triggered"
    assert site.calls(answer) == ["list link", "list start", "set link", "list link"]


def test_a_trigger_imports_little_beside_requests(site):
    alone = subprocess.run(
        [sys.executable, "-c", "import requests, sys; print(len(sys.modules))"],
        stdout=subprocess.PIPE, check=True)
    assert len(site.run("trigger_incident")["modules"]) <= int(alone.stdout) + MODULES


def test_trigger_and_acknowledge_of_a_record_that_was_created_with_a_person(site):
    site.stackflow.assign(site.number, "jane@example.com")
    answer = site.run("trigger_incident")
    assert site.requests() == ["POST /v2/enqueue"] * 2
    assert site.status() == "acknowledged"
    assert site.calls(answer) == ["list link", "list start", "set link", "list link"]


def test_a_doubled_trigger(paged):
    answer = paged.run("trigger_incident")
    assert answer["result"]["outcome"] == "already"
    assert paged.requests() == []
    assert paged.calls(answer) == ["list link"]


def test_acknowledge(paged):
    paged.stackflow.assign(paged.number, "jane@example.com")
    answer = paged.run("acknowledge_incident", by="jane@example.com")
    assert answer["result"]["outcome"] == "done"
    assert paged.requests() == ["POST /v2/enqueue"]
    assert paged.status() == "acknowledged"
    assert paged.calls(answer) == ["list link", "set link", "list link"]


def test_resolve(paged):
    paged.stackflow.cancel(paged.number)
    answer = paged.run("resolve_incident")
    assert answer["result"]["outcome"] == "done"
    assert paged.requests() == ["POST /v2/enqueue"]
    assert paged.status() == "resolved"
    assert paged.calls(answer) == ["list link", "set link", "list link"]


def test_resolve_once_the_pagerduty_id_is_known(paged):
    incident, = paged.pagerduty.incidents()
    link = json.loads(paged.store[PREFIX + "link." + paged.number])
    paged.store[PREFIX + "link." + paged.number] = json.dumps(
        dict(link, pagerduty_id=incident.id, seen=True))
    paged.stackflow.cancel(paged.number)
    answer = paged.run("resolve_incident")
    assert paged.requests() == ["POST /v2/enqueue"]
    assert paged.status() == "resolved"
    assert paged.calls(answer) == ["list link", "set link", "set pagerduty", "list link"]
