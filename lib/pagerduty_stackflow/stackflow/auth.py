"""Signing in to StackFlow: client credentials, user and password, or a ready token.

https://docs.stackflow-tech.com/api/authentication.html, api/quickstart.html, dev/api-reference.html
(they disagree about which token the API takes, so `stackflow.auth.token_field` says it);
https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_InitiateAuth.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
from typing import Any, Dict, Mapping, Optional, Tuple

from ..answers import STACKFLOW
from ..clock import Clock
from ..credentials import Secrets, json_fields
from ..errors import ApiError, CredentialsError, PackError
from ..secret_cache import SecretCache, SecretStore, fingerprint
from ..secrets_manager import SecretName
from ..settings import Settings, StackFlowAuth
from ..transport import Transport

MARGIN = 100
"""Seconds before its end from which a token is not used any more (api/sdk-examples.html)."""
UNKNOWN_LIFETIME = 300
"""Seconds that a token is kept whose answer does not say for how long it is valid."""
LONGEST = 24 * 3600
INITIATE_AUTH = "AWSCognitoIdentityProviderService.InitiateAuth"
NEEDS = {"client_credentials": ("client_secret",), "user_password": ("username", "password"),
         "token": ("token",)}
COGNITO_FIELDS = {"access_token": "AccessToken", "id_token": "IdToken"}
_WHERE = "the secret of stackflow.auth.secret"


class TokenSource:
    """Gives the bearer token. Nothing is read, and nobody signs in, before the first call."""

    def __init__(self, settings: Settings, transport: Transport, store: SecretStore, clock: Clock,
                 secrets: Secrets) -> None:
        auth = self._auth = settings.stackflow.auth
        self._transport = transport
        self._secrets = secrets
        self._cache = SecretCache(store, clock)
        self._url = auth.token_url or settings.aws.endpoint_url or (
            "https://cognito-idp.%s.amazonaws.com/" % settings.aws.region)
        self._name = "stackflow_token." + fingerprint(
            settings.stackflow.instance_url, auth.method, self._url, auth.client_id, auth.scope,
            auth.token_field, auth.secret)
        self._made_from = fingerprint(auth.client_secret, auth.username, auth.password)

    def token(self, refused: bool = False) -> str:
        """The token to send, from the cache until MARGIN seconds before its end; with ``refused`` a
        new one. Raises CredentialsError, or a retryable ApiError where nobody answers.
        """
        if self._auth.method == "token":
            return self._ready_token(refused)
        kept = None if refused else self._cache.read(self._name, self._made_from)
        if kept is not None:
            return kept
        sign_in = (self._client_credentials if self._auth.method == "client_credentials" else
                   self._user_password)
        try:
            token, seconds = sign_in()
        except PackError:
            if refused:
                self._cache.drop(self._name)
            raise
        self._cache.write(self._name, token, seconds - MARGIN, self._made_from)
        return token

    def _ready_token(self, refused: bool) -> str:
        if self._auth.token:
            if refused:
                todo = "store a new one in the datastore key behind stackflow.auth.token"
                raise CredentialsError("StackFlow refuses the token, it is expired or revoked: " +
                                       todo, todo)
            return self._auth.token
        return self._secrets.value(self._secret_name(), _pick_token, refused)

    def _client_credentials(self) -> Tuple[str, float]:
        """RFC 6749, 4.4, with the client's secret in the form, as the vendor's example has it."""
        form = {"grant_type": "client_credentials", "client_id": self._auth.client_id or "",
                "client_secret": self._values()["client_secret"]}
        if self._auth.scope:
            form["scope"] = self._auth.scope
        body = self._post({"Accept": "application/json"}, form=form)
        return self._token_of(body, self._auth.token_field), _lifetime(body.get("expires_in"))

    def _user_password(self) -> Tuple[str, float]:
        """Cognito's InitiateAuth with USER_PASSWORD_AUTH."""
        values = self._values()
        given = {"USERNAME": values["username"], "PASSWORD": values["password"]}
        if values.get("client_secret"):
            given["SECRET_HASH"] = _secret_hash(values["client_secret"], values["username"],
                                                self._auth.client_id or "")
        body = self._post({"Content-Type": "application/x-amz-json-1.1",
                           "X-Amz-Target": INITIATE_AUTH},
                          data={"AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": given,
                                "ClientId": self._auth.client_id})
        if body.get("ChallengeName"):
            raise _challenge(str(body["ChallengeName"]))
        result = body.get("AuthenticationResult")
        result = result if isinstance(result, dict) else {}
        return (self._token_of(result, COGNITO_FIELDS[self._auth.token_field]),
                _lifetime(result.get("ExpiresIn")))

    def _token_of(self, body: Mapping[str, Any], field: str) -> str:
        token = body.get(field)
        if isinstance(token, str) and re.match(r"[!-~]+\Z", token):
            return token
        raise CredentialsError(
            "StackFlow sign-in: the answer holds no %s" % field,
            "set stackflow.auth.token_field to %s, or check stackflow.auth.token_url; client "
            "credentials usually bring no id_token" % _other_field(self._auth))

    def _values(self) -> Dict[str, str]:
        """The config's own values, and those of the secret where the config lacks one."""
        auth = self._auth
        values = {name: value for name, value in (
            ("client_secret", auth.client_secret), ("username", auth.username),
            ("password", auth.password)) if value}
        names = NEEDS[auth.method]
        if not all(name in values for name in names):
            text = self._secrets.fetch(self._secret_name())
            values = dict(_fields(text, names), **values)
        return values

    def _secret_name(self) -> SecretName:
        if not self._auth.secret:
            raise CredentialsError("stackflow.auth holds neither credentials nor a secret",
                                   "is the datastore key behind stackflow.auth set?")
        instead = " and ".join("stackflow.auth." + name for name in NEEDS[self._auth.method])
        return SecretName(self._auth.secret, "stackflow.auth.secret", instead)

    def _post(self, headers: Mapping[str, str], data: Any = None,
              form: Optional[Mapping[str, str]] = None) -> Mapping[str, Any]:
        """Sign in; signing in twice does no harm."""
        try:
            answer = self._transport.request(STACKFLOW, "POST", self._url, headers, data=data,
                                             form=form)
            return answer.body if isinstance(answer.body, dict) else {}
        except ApiError as error:
            refusal = _refusal(error, self._auth)
        raise refusal


