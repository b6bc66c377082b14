"""No secret gets out: not into results, logs, exceptions, stored values, URLs or arguments.

Every action is driven through success and every failure that a server, the network, a key or the
config can provoke. Any eight characters in a row of any secret count as found.
"""

from __future__ import annotations

import ast
import importlib
import json
import logging
import os
import secrets
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from unittest import mock

import pytest
from action_site import GROUP, ActionTestCase
from get_incident import GetIncidentAction

from dev.local_stackstorm import LocalStackStorm
from pagerduty_stackflow import errors, settings, sync
from pagerduty_stackflow.clock import Clock

ROOT = Path(__file__).resolve().parents[2]
PART = 8
ENCRYPTED = "pagerduty_stackflow.webhook_secret."
"""The one place for the secrets of subscriptions that the pack made."""
ACTIONS = {
    "trigger_incident": {"force": True},
    "acknowledge_incident": {"by": "jane@example.com"},
    "resolve_incident": {"by": "jane@example.com", "resolution": "disk replaced"},
    "create_stackflow_incident": {},
    "set_stackflow_state": {"state": "resolved", "note": "disk replaced", "by": "jane"},
    "add_note": {"text": "disk replaced", "author": "jane"},
    "reroute_incident": {"assignment_group": GROUP},
    "update_stackflow_incident": {"fields": {"priority": "P2"}},
    "get_incident": {},
    "sync_status": {},
    "escalate_incident": {"reason": "disk replaced", "escalation_level": 1},
    "follow_escalation": {"sla_policy": "P1", "breach": {"metric": "resolution"}}}
"""Actions about one incident, and what they are given beside its id."""
OTHERS = {
    "check_connection": [{}],
    "explain_routing": [{"assignment_group": GROUP}, {"assignment_group": "Nobody"}],
    "reconcile": [{"since": "2020-01-01T00:00:00Z", "dry_run": True},
                  {"since": "2020-01-01T00:00:00Z"}, {"incident_id": "INC9999999"}],
    "list_oncall": [{}, {"assignment_group": GROUP}],
    "list_incidents": [{}, {"status": "resolved"}],
    "send_event": [{"event_action": "trigger", "service": "Production API", "summary": "Hot"},
                   {"event_action": "resolve", "service": "nothing", "dedup_key": "mine"}],
    "explain_verification": [{"failed_step": "wait_for_record",
                              "pagerduty_incident_id": "Q0UNKNOWN0000"}],
    "send_test_event": [{"service": "Production API"}, {"service": "nothing"}],
    "manage_webhooks": [{"operation": "list"}, {"operation": "create"}, {"operation": "ping"},
                        {"operation": "enable"}, {"operation": "delete"}]}
"""Actions about no incident, with every call to try."""
STATUSES = (302, 400, 401, 402, 403, 404, 408, 409, 418, 422, 429, 500, 503)
FAULTS = [{"kind": "status", "status": status, "headers": {"Location": "https://example.com/"}}
          for status in STATUSES]
FAULTS += [{"kind": "not_json", "status": status} for status in (200, 401, 502)]
FAULTS += [{"kind": kind} for kind in ("reset", "half_body", "drop_answer")]
WRONG_LENGTHS = (12, 19, 20, 31, 33, 64)


def made_up(length):
    return secrets.token_hex(length)[:length]


