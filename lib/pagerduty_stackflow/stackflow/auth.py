"""Signing in to StackFlow: client credentials, user and password, or a ready token.

https://docs.stackflow-tech.com/api/authentication.html, api/quickstart.html, dev/api-reference.html
(they disagree about which token the API takes, so `stackflow.auth.token_field` says it);
https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_InitiateAuth.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any, Dict, Sequence, Tuple

from .. import secrets_manager
from ..answers import STACKFLOW
from ..credentials import Secrets, digest, json_fields
from ..deliveries import as_object
from ..errors import ApiError, CredentialsError, PackError
from ..secrets_manager import SecretName
from ..settings import Settings, StackFlowAuth
from ..transport import Call, Transport

MARGIN = 100
"""Seconds before its end from which a token is not used any more (api/sdk-examples.html)."""
UNKNOWN_LIFETIME = 300
"""Seconds that a token is kept if its answer does not say for how long it is valid."""
LONGEST = 24 * 3600
NEEDS = {"client_credentials": ("client_secret",), "user_password": ("username", "password"),
         "token": ("token",)}
COGNITO_HEADERS = {"Content-Type": "application/x-amz-json-1.1",
                   "X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth"}
COGNITO_FIELDS = {"access_token": "AccessToken", "id_token": "IdToken"}


class TokenSource:
    """Gives the bearer token. Nothing is read, and nobody signs in, before the first call."""

    def __init__(self, settings: Settings, transport: Transport, secrets: Secrets) -> None:
        auth = self._auth = settings.stackflow.auth
        self._settings = settings
        self._transport = transport
        self._secrets = secrets
        self._url = auth.token_url or settings.aws.endpoint_url or (
            "https://cognito-idp.%s.amazonaws.com/" % settings.aws.region)
        self._name = "stackflow_token." + digest(
            settings.stackflow.instance_url, auth.method, self._url, auth.client_id, auth.scope,
            auth.token_field, auth.secret)

    def token(self, refused: bool = False) -> str:
        """Return the token to send, with ``refused`` a new one.

        Raises CredentialsError, or a retryable ApiError if nobody answers.
        """
        auth = self._auth
        if auth.method != "token":
            return self._secrets.cached(self._name, self._sign_in, refused, digest(
                auth.client_secret, auth.username, auth.password))
        if not auth.token:
            return self._secrets.secret(self._secret_name(),
                                        lambda text: self._fields(text)["token"], refused)
        if refused:
            todo = "store a new one in the datastore key behind stackflow.auth.token"
            raise CredentialsError("StackFlow refuses the token, it is expired or revoked: " + todo,
                                   todo)
        return auth.token

    def _sign_in(self, _: str) -> Tuple[str, float]:
        """Return a new token and the seconds that it may be used."""
        field = self._auth.token_field
        if self._auth.method == "client_credentials":
            body = self._post(self._client_credentials())
            lifetime = body.get("expires_in")
        else:
            body = self._post(self._user_password())
            if body.get("ChallengeName"):
                name = re.match(r"[A-Z_]{1,40}\Z", str(body["ChallengeName"]))
                raise _explained(name.group() if name else "of an unknown kind", (
                    "Cognito asks for a further step",
                    "use a service account that signs in with its password alone"))
            body, field = as_object(body.get("AuthenticationResult")), COGNITO_FIELDS[field]
            lifetime = body.get("ExpiresIn")
        token = body.get(field)
        if not isinstance(token, str) or not re.match(r"[!-~]+\Z", token):
            raise CredentialsError(
                "StackFlow sign-in: the answer holds no %s" % field,
                "set stackflow.auth.token_field to %s, or check stackflow.auth.token_url; client "
                "credentials usually bring no id_token" % _other_field(self._auth))
        try:
            seconds = float(str(lifetime))  # some servers send text
        except ValueError:
            seconds = 0
        return token, min(seconds, LONGEST) - MARGIN if seconds > 0 else UNKNOWN_LIFETIME

    def _client_credentials(self) -> Call:
        """Follow RFC 6749, 4.4, with the client's secret in the form."""
        form = {"grant_type": "client_credentials", "client_id": self._auth.client_id or "",
                "client_secret": self._values()["client_secret"]}
        if self._auth.scope:
            form["scope"] = self._auth.scope
        return Call(STACKFLOW, "POST", self._url, {"Accept": "application/json"}, form=form)

    def _user_password(self) -> Call:
        """Follow Cognito's InitiateAuth with USER_PASSWORD_AUTH."""
        values, client_id = self._values(), self._auth.client_id or ""
        given = {"USERNAME": values["username"], "PASSWORD": values["password"]}
        if values.get("client_secret"):
            given["SECRET_HASH"] = secret_hash(values["client_secret"], values["username"],
                                               client_id)
        return Call(STACKFLOW, "POST", self._url, COGNITO_HEADERS, json={
            "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": given, "ClientId": client_id})

    def _values(self) -> Dict[str, str]:
        """Return the config's own values, and those of the secret if the config lacks one."""
        auth = self._auth
        values = {name: str(getattr(auth, name)) for name in
                  ("client_secret", "username", "password") if getattr(auth, name)}
        if all(name in values for name in NEEDS[auth.method]):
            return values
        text = secrets_manager.fetch(self._secret_name(), self._settings)
        return dict(self._fields(text), **values)

    def _secret_name(self) -> SecretName:
        if not self._auth.secret:
            raise CredentialsError("stackflow.auth holds neither credentials nor a secret",
                                   "is the datastore key behind stackflow.auth set?")
        return SecretName(self._auth.secret, "stackflow.auth.secret", " and ".join(
            "stackflow.auth." + name for name in NEEDS[self._auth.method]))

    def _fields(self, text: str) -> Dict[str, str]:
        """Return the fields of a secret; a plain text is the only one that is needed."""
        where, names = "the secret of stackflow.auth.secret", NEEDS[self._auth.method]
        fields = json_fields(text, where, names[0] if len(names) == 1 else "")
        missing = [name for name in names if name not in fields]
        if missing:
            raise CredentialsError("%s holds no %s" % (where, " and no ".join(missing)),
                                   "store a JSON object with " + " and ".join(names))
        return fields

    def _post(self, call: Call) -> Dict[str, Any]:
        """Sign in. A final refusal becomes a CredentialsError: in the API 404 means no record."""
        try:
            return as_object(self._transport.request(call))
        except ApiError as error:
            refusal = _refusal(error, self._auth)
        raise refusal


