"""AWS Secrets Manager: one read of a secret, and what its own refusals mean.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Union

from .aws import NO_CREDENTIALS, Operation, Trouble, attempt, make_client
from .errors import CredentialsError
from .settings import Settings

_ARN = re.compile(r"arn:[a-z0-9-]+:secretsmanager:([a-z0-9-]+):\d*:secret:.")


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

    Raises CredentialsError, retryable where waiting helps.
    """
    region = region_of(name.id, settings)
    operation = Operation("GetSecretValue", "secretsmanager:GetSecretValue", "this secret",
                          _refusals_of(name))
    found = attempt(operation, lambda: _text(make_client(
        "secretsmanager", region, settings).get_secret_value(SecretId=name.id)))
    if isinstance(found, str):
        return found
    hint = found.hint + _INSTEAD % name.instead if found is NO_CREDENTIALS else found.hint
    raise CredentialsError("AWS Secrets Manager (%s), secret of %s: %s" %
                           (region, name.setting, found.words), hint, found.retryable)


def region_of(secret_id: str, settings: Settings) -> str:
    """The region of an ARN, as a secret is only found in its own; else `aws.region`."""
    arn = _ARN.match(secret_id)
    return arn.group(1) if arn else settings.aws.region


def _text(found: Mapping[str, Any]) -> Union[str, Trouble]:
    """`SecretString`, or `SecretBinary` as UTF-8; never both are there."""
    text, binary = found.get("SecretString"), found.get("SecretBinary")
    if text is None and binary is None:
        return Trouble("the answer holds no secret",
                       "check aws.endpoint_url; a proxy may be answering")
    if text is None:
        try:
            text = bytes(binary or b"").decode("utf-8")
        except ValueError:
            return Trouble("the secret is binary and no UTF-8 text", "store it as text")
    return str(text).strip() or Trouble("the secret is empty", "store a value in it")


_INSTEAD = "; a site without AWS sets %s (where that is set, its datastore key came back empty)"


def _refusals_of(name: SecretName) -> Callable[[str, str], Optional[Trouble]]:
    """What the error codes of this operation mean."""
    malformed = Trouble("AWS refuses the secret id",
                        "give %s as the name or the full ARN" % name.setting)

    def known(code: str, said: str) -> Optional[Trouble]:
        if code == "ResourceNotFoundException" and "staging label" in said:
            return Trouble("the secret has no current value", "store a value in it")
        if code == "InvalidRequestException" and "delet" in said:
            return Trouble(
                "the secret is scheduled for deletion",
                "restore it (aws secretsmanager restore-secret), or name another one in " +
                name.setting)
        return {
            "ResourceNotFoundException": Trouble(
                "secret not found", "create it in this region, or correct %s and aws.region" %
                name.setting + _INSTEAD % name.instead),
            "DecryptionFailure": Trouble(
                "KMS cannot decrypt the secret",
                "allow kms:Decrypt for its key in the policy of the AWS role or user that "
                "StackStorm runs with, and see that the key is enabled"),
            "InvalidParameterException": malformed,
            "ValidationException": malformed,
            "ParamValidationError": malformed}.get(code)

    return known