class SecretsTestCase(ActionTestCase):
    action_cls = GetIncidentAction

    def setUp(self):
        super().setUp()
        self.pagerduty.switches.events_limit = self.pagerduty.switches.rest_limit = None
        self.stackflow.switches.rate_limits = False
        self.secrets = {}
        self.shown = []
        self.config["pagerduty"].update(
            api_key=self.secret("REST key", 20), webhook_secrets=[self.secret("of PagerDuty", 40)])
        self.config["stackflow"].update(
            auth={"method": "token", "token": self.secret("token", 48),
                  "client_secret": self.secret("client secret", 40),
                  "username": self.secret("user name", 16),
                  "password": self.secret("password", 24)},
            webhook_secrets=[self.secret("of StackFlow", 40)])
        self.config["service_mapping"][0].update(
            integration_key=self.secret("integration key", 32),
            previous_integration_keys=[self.secret("previous key", 32)])
        self.pagerduty.add_api_key(self.secrets["REST key"])
        self.stackflow.add_token(self.secrets["token"])
        self.config["escalation_mapping"] = [{
            "stackflow_sla_policy": "P1", "pagerduty_escalation_policy_id": self.policy,
            "trigger_on": "sla_breach"}]
        for name in ("integration key", "previous key"):
            self.pagerduty.add_integration(self.service, key=self.secrets[name])
        self._listen()

    def secret(self, name, length):
        self.secrets[name] = made_up(length)
        return self.secrets[name]

    def _listen(self):
        """Keep every log line, with its trace, and every error of the pack, with its causes."""
        handler = logging.Handler()
        handler.setFormatter(logging.Formatter())
        handler.emit = lambda record: self.shown.append(handler.format(record))
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        self.addCleanup(root.setLevel, level)
        self.addCleanup(root.removeHandler, handler)
        as_result = errors.PackError.as_result

        def kept(error):
            self.shown += ["".join(traceback.format_exception(type(error), error,
                                                              error.__traceback__)),
                           repr(error), repr(vars(error)), repr(error.args)]
            return as_result(error)

        for patch in (mock.patch.object(errors.PackError, "as_result", kept),
                      mock.patch.object(Clock, "sleep"),
                      mock.patch("pagerduty_stackflow.transport.random.uniform",
                                 return_value=1e9)):
            patch.start()
            self.addCleanup(patch.stop)

    def drive(self, action, incident_id, **parameters):
        """Run an action; its status and the kind of its error, if any. Then look for secrets."""
        parameters = dict(ACTIONS[action], incident_id=incident_id, **parameters)
        status, result = self.run_one(action, **parameters)
        self.check()
        return status, result["error"]["kind"] if "error" in result else None

    def run_one(self, action, **parameters):
        module = importlib.import_module(action)
        action_cls, = [getattr(module, name) for name in module.__all__]
        made = action_cls(config=self.config, action_service=self.action_service)
        status, result = made.run(**parameters)
        self.pagerduty.tick()
        self.shown.append(json.dumps(result))
        return status, result

    def check(self):
        for made in self.pagerduty.account.subscriptions.values():
            self.secrets["secret of subscription " + made.id] = made.secret
        shown = self.shown + [self.sent(one) for one in
                              self.pagerduty.requests + self.stackflow.requests]
        shown += ["%s %s" % (item.name, item.value)
                  for item in self.action_service.list_values(local=False)
                  if not item.name.startswith(ENCRYPTED)]
        text = "\n".join(shown)
        for name, secret in self.secrets.items():
            for start in range(max(1, len(secret) - PART + 1)):
                self.assertNotIn(secret[start:start + PART], text, "the %s got out" % name)
        del self.shown[:]
        self.forget_calls()

    def sent(self, request):
        """A request without the two places where a secret belongs."""
        headers = dict(request.headers, authorization="")
        body = request.body.decode()
        if request.path == "/v2/enqueue":
            body = json.dumps(dict(json.loads(body), routing_key=""))
        return "%s %s %s %s" % (request.path, request.query, headers, body)

    def pairs(self):
        """Ids to try an action with: of a paged record, and of an incident born in PagerDuty."""
        number = self.paged()
        incident_id = self.born_in_pagerduty()
        self.created_for(incident_id)
        self.stackflow.assign(number, "jane@example.com")
        return [number, self.incident(number).id, incident_id]

    def spoil(self, **fault):
        for simulator in (self.pagerduty, self.stackflow):
            simulator.faults.clear()
            simulator.faults.add("", times=99, **fault)

    def mend(self):
        self.pagerduty.faults.clear()
        self.stackflow.faults.clear()


