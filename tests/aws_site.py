"""AWS as moto serves it, over HTTP on loopback: Secrets Manager with its reads counted, and a queue
subscribed to the topics of SLA alerts.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from unittest import mock

import pytest

from pagerduty_stackflow import settings
from pagerduty_stackflow.sla_queue import QueuePoller
from world import MemoryStore

SECRET = "stackflow/integrations/pagerduty/api-key"
KEY = "old-key-abcdefghijkl"
NEW_KEY = "new-key-mnopqrstuvwx"
INTEGRATION_KEY = "abcdefgh" * 4
VARIABLES = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "not-a-secret-of-aws",
             "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent",
             "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "NO_PROXY": "*"}


class Clock:
    """Time moves by sleeping only."""

    def __init__(self):
        self.passed = 0.0

    def now(self):
        return datetime(2026, 1, 5, 10, tzinfo=timezone.utc) + timedelta(seconds=self.passed)

    def monotonic(self):
        return self.passed

    def sleep(self, seconds):
        self.passed += seconds


class SecretsManager:
    """The server: its URL, its secrets, and how often one was read."""

    def __init__(self, url):
        import boto3
        self.url = url
        self.reads = 0
        self._boto3 = boto3

    def client(self, region="us-east-1"):
        return self._boto3.client("secretsmanager", region_name=region, endpoint_url=self.url)

    def put(self, value, name=SECRET, region="us-east-1"):
        """Store a value as the current one; the ARN of its secret."""
        client = self.client(region)
        binary = isinstance(value, bytes)
        content = {"SecretBinary" if binary else "SecretString": value}
        try:
            return client.create_secret(Name=name, **content)["ARN"]
        except client.exceptions.ResourceExistsException:
            return client.put_secret_value(SecretId=name, **content)["ARN"]


class AlertQueue:
    """StackFlow's two topics (notifications/sla-alerts.html) and one more, and the queue that is
    subscribed to them; what was received and not deleted can be received again at once.
    """

    WARNINGS, BREACHES = "stackflow-sla-alerts", "stackflow-breach-notifications"
    OTHER = "stackflow-major-incident-alerts"

    def __init__(self, url):
        import boto3
        self.endpoint = url
        self._sqs, self._sns = [boto3.client(name, region_name="us-east-1", endpoint_url=url)
                                for name in ("sqs", "sns")]
        self.url = self._sqs.create_queue(
            QueueName="alerts", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        self._topics = {}
        for topic in (self.WARNINGS, self.BREACHES, self.OTHER):
            self._topics[topic] = arn = self._sns.create_topic(Name=topic)["TopicArn"]
            self._sns.subscribe(TopicArn=arn, Protocol="sqs",
                                Endpoint="arn:aws:sqs:us-east-1:123456789012:alerts")

    def publish(self, body, topic=BREACHES):
        """As StackFlow does; the id that SNS gave it."""
        text = body if isinstance(body, str) else json.dumps(body)
        return self._sns.publish(TopicArn=self._topics[topic], Message=text)["MessageId"]

    def send(self, body):
        """As SNS does with raw delivery; the message's id."""
        return self._sqs.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"]

    def left(self):
        """How many messages there are."""
        name = "ApproximateNumberOfMessages"
        found = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(found["Attributes"][name])


@pytest.fixture(scope="session")
def moto_url():
    """One server for all tests of a run."""
    server_module = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://%s:%d" % server.get_host_and_port()
    server.stop()


@pytest.fixture
def no_aws(monkeypatch):
    """Nothing of this machine's own AWS settings."""
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL",
                 "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE",
                 "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def alerts(moto_url, no_aws):
    """An empty queue."""
    _reset(moto_url)
    return AlertQueue(moto_url)


def _reset(url):
    import requests
    requests.post(url + "/moto-api/reset", timeout=10).raise_for_status()


@pytest.fixture
def aws(moto_url, no_aws):
    """An empty Secrets Manager."""
    from moto.secretsmanager.responses import SecretsManagerResponse
    _reset(moto_url)
    made = SecretsManager(moto_url)
    answer = SecretsManagerResponse.get_secret_value

    def counted(response):
        made.reads += 1
        return answer(response)

    with mock.patch.object(SecretsManagerResponse, "get_secret_value", counted):
        yield made


def make_config(url=None, auth=None, pagerduty=None, **config):
    """A config whose REST key is in Secrets Manager at ``url``."""
    given = {
        "pagerduty": dict({"subdomain": "acme", "from_email": "sync@example.com"},
                          **(pagerduty or {})),
        "stackflow": {"instance_url": "https://acme.stackflow.example",
                      "auth": auth or {"method": "token", "token": "stackflow-token"}},
        "service_mapping": [
            {"pagerduty_service_id": "P1234AB", "pagerduty_service_name": "Production API",
             "stackflow_assignment_group": "Platform", "integration_key": INTEGRATION_KEY}]}
    if url:
        given["aws"] = {"endpoint_url": url}
    return dict(given, **config)


def make_settings(*args, **options):
    """The settings of such a config."""
    return settings.load(make_config(*args, **options))


def queue_poller(url, options):
    """A poller of the queue at ``url``, with such settings."""
    known = SimpleNamespace(sla=SimpleNamespace(queue_url=url), aws=options.aws, http=options.http,
                            stackflow=options.stackflow)
    return QueuePoller(SimpleNamespace(settings=known), mock.Mock(), logging.getLogger("queue"))


def make_store(clock, encryption=True):
    """A datastore, with or without a crypto key."""
    store = MemoryStore(clock)
    store.encryption = encryption
    return store
