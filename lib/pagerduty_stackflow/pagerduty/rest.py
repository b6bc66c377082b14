"""PagerDuty REST API v2: reading incidents, and writing what the Events API cannot reach.

https://developer.pagerduty.com/docs/rest-api-overview
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..errors import ApiError, CredentialsError, NotFoundError
from ..incidents import PagerDutyIncident
from ..settings import Settings
from ..transport import PAGERDUTY, Answer, Transport

ACCEPT = "application/vnd.pagerduty+json;version=2"
PAGE = 100
"""Largest `limit` (REST API, Pagination)."""
OFFSET_LIMIT = 10000
"""offset + limit beyond this is refused (REST API, Pagination)."""

Params = Sequence[Tuple[str, str]]


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
        body = self._call("GET", "/incidents/" + incident_id)
        return PagerDutyIncident.from_rest(_inner(body, "incident"))

    def incidents_of_key(self, dedup_key: str) -> List[PagerDutyIncident]:
        """All incidents with an alert of this dedup key, open and resolved (List Incidents,
        `incident_key`).

        An empty key would drop the filter and return everything that is open, so it is refused
        here. Services are not filtered: the incident may have moved.
        """
        if not dedup_key:
            raise ValueError("an empty incident_key matches every incident")
        params = [("incident_key", dedup_key), ("date_range", "all")]
        return [PagerDutyIncident.from_rest(item) for item in self._pages("/incidents", "incidents", params)]

    def alert_keys(self, incident_id: str) -> List[str]:
        """The dedup keys of an incident's alerts."""
        alerts = self._pages("/incidents/%s/alerts" % incident_id, "alerts", ())
        return [alert["alert_key"] for alert in alerts if isinstance(alert.get("alert_key"), str)]

    def history(self, incident_id: str) -> List[Mapping[str, Any]]:
        """The overview log entries of an incident, as they come."""
        return list(self._pages("/incidents/%s/log_entries" % incident_id, "log_entries",
                                (("is_overview", "true"),)))

    def user_email(self, email: str) -> Optional[str]:
        """The address as PagerDuty spells it where it belongs to a user, else None."""
        for user in self._pages("/users", "users", (("query", email),)):
            known = user.get("email")
            if isinstance(known, str) and known.casefold() == email.casefold():
                return known
        return None

    def set_status(self, incident_id: str, status: str, by: Optional[str] = None,
                   resolution: Optional[str] = None) -> None:
        """Write a status as ``by`` (an e-mail; `from_email` otherwise). Read the status first: on a
        resolved incident this reopens it (REST API changelog, 2025-09-18).
        """
        incident: Dict[str, Any] = {"type": "incident_reference", "status": status}
        if resolution:
            incident["resolution"] = resolution
        self._call("PUT", "/incidents/" + incident_id, {"incident": incident}, by)

    def add_note(self, incident_id: str, text: str, by: Optional[str] = None) -> None:
        """Write a note on an incident, once: it is looked up before it is written a second time."""
        try:
            self._call("POST", "/incidents/%s/notes" % incident_id, {"note": {"content": text}}, by)
        except ApiError as error:
            if error.kind != "outcome_unknown" or not self._has_note(incident_id, text):
                raise

    def _has_note(self, incident_id: str, text: str) -> bool:
        body = self._call("GET", "/incidents/%s/notes" % incident_id)
        return any(note.get("content") == text for note in body.get("notes") or ())

    def _pages(self, path: str, name: str, params: Params) -> Iterator[Mapping[str, Any]]:
        """All rows of a list; stops where `more` says so or at the offset limit."""
        offset = 0
        while offset + PAGE <= OFFSET_LIMIT:
            body = self._call("GET", path, params=list(params) + [("limit", str(PAGE)),
                                                                  ("offset", str(offset))])
            rows = [row for row in body.get(name) or () if isinstance(row, dict)]
            yield from rows
            if not body.get("more") or not rows:
                return
            offset += len(rows)

    def _call(self, method: str, path: str, data: Any = None, by: Optional[str] = None,
              params: Params = ()) -> Mapping[str, Any]:
        try:
            answer = self._send(method, path, data, by, params, False)
        except ApiError as error:
            if error.status not in (401, 403):
                raise
            try:
                answer = self._send(method, path, data, by, params, True)
            except ApiError as again:
                if again.status != 401:
                    raise
                raise CredentialsError(
                    "%s: API key expired or revoked" % again.message,
                    "generate a new key in PagerDuty and update it in Secrets Manager") from again
        return answer.body if isinstance(answer.body, dict) else {}

    def _send(self, method: str, path: str, data: Any, by: Optional[str], params: Params,
              refused: bool) -> Answer:
        headers = {"Authorization": "Token token=" + self._api_key(refused), "Accept": ACCEPT}
        if method != "GET":
            headers["From"] = by or self._from
        return self._transport.request(PAGERDUTY, method, self._base + path, headers, params=params,
                                       data=data, repeatable=method == "GET")


def _inner(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = body.get(name)
    if not isinstance(inner, dict):
        raise NotFoundError("PagerDuty's answer holds no %s" % name,
                            "check pagerduty.api_url; a proxy may be answering", system=PAGERDUTY)
    return inner
