"""StackFlow's incident API (https://docs.stackflow-tech.com/api/incidents.html).

What the vendor's pages do not print is configurable or taken as it comes: see docs/unknowns.md.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import ApiError, CredentialsError, NotFoundError
from ..incidents import StackFlowIncident, pagerduty_id_of_mark
from ..settings import Settings
from ..transport import STACKFLOW, Answer, Transport
from .records import api_state, canonical_record

PAGE = 200
"""Largest `limit` (api/incidents.html, List query parameters)."""


class StackFlowClient:
    """Calls of the incident API. ``token(refused)`` gives the bearer token; with ``refused`` not
    from a cache.
    """

    def __init__(self, settings: Settings, transport: Transport,
                 token: Callable[[bool], str]) -> None:
        self._settings = settings.stackflow
        self._transport = transport
        self._token = token

    def incident(self, number: str) -> StackFlowIncident:
        """The record; NotFoundError where there is none."""
        return self._record(self._call("GET", "/incidents/" + number))

    def created_for(self, pagerduty_id: str) -> List[StackFlowIncident]:
        """Records that carry the mark of a PagerDuty incident, lowest number first (`q`, full-text
        search).
        """
        body = self._call("GET", "/incidents", params=(("q", pagerduty_id), ("limit", str(PAGE))))
        rows = body.get("data") if isinstance(body, dict) else body
        found = []
        for row in rows if isinstance(rows, list) else ():
            if not isinstance(row, dict):
                continue
            record = StackFlowIncident.from_record(canonical_record(row, self._settings.states))
            if "description" not in row and record.number:
                record = self.incident(record.number)
            if pagerduty_id_of_mark(record.description) == pagerduty_id:
                found.append(record)
        return sorted(found, key=lambda record: (len(record.number), record.number))

    def create(self, fields: Mapping[str, Any]) -> StackFlowIncident:
        """Create a record. Not repeatable: after OutcomeUnknownError look for the mark first."""
        return self._record(self._call("POST", "/incidents", dict(fields)))

    def update(self, number: str, fields: Mapping[str, Any]) -> StackFlowIncident:
        """Write fields of a record; ``state`` is given in its canonical spelling."""
        data = dict(fields)
        if "state" in data:
            data["state"] = api_state(data["state"], self._settings.states)
        return self._record(self._call("PATCH", "/incidents/" + number, data))

    def add_note(self, number: str, text: str) -> None:
        """Add a work note, once: it is looked up before it is written a second time."""
        try:
            self._call("POST", "/incidents/%s/notes" % number, {"note": text})
        except ApiError as error:
            if error.kind != "outcome_unknown" or not self._has_note(number, text):
                raise

    def _has_note(self, number: str, text: str) -> bool:
        body = self._call("GET", "/incidents/%s/notes" % number)
        notes = body.get("data", ()) if isinstance(body, dict) else body
        return any(isinstance(note, dict) and text in note.values() for note in notes or ())

    def _record(self, body: Any) -> StackFlowIncident:
        data = body.get("data", body) if isinstance(body, dict) else {}
        record = StackFlowIncident.from_record(canonical_record(data, self._settings.states))
        if not record.number:
            raise NotFoundError("StackFlow's answer holds no incident",
                                "check stackflow.instance_url and stackflow.api_path",
                                system=STACKFLOW)
        return record

    def _call(self, method: str, path: str, data: Optional[Dict[str, Any]] = None,
              params: Sequence[Tuple[str, str]] = ()) -> Any:
        try:
            return self._send(method, path, data, params, False).body
        except ApiError as error:
            if error.status != 401:
                raise
        try:
            return self._send(method, path, data, params, True).body
        except ApiError as again:
            if again.status != 401:
                raise
            raise CredentialsError("%s: StackFlow refuses the token" % again.message,
                                   "renew the credentials under stackflow.auth") from again

    def _send(self, method: str, path: str, data: Optional[Dict[str, Any]],
              params: Sequence[Tuple[str, str]], refused: bool) -> Answer:
        headers = {"Authorization": "Bearer " + self._token(refused), "Accept": "application/json"}
        return self._transport.request(STACKFLOW, method, self._settings.api_url + path, headers,
                                       params=params, data=data, repeatable=method == "GET")
