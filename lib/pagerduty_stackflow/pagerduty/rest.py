"""PagerDuty REST API v2: reading incidents, and writing what the Events API cannot reach.

https://developer.pagerduty.com/docs/rest-api-overview
"""

from __future__ import annotations

from typing import (Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type,
                    TypeVar)

from ..answers import PAGERDUTY
from ..errors import ApiError, CredentialsError
from ..incidents import PagerDutyIncident
from ..settings import Settings
from ..transport import Answer, OutcomeUnknownError, Transport

ACCEPT = "application/vnd.pagerduty+json;version=2"
PAGE = 100
"""Largest `limit` (REST API, Pagination)."""
OFFSET_LIMIT = 10000
"""offset + limit beyond this is refused (REST API, Pagination)."""
RENEW = "generate a new key in PagerDuty and update it in Secrets Manager"

Params = Sequence[Tuple[str, str]]
Inner = TypeVar("Inner", Dict[str, Any], List[Any])


class RestClient:
    """Calls of the REST API. ``api_key(refused)`` gives the key; with ``refused`` it does not come
    from a cache.
    """

    def __init__(self, settings: Settings, transport: Transport,
                 api_key: Callable[[bool], str]) -> None:
        self._base = settings.pagerduty.api_url
        self._from = settings.pagerduty.from_email
        self._transport = transport
        self._api_key = api_key

    def incident(self, incident_id: str) -> PagerDutyIncident:
        """The incident; NotFoundError where there is none."""
        body = self.call("GET", "/incidents/" + incident_id)
        return PagerDutyIncident.from_rest(_inner(body, "incident", dict))

    def incidents_of_key(self, dedup_key: str) -> List[PagerDutyIncident]:
        """All incidents with an alert of this dedup key, open and resolved (List Incidents,
        `incident_key`).

        An empty key would drop the filter and return everything that is open, so it is refused
        here. Services are not filtered: the incident may have moved.
        """
        if not dedup_key:
            raise ValueError("an empty incident_key matches every incident")
        found = self.pages("/incidents", "incidents",
                           (("incident_key", dedup_key), ("date_range", "all")))
        return [PagerDutyIncident.from_rest(incident) for incident in found]

    def alert_keys(self, incident_id: str) -> List[str]:
        """The dedup keys of an incident's alerts."""
        alerts = self.pages("/incidents/%s/alerts" % incident_id, "alerts", ())
        return [alert["alert_key"] for alert in alerts if isinstance(alert.get("alert_key"), str)]

    def history(self, incident_id: str) -> List[Mapping[str, Any]]:
        """The overview log entries of an incident, as they come."""
        return list(self.pages("/incidents/%s/log_entries" % incident_id, "log_entries",
                               (("is_overview", "true"),)))

    def user_email(self, email: str) -> Optional[str]:
        """The address as PagerDuty spells it where it belongs to a user, else None."""
        for user in self.pages("/users", "users", (("query", email),)):
            known = user.get("email")
            if isinstance(known, str) and known.casefold() == email.casefold():
                return known
        return None

    def set_status(self, incident_id: str, status: str, by: Optional[str] = None,
                   resolution: Optional[str] = None) -> None:
        """Write a status as ``by`` (an e-mail; `from_email` otherwise). Read the status first: on a
        resolved incident this reopens it (REST API changelog, 2025-09-18).
        """
        incident: Dict[str, Any] = {"status": status}
        if resolution:
            incident["resolution"] = resolution
        self.change(incident_id, incident, by)

    def change(self, incident_id: str, fields: Mapping[str, Any], by: Optional[str] = None) -> None:
        """Write fields of an incident (REST API, Update an Incident). Not repeatable: after
        OutcomeUnknownError read it first.
        """
        incident = dict(fields, type="incident_reference")
        self.call("PUT", "/incidents/" + incident_id, {"incident": incident}, by)

    def add_note(self, incident_id: str, text: str, by: Optional[str] = None,
                 look_first: bool = False) -> None:
        """Write a note on an incident, once: it is looked up before it is written a second time, or
        before the first with ``look_first``, for a step that may be repeated.
        """
        path = "/incidents/%s/notes" % incident_id
        if look_first and self._has_note(path, text):
            return
        for last in (False, True):
            try:
                self.call("POST", path, {"note": {"content": text}}, by)
                return
            except OutcomeUnknownError:
                if self._has_note(path, text):
                    return
                if last:
                    raise

    def _has_note(self, path: str, text: str) -> bool:
        notes = _inner(self.call("GET", path), "notes", list)
        return any(_same_words(note, text) for note in notes)

    def pages(self, path: str, name: str, params: Params) -> Iterator[Mapping[str, Any]]:
        """All rows of a list; stops where `more` says so or at the offset limit."""
        offset = 0
        while offset < OFFSET_LIMIT:
            page = (("limit", str(min(PAGE, OFFSET_LIMIT - offset))), ("offset", str(offset)))
            body = self.call("GET", path, params=tuple(params) + page)
            rows = _inner(body, name, list)
            yield from (row for row in rows if isinstance(row, dict))
            if not body.get("more") or not rows:
                return
            offset += len(rows)  # the server may give fewer than it was asked for

    def call(self, method: str, path: str, data: Any = None, by: Optional[str] = None,
             params: Params = ()) -> Mapping[str, Any]:
        """Any call; the answer's JSON object. A refused key is read afresh once; CredentialsError
        when the fresh one is refused too, or there is no fresh one.
        """
        try:
            answer = self._send(method, path, data, by, params, False)
        except ApiError as error:
            if error.status not in (401, 403):
                raise
            try:
                answer = self._send(method, path, data, by, params, True)
            except CredentialsError as nothing:
                raise (_forbidden(error) if error.status == 403 else CredentialsError(
                    "%s (%s)" % (nothing.message, error.message), nothing.hint,
                    nothing.retryable)) from None
            except ApiError as again:
                if again.status not in (401, 403):
                    raise
                raise (_forbidden(again) if again.status == 403 else CredentialsError(
                    "API key expired or revoked: %s (%s)" % (RENEW, again.message),
                    RENEW)) from None
        return answer.body if isinstance(answer.body, dict) else {}

    def _send(self, method: str, path: str, data: Any, by: Optional[str], params: Params,
              refused: bool) -> Answer:
        headers = {"Authorization": "Token token=" + self._api_key(refused), "Accept": ACCEPT}
        if method != "GET":
            headers["From"] = by or self._from
        return self._transport.request(PAGERDUTY, method, self._base + path, headers, params=params,
                                       data=data, repeatable=method == "GET")


def _forbidden(error: ApiError) -> ApiError:
    """403: PagerDuty knows the key, and it may not do this, or not any more."""
    return ApiError(
        "API key expired or revoked, or read-only: %s (%s)" % (RENEW, error.message),
        RENEW + ": the one in use may not do this; choose Read/Write", False, error.system,
        error.status, error.code)


def _same_words(note: Any, text: str) -> bool:
    """White space may be changed on the way."""
    return isinstance(note, dict) and str(note.get("content")).split() == text.split()


def _inner(body: Mapping[str, Any], name: str, kind: Type[Inner]) -> Inner:
    """What an answer wraps. An answer without it is no proof of absence, so that is an error."""
    inner = body.get(name)
    if not isinstance(inner, kind):
        raise ApiError("PagerDuty's answer holds no %s" % name,
                       "check pagerduty.api_url; a proxy may be answering", True, PAGERDUTY)
    return inner
