"""PagerDuty REST API v2: reading incidents, and writing what the Events API cannot reach.

https://developer.pagerduty.com/docs/rest-api-overview
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import islice
from typing import (Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional,
                    Sequence, Tuple, Type, TypeVar)

from ..answers import PAGERDUTY
from ..credentials import send_signed
from ..deliveries import as_object, text
from ..errors import ApiError, CredentialsError, PackError
from ..incidents import PAGERDUTY_ID, Note, PagerDutyIncident, format_time, plain
from ..settings import Settings
from ..transport import Call, Transport, write_once

ACCEPT = "application/vnd.pagerduty+json;version=2"
PAGE = 100
"""Largest `limit` (REST API, Pagination)."""
OFFSET_LIMIT = 10000
"""offset + limit beyond this is refused (REST API, Pagination)."""
RESOLUTION_NOTE = "Resolution Note: "
"""What PagerDuty puts before a resolution when it makes a note of it (seen in webhooks)."""
BATCH = 50
"""Ids in one address, so that it stays under 3 KB: fronts refuse more than 4 or 8 KB."""
WINDOW = timedelta(days=180)
"""Under the six months that `since` and `until` may be apart (REST API, List Incidents)."""
SECOND = timedelta(seconds=1)
RENEW = "generate a new key in PagerDuty and update it in Secrets Manager"

Params = Sequence[Tuple[str, str]]
Inner = TypeVar("Inner", Dict[str, Any], List[Any])


class Alert(NamedTuple):
    """An alert; ``service_id`` is the service that opened it, even after the incident moved."""

    service_id: Optional[str]
    status: Optional[str]


class RestClient:
    """Call the REST API. ``api_key(refused)`` gives the key; with ``refused`` it does not come from
    a cache. The client calls ``before_note(incident_id, text)`` before it writes a note.
    """

    def __init__(self, settings: Settings, transport: Transport, api_key: Callable[[bool], str],
                 before_note: Callable[[str, str], None] = lambda incident_id, text: None) -> None:
        self._base = settings.pagerduty.api_url
        self._from = settings.pagerduty.from_email
        self._transport = transport
        self._api_key = api_key
        self._before_note = before_note

    def incident(self, incident_id: str) -> PagerDutyIncident:
        """Return an incident; raises NotFoundError if there is none."""
        return _incident(self.get("/incidents/" + incident_id, "incident", dict))

    def incidents_of_key(self, dedup_key: str) -> List[PagerDutyIncident]:
        """Return all incidents with an alert of this dedup key, open and resolved, of any service.
        """
        if not dedup_key:
            raise ValueError("an empty incident_key matches every incident")
        return [_incident(row) for row in self.pages(
            "/incidents", "incidents", (("incident_key", dedup_key), ("date_range", "all")))]

    def newest(self, service_ids: Iterable[str], statuses: Iterable[str],
               count: int) -> List[PagerDutyIncident]:
        """Return so many incidents of these services in these statuses, the newest first."""
        wanted = [("statuses[]", one) for one in statuses]
        wanted += [("date_range", "all"), ("sort_by", "created_at:desc")]
        rows = [row for batch in batches("service_ids[]", service_ids)
                for row in islice(self.pages("/incidents", "incidents", wanted + batch), count)]
        rows.sort(key=lambda row: str(row.get("created_at")), reverse=True)
        return list(map(_incident, rows[:count]))

    def open_incidents(self, service_ids: Iterable[str],
                       now: datetime) -> Iterator[PagerDutyIncident]:
        """Return all open incidents of these services (List Incidents)."""
        for batch in batches("service_ids[]", service_ids):
            yield from self._open_incidents(batch, now)

    def _open_incidents(self, services: Params, now: datetime) -> Iterator[PagerDutyIncident]:
        """Return the open incidents of one batch of services, the oldest first.

        Beyond the offset limit it lists windows, each from the creation time of the last row on.
        Incidents of that second come twice.
        """
        wanted = (("statuses[]", "triggered"), ("statuses[]", "acknowledged"),
                  ("sort_by", "created_at:asc"), *services)
        window: Params = (("date_range", "all"),)
        end = now
        while True:
            count, start = 0, end
            for row in self.pages("/incidents", "incidents", wanted + tuple(window)):
                count += 1
                incident = _incident(row)
                yield incident
                if count == OFFSET_LIMIT and incident.created_at:
                    start = incident.created_at
            if count < OFFSET_LIMIT and end >= now:
                return
            if ("since", format_time(start)) in window:
                start += SECOND  # more rows within one second than the list ever shows
            end = min(start + WINDOW, now)
            window = (("since", format_time(start)), ("until", format_time(end)))

    def alerts(self, incident_id: str) -> Dict[str, Alert]:
        """Return the alerts of an incident by their dedup keys (List Alerts)."""
        found = {}
        for row in self.pages("/incidents/%s/alerts" % incident_id, "alerts"):
            address = str(as_object(row.get("integration")).get("self"))
            service = re.search(r"/services/([^/]+)/integrations/", address)
            if isinstance(row.get("alert_key"), str):
                found[row["alert_key"]] = Alert(service and service.group(1), row.get("status"))
        return found

    def history(self, incident_id: str) -> List[Mapping[str, Any]]:
        """Return the overview log entries of an incident, as they come."""
        return list(self.pages("/incidents/%s/log_entries" % incident_id, "log_entries",
                               (("is_overview", "true"),)))

    def user_email(self, email: str) -> Optional[str]:
        """Return a user's address as PagerDuty spells it; None if no user has it."""
        known = (str(user.get("email")) for user in self.pages("/users", "users",
                                                               (("query", email),)))
        return next((one for one in known if one.casefold() == email.casefold()), None)

    def set_status(self, incident_id: str, status: str, by: Optional[str] = None,
                   resolution: Optional[str] = None) -> PagerDutyIncident:
        """Write a status as ``by`` (an e-mail; `from_email` otherwise). Read the status first: this
        reopens a resolved incident (REST API changelog, 2025-09-18).
        """
        fields = {"status": status}
        if resolution:
            self._before_note(incident_id, RESOLUTION_NOTE + resolution)
            fields["resolution"] = resolution
        return self.update(incident_id, fields, by)

    def update(self, incident_id: str, fields: Mapping[str, Any],
               by: Optional[str] = None) -> PagerDutyIncident:
        """Write fields of an open incident, and return it as it is then. Not repeatable: after
        OutcomeUnknownError read it first.
        """
        body = self.call("PUT", "/incidents/" + incident_id,
                         {"incident": dict(fields, type="incident_reference")}, by)
        shown = as_object(body.get("incident"))
        return _incident(shown) if shown else self.incident(incident_id)

    def notes(self, incident_id: str) -> List[Note]:
        """Return the notes of an incident, the oldest first."""
        rows = objects(self.get("/incidents/%s/notes" % incident_id, "notes", list))
        return [_note(row) for row in sorted(rows, key=lambda row: str(row.get("created_at")))]

    def add_note(self, incident_id: str, text: str, look_first: bool = False) -> Optional[str]:
        """Write a note on an incident by :func:`write_once`, and return its id."""
        def write() -> Note:
            self._before_note(incident_id, text)
            body = self.call("POST", "/incidents/%s/notes" % incident_id,
                             {"note": {"content": text}})
            return _note(as_object(body.get("note")))

        def find() -> Optional[Note]:
            return next((note for note in self.notes(incident_id)
                         if plain(note.text) == plain(text)), None)

        return write_once(write, find, look_first).id

    def get(self, path: str, name: str, kind: Type[Inner], params: Params = ()) -> Inner:
        """Return the object or list that an answer wraps in ``name``."""
        return _inner(self.call("GET", path, params=params), name, kind)

    def pages(self, path: str, name: str, params: Params = ()) -> Iterator[Dict[str, Any]]:
        """Return all rows of a list, up to the offset limit."""
        offset = 0
        while offset < OFFSET_LIMIT:
            page = (("limit", str(min(PAGE, OFFSET_LIMIT - offset))), ("offset", str(offset)))
            body = self.call("GET", path, params=tuple(params) + page)
            rows = _inner(body, name, list)
            yield from objects(rows)
            if not body.get("more") or not rows:
                return
            offset += len(rows)  # the server may give fewer than it was asked for

    def call(self, method: str, path: str, data: Any = None, by: Optional[str] = None,
             params: Params = ()) -> Mapping[str, Any]:
        """Make any call and return its JSON object. Raises CredentialsError if PagerDuty refuses a
        fresh key too, or there is none.
        """
        def send(fresh: bool) -> Any:
            headers = {"Authorization": "Token token=" + self._api_key(fresh), "Accept": ACCEPT}
            if method != "GET":
                headers["From"] = by or self._from
            return self._transport.request(Call(
                PAGERDUTY, method, self._base + path, headers, params, data,
                repeatable=method == "GET"))

        return as_object(send_signed(send, (401, 403), _refused))


