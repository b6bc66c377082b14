"""The sensor around the listener: what it dispatches, stores and reads, and that it stays up."""

import hashlib
import hmac
import http.client
import json
import os
import socket
import threading
import time
from unittest import mock

import yaml
from st2tests.base import BaseSensorTestCase

import webhook_sensor
from config_samples import changed
from dev.local_stackstorm.schemas import validate
from pagerduty_stackflow import prefilter
from pagerduty_stackflow.checks.facts import PING_SECONDS
from pagerduty_stackflow.links import Links
from webhook_sensor import WebhookSensor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECRET = "not a secret" * 4
STORED = "not a secret either" * 3
TRIGGERED = {"event": {
    "id": "01EVENT", "event_type": "incident.triggered", "occurred_at": "2026-01-05T10:00:00Z",
    "data": {"type": "incident", "id": "Q0INCIDENT0001", "title": "Disk full",
             "service": {"id": "P1234AB", "summary": "Production API"}}}}
PING = {"event": {"id": "01PING", "event_type": "pagey.ping", "data": {"type": "ping"}}}
CREATED = {"event": "incident.created", "id": "evt-1", "timestamp": "2026-01-05T10:00:00Z",
           "incident": {"id": "INC0001234", "priority": "P1", "state": "new"}}
BREACH = {"event": "sla.breach", "id": "evt-2", "sla": {"policy": "P1-Response-SLA"},
          "incident": {"id": "INC0001234", "priority": "P1", "state": "new"}}