class ActionsKeepSecretsTestCase(SecretsTestCase):

    def test_every_action_is_tried_here(self):
        files = {path.stem for path in (ROOT / "actions").glob("*.py")}
        self.assertEqual(files, set(ACTIONS) | set(OTHERS))

    def test_actions_about_no_incident(self):
        self.config["webhook_listener"] = {"public_url": "https://hooks.example.com"}
        for action, calls in OTHERS.items():
            for fault in [None] + FAULTS:
                for parameters in calls:
                    if fault is not None:
                        self.spoil(**fault)
                    self.run_one(action, **parameters)
                    self.check()
                    self.mend()

    def test_success(self):
        for action in ACTIONS:
            done = [self.drive(action, one) for one in self.pairs() + [self.born_in_pagerduty()]]
            self.assertIn((True, None), done, action)

    def test_every_failure_of_a_server_or_the_network(self):
        ids = self.pairs()
        for action in ACTIONS:
            kinds = set()
            for fault in FAULTS:
                for incident_id in ids:
                    self.spoil(**fault)
                    kinds.add(self.drive(action, incident_id)[1])
                    self.mend()
            self.assertLessEqual({"api", "credentials", "not_found"}, kinds, action)
            self.assertNotIn("defect", kinds, action)

    def test_a_later_one_of_several_calls_failing(self):
        for action in ACTIONS:
            for kind in ("drop_answer", "status"):
                ids = self.pairs() + [self.born_in_pagerduty()]
                for match in ("/alerts", "/log_entries", "PUT", "PATCH", "POST"):
                    for simulator in (self.pagerduty, self.stackflow):
                        simulator.faults.add(match, kind, times=99)
                    for incident_id in ids:
                        self.drive(action, incident_id)
                    self.mend()

    def test_a_server_that_repeats_what_it_was_sent(self):
        ids = self.pairs()
        for shape in (lambda said: {"error": {"message": "refused " + said, "errors": [said]}},
                      lambda said: {"error": {"message": "refused", "code": said}},
                      lambda said: {"error": said, "code": said},
                      lambda said: {"message": {said: said}, "errors": [[said]]}):
            for status in (400, 401, 403, 409, 422, 500):
                for action in ACTIONS:
                    for incident_id in ids:
                        for system, match, name in ((self.pagerduty, "/v2/enqueue",
                                                     "integration key"),
                                                    (self.pagerduty, "", "REST key"),
                                                    (self.stackflow, "", "token")):
                            system.faults.add(match, status=status, times=99,
                                              body=shape(self.secrets[name]))
                        self.drive(action, incident_id)
                        self.mend()

    def test_unknown_and_malformed_ids(self):
        for action in ACTIONS:
            for incident_id in ("INC9999999", "Q0UNKNOWN0000", "", "../users", "INC1\n"):
                self.drive(action, incident_id)

    def test_keys_that_are_revoked(self):
        ids = self.pairs()
        self.pagerduty.revoke_api_key(self.secrets["REST key"])
        self.stackflow.revoke(self.secrets["token"])
        for action in ACTIONS:
            kinds = {self.drive(action, incident_id)[1] for incident_id in ids}
            self.assertIn("credentials", kinds, action)

    def test_keys_of_the_wrong_length_or_alphabet(self):
        for length in WRONG_LENGTHS:
            for end in ("", "-", "\u20ac"):
                number = self.record()
                key = self.secret("integration key", length) + end
                self.config["service_mapping"][0]["integration_key"] = key
                self.config["pagerduty"]["api_key"] = self.secret("REST key", length) + end
                self.config["stackflow"]["auth"]["token"] = self.secret("token", length) + end
                incident_id = self.born_in_pagerduty()
                for action in ACTIONS:
                    for one in (number, incident_id):
                        self.assertIs(self.drive(action, one)[0], False)

    def test_the_wrong_key_for_the_hot_path(self):
        for length in WRONG_LENGTHS:
            key = self.secret("integration key", length)
            self.config["service_mapping"][0]["integration_key"] = key
            number = self.record()
            outcome = self.drive("trigger_incident", number, incident=self.event(number))
            self.assertEqual(outcome, (False, "credentials"))

    def test_configs_that_are_wrong(self):
        good = json.dumps(self.config)
        for path, change in (
                (("pagerduty", "api_key"), lambda text: text + "\nmore"),
                (("pagerduty", "api_key"), lambda text: [text]),
                (("pagerduty", "api_key"), lambda text: "{{ " + text + " }}"),
                (("pagerduty", "region"), lambda _: self.secrets["REST key"]),
                (("pagerduty", "subdomain"), lambda _: self.secrets["REST key"] + "/"),
                (("pagerduty", "from_email"), lambda _: self.secrets["REST key"]),
                (("pagerduty", "events_url"), lambda _: "https://me:%s@example.com/" %
                 self.secrets["REST key"]),
                (("pagerduty", "webhook_secrets"), lambda values: values[0]),
                (("stackflow", "instance_url"), lambda text: text + "/?token=" +
                 self.secrets["token"]),
                (("stackflow", "auth"), lambda auth: auth["token"]),
                (("stackflow", "auth", "method"), lambda _: self.secrets["token"]),
                (("service_mapping", 0, "previous_integration_keys"), lambda keys: keys[0]),
                (("service_mapping", 0, "integration_key"), lambda text: {text: text}),
                (("default_pagerduty_service_id",), lambda _: self.secrets["integration key"]),
                (("priority_threshold",), lambda _: self.secrets["integration key"])):
            self.config = json.loads(good)
            at = self.config
            for step in path[:-1]:
                at = at[step]
            at[path[-1]] = change(at.get(path[-1]))
            for action in ACTIONS:
                self.assertEqual(self.drive(action, "INC0001234"), (False, "config"), path)

    def test_a_datastore_whose_error_holds_a_secret(self):
        number = self.record()
        away = OSError("GET /v1/keys?token=" + self.secrets["token"])
        for name in ("list_values", "set_value", "get_value"):
            with mock.patch.object(self.action_service, name, side_effect=away):
                for action in ACTIONS:
                    self.run_one(action, incident_id=number, **ACTIONS[action])
        # StackStorm's own exception is its own matter in a trace, but not in what the pack says.
        self.shown = [text for text in self.shown if not text.startswith("Traceback")]
        self.check()

    def test_a_template_that_asks_for_more_than_it_is_given(self):
        for source in ("[[ mapping ]]", "[[ mapping.integration_key ]]", "[[ incident ]]",
                       "[[ self ]]", "[[ config ]]", "[[ mapping.__class__.__mro__ ]]",
                       "[[ incident.__init__.__globals__ ]]", "[[ 'x' * 99999 ]]", "[[ 1/0 ]]"):
            self.config["templates"] = {"summary": source, "description": source}
            self.config["stackflow"]["resolve_fields"] = {"close_notes": source}
            self.drive("trigger_incident", self.record())
            self.drive("create_stackflow_incident", self.born_in_pagerduty())
            self.drive("set_stackflow_state", self.record())

    def test_settings_and_all_that_holds_them(self):
        loaded = settings.load(self.config)
        pack = sync.Pack(loaded, self.action_service)
        self.shown += [repr(loaded), str(loaded), repr(pack), repr(vars(pack)), repr(pack.rest),
                       repr(vars(pack.rest)), repr(vars(pack.events)), repr(vars(pack.stackflow))]
        self.check()


