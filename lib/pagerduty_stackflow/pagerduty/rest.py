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
    """``service_id``: the service whose integration opened it, where PagerDuty tells; it stays when
    the incident moves (List Alerts, `integration`).
    """

    service_id: Optional[str]
    status: Optional[str]


class RestClient:
    """Calls of the REST API. ``api_key(refused)`` gives the key; with ``refused`` it does not come
    from a cache. ``before_note(incident_id, text)`` hears of every note before it is written.
    """

    def __init__(self, settings: Settings, transport: Transport, api_key: Callable[[bool], str],
                 before_note: Optional[Callable[[str, str], None]] = None) -> None:
        self._base = settings.pagerduty.api_url
        self._from = settings.pagerduty.from_email
        self._transport = transport
        self._api_key = api_key
        self._before_note = before_note

    def incident(self, incident_id: str) -> PagerDutyIncident:
        """The incident; NotFoundError where there is none."""
        body = self.call("GET", "/incidents/" + incident_id)
        return _incident(_inner(body, "incident", dict))

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
        return [_incident(row) for row in found]

    def newest(self, service_ids: Iterable[str], statuses: Iterable[str],
               count: int) -> List[PagerDutyIncident]:
        """Return so many incidents of these services in these statuses, the newest first."""
        wanted = [("statuses[]", one) for one in statuses]
        wanted += [("date_range", "all"), ("sort_by", "created_at:desc")]
        rows = [row for batch in batches("service_ids[]", service_ids)
                for row in islice(self.pages("/incidents", "incidents", wanted + batch), count)]
        rows.sort(key=lambda row: str(row.get("created_at")), reverse=True)
        return [_incident(row) for row in rows[:count]]

    def open_incidents(self, service_ids: Iterable[str],
                       now: datetime) -> Iterator[PagerDutyIncident]:
        """Return all open incidents of these services (List Incidents)."""
        for batch in batches("service_ids[]", service_ids):
            yield from self._open_incidents(batch, now)

    def _open_incidents(self, services: Params, now: datetime) -> Iterator[PagerDutyIncident]:
        """Return the open incidents of one batch of services, the oldest first.

        If there are more than the offset limit allows, the list goes on in windows that start at
        the creation time of the last row. Incidents of that second come twice.
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
        """The alerts of an incident by their dedup keys (List Alerts)."""
        rows = self.pages("/incidents/%s/alerts" % incident_id, "alerts", ())
        return {row["alert_key"]: Alert(_service_of(row.get("integration")), row.get("status"))
                for row in rows if isinstance(row.get("alert_key"), str)}

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
                   resolution: Optional[str] = None) -> PagerDutyIncident:
        """Write a status as ``by`` (an e-mail; `from_email` otherwise), and return the incident as it
        is then. Read the status first: on a resolved incident this reopens it (REST API changelog,
        2025-09-18).
        """
        fields = {"status": status}
        if resolution:
            self._announce(incident_id, RESOLUTION_NOTE + resolution)
            fields["resolution"] = resolution
        return self.update(incident_id, fields, by)

    def update(self, incident_id: str, fields: Mapping[str, Any],
               by: Optional[str] = None) -> PagerDutyIncident:
        """Write fields of an open incident, and return it as it is then (REST API, Update an
        Incident). Not repeatable: after OutcomeUnknownError read it first.
        """
        incident = dict(fields, type="incident_reference")
        body = self.call("PUT", "/incidents/" + incident_id, {"incident": incident}, by)
        shown = as_object(body.get("incident"))
        return _incident(shown) if shown else self.incident(incident_id)

    def notes(self, incident_id: str) -> List[Note]:
        """The notes of an incident, the oldest first."""
        rows = _inner(self.call("GET", "/incidents/%s/notes" % incident_id), "notes", list)
        rows = [row for row in rows if isinstance(row, dict)]
        return [_note(row) for row in sorted(rows, key=lambda row: str(row.get("created_at")))]

    def add_note(self, incident_id: str, text: str, look_first: bool = False) -> Optional[str]:
        """Write a note on an incident, once (:func:`write_once`), and return its id. With
        ``look_first``, for a step that may be repeated, look for it before the first write.
        """
        def write() -> Note:
            self._announce(incident_id, text)
            body = self.call("POST", "/incidents/%s/notes" % incident_id,
                             {"note": {"content": text}})
            return _note(as_object(body.get("note")))

        return write_once(write, lambda: self._find_note(incident_id, text), look_first).id

    def _find_note(self, incident_id: str, text: str) -> Optional[Note]:
        return next((note for note in self.notes(incident_id) if plain(note.text) == plain(text)),
                    None)

    def _announce(self, incident_id: str, text: str) -> None:
        if self._before_note is not None:
            self._before_note(incident_id, text)

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
        """Make any call and return its JSON object. A refused key is read afresh once;
        CredentialsError if the fresh one is refused too, or there is no fresh one.
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
    """Return the error for a refused key. After a 403 it stays an ApiError: PagerDuty knows the
    key, and it may not do this, or not any more.
    """
    if error.status == 403:
        error.message = "API key expired or revoked, or read-only: %s (%s)" % (RENEW, error.message)
        error.hint = RENEW + ": the one in use may not do this; choose Read/Write"
        return error
    return CredentialsError("API key expired or revoked: %s (%s)" % (RENEW, error.message), RENEW)


def _service_of(integration: Any) -> Optional[str]:
    """From the address of an integration, `.../services/<id>/integrations/<id>`."""
    found = re.search(r"/services/([^/]+)/integrations/",
                      str(integration.get("self")) if isinstance(integration, dict) else "")
    return found.group(1) if found else None


def _note(row: Mapping[str, Any]) -> Note:
    return Note(text(row.get("id")), text(row.get("content")) or "",
                text(as_object(row.get("user")).get("summary")))


def _inner(body: Mapping[str, Any], name: str, kind: Type[Inner]) -> Inner:
    """What an answer wraps."""
    inner = body.get(name)
    if not isinstance(inner, kind):
        raise no_answer(name)
    return inner


def _incident(row: Mapping[str, Any]) -> PagerDutyIncident:
    """An incident with an id that can be asked for again."""
    incident = PagerDutyIncident.from_rest(row)
    if not PAGERDUTY_ID.match(incident.id):
        raise no_answer("incident")
    return incident


def no_answer(what: str) -> ApiError:
    """The error for an answer without what was asked for: it proves no absence."""
    return ApiError("PagerDuty's answer holds no %s" % what,
                    "check pagerduty.api_url; a proxy may be answering", True, PAGERDUTY)
