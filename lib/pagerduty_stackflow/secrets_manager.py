"""AWS Secrets Manager: read one secret.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple, Union

from .aws import NO_CREDENTIALS, POLICY, AwsFailure, Table, call_aws, make_client
from .errors import CredentialsError
from .settings import Settings

_ARN = re.compile(r"arn:[a-z0-9-]+:secretsmanager:([a-z0-9-]+):\d*:secret:.")


class SecretName(NamedTuple):
    """The id or ARN of a secret, the setting that holds it, and the settings that can replace it.

    Messages show the setting: the id itself may be a secret that was put there.
    """

    id: str
    setting: str
    instead: str


def fetch(name: SecretName, settings: Settings) -> str:
    """Read the text of a secret's current value (stage AWSCURRENT, AWS's default).

    Raises CredentialsError, retryable if waiting helps.
    """
    arn = _ARN.match(name.id)
    region = arn.group(1) if arn else settings.aws.region  # a secret is in one region only
    instead = ("; a site without AWS sets %s (if that is set, its datastore key came back empty)" %
               name.instead)
    found = call_aws("secretsmanager:GetSecretValue", lambda: _text(make_client(
        "secretsmanager", region, settings).get_secret_value(SecretId=name.id)),
        _failures(name.setting, instead))
    if isinstance(found, str):
        return found
    raise CredentialsError(
        "AWS Secrets Manager (%s), secret of %s: %s" % (region, name.setting, found.message),
        found.hint + instead if found == NO_CREDENTIALS else found.hint, found.retryable)


def _text(answer: Mapping[str, Any]) -> Union[str, AwsFailure]:
    """Return the text of a secret, which AWS sends as text or as bytes."""
    text, binary = answer.get("SecretString"), answer.get("SecretBinary")
    if text is None and binary is None:
        return AwsFailure("the answer holds no secret",
                          "check aws.endpoint_url; a proxy may be answering")
    try:
        found = str(bytes(binary or b"").decode("utf-8") if text is None else text).strip()
    except ValueError:
        return AwsFailure("the secret is binary and no UTF-8 text", "store it as text")
    return found or AwsFailure("the secret is empty", "store a value in it")


def _failures(setting: str, instead: str) -> Table:
    """Return what the error codes of this operation mean."""
    return (
        (r"ResourceNotFoundException:.*staging label", AwsFailure(
            "the secret has no current value", "store a value in it")),
        (r"ResourceNotFoundException", AwsFailure(
            "secret not found", "create it in this region, or correct %s and aws.region%s" % (
                setting, instead))),
        (r"InvalidRequestException:.*delet", AwsFailure(
            "the secret is scheduled for deletion", "restore it (aws secretsmanager "
            "restore-secret), or name another one in " + setting)),
        (r"DecryptionFailure", AwsFailure(
            "KMS cannot decrypt the secret",
            "allow kms:Decrypt for its key %s, and check that the key is enabled" % POLICY)),
        (r"InvalidParameterException|ValidationException|ParamValidationError", AwsFailure(
            "AWS refuses the secret id", "give the name or the full ARN in " + setting)))
