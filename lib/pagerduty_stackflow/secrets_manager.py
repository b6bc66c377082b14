"""AWS Secrets Manager: one read of a secret, and words for every way in which it can fail.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from .errors import CredentialsError
from .settings import Settings

TRIES = 3
"""Requests of one read at most; between them boto3 waits a second or two."""
_ARN = re.compile(r"arn:[a-z0-9-]+:secretsmanager:([a-z0-9-]+):\d*:secret:.")
_CALLER = re.compile(r"User: (arn:[\w:/.@=,+-]+) is not authorized")


@dataclass(frozen=True)
class SecretName:
    """Which secret: its name or ARN, the key of the config that gave it, and which keys of the
    config stand in its place.

    Messages show the key of the config: the id itself may be a secret that was put there.
    """

    id: str
    setting: str
    instead: str


def fetch(name: SecretName, settings: Settings) -> str:
    """The text of the secret's current value (stage AWSCURRENT, which is AWS's default).

    Signs with what boto3's default chain finds. Takes no longer than `http.total_seconds`, as every
    try is timed. Raises CredentialsError, retryable where waiting helps.
    """
    answer = _ask(name, settings)
    if isinstance(answer, CredentialsError):
        raise answer  # here, so that no exception that may quote a secret is chained to it
    return answer


def region_of(secret_id: str, settings: Settings) -> str:
    """The region of an ARN, as a secret is only found in its own; else `aws.region`."""
    arn = _ARN.match(secret_id)
    return arn.group(1) if arn else settings.aws.region


def make_client(region: str, settings: Settings) -> Any:
    """A boto3 client with the pack's own time limits."""
    import boto3
    from botocore.config import Config
    logger = logging.getLogger("botocore")
    if logger.getEffectiveLevel() < logging.INFO:
        logger.setLevel(logging.INFO)  # at DEBUG it logs whole answers
    # Every try waits twice at most, to connect and to read; half of the budget is for the pauses.
    seconds = min(settings.http.timeout_seconds, settings.http.total_seconds / (4 * TRIES))
    config = Config(connect_timeout=seconds, read_timeout=seconds,
                    retries={"mode": "standard", "total_max_attempts": TRIES})
    return boto3.session.Session().client("secretsmanager", region_name=region,
                                          endpoint_url=settings.aws.endpoint_url, config=config)


def _ask(name: SecretName, settings: Settings) -> Union[str, CredentialsError]:
    region = region_of(name.id, settings)
    try:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
    except ImportError:
        return CredentialsError(
            "boto3 is not installed, so %s cannot be read" % name.setting,
            "set the pack's virtualenv up again: st2 run packs.setup_virtualenv "
            "packs=pagerduty_stackflow")
    try:
        found = make_client(region, settings).get_secret_value(SecretId=name.id)
    except ClientError as error:
        return _refusal(name, region, error.response)
    except (BotoCoreError, ResponseParserError, ValueError, OSError) as error:
        return _failure(name, region, type(error))
    return _text(name, region, found)


def _text(name: SecretName, region: str,
          found: Mapping[str, Any]) -> Union[str, CredentialsError]:
    """`SecretString`, or `SecretBinary` as UTF-8; never both are there."""
    text, binary = found.get("SecretString"), found.get("SecretBinary")
    if text is None and binary is None:
        return _error(name, region, "the answer holds no secret",
                      "check aws.endpoint_url; a proxy may be answering")
    if text is None:
        try:
            text = bytes(binary or b"").decode("utf-8")
        except ValueError:
            return _error(name, region, "the secret is binary and no UTF-8 text",
                          "store it as text")
    return str(text).strip() or _error(name, region, "the secret is empty", "store a value in it")


def _error(name: SecretName, region: str, words: str, hint: str,
           retryable: bool = False) -> CredentialsError:
    return CredentialsError("AWS Secrets Manager (%s), secret of %s: %s" %
                            (region, name.setting, words), hint, retryable)


_GRANT = "allow %s for %s in the policy of the AWS role or user that StackStorm runs with"
_NO_KMS = ("KMS access denied",
           _GRANT % ("kms:Decrypt", "the customer-managed key of this secret") +
           ", and in the policy of the key")
_EXPIRED = ("the AWS credentials have expired",
            "renew them, or use a role that renews itself, such as an instance profile")
_INVALID = ("the AWS credentials are not valid",
            "check the access key, its secret and the session token that boto3 finds, and the "
            "clock of this host")
_THROTTLED = ("throttled", "AWS refuses more requests just now; it is read again by the next run")
_MALFORMED = ("AWS refuses the secret id", "give %(setting)s as the name or the full ARN")
_ABSENT = ("secret not found", "create it in this region, or correct %(setting)s and aws.region"
                               "%(instead)s")
