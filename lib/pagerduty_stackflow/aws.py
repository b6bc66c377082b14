"""AWS through boto3: clients with the pack's time limits, and a plain reason for every failed call.

The first call imports boto3, and nothing before it does.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Callable, NamedTuple, Sequence, Tuple, TypeVar, Union

from .answers import may_retry
from .settings import Settings

TRIES = 3
"""Requests of one call at most; between them boto3 waits a second or two."""
POLICY = "in the policy of the AWS role or user that StackStorm runs with"
_CALLER = re.compile(r"User: (arn:[\w:/.@=,+-]+) is not authorized")

Result = TypeVar("Result")


class AwsFailure(NamedTuple):
    """Why a call failed, what to do, and whether waiting helps; without AWS's own message, which
    may quote the session token.
    """

    message: str
    hint: str
    retryable: bool = False


Table = Sequence[Tuple[str, AwsFailure]]
"""Patterns of "<error code>: <AWS's message>", or of the names of an exception and its bases, and
what they mean; the first that fits counts.
"""
NO_CREDENTIALS = AwsFailure(
    "no AWS credentials",
    "give StackStorm's action runners and sensor containers a role or the AWS_ variables")
TROUBLE = AwsFailure("AWS has trouble ({code})", "the pack retries later", True)
UNKNOWN = AwsFailure("AWS refuses ({code})", "look this code up in AWS's manual of {permission}; "
                     "check aws.region and aws.endpoint_url")
FAILURES: Table = (
    (r"[\w.]*AccessDenied.*(KMS|Kms|kms:)|(KMS|Kms)[\w.]*AccessDenied", AwsFailure(
        "KMS access denied", "allow kms:Decrypt for the customer-managed key " + POLICY +
        ", and in the policy of the key")),
    (r"[\w.]*AccessDenied", AwsFailure("access denied{caller}", "allow {permission} " + POLICY)),
    (r"[\w.]*(Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|LimitExceededException)",
     AwsFailure("throttled", "AWS refuses more requests for now; the pack retries later", True)),
    (r"ExpiredToken|RequestExpired", AwsFailure(
        "the AWS credentials have expired",
        "renew them, or use a role that renews itself, such as an instance profile")),
    (r"UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId|InvalidSignature|AuthFailure|"
     r"SignatureDoesNotMatch|IncompleteSignature|MissingAuthenticationToken|NotAuthorized",
     AwsFailure("the AWS credentials are not valid",
                "check the access key, its secret and the session token that boto3 finds, and the "
                "clock of this host")),
    (r"Internal|ServiceUnavailable", TROUBLE),
    (r"[^ ]*:", UNKNOWN),
    (r"(NoCredentials|PartialCredentials|NoAuthToken)Error\b", NO_CREDENTIALS),
    (r"\w*(Credential|Profile|Config|SSO|Retrieval|MFA)", AwsFailure(
        "the AWS credentials cannot be loaded ({code})",
        "check the AWS profile, its files and the AWS_ variables of StackStorm's processes")),
    (r"SSLError\b", AwsFailure(
        "the TLS certificate is not trusted",
        "check aws.endpoint_url; for a CA of your own set AWS_CA_BUNDLE to its file")),
    (r"(\w+ )*(HTTPClientError|ConnectionError|ConnectTimeoutError|OSError)\b", AwsFailure(
        "AWS cannot be reached ({code})",
        "check the network, the proxy, aws.region and aws.endpoint_url", True)),
    (r"(\w+ )*ImportError\b", AwsFailure(
        "boto3 is not installed", "set the pack's virtualenv up again: "
        "st2 run packs.setup_virtualenv packs=pagerduty_stackflow")),
    (r"", AwsFailure("the request cannot be made or its answer not read ({code})",
                     "check aws.region and aws.endpoint_url")))


def make_client(service: str, region: str, settings: Settings, wait: float = 0.0) -> Any:
    """Make a boto3 client that signs with what boto3's default chain finds.

    A call takes at most `http.total_seconds`, and ``wait`` seconds more if it waits for messages.
    """
    import boto3
    from botocore.config import Config
    logger = logging.getLogger("botocore")
    if logger.getEffectiveLevel() < logging.INFO:
        logger.setLevel(logging.INFO)  # at DEBUG it logs whole answers
    # Each try waits at most twice, to connect and to read; half of the budget is for the pauses.
    seconds = min(settings.http.timeout_seconds, settings.http.total_seconds / (4 * TRIES))
    config = Config(connect_timeout=seconds, read_timeout=seconds + wait,
                    retries={"mode": "standard", "total_max_attempts": TRIES})
    return boto3.session.Session().client(service, region_name=region,
                                          endpoint_url=settings.aws.endpoint_url, config=config)


def call_aws(permission: str, call: Callable[[], Result],
             own: Table = ()) -> Union[Result, AwsFailure]:
    """Return what ``call`` returns, or why it failed: a raised error would be chained to a secret.

    ``permission`` is the operation as a policy names it, ``own`` explains its own error codes.
    """
    try:
        return call()
    except Exception as error:  # botocore stumbles anywhere over an answer of another shape
        names = [one.__name__ for one in type(error).__mro__]
        answer = getattr(error, "response", None) or {}  # of its ClientError
    refusal, code, text = answer.get("Error"), names[0], " ".join(names)
    if refusal is not None:
        code = str(refusal.get("Code"))
        text = "%s: %s" % (code, refusal.get("Message"))
    failure = next(row[1] for row in (*own, *FAILURES) if re.match(row[0], text, re.DOTALL))
    status = (answer.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    if failure is UNKNOWN and may_retry(status or 0):
        failure = TROUBLE
    caller = _CALLER.search(text)
    known = re.match(r"[\w.]{1,60}\Z", code)  # anything else is no error code of AWS
    facts = {"code": code if known else "an unknown code", "permission": permission,
             "caller": " to " + caller.group(1) if caller else ""}
    return AwsFailure(failure.message.format(**facts), failure.hint.format(**facts),
                      failure.retryable)
