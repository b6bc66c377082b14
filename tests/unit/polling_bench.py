"""What the tests of both polling sensors share: simulators over HTTP, and what was dispatched."""

from __future__ import annotations

import os
from datetime import timedelta
from unittest import mock

import yaml
from st2tests.base import BaseSensorTestCase

from dev.local_stackstorm import schemas
from dev.simulators.base import RunningClock, serve
from dev.simulators.pagerduty import PagerDuty
from dev.simulators.stackflow import StackFlow
from pagerduty_stackflow.incidents import format_time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GROUP = "Platform Engineering"
START = "pagerduty_stackflow.start"
BEHIND = -20.0
"""Seconds by which the simulators' clock is behind, so that their log is settled at once."""


def metadata(stem):
    with open(os.path.join(ROOT, "sensors", stem + ".yaml"), encoding="utf-8") as file:
        return yaml.safe_load(file)


class PollingSensorTestCase(BaseSensorTestCase):
    """A sensor polls both simulators, which were there before the pack."""

    stem = ""

    def setUp(self):
        super().setUp()
        clock = RunningClock(BEHIND)
        self.pagerduty, self.stackflow = PagerDuty(clock), StackFlow(clock)
        self.person = self.pagerduty.add_user("Casey Oncall", "casey@example.com")
        policy = self.pagerduty.add_escalation_policy("Default", [(5, [self.person])])
        self.service = self.pagerduty.add_service("Production API", policy)
        self.pagerduty.add_api_key("rest-key-0123456789x")
        self.stackflow.add_token("stackflow-token")
        servers = [serve(self.pagerduty), serve(self.stackflow)]
        for server in servers:
            self.addCleanup(server.close)
        self.config = {
            "pagerduty": {"subdomain": "acme", "from_email": "sync@example.com",
                          "api_key": "rest-key-0123456789x", "api_url": servers[0].url},
            "stackflow": {"instance_url": servers[1].url,
                          "auth": {"method": "token", "token": "stackflow-token"}},
            "service_mapping": [{
                "pagerduty_service_id": self.service, "pagerduty_service_name": "Production API",
                "stackflow_assignment_group": GROUP, "stackflow_category": "api",
                "integration_key": "abcdefgh" * 4}],
            "http": {"timeout_seconds": 1, "total_seconds": 1}}
        before = format_time(clock.now() - timedelta(minutes=5))
        self.sensor_service.set_value(START, before, local=False)

    def started(self, **changes):
        sensor = self.get_sensor_instance(config=dict(self.config, **changes), poll_interval=30)
        sensor.setup()
        return sensor

    def dispatched(self):
        """Payloads of what was dispatched; each has to fit the schema of its trigger."""
        kinds = {"pagerduty_stackflow." + kind["name"]: kind["payload_schema"]
                 for kind in metadata("webhook_sensor")["trigger_types"]}
        payloads = []
        for item in self.get_dispatched_triggers():
            schemas.Validator(kinds[item["trigger"]]).validate(item["payload"])
            self.assertEqual(item["trace_context"].trace_tag, item["payload"]["event_id"])
            payloads.append(item["payload"])
        return payloads

    def check_an_unusable_config(self):
        for config in ({}, {"pagerduty": 5}, dict(self.config, service_mapping=[])):
            sensor = self.get_sensor_instance(config=config)
            sensor.setup()
            sensor.poll()
            sensor.poll()
            self.assertIn("the config is unusable", str(self.logged("error")))
        self.assertEqual(self.dispatched(), [])

    def check_trouble(self, create):
        """Whatever dispatch raises, polls go on, and nothing is lost."""
        self.started().poll()
        create()
        for trouble in (ValueError("a defect"), OSError("the broker is away"), KeyError("x")):
            sensor = self.started()
            with mock.patch.object(self.sensor_service, "dispatch", side_effect=trouble) as call:
                for _ in range(3):
                    sensor.poll()
            self.assertEqual(call.call_count, 1)
        self.assertEqual(self.dispatched(), [])
        self.started().poll()
        self.assertEqual(len(self.dispatched()), 1)

    def logged(self, level):
        return getattr(self.sensor_service.get_logger(""), level).call_args_list

    def check_metadata(self):
        content = metadata(self.stem)
        self.assertEqual(content["class_name"], self.sensor_cls.__name__)
        self.assertEqual(content["entry_point"], self.stem + ".py")
        self.assertIs(content["enabled"], False)
        self.assertGreaterEqual(content["poll_interval"], 4)