_INSTEAD = "; a site without AWS sets %s (where that is set, its datastore key came back empty)"

_CODES: Dict[str, Tuple[str, str]] = {
    "ResourceNotFoundException": _ABSENT,
    "DecryptionFailure": (
        "KMS cannot decrypt the secret",
        _GRANT % ("kms:Decrypt", "its key") + ", and see that the key is enabled"),
    "InvalidParameterException": _MALFORMED,
    "ValidationException": _MALFORMED,
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


def _refusal(name: SecretName, region: str, response: Mapping[str, Any]) -> CredentialsError:
    """What AWS answered. The code counts, as the statuses of AWS and of its doubles differ; its
    words are not repeated, as they quote ids and, for a wrong signature, the session token.
    """
    error = response.get("Error") or {}
    code, said = str(error.get("Code")), str(error.get("Message"))
    fill = {"setting": name.setting, "instead": _INSTEAD % name.instead}
    if any(word in code for word in _THROTTLES):
        return _error(name, region, *_THROTTLED, retryable=True)
    if code in ("AccessDeniedException", "AccessDenied"):
        return _error(name, region, *_denied(said))
    if code == "InvalidRequestException" and "delet" in said:
        return _error(name, region, "the secret is scheduled for deletion",
                      "restore it (aws secretsmanager restore-secret), or name another one in " +
                      name.setting)
    if code == "ResourceNotFoundException" and "staging label" in said:
        return _error(name, region, "the secret has no current value", "store a value in it")
    if code in _CODES:
        words, hint = _CODES[code]
        return _error(name, region, words, hint % fill)
    if code.startswith(("Internal", "ServiceUnavailable")) or _status(response) >= 500:
        return _error(name, region, "AWS has trouble (%s)" % _word(code),
                      "it is read again by the next run", retryable=True)
    return _error(name, region, "AWS refuses (%s)" % _word(code),
                  "look this code up in the manual of GetSecretValue; check %s and "
                  "aws.endpoint_url" % name.setting)


def _denied(said: str) -> Tuple[str, str]:
    """A key that may not be used is an AccessDeniedException too, as is its absence from a policy.
    """
    if "KMS" in said or "kms:" in said:
        return _NO_KMS
    caller = _CALLER.match(said)
    who = " to " + caller.group(1) if caller else ""
    return "access denied" + who, _GRANT % ("secretsmanager:GetSecretValue", "this secret")


def _status(response: Mapping[str, Any]) -> int:
    status: Optional[int] = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    return status or 0


def _word(code: str) -> str:
    """An error code as it may be shown; what is no plain word comes from something else."""
    return code if re.match(r"\w{1,60}\Z", code) else "an unknown code"


_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError"}
_BAD_CREDENTIALS = {"CredentialRetrievalError", "ProfileNotFound", "ConfigParseError", "SSOError",
                    "ConfigNotFound", "MetadataRetrievalError", "TokenRetrievalError",
                    "InvalidConfigError", "InfiniteLoopConfigError", "UnknownCredentialError",
                    "RefreshWithMFAUnsupportedError", "UnauthorizedSSOTokenError"}


def _failure(name: SecretName, region: str, kind: type) -> CredentialsError:
    """No answer, or no request in the first place, told by the name of botocore's exception."""
    names = {one.__name__ for one in kind.__mro__}
    shown = _word(kind.__name__)
    if names & _NO_CREDENTIALS:
        return _error(name, region, "no AWS credentials",
                      "give StackStorm's action runners and sensor containers a role or the AWS_ "
                      "variables" + _INSTEAD % name.instead)
    if names & _BAD_CREDENTIALS:
        return _error(name, region, "the AWS credentials cannot be loaded (%s)" % shown,
                      "check the AWS profile, its files and the AWS_ variables of StackStorm's "
                      "processes")
    if "SSLError" in names:
        return _error(name, region, "the TLS certificate is not trusted",
                      "check aws.endpoint_url; for a CA of your own set AWS_CA_BUNDLE to its file")
    if "ParamValidationError" in names:
        return _error(name, region, _MALFORMED[0], _MALFORMED[1] % {"setting": name.setting})
    if names & {"HTTPClientError", "ConnectionError", "ConnectTimeoutError", "OSError"}:
        return _error(name, region, "AWS cannot be reached (%s)" % shown,
                      "check the network, the proxy, aws.region and aws.endpoint_url", True)
    return _error(name, region, "the request cannot be made or its answer not read (%s)" % shown,
                  "check aws.region and aws.endpoint_url")