def forbidden_hint(auth: StackFlowAuth) -> str:
    """Return the hint for a 403, which StackFlow sends for the wrong kind of token too."""
    remedy = ("give an ID token in place of an access token" if auth.method == "token" else
              "set stackflow.auth.token_field to " + _other_field(auth))
    return ("the role used at StackFlow may not do this; or StackFlow wants the other kind of "
            "token, then " + remedy)


def secret_hash(secret: str, username: str, client_id: str) -> str:
    """Return the SECRET_HASH of an app client (Cognito, Computing secret hash values)."""
    made = hmac.new(secret.encode(), (username + client_id).encode(), hashlib.sha256)
    return base64.b64encode(made.digest()).decode()


def _other_field(auth: StackFlowAuth) -> str:
    return "id_token" if auth.token_field == "access_token" else "access_token"


_CAUSES: Sequence[Tuple[str, str, str]] = (
    # RFC 6749, 5.2, and the errors and challenges of InitiateAuth
    ("invalid_client|invalid_grant", "the client id or its secret is wrong",
     "check stackflow.auth.client_id and client_secret (or secret)"),
    ("unauthorized_client|unsupported_grant_type|InvalidParameterException",
     "the app client does not allow this way to sign in",
     "enable it for the app client in Cognito, or choose another stackflow.auth.method"),
    ("invalid_scope", "the scope is unknown", "check stackflow.auth.scope"),
    ("NotAuthorizedException|UserNotFoundException", "the user name or password is wrong",
     "check stackflow.auth.username and password (or secret), and that the user is enabled; an app "
     "client with a secret needs client_secret too"),
    ("UserNotConfirmedException", "the user is not confirmed", "confirm the user in Cognito"),
    ("PasswordResetRequiredException", "the password was reset",
     "set a new password for the user and store it"),
    ("ResourceNotFoundException", "Cognito does not know the app client",
     "check stackflow.auth.client_id and aws.region"),
    ("TooManyRequestsException|LimitExceededException", "Cognito is asked too often",
     "wait some minutes and run it again"),
    ("^NEW_PASSWORD_REQUIRED", "the user has to set a new password",
     "sign in to the StackFlow portal once as this user, or give it a permanent password"),
    (r"^\w*(MFA|OTP)", "the user needs a second factor",
     "use a service account without one, or stackflow.auth.method client_credentials"))
"""Patterns, what they mean, and what to do; the first that is found counts."""


def _refusal(error: ApiError, auth: StackFlowAuth) -> PackError:
    if error.retryable or error.status is None:
        return error
    cause = ("refused", "check the settings under stackflow.auth")
    if error.status in (404, 405) or error.status < 400 or (
            auth.method == "user_password" and error.code is None):
        cause = ("the token endpoint is wrong",
                 "check stackflow.auth.token_url; with user_password leave it out")
    elif error.status in (401, 403) and auth.method == "client_credentials":
        cause = _CAUSES[0][1:]
    return _explained(error.message, cause)


def _explained(said: str, cause: Tuple[str, str]) -> CredentialsError:
    """Return the error for what the token endpoint said, with ``cause`` if no pattern is found."""
    words, hint = next((row[1:] for row in _CAUSES if re.search(row[0], said)), cause)
    return CredentialsError("StackFlow sign-in: %s (%s)" % (words, said), hint,
                            "too often" in words)