PROCESS_MODULES = {"subprocess", "multiprocessing", "pty", "popen2"}
PROCESS_CALLS = {"system", "popen", "spawnv", "spawnl", "execv", "execve", "execl", "fork",
                 "posix_spawn"}


@pytest.mark.parametrize("folder", ["lib", "actions", "sensors"])
def test_the_pack_starts_no_process_that_could_be_handed_a_secret(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not PROCESS_MODULES.intersection(alias.name for alias in node.names), path
            if isinstance(node, ast.ImportFrom):
                assert node.module not in PROCESS_MODULES, path
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "os":
                assert node.attr not in PROCESS_CALLS, path


def children():
    """Ids of the processes that this one started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                yield entry


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
class ProcessArgumentsTestCase(SecretsTestCase):

    def test_the_process_of_an_action_has_no_secret_among_its_arguments(self):
        number = self.record()
        sensors = {"sensors": {"WebhookSensor": {"enabled": False}}}
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        with LocalStackStorm(str(ROOT), home.name, self.config, overrides=sensors) as platform:
            for action in ("get_incident", "trigger_incident", "resolve_incident"):
                arguments = self.arguments_of(platform, action, number)
                self.assertIn("process.py", arguments)
                self.shown.append(arguments)
            self.shown.append(Path(platform.log_path).read_text())
            self.shown += [json.dumps([one.result, one.stderr, one.stdout, one.parameters])
                           for one in platform.executions()]
            self.assertEqual([one.status for one in platform.executions()], ["succeeded"] * 3)
        self.check()

    def arguments_of(self, platform, action, number):
        """Arguments and environment of the action's process, which waits for StackFlow meanwhile.
        """
        runner = threading.Thread(target=platform.run_action, args=(
            "pagerduty_stackflow." + action, {"incident_id": number}))
        with self.stackflow.lock:
            runner.start()
            deadline = time.monotonic() + 30
            found = ""
            while "process.py" not in found and time.monotonic() < deadline:
                for entry in children():
                    try:
                        found = (entry / "cmdline").read_text() + (entry / "environ").read_text()
                    except OSError:
                        continue
                    if "process.py" in found:
                        break
                time.sleep(0.01)
        runner.join(60)
        self.assertFalse(runner.is_alive())
        return found