def forbidden_hint(auth: StackFlowAuth) -> str:
    """What to do about a 403 of the API: api/authentication.html answers so to an access token."""
    remedy = ("give an ID token in place of an access token" if auth.method == "token" else
              "set stackflow.auth.token_field to " + _other_field(auth))
    return ("the role used at StackFlow may not do this; or StackFlow wants the other kind of "
            "token, then " + remedy)


def _other_field(auth: StackFlowAuth) -> str:
    return "id_token" if auth.token_field == "access_token" else "access_token"


def _pick_token(text: str) -> str:
    return _fields(text, NEEDS["token"])["token"]


def _fields(text: str, names: Tuple[str, ...]) -> Dict[str, str]:
    """The fields of a secret; a plain text is the only one that is needed."""
    fields = json_fields(text, _WHERE)
    if not fields and len(names) == 1:
        fields = {names[0]: text.strip()}
    missing = [name for name in names if name not in fields]
    if missing:
        raise CredentialsError("%s holds no %s" % (_WHERE, " and no ".join(missing)),
                               "store a JSON object with " + " and ".join(names))
    return fields


def _secret_hash(secret: str, username: str, client_id: str) -> str:
    """What an app client with a secret asks for (Cognito, Computing secret hash values)."""
    made = hmac.new(secret.encode(), (username + client_id).encode(), hashlib.sha256)
    return base64.b64encode(made.digest()).decode()


def _lifetime(value: Any) -> float:
    """Seconds from `expires_in`, which some servers send as text."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    return min(seconds, LONGEST) if seconds > 0 else MARGIN + UNKNOWN_LIFETIME


def _challenge(name: str) -> CredentialsError:
    if name == "NEW_PASSWORD_REQUIRED":
        return CredentialsError("StackFlow sign-in: the user has to set a new password",
                                "sign in to the StackFlow portal once as this user, or give it a "
                                "permanent password in Cognito")
    if "MFA" in name or "OTP" in name:
        return CredentialsError("StackFlow sign-in: the user needs a second factor",
                                "use a service account without MFA, or stackflow.auth.method "
                                "client_credentials")
    shown = name if re.match(r"[A-Z_]{1,40}\Z", name) else "of an unknown kind"
    return CredentialsError("StackFlow sign-in: Cognito asks for a further step (%s)" % shown,
                            "use a service account that signs in with its password alone")


_WRONG_CLIENT = ("the client id or its secret is wrong",
                 "check stackflow.auth.client_id and client_secret (or secret)")
_WRONG_PASSWORD = ("the user name or password is wrong",
                   "check stackflow.auth.username and password (or secret), and that the user is "
                   "enabled; an app client with a secret needs client_secret too")
_FLOW = ("the app client does not allow this way to sign in",
         "enable it for the app client in Cognito, or choose another stackflow.auth.method")
_ENDPOINT = ("the token endpoint is wrong", "check stackflow.auth.token_url")
_NOT_COGNITO = ("stackflow.auth.token_url answers as no Cognito does",
                "leave it out: with user_password it stands in place of Cognito's own endpoint")
_OAUTH = {  # RFC 6749, 5.2
    "invalid_client": _WRONG_CLIENT,
    "invalid_grant": _WRONG_CLIENT,
    "unauthorized_client": _FLOW,
    "unsupported_grant_type": _FLOW,
    "invalid_scope": ("the scope is unknown", "check stackflow.auth.scope"),
}
_COGNITO = {
    "NotAuthorizedException": _WRONG_PASSWORD,
    "UserNotFoundException": _WRONG_PASSWORD,
    "UserNotConfirmedException": ("the user is not confirmed", "confirm the user in Cognito"),
    "PasswordResetRequiredException": (
        "the password was reset", "set a new password for the user and store it"),
    "InvalidParameterException": _FLOW,
    "ResourceNotFoundException": (
        "Cognito does not know the app client", "check stackflow.auth.client_id and aws.region"),
}


def _refusal(error: ApiError, auth: StackFlowAuth) -> Exception:
    """A refused sign-in is no answer of the API, so it must not look like one (404: no record, 401:
    sign in again). What may pass by itself stays as it is.
    """
    if error.retryable or error.status is None:
        return error
    code = str(error.code).rpartition("#")[2]
    if auth.method == "user_password":
        if code in ("TooManyRequestsException", "LimitExceededException"):
            return CredentialsError("StackFlow sign-in: Cognito is asked too often (%s)" %
                                    error.message, "wait some minutes and run it again", True)
        known = _NOT_COGNITO if auth.token_url and error.code is None else _COGNITO.get(code)
    else:
        known = next((_OAUTH[word] for word in _OAUTH if word in error.message), None)
        if known is None and error.status in (401, 403):
            known = _WRONG_CLIENT
    if known is None and error.status in (301, 302, 303, 307, 308, 404, 405):
        known = _ENDPOINT
    words, hint = known or ("refused", "check the settings under stackflow.auth")
    return CredentialsError("StackFlow sign-in: %s (%s)" % (words, error.message), hint)
