"""SLA alerts by way of SNS: the SQS queue that is subscribed to StackFlow's topics.

docs.stackflow-tech.com, notifications/sla-alerts.html, names the alerts and the topics. The body of
an alert is not shown, so every form of a webhook is understood, and one flat object.
https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html for what SNS puts around
it.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..aws import AwsFailure, Result, Table, call_aws, make_client
from ..deliveries import BadDelivery, as_object, load_object, text, time_text
from ..errors import ApiError
from ..incidents import STACKFLOW_NUMBER
from ..settings import Settings, StackFlowSettings
from .webhooks import NAME_KEYS, SLA_EVENT, TIME_KEYS, event_of

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
_REGION = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com[./]")


class Message(NamedTuple):
    """A message of the queue; ``sent_at`` in milliseconds since 1970, ``receipt`` to delete it."""

    id: str
    body: str
    receipt: str
    sent_at: Optional[int]


class SLAQueue:
    """The queue `sla.queue_url`. Every method raises ApiError, retryable where waiting helps."""

    def __init__(self, queue_url: str, settings: Settings) -> None:
        self._url = queue_url
        self._settings = settings
        region = _REGION.match(queue_url)
        self._region = region.group(1) if region else settings.aws.region
        self._client: Any = None

    def receive(self) -> List[Message]:
        """Up to BATCH messages; waits for the first up to WAIT_SECONDS. The queue hides them for
        its visibility timeout and gives what is not deleted by then again.
        """
        found = self._call("ReceiveMessage", lambda client: client.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT_SECONDS,
            AttributeNames=["SentTimestamp"]))
        if not as_object(found.get("ResponseMetadata")).get("RequestId"):
            raise ApiError("AWS SQS (%s): the answer is none of SQS" % self._region,
                           "check aws.endpoint_url; a proxy may be answering", True, "AWS")
        return list(map(_message, found.get("Messages") or ()))

    def delete(self, message: Message) -> None:
        """Remove a message for good."""
        self._call("DeleteMessage", lambda client: client.delete_message(
            QueueUrl=self._url, ReceiptHandle=message.receipt))

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
    """Name of the trigger and its payload, without `sync`, as a webhook of the same event has them.

    Where the body names no event, its alert type or else the name of the topic tells. Raises
    BadDelivery for what is no JSON object, an event that nothing tells, and an SLA alert without an
    incident.
    """
    document = load_object(message.body.encode("utf-8", "surrogatepass"))
    event_id, topic, at = message.id, "", time_text(message.sent_at)
    if text(document.get("TopicArn")):
        event_id, topic, at, document = _unwrapped(document, event_id, at)
    alert = dict(document)
    if not any(text(document.get(key)) for key in NAME_KEYS):
        alert["event"] = ALERT_TYPES.get(_alert_type(document)) or TOPICS.get(topic)
        if not alert["event"]:
            raise BadDelivery("neither its body nor its topic tells which event it is",
                              "switch raw message delivery of the subscription off")
    if not any(time_text(document.get(key)) for key in TIME_KEYS):
        alert["timestamp"] = at
    trigger, payload = event_of(alert, settings, event_id, "queue")
    if not _number(payload):
        trigger, payload = event_of(_unfolded(alert), settings, event_id, "queue")
    if trigger == SLA_EVENT and not _number(payload):
        raise BadDelivery("it names no incident")
    return trigger, payload


def _message(row: Mapping[str, Any]) -> Message:
    sent_at = str(as_object(row.get("Attributes")).get("SentTimestamp"))
    return Message(str(row.get("MessageId")), str(row.get("Body") or ""),
                   str(row.get("ReceiptHandle")), int(sent_at) if sent_at.isdecimal() else None)


def _unwrapped(envelope: Mapping[str, Any], message_id: str,
               sent_at: Optional[str]) -> Tuple[str, str, Optional[str], Dict[str, Any]]:
    """Id, topic's name, time and body of what SNS delivered in its envelope."""
    if envelope.get("Type") != "Notification":
        raise BadDelivery("SNS asks something of a person: %s" % text(envelope.get("Type")),
                          "confirm the subscription with the Token in the message: "
                          "aws sns confirm-subscription")
    topic = str(envelope["TopicArn"]).rpartition(":")[2]
    document = load_object((text(envelope.get("Message")) or "").encode())
    return (text(envelope.get("MessageId")) or message_id, topic,
            time_text(envelope.get("Timestamp")) or sent_at, document)


def _number(payload: Mapping[str, Any]) -> Optional[str]:
    return text(as_object(payload["incident"]).get("number"))


def _alert_type(document: Mapping[str, Any]) -> str:
    return (text(document.get("alert_type")) or text(document.get("type")) or "").strip().lower()


def _unfolded(alert: Dict[str, Any]) -> Dict[str, Any]:
    """An alert that is one flat object, with its record's number and its SLA's facts apart."""
    for place in (alert, as_object(alert.get("data")), as_object(alert.get("detail"))):
        for key in ("incident_id", "incident_number", "number", "id"):
            number = text(place.get(key)) or ""
            if STACKFLOW_NUMBER.match(number):
                facts = dict(place, policy=place.get("sla_policy") or place.get("policy"))
                return dict(alert, incident={"number": number}, sla=place.get("sla") or facts)
    return alert
