"""Who is asking: tokens, the two ways to get one, and what a role may do.

api/authentication.html, admin/authentication.html, api/quickstart.html, dev/api-reference.html,
admin/users.html. The token service is AWS Cognito, so its answers follow Cognito's own manual.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Optional, Tuple
from urllib.parse import parse_qsl

from dev.simulators.base import Request
from dev.simulators.stackflow.refusals import Refusal, forbidden
from dev.simulators.stackflow.switches import Switches

TOKEN_SECONDS = 3600  # api/authentication.html: both kinds are valid for one hour
SIGN_IN = "AWSCognitoIdentityProviderService.InitiateAuth"

# admin/users.html. cloud_admin, ai_engineer and developer have other modules; viewer reads only.
READS_ALL = ("super_admin", "itsm_manager", "viewer")
WRITES_ALL = ("super_admin", "itsm_manager")
OWN_AND_ASSIGNED = ("itsm_agent",)

Answer = Tuple[int, Dict[str, Any]]


@dataclass
class Token:
    """A bearer token; `kind` is "id", "access", or "any" for one that passes as either."""

    value: str = field(repr=False)
    kind: str
    role: str
    user: str
    expires_at: Optional[datetime] = None


@dataclass
class Client:
    """An app client of the client-credentials flow."""

    secret: str = field(repr=False)
    role: str
    user: str


@dataclass
class Account:
    """Somebody who signs in with a password."""

    password: str = field(repr=False)
    role: str


class Identity:
    """The user pool and the authorizer in front of the API."""

    def __init__(self, now: Callable[[], datetime], switches: Switches) -> None:
        self._now = now
        self._switches = switches
        self._issued = 0
        self.tokens: Dict[str, Token] = {}
        self.clients: Dict[str, Client] = {}
        self.accounts: Dict[str, Account] = {}

    def authenticate(self, request: Request) -> Token:
        """The token of a request: 401 if missing, unknown or expired; 403 if of the wrong kind."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = self.tokens.get(value.strip())
        if scheme.lower() != "bearer" or token is None:
            raise Refusal(401, "UNAUTHORIZED", "Missing or invalid token")
        if token.expires_at is not None and token.expires_at <= self._now():
            raise Refusal(401, "TOKEN_EXPIRED", "Token expired")
        if self._switches.accepts not in ("both", token.kind) and token.kind != "any":
            raise forbidden("This kind of token is not accepted")
        if not token.role:
            raise forbidden("User has no role")  # troubleshooting/auth.html
        return token

    def effective_role(self, token: Token) -> str:
        """api/rate-limits-errors.html names `service_account`, but no page names its rights."""
        if token.role == "service_account":
            return self._switches.service_account_acts_as
        return token.role

    def token_endpoint(self, request: Request) -> Answer:
        """Client credentials in a form (dev/api-reference.html) or, as Cognito allows, as Basic."""
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            known = "grant_type" in form
            return 400, {"error": "unsupported_grant_type" if known else "invalid_request"}
        posted = form.get("client_id", ""), form.get("client_secret", "")
        name, secret = _basic(request) or posted
        client = self.clients.get(name)
        if client is None or not secret or client.secret != secret:
            return 400, {"error": "invalid_client"}
        answer = {"access_token": self._issue("access", client.role, client.user),
                  "expires_in": TOKEN_SECONDS, "token_type": "Bearer"}
        # Plain OAuth has no ID token without a user; api/authentication.html asks for one.
        if self._switches.id_token_with_client_credentials:
            answer["id_token"] = self._issue("id", client.role, client.user)
        return 200, answer

    def sign_in(self, request: Request) -> Answer:
        """InitiateAuth with USER_PASSWORD_AUTH (api/quickstart.html, api/sdk-examples.html)."""
        try:
            body = request.json()
            flow, given = body["AuthFlow"], body["AuthParameters"]
            name, password = str(given["USERNAME"]), str(given["PASSWORD"])
        except (ValueError, KeyError, TypeError):
            return _refused("InvalidParameterException", "Missing required parameter")
        if body.get("ClientId") not in self.clients:
            return _refused("ResourceNotFoundException", "User pool client does not exist.")
        if flow != "USER_PASSWORD_AUTH" or not self._switches.user_password_auth:
            return _refused("InvalidParameterException",
                            "{} flow not enabled for this client".format(flow))
        account = self.accounts.get(name)
        if account is None or account.password != password:
            return _refused("NotAuthorizedException", "Incorrect username or password.")
        if account.role in self._switches.mfa_required_roles:
            return 200, {"ChallengeName": "SOFTWARE_TOKEN_MFA", "ChallengeParameters": {}}
        tokens = {"IdToken": self._issue("id", account.role, name),
                  "AccessToken": self._issue("access", account.role, name),
                  "ExpiresIn": TOKEN_SECONDS, "TokenType": "Bearer"}
        return 200, {"AuthenticationResult": tokens, "ChallengeParameters": {}}

    def add_token(self, value: str, kind: str, role: str, user: str,
                  seconds: Optional[float] = None) -> Token:
        """A ready-made token, valid for so many seconds; None: until it is revoked."""
        expires_at = None if seconds is None else self._now() + timedelta(seconds=seconds)
        self.tokens[value] = Token(value, kind, role, user, expires_at)
        return self.tokens[value]

    def _issue(self, kind: str, role: str, user: str) -> str:
        self._issued += 1
        value = "simulated-{}-token-{:06d}".format(kind, self._issued)
        return self.add_token(value, kind, role, user, TOKEN_SECONDS).value


def _refused(kind: str, message: str) -> Answer:
    return 400, {"__type": kind, "message": message}


def _basic(request: Request) -> Optional[Tuple[str, str]]:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret
