"""REST API v2: who may call, how often, and which handler answers."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Dict, List, Optional, Pattern, Tuple

from dev.simulators.base import Request, Response, Simulator
from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.call import MISSING_FROM, Call, Route, invalid
from dev.simulators.pagerduty.model import ApiKey, Refused, Switches, User, Write

# [developer-docs, REST-API/02]
AUTHORIZATION = re.compile(r"Token token=(\S+)$")
ACCEPT = "application/vnd.pagerduty+json;version=2"
WINDOW_SECONDS = 60


class RestApi:
    def __init__(self, simulator: Simulator, account: Account, switches: Switches,
                 routes: List[Route]) -> None:
        self._simulator = simulator
        self._account = account
        self._switches = switches
        self._routes = [(route, _pattern(route.path)) for route in routes]
        self._windows: Dict[str, Tuple[datetime, int]] = {}

    def answer(self, request: Request) -> Response:
        headers: Dict[str, str] = {}
        try:
            key = self._authenticate(request)
            self._count(key, headers)
            response = self._dispatch(request, key)
        except Refused as refusal:
            error: Dict[str, Any] = {"message": refusal.message, "code": refusal.code}
            if refusal.errors is not None:
                error["errors"] = refusal.errors
            response = Response.of(refusal.status, {"error": error})
        response.headers.update(headers)
        return response

    def _authenticate(self, request: Request) -> ApiKey:
        """401, code 2006 [developer-docs, REST-API/14]."""
        match = AUTHORIZATION.match(request.headers.get("authorization", ""))
        key = self._account.api_keys.get(match.group(1)) if match else None
        if key is None:
            raise Refused(2006, "Authentication Failed", status=401)
        return key

    def _count(self, key: ApiKey, headers: Dict[str, str]) -> None:
        """960 a minute; `ratelimit-reset` is in seconds from now [developer-docs, REST-API/04]."""
        limit = self._switches.rest_limit
        if limit is None:
            return
        now = self._simulator.now()
        start, used = self._windows.get(key.key, (now, 0))
        if now >= start + timedelta(seconds=WINDOW_SECONDS):
            start, used = now, 0
        self._windows[key.key] = start, used + 1
        end = start + timedelta(seconds=WINDOW_SECONDS)
        headers["ratelimit-limit"] = str(limit)
        headers["ratelimit-remaining"] = str(max(0, limit - used - 1))
        headers["ratelimit-reset"] = str(max(1, int((end - now).total_seconds())))
        if used >= limit:
            raise Refused(2020, "Rate Limit Exceeded", status=429)

    def _dispatch(self, request: Request, key: ApiKey) -> Response:
        # How the API refuses another Accept is not documented; a client must send this one.
        if request.headers.get("accept", "").replace(" ", "") != ACCEPT:
            raise invalid("Accept header must be " + ACCEPT)
        for route, pattern in self._routes:
            match = pattern.match(request.path)
            if match and route.method == request.method:
                return self._call(request, key, route, match.groups())
        raise Refused(2100, "Not Found", status=404)

    def _call(self, request: Request, key: ApiKey, route: Route,
              ids: Tuple[str, ...]) -> Response:
        writes = request.method != "GET"
        if writes and key.read_only:
            # [developer-docs, REST-API/14]
            raise Refused(2010, "Access Denied", status=403)
        user = self._acting_user(request, key, route.needs_from)
        document = _document(request)
        call = Call(request, key, user, ids, document, self._simulator.now(),
                    self._switches.largest_page)
        response = route.handler(call)
        if writes:
            self._account.writes.append(Write(call.now, "rest", request.method, request.path,
                                              document, user.id if user else None))
        return response

    def _acting_user(self, request: Request, key: ApiKey, needed: bool) -> Optional[User]:
        """A user key is its user; an account key needs From [python-pagerduty, user guide].

        Missing: pdpyras#78. Unknown: code 1008 [developer-docs, REST-API/14].
        """
        if key.user_id is not None:
            return self._account.users[key.user_id]
        if not needed:
            return None
        email = request.headers.get("from", "")
        if not email:
            raise Refused(2016, MISSING_FROM)
        user = self._account.user_by_email(email)
        if user is None:
            raise Refused(1008, "Requester User Not Found")
        return user


def _pattern(path: str) -> Pattern[str]:
    return re.compile(path.replace("{id}", "([^/]+)") + "$")


def _document(request: Request) -> Any:
    """A body of another content type is not looked at [go-pagerduty#89]."""
    if request.method in ("GET", "DELETE") or not request.body:
        return None
    if "application/json" not in request.headers.get("content-type", ""):
        raise invalid("params must be a Hash")
    try:
        return request.json()
    except ValueError:
        raise invalid("params must be a Hash")