def batches(name: str, ids: Iterable[str]) -> Iterator[List[Tuple[str, str]]]:
    """Split ids, each named once, into parameters that fit into one address."""
    known = list(dict.fromkeys(ids))
    for start in range(0, len(known), BATCH):
        yield [(name, one) for one in known[start:start + BATCH]]


def _refused(error: ApiError) -> PackError:
    if error.status == 403:  # PagerDuty knows the key, so this stays an ApiError
        error.message = "API key expired or revoked, or read-only: %s (%s)" % (RENEW, error.message)
        error.hint = RENEW + ": the one in use may not do this; choose Read/Write"
        return error
    return CredentialsError("API key expired or revoked: %s (%s)" % (RENEW, error.message), RENEW)


def objects(value: Any) -> List[Dict[str, Any]]:
    """Return the objects in a list; none if it is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _note(row: Mapping[str, Any]) -> Note:
    return Note(text(row.get("id")), text(row.get("content")) or "",
                text(as_object(row.get("user")).get("summary")))


def _inner(body: Mapping[str, Any], name: str, kind: Type[Inner]) -> Inner:
    inner = body.get(name)
    if not isinstance(inner, kind):
        raise no_answer(name)
    return inner


def _incident(row: Mapping[str, Any]) -> PagerDutyIncident:
    incident = PagerDutyIncident.from_rest(row)
    if not PAGERDUTY_ID.match(incident.id):  # it could not be read again
        raise no_answer("incident")
    return incident


def no_answer(what: str) -> ApiError:
    """Return the error for an answer without its data: it proves no absence."""
    return ApiError("PagerDuty's answer holds no %s" % what,
                    "check pagerduty.api_url; a proxy may be answering", True, PAGERDUTY)
