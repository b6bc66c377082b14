"""Rotating the REST key in Secrets Manager while a storm of events runs: none of them is lost, and
nothing has to be restarted. Nor does any secret get out meanwhile.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import traceback
from pathlib import Path
from queue import Empty, Queue

import pytest

from aws_site import (KEY, NEW_KEY, VARIABLES, aws, make_config,  # noqa: F401
                      make_settings, make_store, moto_url, no_aws)
from dev.local_stackstorm import LocalStackStorm
from dev.simulators.base import RunningClock, serve
from dev.simulators.pagerduty import PagerDuty
from dev.simulators.stackflow import StackFlow
from pagerduty_stackflow.errors import CredentialsError, PackError
from pagerduty_stackflow.pack import Outcome, Pack
from world import SF_HOST, PackClock, World

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 200
HALF = EVENTS // 2
GROUP = "Platform Engineering"
CLIENT_SECRET = "client-secret-0123456789"
TOKEN_SECRET = "stackflow/pack"


class Storm:
    """A world with 100 incidents that were born in PagerDuty, so that only REST reaches them."""

    def __init__(self, aws, **config):  # noqa: F811
        self.aws = aws
        self.world = world = World(pagerduty={"event_delay": 0})
        world.pagerduty.switches.events_limit = world.pagerduty.switches.rest_limit = None
        world.stackflow.switches.rate_limits = False
        world.stackflow.revoke("stackflow-token")
        world.stackflow.add_client("pack", CLIENT_SECRET)
        world.pagerduty.revoke_api_key("rest-key-0123456789x")
        world.pagerduty.add_api_key(KEY)
        aws.put(KEY)
        aws.put(json.dumps({"client_secret": CLIENT_SECRET}), TOKEN_SECRET)
        auth = {"method": "client_credentials", "client_id": "pack", "secret": TOKEN_SECRET,
                "token_url": SF_HOST + "/oauth2/token"}
        world.configure(aws={"endpoint_url": aws.url},
                        pagerduty=dict(world.config["pagerduty"], api_key=None),
                        stackflow=dict(world.config["stackflow"], auth=auth))

    def prepare(self):
        """Pair what is born in PagerDuty, then let 200 events come in and wait."""
        world = self.world
        born = [world.pagerduty.create_incident(world.api, "Disk %d full" % number, world.casey)
                for number in range(HALF)]
        world.settle()
        records = {one: world.records_of(one)[0]["number"] for one in born}
        self.born = born
        self.opened = []
        for one in born:
            world.stackflow.set_state(records[one], "resolved")
            self.opened.append(world.stackflow.create_incident("Timeout", "P1", group=GROUP,
                                                               category="api"))
        world.run(2)
        world.outcomes.clear()
        world.pagerduty.requests.clear()
        self.reads, self.started = self.aws.reads, world.clock.now()
        assert len(world.queue) == EVENTS
        return self

    def rotate(self):
        self.world.pagerduty.add_api_key(NEW_KEY)
        self.aws.put(NEW_KEY)
        self.world.pagerduty.revoke_api_key(KEY)

    def run(self):
        runs, self.world.queue = self.world.queue, []
        for one in runs:
            self.world.run_one(one)
        self.world.settle()

    def reads_allowed(self):
        """One for the rotation, and one whenever five minutes of keeping have passed."""
        return 2 + int((self.world.clock.now() - self.started).total_seconds() / 300)

    def statuses(self):
        """How often each status was answered to REST calls."""
        found = [one.status for one in self.world.pagerduty.requests if one.path != "/v2/enqueue"]
        return {status: found.count(status) for status in set(found)}

    def assert_nothing_lost(self):
        failures = [one for one in self.world.outcomes if not isinstance(one, Outcome)]
        assert failures == []
        assert {self.world.pagerduty.incident(one).status for one in self.born} == {"resolved"}
        assert {self.world.status(one) for one in self.opened} == {"triggered"}


@pytest.fixture
def storm(aws):  # noqa: F811
    return Storm(aws).prepare()


@pytest.fixture
def storm(aws):  # noqa: F811
    return Storm(aws).prepare()


@pytest.mark.parametrize("at", [1, 57])
def test_a_rotation_amid_a_storm_loses_no_event_and_costs_one_request(storm, at):
    """The key changes right before the given REST write, whatever its run has done already."""
    writes = []

    def before_call(what):
        if what.startswith("PUT /incidents"):
            writes.append(what)
            if len(writes) == at:
                storm.rotate()

    storm.world.before_call = before_call
    storm.run()
    storm.assert_nothing_lost()
    assert storm.statuses()[401] == 1 and len(writes) == HALF + 1
    assert storm.aws.reads - storm.reads <= storm.reads_allowed()


def test_a_key_that_is_revoked_before_its_successor_is_stored_loses_no_event(storm, monkeypatch):
    """The successor comes while the first run that was refused waits."""
    sleep = PackClock.sleep

    def stored_meanwhile(clock, seconds):
        storm.world.pagerduty.add_api_key(NEW_KEY)
        storm.aws.put(NEW_KEY)
        sleep(clock, seconds)

    storm.world.queue = storm.world.queue[:20]
    storm.born, storm.opened = storm.born[:10], storm.opened[:10]
    storm.world.pagerduty.revoke_api_key(KEY)
    monkeypatch.setattr(PackClock, "sleep", stored_meanwhile)
    storm.run()
    assert [one for one in storm.world.outcomes if not isinstance(one, Outcome)] == []
    assert storm.statuses()[401] == 1


def test_every_process_that_held_the_old_key_makes_one_request_more(aws):  # noqa: F811
    storm = Storm(aws)
    incident = storm.world.pagerduty.create_incident(storm.world.api, "Disk full",
                                                     storm.world.casey)
    packs = [storm.world.pack() for _ in range(8)]
    for pack in packs:
        pack.rest.incident(incident)
    storm.rotate()
    storm.world.pagerduty.requests.clear()
    for pack in packs + [storm.world.pack()]:
        assert pack.rest.incident(incident).id == incident
    assert storm.statuses() == {401: len(packs), 200: len(packs) + 1}
    assert aws.reads == 1 + len(packs)


def test_the_hot_path_reads_no_secret_even_where_there_is_none(aws):  # noqa: F811
    storm = Storm(aws)
    aws.client().delete_secret(SecretId=storm.world.settings.pagerduty.api_key_secret)
    aws.client().delete_secret(SecretId=TOKEN_SECRET)
    world = storm.world
    number = world.stackflow.create_incident("Timeout", "P1", group=GROUP, category="api")
    for change in (lambda: world.stackflow.assign(number, person="jane@example.com"),
                   lambda: world.stackflow.set_state(number, "resolved"), lambda: None):
        world.run(2)
        runs = [one for one in world.queue if one.rule.startswith("stackflow_")]
        world.queue = []
        assert [world.run_one(one).outcome for one in runs] == ["done"]
        change()
    world.run(2)
    assert world.status(number) == "resolved" and aws.reads == 0


class Locked:
    """A datastore for several threads."""

    def __init__(self, store):
        self._store = store
        self._lock = threading.Lock()

    def __getattr__(self, name):
        def call(*args, **options):
            with self._lock:
                return getattr(self._store, name)(*args, **options)
        return call


def test_a_rotation_among_runs_at_the_same_time(aws):  # noqa: F811
    """Over real HTTP and in real time: eight runs at once, each a process of its own."""
    clock = RunningClock()
    pagerduty = PagerDuty(clock, event_delay=0)
    pagerduty.switches.events_limit = pagerduty.switches.rest_limit = None
    person = pagerduty.add_user("Casey Oncall", "casey@example.com")
    pagerduty.add_user("StackFlow Sync", "sync@example.com")
    service = pagerduty.add_service(
        "Production API", pagerduty.add_escalation_policy("Default", [(5, [person])]))
    routing_key = pagerduty.add_integration(service)[1]
    pagerduty.add_api_key(KEY)
    aws.put(KEY)
    born = [pagerduty.create_incident(service, "Disk full", person) for _ in range(HALF)]
    server = serve(pagerduty)
    settings = make_settings(aws.url, pagerduty={"api_url": server.url, "events_url": server.url})
    store = Locked(make_store(clock))
    jobs, failures = Queue(), []
    for number in range(HALF):
        jobs.put(lambda pack, at=number: pack.events.trigger(
            routing_key, "stackflow:acme:%d" % at, "Timeout", "acme", "error"))
        jobs.put(lambda pack, at=number: pack.rest.set_status(born[at], "resolved"))

    def work():
        while True:
            try:
                job = jobs.get_nowait()
            except Empty:
                return
            if jobs.qsize() == HALF:
                pagerduty.add_api_key(NEW_KEY)
                aws.put(NEW_KEY)
                pagerduty.revoke_api_key(KEY)
            try:
                job(Pack(settings, store))
            except PackError as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        pagerduty.tick()
    finally:
        server.close()
    assert failures == [] and not any(thread.is_alive() for thread in threads)
    assert {pagerduty.incident(one).status for one in born} == {"resolved"}
    assert len(pagerduty.incidents()) == EVENTS
    refused = [one for one in pagerduty.requests if one.status == 401]
    # All eight may start with an empty cache and all may hold the old key when it is revoked; one
    # of them can put the old key back into the cache, for those that start right then.
    assert len(refused) <= 3 * len(threads) and aws.reads <= 5 * len(threads)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
def test_a_key_of_secrets_manager_is_in_no_argument_of_a_process(aws, tmp_path):  # noqa: F811
    """As StackStorm runs actions: a process each, which share the key through the datastore."""
    pagerduty = PagerDuty(RunningClock(), event_delay=0)
    person = pagerduty.add_user("Casey Oncall", "casey@example.com")
    service = pagerduty.add_service(
        "Production API", pagerduty.add_escalation_policy("Default", [(5, [person])]))
    incident = pagerduty.create_incident(service, "Disk full", person)
    pagerduty.add_api_key(KEY)
    aws.put(KEY)
    stackflow = StackFlow(RunningClock())
    stackflow.add_token("stackflow-token")
    server, desk = serve(pagerduty), serve(stackflow)
    config = make_config(aws.url, pagerduty={"api_url": server.url, "events_url": server.url})
    config["stackflow"]["instance_url"] = desk.url
    sensors = {"sensors": {"WebhookSensor": {"enabled": False}}}
    try:
        with LocalStackStorm(str(ROOT), str(tmp_path), config, overrides=sensors) as platform:
            def run():
                platform.run_action("pagerduty_stackflow.get_incident", {"incident_id": incident})

            arguments = while_running(pagerduty, run)
            run()
            shown = arguments + Path(platform.log_path).read_text() + json.dumps(
                [[one.result, one.stderr, one.stdout] for one in platform.executions()])
            statuses = [one.status for one in platform.executions()]
    finally:
        server.close()
        desk.close()
    assert "process.py" in arguments and KEY not in shown
    assert statuses == ["succeeded"] * 2, shown
    assert aws.reads == 1


def while_running(simulator, run):
    """Arguments and environments of the processes below this one while ``run`` waits for an
    answer.
    """
    runner = threading.Thread(target=run)
    found = ""
    with simulator.lock:
        runner.start()
        deadline = time.monotonic() + 60
        while "process.py" not in found and time.monotonic() < deadline:
            found = ""
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    if parent == os.getpid():
                        found += (entry / "cmdline").read_text() + (entry / "environ").read_text()
                except OSError:
                    continue
            time.sleep(0.02)
    runner.join(60)
    assert not runner.is_alive()
    return found


def test_nothing_of_it_leaks(aws, caplog):  # noqa: F811
    """Through a rotation, a revoked key, a refused client and a secret that is gone."""
    storm = Storm(aws)
    world = storm.world
    world.act("create_stackflow_incident", incident_id=world.pagerduty.create_incident(
        world.api, "Disk full", world.casey))
    logging.getLogger("botocore").setLevel(logging.INFO)  # this test's own client logs as well
    tokens = set(world.stackflow.identity.tokens)
    with caplog.at_level(logging.DEBUG):
        for change in (lambda: None, storm.rotate, lambda: revoke_all(world),
                       lambda: world.stackflow.add_client("pack", "another-secret-0123456789"),
                       lambda: aws.client().delete_secret(SecretId=TOKEN_SECRET)):
            change()
            for _ in range(2):
                world.pagerduty.create_incident(world.api, "Disk full", world.casey)
                number = world.stackflow.create_incident("Timeout", "P1", group=GROUP)
                world.settle()
                world.stackflow.set_state(number, "resolved")
                world.settle()
                tokens.update(world.stackflow.identity.tokens)
    kinds = {type(one) for one in world.outcomes}
    assert Outcome in kinds and CredentialsError in kinds
    shown = [caplog.text, repr(world.settings), Path("/proc/self/cmdline").read_text()
             if os.path.exists("/proc/self/cmdline") else ""]
    shown += [text(one) for one in world.outcomes]
    shown += [json.dumps(payload) for _, payload in world.payloads]
    shown += ["%s=%s" % (name, value) for name, (value, _) in world.store.values.items()]
    shown += ["%s %s" % (one.path, one.query)
              for one in world.pagerduty.requests + world.stackflow.requests]
    secrets = [KEY, NEW_KEY, CLIENT_SECRET, "another-secret-0123456789", world.api_key,
               world.webhook_secret, VARIABLES["AWS_SECRET_ACCESS_KEY"]]
    everything = "\n".join(shown)
    assert tokens and [one for one in secrets + sorted(tokens) if one in everything] == []


def revoke_all(world):
    world.pagerduty.revoke_api_key(NEW_KEY)
    for token in list(world.stackflow.identity.tokens):
        world.stackflow.revoke(token)


def text(outcome):
    """All that StackStorm would show of a run."""
    if isinstance(outcome, Outcome):
        return json.dumps(outcome.as_result())
    shown = "".join(traceback.format_exception(type(outcome), outcome, outcome.__traceback__))
    return shown + json.dumps(outcome.as_result()) + repr(vars(outcome))