def metadata():
    with open(os.path.join(ROOT, "sensors", "webhook_sensor.yaml"), encoding="utf-8") as file:
        return yaml.safe_load(file)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class WebhookSensorTestCase(BaseSensorTestCase):
    sensor_cls = WebhookSensor

    def run_sensor(self, *changes, config=None):
        self.port = free_port()
        config = config or changed(
            ("webhook_listener.port", self.port), ("pagerduty.webhook_secrets", [SECRET]),
            ("stackflow.webhook_secrets", [SECRET]), *changes)
        self.sensor = self.get_sensor_instance(config=config)
        self.sensor.setup()
        self.thread = threading.Thread(target=self.sensor.run, daemon=True)
        self.thread.start()
        self.addCleanup(self.sensor.cleanup)
        self.eventually(lambda: self.sensor._listener.address)

    def eventually(self, condition):
        deadline = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it did not come to pass within 10 s")
            time.sleep(0.01)

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(*self.sensor._listener.address, timeout=10)
        self.addCleanup(connection.close)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def start(self):
        return self.sensor_service.get_value("pagerduty_stackflow.start", local=False)

    def deliver(self, document, secret=SECRET):
        body = json.dumps(document).encode()
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        source = "pagerduty" if isinstance(document["event"], dict) else "stackflow"
        headers = {"X-PagerDuty-Signature": "v1=" + digest, "X-StackFlow-Signature": digest}
        return self.ask("POST", "/webhooks/" + source, body, headers)[0]

    def test_events_of_both_sides_become_triggers_with_the_judgement_beside(self):
        self.run_sensor()
        verdict, sync = prefilter.Verdict(False, "an echo"), {"apply": False, "reason": "an echo"}
        with mock.patch.object(prefilter, "judge", return_value=verdict) as judge:
            statuses = [self.deliver(document) for document in (TRIGGERED, CREATED, BREACH)]
        self.assertEqual(statuses, [202, 202, 202])
        self.assertEqual(
            [(item["trigger"], item["trace_context"].trace_tag, item["payload"]["sync"])
             for item in self.get_dispatched_triggers()],
            [("pagerduty_stackflow.pagerduty_event", "01EVENT", sync),
             ("pagerduty_stackflow.stackflow_event", "evt-1", sync),
             ("pagerduty_stackflow.stackflow_sla_event", "evt-2", sync)])
        trigger, payload, settings, links, start = judge.call_args[0]
        self.assertEqual((trigger, payload["event_id"]), ("stackflow_sla_event", "evt-2"))
        self.assertEqual(settings.stackflow.host, "acme.stackflow-tech.com")
        self.assertIsInstance(links, Links)
        self.assertTrue(start.endswith("Z"))

    def test_what_is_dispatched_fits_the_payload_schemas(self):
        self.run_sensor()
        schemas = {"pagerduty_stackflow." + kind["name"]: kind["payload_schema"]
                   for kind in metadata()["trigger_types"]}
        for document in (TRIGGERED, PING, CREATED, BREACH):
            self.assertEqual(self.deliver(document), 202)
        self.assertEqual(len(self.get_dispatched_triggers()), 4)
        for item in self.get_dispatched_triggers():
            self.assertEqual(validate(item["payload"], schemas[item["trigger"]]), item["payload"])
            self.assertIsInstance(item["payload"]["sync"]["apply"], bool)

    def test_a_judgement_that_fails_makes_the_sender_come_again(self):
        self.run_sensor()
        with mock.patch.object(prefilter, "judge", side_effect=ValueError("broken")):
            self.assertEqual(self.deliver(TRIGGERED), 503)
        self.assertEqual(self.get_dispatched_triggers(), [])
        self.assertEqual(self.deliver(TRIGGERED), 202)

    def test_a_ping_leaves_word_in_the_datastore(self):
        self.run_sensor(("pagerduty.webhook_secrets", ["other" * 9, SECRET]))
        self.assertEqual(self.deliver(PING), 202)
        word = json.loads(self.sensor_service.get_value("pagerduty_stackflow.ping", local=False))
        self.assertEqual(word["secret"], 2)
        self.assertTrue(word["received_at"].endswith("Z"))
        self.assertTriggerDispatched(trigger="pagerduty_stackflow.pagerduty_event")

    def test_stored_secrets_are_accepted_beside_the_configured_ones(self):
        key = "pagerduty_stackflow.webhook_secret.PSUB01"
        self.sensor_service.set_value(key, STORED, local=False, encrypt=True)
        self.run_sensor()
        self.eventually(lambda: STORED in self.sensor.secrets("pagerduty"))
        self.assertEqual(self.sensor.secrets("pagerduty"), (SECRET, STORED))
        self.assertEqual(self.sensor.secrets("stackflow"), (SECRET,))
        self.assertEqual(self.deliver(TRIGGERED, STORED), 202)
        self.assertEqual(self.deliver(CREATED, STORED), 503)
        self.sensor_service.delete_value(key, local=False)
        self.sensor.refresh()
        self.assertEqual(self.deliver(TRIGGERED, STORED), 503)
        self.assertEqual(self.deliver(TRIGGERED), 202)

    def test_more_stored_secrets_than_one_list_of_the_datastore_shows_are_accepted(self):
        whole = self.sensor_service.list_values

        def page(local=True, prefix=None, limit=None, offset=0):
            return whole(local=local, prefix=prefix)[offset:][:limit or 100]

        for number in range(150):
            self.sensor_service.set_value("pagerduty_stackflow.webhook_secret.PSUB%03d" % number,
                                          "%s %d" % (STORED, number), local=False, encrypt=True)
        with mock.patch.object(self.sensor_service, "list_values", page):
            self.run_sensor()
            self.eventually(lambda: len(self.sensor.secrets("pagerduty")) == 151)
            self.assertEqual(self.deliver(TRIGGERED, "%s 149" % STORED), 202)

    def test_a_secret_that_was_just_stored_is_read_before_a_ping_counts_as_lost(self):
        self.assertLess(webhook_sensor.REFRESH_SECONDS, PING_SECONDS)

    def test_stored_secrets_outlive_a_datastore_that_does_not_answer(self):
        key = "pagerduty_stackflow.webhook_secret.PSUB01"
        self.sensor_service.set_value(key, STORED, local=False)
        self.run_sensor()
        self.eventually(lambda: STORED in self.sensor.secrets("pagerduty"))
        with mock.patch.object(self.sensor_service, "get_value", return_value=None):
            self.sensor.refresh()
        self.assertIn(STORED, self.sensor.secrets("pagerduty"))
        with mock.patch.object(self.sensor_service, "list_values", side_effect=IOError("away")):
            self.sensor.refresh()
        self.assertIn(STORED, self.sensor.secrets("pagerduty"))

    def test_stored_secrets_are_read_decrypted_and_not_on_the_way_of_a_delivery(self):
        key = "pagerduty_stackflow.webhook_secret.PSUB01"
        self.sensor_service.set_value(key, STORED, local=False)
        self.run_sensor()
        self.eventually(self.start)
        with mock.patch.object(self.sensor_service, "get_value", return_value=STORED) as get_value:
            self.assertEqual(self.deliver(TRIGGERED, STORED), 202)
            get_value.assert_not_called()
            self.sensor.refresh()
            get_value.assert_called_once_with(key, local=False, decrypt=True)

    def test_the_time_of_the_first_run_is_stored_once(self):
        self.run_sensor()
        self.eventually(self.start)
        stored = self.start()
        self.sensor.refresh()
        self.assertEqual(self.deliver(TRIGGERED), 202)
        self.assertEqual(self.start(), stored)

    def test_an_unusable_config_is_told_and_the_sensor_stays_up(self):
        port = free_port()
        self.run_sensor(config={"webhook_listener": {"port": port, "host": None}})
        self.assertEqual(self.sensor._listener.address, ("127.0.0.1", port))
        status, health = self.ask("GET", "/healthz")
        self.assertEqual((status, health["status"]), (200, "config_error"))
        self.assertIn("pagerduty", health["error"])
        self.assertEqual(self.deliver(TRIGGERED), 503)
        self.assertTrue(self.thread.is_alive())

    def test_what_the_config_warns_of_is_in_the_log(self):
        self.run_sensor(("sla.targets", {}), ("escalation.max_levels", 2))
        lines = [call[0][0] for call in self.sensor_service.get_logger("").warning.call_args_list]
        self.assertEqual([line.split(": is no longer used")[0] for line in lines],
                         ["sla.targets", "escalation.max_levels"])

    def test_an_address_that_is_unusable_too_gives_way_to_the_default(self):
        default = ("127.0.0.1", 8091)
        for given in ({"port": "x"}, {"port": True}, {"port": 99999}, {"host": 5}, [], "x", None):
            self.assertEqual(webhook_sensor._address({"webhook_listener": given}), default)
        self.assertEqual(webhook_sensor._address({}), default)
        self.assertEqual(webhook_sensor._address({"webhook_listener": {"port": "8443"}}),
                         ("127.0.0.1", 8443))

    def test_a_listener_that_fails_is_started_again(self):
        self.run_sensor()
        with mock.patch.object(webhook_sensor, "RESTART_SECONDS", 0.01):
            config = changed(("webhook_listener.port", free_port()))
            sensor = self.get_sensor_instance(config=config)
            sensor.setup()
            sensor._listener = mock.Mock()
            runs = []

            def serve():
                runs.append(1)
                if len(runs) == 3:
                    sensor.cleanup()
                raise ValueError("broken")

            sensor._listener.serve_forever = serve
            sensor.run()
        self.assertEqual(len(runs), 3)

    def test_a_port_that_is_taken_is_tried_again(self):
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with mock.patch.object(webhook_sensor, "RESTART_SECONDS", 0.05):
            sensor = self.get_sensor_instance(config=changed(("webhook_listener.port", port)))
            with mock.patch.object(sensor.sensor_service, "get_logger") as get_logger:
                sensor.setup()
            thread = threading.Thread(target=sensor.run, daemon=True)
            thread.start()
            error = get_logger.return_value.error
            self.eventually(lambda: error.call_count > 1)
            self.assertIsNone(sensor._listener.address)
            told = error.call_args[0][0] % error.call_args[0][1:]
            self.assertIn("127.0.0.1 port %d" % port, told)
            self.assertIn("in use", told)
            self.assertFalse(error.call_args[1]["exc_info"], "a traceback would help nobody")
            taken.close()
            self.eventually(lambda: sensor._listener.address)
            sensor.cleanup()
            thread.join(10)
        self.assertFalse(thread.is_alive())

    def test_cleanup_ends_the_wait_for_a_port(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            sensor = self.get_sensor_instance(
                config=changed(("webhook_listener.port", taken.getsockname()[1])))
            sensor.setup()
            thread = threading.Thread(target=sensor.run, daemon=True)
            thread.start()
            sensor.cleanup()
            thread.join(4)
        self.assertFalse(thread.is_alive())
        self.assertIsNone(sensor._listener.address)

    def test_cleanup_ends_it(self):
        self.run_sensor()
        self.sensor.cleanup()
        self.thread.join(10)
        self.assertFalse(self.thread.is_alive())

    def test_the_metadata_name_the_sensor_and_its_triggers(self):
        content = metadata()
        self.assertEqual(content["class_name"], WebhookSensor.__name__)
        self.assertEqual(content["entry_point"], os.path.basename(webhook_sensor.__file__))
        self.assertEqual([kind["name"] for kind in content["trigger_types"]],
                         ["pagerduty_event", "stackflow_event", "stackflow_sla_event"])
        for kind in content["trigger_types"]:
            self.check_properties(kind["payload_schema"]["properties"], ("event_id", "event_type"))

    def check_properties(self, properties, required):
        for name, rules in properties.items():
            self.assertNotIn("enum", rules)
            self.assertIs(rules.get("required", False), name in required, name)
            self.assertEqual("null" in rules["type"], name not in required, name)
            self.check_properties(rules.get("properties", {}), ())
