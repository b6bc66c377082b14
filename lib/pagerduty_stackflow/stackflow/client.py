"""StackFlow's incident API (https://docs.stackflow-tech.com/api/incidents.html).

What the vendor's pages do not print is configurable or taken as it comes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..answers import STACKFLOW
from ..credentials import send_signed
from ..deliveries import as_object, text
from ..errors import ApiError, CredentialsError, NotFoundError
from ..incidents import Note, StackFlowIncident, pagerduty_id_of_mark, plain
from ..settings import Settings
from ..transport import Call, OutcomeUnknownError, Transport, write_once
from .auth import forbidden_hint
from .records import NOTE_TEXTS, api_state, canonical_record, note_fields

PAGE = 200
"""Largest `limit` (api/incidents.html, List query parameters)."""
PAGES = 1000
"""Pages of one list that are read at most, should a server ignore `page`."""
SIZES = ("limit", "per_page", "perPage", "page_size", "pageSize")
NEXT = ("has_more", "hasMore", "has_next", "hasNext", "next", "next_page", "nextPage")
"""Where a list may tell how long its pages are, and that another follows: no page shows it."""
SECOND = timedelta(seconds=1)

Params = Sequence[Tuple[str, str]]


class StackFlowClient:
    """Call the incident API. ``token(refused)`` gives the bearer token; with ``refused`` not from a
    cache. The client calls ``before_note(number, text)`` before it writes a note.
    """

    def __init__(self, settings: Settings, transport: Transport, token: Callable[[bool], str],
                 before_note: Callable[[str, str], None] = lambda number, text: None) -> None:
        self._settings = settings.stackflow
        self._transport = transport
        self._token = token
        self._before_note = before_note

    def incident(self, number: str) -> StackFlowIncident:
        """Return a record; raises NotFoundError if there is none."""
        record = self._record(self.call("GET", "/incidents/" + number))
        if record is None:
            raise _no_answer("incident")
        return record

    def created_for(self, pagerduty_id: str) -> List[StackFlowIncident]:
        """Return the records with the mark of a PagerDuty incident, lowest number first."""
        found = {}
        for record in self._records(self.pages("/incidents", (("q", pagerduty_id),))):
            if "description" not in record.fields:
                try:
                    record = self.incident(record.number)
                except NotFoundError:
                    continue  # deleted since the search
            if pagerduty_id_of_mark(record.description) == pagerduty_id:
                found[record.number] = record
        return [found[number] for number in sorted(found, key=lambda one: (len(one), one))]

    def newest(self, wanted: Params) -> List[StackFlowIncident]:
        """Return the records that match these filters and changed last: one page of them."""
        rows = self.pages("/incidents", (*wanted, ("order", "desc"), ("sort", "updated_at")))
        return list(self._records(islice(rows, PAGE)))

    def in_state(self, state: str, also: Params = ()) -> Iterator[List[StackFlowIncident]]:
        """Return all records in a state that match ``also``, oldest first, a page at a time.

        Each page starts at the creation time that ended the one before (`created_after`): by number
        it would skip records when others leave the state. Records of that second come twice.
        """
        wanted = (("state", api_state(state, self._settings.states)), ("sort", "created_at"),
                  ("order", "asc"), *also)
        since: Optional[datetime] = None
        number, before = 1, None
        while True:
            after = (("created_after", since.strftime("%Y-%m-%dT%H:%M:%SZ")),) if since else ()
            rows, full = self._page("/incidents", wanted + after, number)
            records = list(self._records(rows))
            yield records
            if not full or (rows == before and number > 1):
                return
            last = max((one.created_at for one in records if one.created_at), default=None)
            if last is None or (since is not None and last - SECOND <= since):
                number += 1  # more than a page within one second
            else:
                since, number = last - SECOND, 1
            before = rows

    def changed_since(self, state: str, bound: datetime) -> Iterator[StackFlowIncident]:
        """Return the records in a state that changed since then, newest change first."""
        wanted = (("state", api_state(state, self._settings.states)), ("sort", "updated_at"),
                  ("order", "desc"))
        for record in self._records(self.pages("/incidents", wanted)):
            if record.updated_at is None or record.updated_at < bound:
                return
            yield record

    def create(self, fields: Mapping[str, Any]) -> StackFlowIncident:
        """Create a record. Not repeatable: after OutcomeUnknownError look for the mark first."""
        record = self._record(self.call("POST", "/incidents", dict(fields)))
        if record is None:
            raise OutcomeUnknownError("StackFlow's answer to POST /incidents holds no incident",
                                      "it is looked for by its mark", True, STACKFLOW)
        return record

    def update(self, number: str, fields: Mapping[str, Any]) -> StackFlowIncident:
        """Write fields of a record; ``state`` is given in its canonical spelling."""
        data = dict(fields)
        if "state" in data:
            data["state"] = api_state(data["state"], self._settings.states)
        record = self._record(self.call("PATCH", "/incidents/" + number, data))
        return record if record is not None and record.is_complete else self.incident(number)

    def notes(self, number: str) -> List[Note]:
        """Return the work notes of a record, the oldest first if StackFlow shows times."""
        return [_note(row) for row in sorted(self.pages("/incidents/%s/notes" % number),
                                             key=lambda row: str(row.get("created_at") or ""))]

    def add_note(self, number: str, text: str, look_first: bool = False) -> Optional[str]:
        """Add a work note by :func:`write_once`, and return its id if StackFlow shows one."""
        path = "/incidents/%s/notes" % number

        def write() -> Note:
            self._before_note(number, text)
            body = self._post_note(path, text)
            return _note(as_object(as_object(body).get("data", body)))

        def find() -> Optional[Note]:
            return next((_note(row) for row in self.pages(path) if any(
                isinstance(value, str) and plain(value) == plain(text)
                for value in row.values())), None)

        return write_once(write, find, look_first).id

    def _post_note(self, path: str, text: str) -> Any:
        """Try one name of the text after the other: no page of the vendor shows it."""
        refusals = []
        for name in NOTE_TEXTS:
            try:
                return self.call("POST", path, {name: text})
            except ApiError as error:
                if error.status not in (400, 422):
                    raise
                refusals.append(error)
        raise refusals[0]

    def pages(self, path: str, params: Params = (),
              size: int = PAGE) -> Iterator[Mapping[str, Any]]:
        """Return all rows of a list, ``size`` at a time. A page that is not full is the last, and so
        is one that repeats the page before.
        """
        before: Any = None
        for number in range(1, PAGES + 1):
            rows, full = self._page(path, params, number, size)
            if rows == before:
                return
            yield from (row for row in rows if isinstance(row, dict))
            if not full:
                return
            before = rows

    def _page(self, path: str, params: Params, number: int,
              size: int = PAGE) -> Tuple[List[Any], bool]:
        """Return the rows of one page, and whether it is full, so that another may follow."""
        asked = tuple(params) + (("limit", str(size)), ("page", str(number)))
        body = self.call("GET", path, params=asked)
        rows = body.get("data") if isinstance(body, dict) else body
        if not isinstance(rows, list):
            raise _no_answer("list")
        return rows, bool(rows) and (len(rows) >= size or _goes_on(body, len(rows)))

    def health(self) -> None:
        """See that StackFlow answers; needs no token (api/quickstart.html)."""
        self._transport.request(Call(STACKFLOW, "GET", self._settings.api_url + "/health",
                                     {"Accept": "application/json"}))

    def _records(self, rows: Iterable[Any]) -> Iterator[StackFlowIncident]:
        return filter(None, map(self._record, rows))

    def _record(self, body: Any) -> Optional[StackFlowIncident]:
        """Return the record of an answer, wrapped in `data` or not; None if it holds none."""
        data = body.get("data", body) if isinstance(body, dict) else None
        if not isinstance(data, dict):
            return None
        record = StackFlowIncident.from_record(canonical_record(data, self._settings.states))
        return record if record.number else None

    def call(self, method: str, path: str, data: Optional[Dict[str, Any]] = None,
             params: Params = ()) -> Any:
        """Make any call and return its JSON. Raises CredentialsError if StackFlow refuses a fresh
        token too, or there is none.
        """
        def send(fresh: bool) -> Any:
            headers = {"Authorization": "Bearer " + self._token(fresh),
                       "Accept": "application/json"}
            return self._transport.request(Call(
                STACKFLOW, method, self._settings.api_url + path, headers, params, data,
                repeatable=method == "GET"))

        try:
            return send_signed(send, (401,), _refused)
        except ApiError as error:
            if error.status == 403:
                error.hint = forbidden_hint(self._settings.auth)
            raise


def _refused(error: ApiError) -> CredentialsError:
    return CredentialsError("%s: StackFlow refuses the token" % error.message,
                            "renew the credentials under stackflow.auth")


def _goes_on(body: Any, rows: int) -> bool:
    """Tell whether an answer names, beside its rows, a next page or a smaller page size."""
    around = as_object(body)
    return any(any(facts.get(name) for name in NEXT) or
               any(text(facts.get(name)) == str(rows) for name in SIZES)
               for facts in [around, *map(as_object, around.values())])


def _note(row: Mapping[str, Any]) -> Note:
    fields = note_fields(row)
    return Note(fields["id"], fields["text"] or "", fields["author"])


def _no_answer(what: str) -> ApiError:
    """Return the error for an answer without its data: it proves no absence."""
    return ApiError("StackFlow's answer holds no %s" % what,
                    "check stackflow.instance_url and stackflow.api_path", True, STACKFLOW)
