"""The REST API: paths, roles and the form of answers, over the desk that does the work."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Tuple

from dev.simulators.base import Request, Response
from dev.simulators.stackflow import queries, webhooks
from dev.simulators.stackflow.desk import Desk
from dev.simulators.stackflow.identity import (
    OWN_AND_ASSIGNED, READS_ALL, SIGN_IN, WRITES_ALL, Identity, Token)
from dev.simulators.stackflow.limits import RateLimiter
from dev.simulators.stackflow.records import Incident
from dev.simulators.stackflow.refusals import Refusal, bad_request, forbidden, not_found
from dev.simulators.stackflow.switches import Switches
from dev.simulators.stackflow.webhooks import Subscription

BASE = re.compile(r"/prod/api(?:/v1)?(/.*)")  # api/overview.html: unversioned paths map to v1
HEALTH = {"status": "healthy", "version": "2026.1", "region": "us-east-1"}  # api/quickstart.html
WRITE_METHODS = ("POST", "PATCH", "DELETE")

# Makes a subscription: name, url, events, secret, filters.
Subscribe = Callable[..., Subscription]


class Api:
    """Answers requests. A method in ROUTES takes the token, the request and parts of the path."""

    def __init__(self, desk: Desk, identity: Identity, limits: RateLimiter, switches: Switches,
                 subscriptions: List[Subscription], subscribe: Subscribe) -> None:
        self._desk = desk
        self._identity = identity
        self._limits = limits
        self._switches = switches
        self._subscriptions = subscriptions
        self._subscribe = subscribe

    def answer(self, request: Request, timestamp: str) -> Response:
        """The answer to any request; the time goes into nested errors."""
        if (request.method, request.path) == ("POST", "/oauth2/token"):
            return Response.of(*self._identity.token_endpoint(request))
        if (request.method, request.path) == ("POST", "/"):
            return self._sign_in(request)
        headers: Dict[str, str] = {}
        try:
            status, document = self._dispatch(request, headers)
        except Refusal as refusal:
            status, document = refusal.status, refusal.body(self._switches.error_shape, timestamp)
        return Response.of(status, document, headers)

    def _sign_in(self, request: Request) -> Response:
        if request.headers.get("x-amz-target") != SIGN_IN:
            return Response.of(400, {"__type": "UnknownOperationException"})
        status, document = self._identity.sign_in(request)
        return Response.of(status, document, {"content-type": "application/x-amz-json-1.1"})

    def _dispatch(self, request: Request, headers: Dict[str, str]) -> Tuple[int, Any]:
        """Limits come after the authorizer, as they count per user; every answer has headers."""
        headers.update(self._limits.judge(None, "", "read").headers)
        found = BASE.fullmatch(request.path)
        path = found.group(1).rstrip("/") if found else ""
        if (request.method, path) == ("GET", "/health"):
            return 200, HEALTH
        token = self._identity.authenticate(request)
        verdict = self._limits.judge(token.user, token.role, self._kind(request, path))
        headers.update(verdict.headers)
        if not verdict.passed:
            raise Refusal(429, "RATE_LIMIT_EXCEEDED", "Too many requests")
        for method, pattern, handler in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                return handler(self, token, request, *match.groups())
        raise not_found("Route {} {}".format(request.method, request.path))

    def _kind(self, request: Request, path: str) -> str:
        if request.method in WRITE_METHODS:
            return "write"
        searching = path == "/incidents" and bool(request.one("q"))
        return "search" if searching and self._switches.list_with_q_is_search else "read"

    # Incidents: api/incidents.html.

    def list_incidents(self, token: Token, request: Request) -> Tuple[int, Any]:
        """An itsm_agent sees own and assigned records (admin/users.html)."""
        self._require(token, READS_ALL + OWN_AND_ASSIGNED)
        visible = [incident for incident in self._desk.incidents.values()
                   if self._may_read(token, incident)]
        chosen = queries.select(visible, request, self._switches)
        return 200, queries.page(chosen, request, self._switches)

    def get_incident(self, token: Token, request: Request, number: str) -> Tuple[int, Any]:
        """One record, not wrapped in `data`."""
        return 200, self._readable(token, number).view(self._switches)

    def create_incident(self, token: Token, request: Request) -> Tuple[int, Any]:
        """201; the answer's form is not shown, it is taken to be that of a single GET."""
        self._require(token, WRITES_ALL + OWN_AND_ASSIGNED)
        incident = self._desk.create(self._fields(request), token.user)
        return 201, incident.view(self._switches)

    def update_incident(self, token: Token, request: Request, number: str) -> Tuple[int, Any]:
        """200 with the record as it now is."""
        self._writable(token, number)
        return 200, self._desk.change(number, self._fields(request)).view(self._switches)

    def delete_incident(self, token: Token, request: Request, number: str) -> Tuple[int, Any]:
        """Admin only."""
        self._require(token, ("super_admin",))
        self._desk.delete(number)
        return 204, None

    def list_notes(self, token: Token, request: Request, number: str) -> Tuple[int, Any]:
        """Oldest first; the order is not stated."""
        self._readable(token, number)
        return 200, queries.page(self._desk.notes[number], request, self._switches)

    def add_note(self, token: Token, request: Request, number: str) -> Tuple[int, Any]:
        """201; the names in the body are not shown on any page."""
        self._writable(token, number)
        body = _object(request)
        text = body.get(self._switches.note_field)
        if not isinstance(text, str) or not text.strip():
            raise bad_request("{} is required".format(self._switches.note_field))
        visibility = body.get("visibility", self._switches.note_visibility)
        note = self._desk.add_note(number, text, visibility, token.user)
        return 201, note.view(self._switches)

    def declare_major(self, token: Token, request: Request) -> Tuple[int, Any]:
        """itsm/major-incidents.html; the answer is not shown."""
        self._require(token, ("itsm_manager", "super_admin"))
        incident = self._desk.declare_major(str(_object(request).get("incident_id")))
        return 201, {"incident_id": incident.number}

    # People and groups: api/users.html. Which role may list them is not said; here all may.

    def list_groups(self, token: Token, request: Request) -> Tuple[int, Any]:
        """Assignment groups."""
        return 200, queries.page(list(self._desk.groups.values()), request, self._switches)

    def get_group(self, token: Token, request: Request, identifier: str) -> Tuple[int, Any]:
        """One group by its id."""
        for group in self._desk.groups.values():
            if group.id == identifier:
                return 200, group.view(self._switches)
        raise not_found("Group {}".format(identifier))

    def list_users(self, token: Token, request: Request) -> Tuple[int, Any]:
        """Filters `role` and `active`, as in the page's example."""
        role, active = request.one("role"), request.one("active")
        users = [user for user in self._desk.users.values()
                 if role in (None, user.role) and active in (None, str(user.active).lower())]
        return 200, queries.page(users, request, self._switches)

    def get_user(self, token: Token, request: Request, identifier: str) -> Tuple[int, Any]:
        """One user by id."""
        for user in self._desk.users.values():
            if user.id == identifier:
                return 200, user.view(self._switches)
        raise not_found("User {}".format(identifier))

    # Outbound webhooks: api/webhooks.html.

    def list_webhooks(self, token: Token, request: Request) -> Tuple[int, Any]:
        """Secrets are not shown again."""
        self._require(token, self._switches.webhook_roles)
        return 200, queries.page(self._subscriptions, request, self._switches)

    def create_webhook(self, token: Token, request: Request) -> Tuple[int, Any]:
        """201 with the secret; answered like the page's inbound example."""
        self._require(token, self._switches.webhook_roles)
        body = _object(request)
        webhooks.check_subscription(body)
        secret = "simulated-webhook-secret-{:06d}".format(len(self._subscriptions) + 1)
        made = self._subscribe(body["url"], body["events"], secret, body["name"],
                               body.get("filters", []))
        return 201, made.view(self._switches, with_secret=True)

    def _require(self, token: Token, roles: Tuple[str, ...]) -> None:
        if self._identity.effective_role(token) not in roles:
            raise forbidden("Insufficient role")

    def _may_read(self, token: Token, incident: Incident) -> bool:
        role = self._identity.effective_role(token)
        own = token.user in (incident.opened_by, incident.fields["assigned_to"])
        return role in READS_ALL or (role in OWN_AND_ASSIGNED and own)

    def _readable(self, token: Token, number: str) -> Incident:
        incident = self._desk.incident(number)
        if not self._may_read(token, incident):
            raise forbidden("Insufficient role")
        return incident

    def _writable(self, token: Token, number: str) -> None:
        self._readable(token, number)
        self._require(token, WRITES_ALL + OWN_AND_ASSIGNED)

    def _fields(self, request: Request) -> Dict[str, Any]:
        """The fields of a body, with the canonical state."""
        fields = _object(request)
        if self._switches.unknown_fields == "ignore":
            known = self._desk.known_fields()
            fields = {name: value for name, value in fields.items() if name in known}
        if "state" in fields:
            spelling = fields["state"]
            fields["state"] = self._switches.canonical(spelling)
            if not fields["state"]:
                raise bad_request("Invalid value for state: {}".format(spelling))
        return fields


def _object(request: Request) -> Dict[str, Any]:
    try:
        body = request.json()
    except ValueError:
        raise bad_request("The body is not JSON") from None
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object")
    return body


Handler = Callable[..., Tuple[int, Any]]

ROUTES: Tuple[Tuple[str, str, Handler], ...] = (
    ("GET", "/incidents", Api.list_incidents),
    ("POST", "/incidents", Api.create_incident),
    ("GET", "/incidents/([^/]+)", Api.get_incident),
    ("PATCH", "/incidents/([^/]+)", Api.update_incident),
    ("DELETE", "/incidents/([^/]+)", Api.delete_incident),
    ("GET", "/incidents/([^/]+)/notes", Api.list_notes),
    ("POST", "/incidents/([^/]+)/notes", Api.add_note),
    ("POST", "/major-incidents", Api.declare_major),
    ("GET", "/groups", Api.list_groups),
    ("GET", "/groups/([^/]+)", Api.get_group),
    ("GET", "/users", Api.list_users),
    ("GET", "/users/([^/]+)", Api.get_user),
    ("GET", "/webhooks/outbound", Api.list_webhooks),
    ("POST", "/webhooks/outbound", Api.create_webhook),
)
