"""SLA alerts by way of SNS and SQS."""

import json

import pytest
from aws_site import alerts, moto_url, no_aws  # noqa: F401


pytestmark = pytest.mark.local_only(reason="the credentials of AWS are the sensor's own")


@pytest.fixture
def sensor(scene, alerts):  # noqa: F811
    scene.configure(sla={"queue_url": alerts.url}, aws={"endpoint_url": alerts.endpoint})
    found = scene.site.platform.sensor("SLAQueueSensor")
    found.start()
    yield found
    found.stop()


def test_an_alert_from_the_queue_is_the_event_that_the_webhook_brings(
        scene, alerts, sensor):  # noqa: F811
    number = scene.opened()
    scene.stackflow.breach_sla(number, "P1-Response-SLA")
    scene.settle()
    webhook, = scene.payloads("sla.breach")
    alerts.send(json.dumps(scene.stackflow.sns_messages[-1]))
    scene.wait(lambda: len(scene.payloads("sla.breach")) == 2, "the alert")
    queue = scene.payloads("sla.breach")[1]
    assert queue == dict(webhook, received_by="queue")
    scene.wait(lambda: alerts.left() == 0, "the queue to be empty")
    assert sensor.starts == 1
