"""The sensor of the SLA queue, against real topics and a real queue of a server on loopback."""

import json
import logging
import os
import subprocess
import sys
from unittest import mock

import pytest
import yaml
from st2tests.base import BaseSensorTestCase

from aws_site import Clock, alerts, moto_url, no_aws, queue_poller  # noqa: F401
from config_samples import changed
from dev.local_stackstorm.schemas import validate
from pagerduty_stackflow import aws as aws_module
from pagerduty_stackflow import sla_queue
from pagerduty_stackflow.deliveries import BadDelivery
from pagerduty_stackflow.polling import FIRST_PAUSE, LONGEST_PAUSE
from pagerduty_stackflow.settings import load
from pagerduty_stackflow.stackflow import webhooks
from sla_queue_sensor import SLAQueueSensor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SENSORS = os.path.join(ROOT, "sensors")
SETTINGS = load(changed()).stackflow
AT, SENT = "2026-01-05T10:00:00Z", "2026-01-05T10:00:07Z"
POLICY = {"stackflow_sla_policy": "P1-Response-SLA", "pagerduty_escalation_policy_id": "PXXXXXX",
          "trigger_on": "sla_breach"}
SLA = {"policy": "P1-Response-SLA", "metric": "first_response", "elapsed_percent": 100,
       "breached_at": AT}
RECORD = {"id": "INC0001234", "priority": "P1", "state": "new", "updated_at": AT}
BREACH = {"id": "evt-1", "event": "sla.breach", "timestamp": AT, "incident": RECORD, "sla": SLA}
NAMELESS = {"incident": RECORD, "sla": SLA}
FLAT = {"incident_id": "INC0001234", "sla_policy": "P1-Response-SLA", "metric": "first_response"}
EVENT, SLA_EVENT = "pagerduty_stackflow.stackflow_event", "pagerduty_stackflow.stackflow_sla_event"


class SLAQueueSensorTestCase(BaseSensorTestCase):
    sensor_cls = SLAQueueSensor

    @pytest.fixture(autouse=True)
    def site(self, alerts, monkeypatch):  # noqa: F811
        self.alerts = alerts
        monkeypatch.setattr(sla_queue, "WAIT_SECONDS", 0)
        monkeypatch.setattr(aws_module, "TRIES", 1)

    def setUp(self):
        super().setUp()
        self.messages = []
        logger = logging.Logger("sensor")
        logger.addHandler(logging.Handler())
        logger.handlers[0].emit = lambda record: self.messages.append(record.getMessage())
        self.sensor_service.get_logger = lambda name: logger

    def start(self, *changes, config=None):
        self.sensor = self.get_sensor_instance(config=config or changed(
            ("sla.queue_url", self.alerts.url), ("aws.endpoint_url", self.alerts.endpoint),
            ("escalation_mapping", [POLICY]), *changes))
        self.sensor.setup()
        self.clock = self.sensor._polling._clock = Clock()

    def poll(self):
        """What a poll dispatched."""
        before = len(self.get_dispatched_triggers())
        self.sensor.poll()
        return self.get_dispatched_triggers()[before:]

    def test_a_breach_becomes_the_trigger_that_a_webhook_of_it_becomes(self):
        self.start()
        self.alerts.publish(BREACH)
        item, = self.poll()
        trigger, payload = webhooks.parse(json.dumps(BREACH).encode(), SETTINGS)
        wanted = dict(payload, received_by="queue", sync={"apply": True, "reason": ""})
        self.assertEqual((item["trigger"], item["payload"]), (SLA_EVENT, wanted))
        self.assertEqual((trigger, item["trace_context"].trace_tag), (webhooks.SLA_EVENT, "evt-1"))
        self.assertEqual(self.alerts.left(), 0)

    def test_the_topic_tells_what_a_body_does_not(self):
        self.start()
        for topic, kind in ((self.alerts.BREACHES, "sla.breach"),
                            (self.alerts.WARNINGS, "sla.warning")):
            event_id = self.alerts.publish(NAMELESS, topic)
            payload = self.poll()[0]["payload"]
            self.assertEqual((payload["event_type"], payload["event_id"]), (kind, event_id))
            self.assertTrue(payload["occurred_at"].endswith("Z"))

    def test_events_of_other_names_are_dispatched_as_such(self):
        self.start()
        self.alerts.publish({"event": "major_incident.declared", "incident": RECORD},
                            self.alerts.OTHER)
        item, = self.poll()
        self.assertEqual((item["trigger"], item["payload"]["event_type"]),
                         (EVENT, "major_incident.declared"))

    def test_a_queue_is_emptied_in_one_poll(self):
        self.start()
        for _ in range(25):
            self.alerts.publish(BREACH)
        self.assertEqual((len(self.poll()), self.alerts.left()), (25, 0))

    def test_raw_delivery_is_understood_too(self):
        self.start()
        self.alerts.send(json.dumps(BREACH))
        self.assertEqual(self.poll()[0]["payload"]["event_id"], "evt-1")

    def test_what_is_dispatched_fits_the_payload_schemas(self):
        self.start()
        with open(os.path.join(SENSORS, "webhook_sensor.yaml"), encoding="utf-8") as file:
            schemas = {"pagerduty_stackflow." + kind["name"]: kind["payload_schema"]
                       for kind in yaml.safe_load(file)["trigger_types"]}
        for body in (BREACH, NAMELESS, FLAT, dict(BREACH, event="incident.created")):
            self.alerts.publish(body)
        items = self.poll()
        self.assertEqual(len(items), 4)
        for item in items:
            self.assertEqual(validate(item["payload"], schemas[item["trigger"]]), item["payload"])

    def test_what_cannot_be_read_stays_in_the_queue_and_the_log_names_it(self):
        self.start()
        names = [self.alerts.send(body) for body in (
            "SLA breached", "[]", json.dumps(NAMELESS), json.dumps({"event": "sla.breach"}))]
        self.alerts.publish(BREACH)
        self.assertEqual(len(self.poll()), 1)
        self.assertEqual(self.alerts.left(), len(names))
        for name in names:
            self.assertIn(name, str(self.messages))
        self.assertNotIn("the poll failed", str(self.messages))

    def test_a_message_on_which_the_reading_breaks_keeps_no_other_one_from_its_turn(self):
        read_message = sla_queue.read

        def breaking(message, settings):
            if "evt-0" in message["Body"]:
                raise ValueError("a defect")
            return read_message(message, settings)

        self.start()
        self.alerts.publish(dict(BREACH, id="evt-0"))
        self.alerts.publish(BREACH)
        with mock.patch("pagerduty_stackflow.sla_queue.read", breaking):
            self.assertEqual([item["payload"]["event_id"] for item in self.poll()], ["evt-1"])
        self.assertEqual(self.alerts.left(), 1)
        self.assertNotIn("the poll failed", str(self.messages))

    def test_a_message_is_deleted_only_after_its_dispatch(self):
        self.start()
        self.alerts.publish(BREACH)
        dispatch = self.sensor_service.dispatch
        self.sensor_service.dispatch = lambda **item: (self.assertEqual(self.alerts.left(), 1),
                                                       dispatch(**item))
        self.assertEqual((len(self.poll()), self.alerts.left()), (1, 0))

    def test_what_stackstorm_does_not_take_stays_and_comes_again(self):
        for troubled, trouble in (("dispatch", IOError("the broker is away")),
                                  ("list_values", IOError("the datastore is away"))):
            self.start()
            self.alerts.publish(BREACH)
            with mock.patch.object(self.sensor_service, troubled, side_effect=trouble):
                self.assertEqual(self.poll(), [])
            self.assertEqual(self.alerts.left(), 1)
            self.assertIn("was not dispatched, and comes again", str(self.messages))
            self.assertEqual(self.poll(), [], "it waits a while")
            self.clock.sleep(FIRST_PAUSE)
            self.assertEqual((len(self.poll()), self.alerts.left()), (1, 0))

    def test_a_crash_before_the_deletion_repeats_the_same_event(self):
        self.start()
        self.alerts.publish(NAMELESS)
        with mock.patch.object(sla_queue.QueuePoller, "delete", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                self.sensor.poll()
        first, = self.get_dispatched_triggers()
        self.start()
        again, = self.poll()
        self.assertEqual(again["payload"], first["payload"])
        self.assertEqual(self.alerts.left(), 0)

    def test_pauses_grow_while_the_queue_is_out_of_reach_and_end_with_it(self):
        self.start(("sla.queue_url", self.alerts.url + "-missing"))
        for pause in [FIRST_PAUSE * 2 ** number for number in range(5)] + [LONGEST_PAUSE] * 2:
            self.assertEqual(self.poll(), [])
            self.assertIn("queue not found", self.messages[-1])
            self.assertIn("the next is in %d s" % pause, self.messages[-1])
            told = len(self.messages)
            self.clock.sleep(pause - 1)
            self.poll()
            self.assertEqual(len(self.messages), told, "it polled too early")
            self.clock.sleep(1)
        queue = self.sensor._polling._poller
        queue._url = self.alerts.url
        self.poll()
        queue._url += "-missing"
        self.poll()
        self.assertIn("the next is in %d s" % FIRST_PAUSE, self.messages[-1])

    def test_no_trouble_with_aws_ends_the_sensor(self):
        for changes, variables, words in (
                ([("aws.endpoint_url", "http://127.0.0.1:9")], {}, "AWS cannot be reached"),
                ([("aws.endpoint_url", self.alerts.endpoint + "/x")], {}, "SQS"),
                ([], {"AWS_ACCESS_KEY_ID": ""}, "no AWS credentials"),
                ([], {"AWS_PROFILE": "nobody"}, "cannot be loaded (ProfileNotFound)")):
            self.start(*changes)
            with mock.patch.dict(os.environ, variables):
                self.assertEqual(self.poll(), [])
            self.assertIn(words, self.messages[-1])
        self.start()
        with mock.patch.dict(sys.modules, {"boto3": None}):
            self.assertEqual(self.poll(), [])
        self.assertIn("boto3 is not installed", self.messages[-1])

    def test_an_unusable_config_or_a_missing_url_is_told_once_and_the_sensor_stays_up(self):
        for config, words in (({"sla": {"queue_url": self.alerts.url}}, "pagerduty.subdomain"),
                              (changed(), "sla.queue_url is not set")):
            self.start(config=config)
            told = len(self.messages)
            self.assertIn(words, self.messages[-1])
            for _ in range(3):
                self.assertEqual(self.poll(), [])
            self.assertEqual(len(self.messages), told)

    def test_the_metadata_name_the_sensor(self):
        with open(os.path.join(SENSORS, "sla_queue_sensor.yaml"), encoding="utf-8") as file:
            content = yaml.safe_load(file)
        self.assertEqual(content["class_name"], SLAQueueSensor.__name__)
        self.assertIs(content["enabled"], False)


def envelope(body, topic="stackflow-breach-notifications", **others):
    """As SNS puts it around a message (Amazon SNS, message and JSON formats)."""
    return json.dumps(dict({
        "Type": "Notification", "MessageId": "sns-1", "Timestamp": SENT, "Message": body,
        "TopicArn": "arn:aws:sns:us-east-1:373544523367:" + topic}, **others))


def read(body):
    return sla_queue.read({"MessageId": "sqs-1", "Body": body, "Attributes": {
        "SentTimestamp": "1767607201000"}}, SETTINGS)


@pytest.mark.parametrize("body, kind", [
    (BREACH, "sla.breach"), (dict(BREACH, event="sla.recovery"), "sla.recovery"), (FLAT, None),
    (NAMELESS, None), (dict(NAMELESS, alert_type="Warning"), "sla.warning"),
    (dict(FLAT, type="recovery"), "sla.recovery"), ({"data": dict(RECORD, sla=SLA)}, None),
    ({"detail-type": "sla.warning", "detail": NAMELESS}, "sla.warning"),
    ({"detail-type": "sla.breach", "detail": FLAT}, "sla.breach"),
    ({"incident": "INC0001234", "sla": "P1-Response-SLA"}, None)])
def test_every_form_of_an_alert_that_the_vendors_pages_suggest_is_read(body, kind):
    for topic, of_topic in sla_queue.TOPICS.items():
        trigger, payload = read(envelope(json.dumps(body), topic))
        assert (trigger, payload["event_type"]) == (webhooks.SLA_EVENT, kind or of_topic)
        assert payload["incident"]["number"] == "INC0001234"
        assert payload["sla"]["policy"] == "P1-Response-SLA"
        assert payload["received_by"] == "queue"


def test_id_and_time_come_from_the_innermost_that_has_them():
    for body, event_id, at in ((envelope(json.dumps(BREACH)), "evt-1", AT),
                               (envelope(json.dumps(NAMELESS)), "sns-1", SENT),
                               (json.dumps(dict(NAMELESS, event="sla.breach")), "sqs-1",
                                "2026-01-05T10:00:01.000000Z")):
        payload = read(body)[1]
        assert (payload["event_id"], payload["occurred_at"]) == (event_id, at)


@pytest.mark.parametrize("body, words", [
    ("", "not JSON"), ("null", "not a JSON object"), ("\ud800", "not JSON"),
    (envelope("SLA breached for INC0001234"), "not JSON"), (envelope([]), "not JSON"),
    (envelope("{}", "another-topic"), "which event"), (json.dumps(NAMELESS), "which event"),
    (envelope("{}"), "names no incident"),
    (envelope(json.dumps({"incident": {"state": "new"}})), "names no incident"),
    (envelope("{}", Type="SubscriptionConfirmation"), "SNS asks something of a person")])
def test_what_cannot_be_read_is_told_apart(body, words):
    with pytest.raises(BadDelivery) as caught:
        read(body)
    assert words in caught.value.message


@pytest.mark.parametrize("url, region", [
    ("https://sqs.eu-west-1.amazonaws.com/1/q", "eu-west-1"),
    ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1"),
    ("http://127.0.0.1:9/1/q", "us-east-1")])
def test_a_queue_is_asked_in_the_region_of_its_url(monkeypatch, url, region):
    asked = []
    client = mock.Mock()
    client.receive_message.return_value = {"ResponseMetadata": {"RequestId": "1"}}
    monkeypatch.setattr(sla_queue, "make_client", lambda *given: asked.append(given) or client)
    pytest.importorskip("botocore")
    queue = queue_poller(url, load(changed()))
    assert queue.receive() == [] and queue.receive() == []
    assert [given[:2] for given in asked] == [("sqs", region)]


def test_nothing_imports_boto3_before_the_queue_is_polled():
    code = ("import sys; sys.path[:0] = %r; import sla_queue_sensor; "
            "print([name for name in sys.modules if name.startswith('boto')])" % sys.path)
    out = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert out.stdout.strip() == b"[]"
