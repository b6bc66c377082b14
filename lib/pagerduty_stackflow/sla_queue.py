"""SLA alerts by way of SNS: the SQS queue that is subscribed to StackFlow's topics.

docs.stackflow-tech.com, notifications/sla-alerts.html, names the alerts and the topics. The body of
an alert is not shown, so every form of a webhook is understood, and one flat object.
https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html for what SNS puts around
it.
"""

from __future__ import annotations

import re
from logging import Logger
from typing import Any, Callable, Dict, List, Mapping, Tuple

from .aws import AwsFailure, Result, Table, call_aws, make_client
from .deliveries import BadDelivery, as_object, load_object, text, time_text
from .dispatching import Dispatcher
from .errors import ApiError, PackError, describe
from .incidents import STACKFLOW_NUMBER
from .pack import Pack
from .settings import StackFlowSettings
from .stackflow.webhooks import NAME_KEYS, SLA_EVENT, TIME_KEYS, event_of

BATCH = 10
"""Messages that SQS gives at most at a time (SQS API, ReceiveMessage)."""
WAIT_SECONDS = 20
"""Longest time that SQS waits for the first message."""
TOPICS = {"stackflow-breach-notifications": "sla.breach", "stackflow-sla-alerts": "sla.warning"}
ALERT_TYPES = {"warning": "sla.warning", "breach": "sla.breach", "recovery": "sla.recovery"}
FAILURES: Table = (
    (r"[\w.]*NonExistentQueue|QueueDoesNotExist", AwsFailure(
        "queue not found", "create it in this region, or correct sla.queue_url")),
    (r"InvalidAddress|ParamValidationError|InvalidParameterValue", AwsFailure(
        "AWS refuses the URL", "give the queue's own URL as sla.queue_url")),
    (r"OverLimit", AwsFailure("too many messages were received and not deleted",
                              "look in the log why they are not read", True)))
"""What SQS's own error codes mean."""
REGION = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com[./]")
Message = Mapping[str, Any]
"""As SQS gives it (SQS API, Message)."""


class QueuePoller:
    """Dispatches the messages of the queue `sla.queue_url`; without it, logs an error once.

    A call raises ApiError, retryable if waiting helps.
    """

    def __init__(self, pack: Pack, dispatcher: Dispatcher, logger: Logger) -> None:
        self._settings = pack.settings
        self._dispatcher = dispatcher
        self._logger = logger
        self._url = pack.settings.sla.queue_url or ""
        region = REGION.match(self._url)
        self._region = region.group(1) if region else pack.settings.aws.region
        self._client: Any = None
        if not self._url:
            logger.error("sla.queue_url is not set, no SLA alert is received: set it and restart "
                         "this sensor, or disable it")

    def poll(self) -> None:
        """Empty the queue, then wait up to 20 seconds for the next message.

        A message is deleted once it was dispatched. One that cannot be read stays, for the queue's
        own dead-letter policy.
        """
        taken = bool(self._url)
        while taken:
            taken = any([self._take(message) for message in self.receive()])

    def _take(self, message: Message) -> bool:
        """Whether the message was dispatched and deleted."""
        name = message.get("MessageId")
        try:
            trigger, payload = read(message, self._settings.stackflow)
        except Exception as error:  # one message must not keep the others from their turn
            self._logger.warning("message %s stays in the SLA queue: %s", name, describe(error),
                                 exc_info=not isinstance(error, PackError))
            return False
        try:
            self._dispatcher.dispatch(trigger, payload)
        except Exception:
            self._logger.warning("message %s was not dispatched, and comes again", name)
            raise
        self.delete(message)
        return True

    def receive(self) -> List[Message]:
        """Return up to BATCH messages; waits for the first up to WAIT_SECONDS."""
        found = self._call("ReceiveMessage", lambda client: client.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT_SECONDS,
            AttributeNames=["SentTimestamp"]))
        if not as_object(found.get("ResponseMetadata")).get("RequestId"):
            raise ApiError("AWS SQS (%s): the answer is none of SQS" % self._region,
                           "check aws.endpoint_url; a proxy may be answering", True, "AWS")
        return list(found.get("Messages") or ())

    def delete(self, message: Message) -> None:
        """Remove a message for good."""
        self._call("DeleteMessage", lambda client: client.delete_message(
            QueueUrl=self._url, ReceiptHandle=str(message.get("ReceiptHandle"))))

    def _call(self, name: str, call: Callable[[Any], Result]) -> Result:
        def connected() -> Result:
            if self._client is None:
                self._client = make_client("sqs", self._region, self._settings, WAIT_SECONDS)
            return call(self._client)

        found = call_aws("sqs:" + name, connected, FAILURES)
        if isinstance(found, AwsFailure):
            raise ApiError("AWS SQS (%s), %s of sla.queue_url: %s" % (
                self._region, name, found.message), found.hint, found.retryable, "AWS")
        return found


def read(message: Message, settings: StackFlowSettings) -> Tuple[str, Dict[str, Any]]:
    """Return the trigger and its payload, without `sync`, as a webhook of the same event has them.

    If the body names no event, its alert type or else the name of the topic tells.
    """
    sent_at = str(as_object(message.get("Attributes")).get("SentTimestamp"))
    at = time_text(int(sent_at)) if sent_at.isdecimal() else None
    event_id, topic = str(message.get("MessageId")), ""
    alert = load_object(str(message.get("Body") or "").encode("utf-8", "surrogatepass"))
    if text(alert.get("TopicArn")):  # the envelope of SNS
        if alert.get("Type") != "Notification":
            raise BadDelivery("SNS asks something of a person: %s" % text(alert.get("Type")),
                              "confirm the subscription with the Token in the message: "
                              "aws sns confirm-subscription")
        topic = str(alert["TopicArn"]).rpartition(":")[2]
        event_id, at = text(alert.get("MessageId")) or event_id, (
            time_text(alert.get("Timestamp")) or at)
        alert = load_object((text(alert.get("Message")) or "").encode())
    if not any(text(alert.get(key)) for key in NAME_KEYS):
        kind = text(alert.get("alert_type")) or text(alert.get("type")) or ""
        alert["event"] = ALERT_TYPES.get(kind.strip().lower()) or TOPICS.get(topic)
        if not alert["event"]:
            raise BadDelivery("neither its body nor its topic tells which event it is",
                              "switch raw message delivery of the subscription off")
    if not any(time_text(alert.get(key)) for key in TIME_KEYS):
        alert["timestamp"] = at
    trigger, payload = event_of(alert, settings, event_id, "queue")
    if not _has_number(payload):
        trigger, payload = event_of(_unfolded(alert), settings, event_id, "queue")
    if trigger == SLA_EVENT and not _has_number(payload):
        raise BadDelivery("it names no incident")
    return trigger, payload


def _has_number(payload: Mapping[str, Any]) -> bool:
    return text(as_object(payload["incident"]).get("number")) is not None


def _unfolded(alert: Dict[str, Any]) -> Dict[str, Any]:
    """An alert that is one flat object, with its record's number and its SLA's facts apart."""
    for place in (alert, as_object(alert.get("data")), as_object(alert.get("detail"))):
        for key in ("incident_id", "incident_number", "number", "id"):
            number = text(place.get(key)) or ""
            if STACKFLOW_NUMBER.match(number):
                facts = dict(place, policy=place.get("sla_policy") or place.get("policy"))
                return dict(alert, incident={"number": number}, sla=place.get("sla") or facts)
    return alert
