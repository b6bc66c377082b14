"""AWS by way of boto3: clients with the pack's time limits, and words for every way in which a call
can fail.

boto3 is imported by the first call and not before.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, TypeVar, Union

from .settings import Settings

TRIES = 3
"""Requests of one call at most; between them boto3 waits a second or two."""
_CALLER = re.compile(r"User: (arn:[\w:/.@=,+-]+) is not authorized")

Answer = TypeVar("Answer")


class Trouble(NamedTuple):
    """Why a call failed, what the operator does next, and whether waiting helps.

    AWS's own words are not repeated: they quote ids, and for a wrong signature the session token.
    """

    words: str
    hint: str
    retryable: bool = False


@dataclass(frozen=True)
class Operation:
    """A call: its ``name`` in AWS's manual, the ``permission`` that it needs, for what ("this
    secret"), and what its own error codes mean: ``known(code, message)``.
    """

    name: str
    permission: str
    subject: str
    known: Callable[[str, str], Optional[Trouble]]


def make_client(service: str, region: str, settings: Settings, wait: float = 0.0) -> Any:
    """A boto3 client that signs with what the default chain finds.

    A call takes no longer than `http.total_seconds`, and ``wait`` seconds more where its answer is
    waited for.
    """
    import boto3
    from botocore.config import Config
    logger = logging.getLogger("botocore")
    if logger.getEffectiveLevel() < logging.INFO:
        logger.setLevel(logging.INFO)  # at DEBUG it logs whole answers
    # Every try waits twice at most, to connect and to read; half of the budget is for the pauses.
    seconds = min(settings.http.timeout_seconds, settings.http.total_seconds / (4 * TRIES))
    config = Config(connect_timeout=seconds, read_timeout=seconds + wait,
                    retries={"mode": "standard", "total_max_attempts": TRIES})
    return boto3.session.Session().client(service, region_name=region,
                                          endpoint_url=settings.aws.endpoint_url, config=config)


def attempt(operation: Operation, call: Callable[[], Answer]) -> Union[Answer, Trouble]:
    """What ``call`` gives, or why it failed. Nothing is raised, so that the caller's error is
    chained to no exception that may quote a secret.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
    except ImportError:
        return Trouble("boto3 is not installed", "set the pack's virtualenv up again: "
                       "st2 run packs.setup_virtualenv packs=pagerduty_stackflow")
    try:
        return call()
    except ClientError as error:
        return _refusal(operation, error.response)
    except (BotoCoreError, ResponseParserError, ValueError, OSError, AttributeError, KeyError,
            TypeError) as error:  # an answer of another shape makes botocore stumble
        return _failure(operation, type(error))


NO_CREDENTIALS = Trouble(
    "no AWS credentials",
    "give StackStorm's action runners and sensor containers a role or the AWS_ variables")
_GRANT = "allow %s for %s in the policy of the AWS role or user that StackStorm runs with"
_EXPIRED = Trouble("the AWS credentials have expired",
                   "renew them, or use a role that renews itself, such as an instance profile")
_INVALID = Trouble(
    "the AWS credentials are not valid",
    "check the access key, its secret and the session token that boto3 finds, and the clock of "
    "this host")
_CODES: Dict[str, Trouble] = {
    "ExpiredTokenException": _EXPIRED,
    "ExpiredToken": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "UnrecognizedClientException": _INVALID,
    "InvalidClientTokenId": _INVALID,
    "InvalidAccessKeyId": _INVALID,
    "InvalidSignatureException": _INVALID,
    "SignatureDoesNotMatch": _INVALID,
    "IncompleteSignature": _INVALID,
    "IncompleteSignatureException": _INVALID,
    "MissingAuthenticationToken": _INVALID,
    "MissingAuthenticationTokenException": _INVALID,
    "NotAuthorized": _INVALID,
    "AuthFailure": _INVALID,
}
_THROTTLES = ("Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown",
              "BandwidthLimitExceeded", "LimitExceededException", "PriorRequestNotComplete")


def _refusal(operation: Operation, response: Mapping[str, Any]) -> Trouble:
    """What AWS answered. The code counts, as the statuses of AWS and of its doubles differ."""
    error = response.get("Error") or {}
    code, said = str(error.get("Code")), str(error.get("Message"))
    if any(word in code for word in _THROTTLES) or _status(response) == 429:
        return Trouble("throttled", "AWS refuses more requests just now; it is asked again later",
                       True)
    if "AccessDenied" in code:
        return _denied(operation, code + said)
    known = operation.known(code, said) or _CODES.get(code)
    if known is not None:
        return known
    if code.startswith(("Internal", "ServiceUnavailable")) or _status(response) >= 500:
        return Trouble("AWS has trouble (%s)" % _word(code), "it is asked again later", True)
    return Trouble("AWS refuses (%s)" % _word(code),
                   "look this code up in the manual of %s; check aws.region and aws.endpoint_url" %
                   operation.name)


def _denied(operation: Operation, said: str) -> Trouble:
    """A key that may not be used is an access that is denied too, as is its absence from a policy.
    """
    if "KMS" in said or "kms:" in said or "Kms" in said:
        grant = _GRANT % ("kms:Decrypt", "the customer-managed key of " + operation.subject)
        return Trouble("KMS access denied", grant + ", and in the policy of the key")
    caller = _CALLER.search(said)
    who = " to " + caller.group(1) if caller else ""
    return Trouble("access denied" + who, _GRANT % (operation.permission, operation.subject))


def _status(response: Mapping[str, Any]) -> int:
    status: Optional[int] = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    return status or 0


def _word(code: str) -> str:
    """An error code as it may be shown; what is no plain word comes from something else."""
    return code if re.match(r"[\w.]{1,60}\Z", code) else "an unknown code"


_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError"}
_BAD_CREDENTIALS = {"CredentialRetrievalError", "ProfileNotFound", "ConfigParseError", "SSOError",
                    "ConfigNotFound", "MetadataRetrievalError", "TokenRetrievalError",
                    "InvalidConfigError", "InfiniteLoopConfigError", "UnknownCredentialError",
                    "RefreshWithMFAUnsupportedError", "UnauthorizedSSOTokenError"}
_UNREACHABLE = {"HTTPClientError", "ConnectionError", "ConnectTimeoutError", "OSError"}


def _failure(operation: Operation, kind: type) -> Trouble:
    """No answer, or no request in the first place, told by the name of botocore's exception."""
    names = {one.__name__ for one in kind.__mro__}
    shown = _word(kind.__name__)
    if names & _NO_CREDENTIALS:
        return NO_CREDENTIALS
    if names & _BAD_CREDENTIALS:
        return Trouble("the AWS credentials cannot be loaded (%s)" % shown,
                       "check the AWS profile, its files and the AWS_ variables of StackStorm's "
                       "processes")
    if "SSLError" in names:
        return Trouble("the TLS certificate is not trusted", "check aws.endpoint_url; for a CA of "
                       "your own set AWS_CA_BUNDLE to its file")
    if names & _UNREACHABLE:
        return Trouble("AWS cannot be reached (%s)" % shown,
                       "check the network, the proxy, aws.region and aws.endpoint_url", True)
    return operation.known(kind.__name__, "") or Trouble(
        "the request cannot be made or its answer not read (%s)" % shown,
        "check aws.region and aws.endpoint_url")
