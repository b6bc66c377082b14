"""Every call to AWS beside what can go wrong on the way: boto3 tries again within the budget, what
comes of it is an error of the pack, and nothing AWS or a gateway says can make it raise another.
"""

import pytest

from aws_site import make_settings, no_aws, queue_poller  # noqa: F401
from leaks import assert_leaks_no_secret
from pagerduty_stackflow import aws, secrets_manager, sla_queue
from pagerduty_stackflow.errors import ApiError, CredentialsError
from pagerduty_stackflow.secrets_manager import SecretName
from scripted_server import ScriptedServer, answer, reset, silent, unread

pytest.importorskip("boto3")
NAME = SecretName("pagerduty-key", "pagerduty.api_key_secret", "pagerduty.api_key")
MESSAGE = {"MessageId": "id", "Body": "{}", "ReceiptHandle": "receipt"}
QUEUE = "http://127.0.0.1:9/1/queue"
CALLS = {
    "GetSecretValue": (CredentialsError, lambda settings: secrets_manager.fetch(NAME, settings)),
    "ReceiveMessage": (ApiError, lambda settings: queue_poller(QUEUE, settings).receive()),
    "DeleteMessage": (ApiError, lambda settings: queue_poller(QUEUE, settings).delete(MESSAGE))}
JSON = [("Content-Type", "application/x-amz-json-1.1")]
PASSING = {
    "reset before the write": unread(lambda *given: reset(*given)),
    "reset after the write": reset,
    "slow first byte": silent,
    "throttled": answer(400, b'{"__type": "ThrottlingException", "message": "x"}', JSON),
    "429": answer(429, b"{}", JSON),
    "500": answer(500, b'{"__type": "InternalServiceError", "message": "x"}', JSON),
    "an HTML page of a gateway": answer(503, b"<html>Please wait</html>")}
ONCE = {
    "half a body": answer(200, b'{"Mess', length=400, keep=False),
    "302": answer(302, b"", [("Location", "https://example.com/")]),
    "400": answer(400, b'{"__type": "SomethingNew", "message": "x"}', JSON),
    "403": answer(403, b'{"__type": "AccessDeniedException", "message": "x"}', JSON),
    "404": answer(404, b"<html>not AWS</html>"),
    "a number": answer(200, b"7", JSON),
    "not JSON": answer(200, b"<html>", [("Content-Type", "text/html")])}
QUIET = ("half a body", "a number", "not JSON")
"""Of a deletion nothing but the status is looked at."""


def made(monkeypatch, call, step, timeout=0.2):
    """The error, and how many requests were made, while every answer is that one."""
    monkeypatch.setattr(sla_queue, "WAIT_SECONDS", 0)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    with ScriptedServer(step) as server:
        settings = make_settings(server.url, http={"timeout_seconds": timeout,
                                                  "total_seconds": 60})
        kind, act = CALLS[call]
        with pytest.raises(kind) as caught:
            act(settings)
        return caught.value, max(server.connections, len(server.requests))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", PASSING)
def test_what_may_pass_is_tried_again(no_aws, monkeypatch, call, fault):  # noqa: F811
    error, tries = made(monkeypatch, call, PASSING[fault])
    assert tries == aws.TRIES or fault == "429", "which boto3 for Python 3.8 leaves to its caller"
    assert error.retryable and error.hint and "not-a-secret-of-aws" not in error.message
    assert_leaks_no_secret(error, "not-a-secret-of-aws")


@pytest.mark.parametrize("call, fault", [(call, fault) for call in CALLS for fault in ONCE if not (
    call == "DeleteMessage" and fault in QUIET)])
def test_what_stays_so_is_tried_once(no_aws, monkeypatch, call, fault):  # noqa: F811
    error, tries = made(monkeypatch, call, ONCE[fault], timeout=10)
    assert tries == 1 and error.hint and type(error) is CALLS[call][0]
