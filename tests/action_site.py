"""Actions as StackStorm's own test classes make them, against both simulators on loopback."""

from __future__ import annotations

import json
from unittest import mock

# First, as StackStorm's own patches sockets and threads when it is imported.
from st2tests.base import BaseActionTestCase

from dev.simulators.base import RunningClock, serve
from dev.simulators.pagerduty import PagerDuty
from dev.simulators.stackflow import StackFlow
from pagerduty_stackflow import commands
from pagerduty_stackflow.running import perform

REST_KEY = "not-a-key-" * 2
TOKEN = "not-a-token"
GROUP = "Platform Engineering"
UNKNOWN_NUMBER = "INC9999999"
UNKNOWN_ID = "Q0UNKNOWN0000"
MALFORMED = ("", "inc0001", "INC0001234/notes", "INC0001234?x=1", "../users", "Q0ABC DEF123",
             "INC0001\n2", "48213", "#48213")
OUTCOME = {"outcome", "reason", "stackflow_id", "pagerduty_incident_id", "dedup_key", "warnings"}
URLS = {"stackflow_url", "pagerduty_url"}
ERROR = {"kind", "message", "hint", "retryable"}
HTML = {"kind": "not_json", "status": 200, "times": 99}


class ActionTestCase(BaseActionTestCase):
    """Two services and two people in PagerDuty; the clock runs, so that an event is fresh."""

    def setUp(self):
        super().setUp()
        clock = RunningClock()
        self.pagerduty = PagerDuty(clock, event_delay=0)
        self.stackflow = StackFlow(clock)
        self._set_up_accounts()
        pagerduty, stackflow = serve(self.pagerduty), serve(self.stackflow)
        self.addCleanup(stackflow.close)
        self.addCleanup(pagerduty.close)
        self.host = "127.0.0.1"
        self.config = {
            "pagerduty": {"subdomain": "acme", "from_email": "sync@example.com",
                          "api_key": REST_KEY, "events_url": pagerduty.url,
                          "api_url": pagerduty.url},
            "stackflow": {"instance_url": stackflow.url,
                          "auth": {"method": "token", "token": TOKEN}},
            "service_mapping": [
                {"pagerduty_service_id": self.service, "pagerduty_service_name": "Production API",
                 "stackflow_assignment_group": GROUP, "integration_key": self.routing_key}]}

    def _set_up_accounts(self):
        pagerduty = self.pagerduty
        self.person = pagerduty.add_user("Casey Oncall", "casey@example.com")
        pagerduty.add_user("StackFlow Sync", "sync@example.com")
        self.policy = pagerduty.add_escalation_policy("Default", [(5, [self.person])])
        self.service = pagerduty.add_service("Production API", self.policy, id="P1234AB")
        self.unmapped = pagerduty.add_service("Unmapped", self.policy, id="P0000ZZ")
        self.routing_key = pagerduty.add_integration(self.service)[1]
        pagerduty.add_api_key(REST_KEY)
        self.stackflow.add_group(GROUP)
        self.stackflow.add_token(TOKEN)

    def run_action(self, **parameters):
        """Status and result of a run, the result as StackStorm would store it."""
        status, result = self.get_action_instance(config=self.config).run(**parameters)
        return status, json.loads(json.dumps(result, allow_nan=False))

    def succeed(self, outcome, **parameters):
        """The result of a run that has to end with this outcome."""
        status, result = self.run_action(**parameters)
        self.assertIs(status, True, result)
        self.assertEqual(set(result), OUTCOME | URLS)
        self.assertEqual(result["outcome"], outcome, result)
        self.assertTrue(result["reason"])
        self.pagerduty.tick()
        return result

    def fail_with(self, kind, **parameters):
        """The error of a run that has to fail in this way; a server in trouble is not waited for.
        """
        with mock.patch("pagerduty_stackflow.transport.random.uniform", return_value=1e9):
            status, result = self.run_action(**parameters)
        self.assertIs(status, False, result)
        self.assertEqual(set(result), {"error"})
        error = result["error"]
        self.assertEqual(set(error), ERROR)
        self.assertEqual(error["kind"], kind, error)
        self.assertTrue(error["message"] and error["hint"], error)
        return error

    def check_config_error(self, **parameters):
        """Every problem of the config in one message, and no call."""
        self.config["pagerduty"] = {"subdomain": "acme", "api_key": "{{ st2kv.system.absent }}"}
        self.config["priority_threshold"] = "P5"
        error = self.fail_with("config", **parameters)
        self.assertEqual([line.split(":")[0] for line in error["message"].splitlines()],
                         ["pagerduty.from_email", "pagerduty.api_key", "priority_threshold"])
        self.assertIs(error["retryable"], False)
        self.assertIn("configs/pagerduty_stackflow.yaml", error["hint"])
        self.assertEqual(self.calls(), [])

    def check_malformed_ids(self, **parameters):
        """Anything but a number or an id is refused before any call."""
        for incident_id in MALFORMED:
            error = self.fail_with("bad_input", incident_id=incident_id, **parameters)
            self.assertIn("INC0001234", error["hint"])
        self.assertEqual(self.calls(), [])

    def record(self, priority="P1", **fields):
        """The number of a new record in the mapped group."""
        return self.stackflow.create_incident("Database timeout", priority,
                                              group=fields.pop("group", GROUP), **fields)

    def paged(self, **fields):
        """The number of a record that was paged by the pack, as an event would have done it."""
        number = self.record(**fields)
        self.use_case(commands.trigger_incident, incident_id=number, incident=self.event(number))
        self.assertEqual(self.incident(number).status, "triggered")
        return number

    def born_in_pagerduty(self, **fields):
        """The id of an incident that a person opened in PagerDuty."""
        return self.pagerduty.create_incident(fields.pop("service", self.service), "Disk full",
                                              self.person, **fields)

    def created_for(self, incident_id):
        """The number of the record that the pack made for a PagerDuty incident."""
        result = self.use_case(commands.create_stackflow_incident, incident_id=incident_id)
        return result["stackflow_id"]

    def use_case(self, function, **parameters):
        """The result of another action, over the same datastore."""
        action = self.get_action_instance(config=self.config)
        status, result = perform(action, function, **parameters)
        self.assertIs(status, True, result)
        self.pagerduty.tick()
        self.forget_calls()
        return result

    def event(self, number):
        """The record as a webhook would carry it now."""
        return self.stackflow.incident(number)

    def dedup_key(self, number):
        return "stackflow:%s:%s" % (self.host, number)

    def incident(self, number):
        """The newest PagerDuty incident of a record."""
        self.pagerduty.tick()
        return self.pagerduty.incidents(dedup_key=self.dedup_key(number))[-1]

    def calls(self):
        """The requests that both systems received so far."""
        return ["%s %s" % (one.method, one.path)
                for one in self.pagerduty.requests + self.stackflow.requests]

    def writes(self):
        """Those that were to change something."""
        return [call for call in self.calls() if not call.startswith("GET ")]

    def forget_calls(self):
        del self.pagerduty.requests[:], self.stackflow.requests[:]
