"""REST calls on incidents, their alerts, notes and log entries [api-schema, Incidents]."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Callable, Dict, List, Set, Tuple

from dev.simulators.base import Response
from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.call import Call, Route, invalid
from dev.simulators.pagerduty.changes import Changes, reference_id
from dev.simulators.pagerduty.lifecycle import Lifecycle
from dev.simulators.pagerduty.model import Incident, LogEntry, Refused
from dev.simulators.pagerduty.shapes import Shapes

DEFAULT_WINDOW = timedelta(days=30)
LONGEST_WINDOW = timedelta(days=184)
MOST_IN_BULK = 250
SORTS = ("incident_number", "created_at", "resolved_at", "urgency")
# Moves, reopenings and priorities have no entry type at all [api-schema, LogEntry.type].
NOT_IN_OVERVIEW = ("notify_log_entry", "urgency_change_log_entry",
                   "repeat_escalation_path_log_entry")


class IncidentCalls:
    def __init__(self, account: Account, lifecycle: Lifecycle, shapes: Shapes) -> None:
        self._account = account
        self._lifecycle = lifecycle
        self._changes = Changes(account, lifecycle)
        self._shapes = shapes

    def routes(self) -> List[Route]:
        return [
            Route("GET", "/incidents", self.search),
            Route("POST", "/incidents", self.create, True),
            Route("PUT", "/incidents", self.update_many, True),
            Route("GET", "/incidents/{id}", self.get),
            Route("PUT", "/incidents/{id}", self.update, True),
            Route("PUT", "/incidents/{id}/merge", self.merge, True),
            Route("POST", "/incidents/{id}/snooze", self.snooze, True),
            Route("GET", "/incidents/{id}/notes", self.notes),
            Route("POST", "/incidents/{id}/notes", self.add_note, True),
            Route("GET", "/incidents/{id}/alerts", self.alerts),
            Route("GET", "/incidents/{id}/alerts/{id}", self.alert),
            Route("GET", "/incidents/{id}/log_entries", self.incident_log),
            Route("GET", "/log_entries", self.log)]

    def _show(self, incident: Incident, status: int = 200) -> Response:
        return Response.of(status, {"incident": self._shapes.incident(incident)})

    def search(self, call: Call) -> Response:
        ask = call.request
        key = ask.one("incident_key")
        # An empty key filters nothing [streamalert PR 567].
        rows = self._account.incidents_with_key(key) if key else list(
            self._account.incidents.values())
        if ask.one("date_range") != "all":
            since, until = self._window(call)
            rows = [one for one in rows if since <= one.created_at <= until]
        for own, wanted in self._filters(call):
            rows = [one for one in rows if wanted.intersection(own(one))]
        return call.page("incidents", self._sorted(rows, ask.one("sort_by") or "created_at:asc"),
                         lambda one: self._shapes.incident(one, call.include))

    @staticmethod
    def _window(call: Call) -> Tuple[datetime, datetime]:
        """One month unless told, six at most [api-schema, parameters since and until]."""
        until = call.time("until") or call.now
        since = call.time("since") or until - DEFAULT_WINDOW
        if until - since > LONGEST_WINDOW:
            raise invalid("Date range may not exceed 6 months")
        return since, until

    def _filters(self, call: Call) -> List[Tuple[Callable[[Incident], List[str]], Set[str]]]:
        """What an incident is by each filter of the request, and what it has to be one of."""
        facts: Dict[str, Callable[[Incident], List[str]]] = {
            "statuses[]": lambda one: [one.status], "service_ids[]": lambda one: [one.service_id],
            "urgencies[]": lambda one: [one.urgency], "user_ids[]": lambda one: one.assignees,
            "team_ids[]": self._teams}
        asked = [(own, set(call.request.every(name))) for name, own in facts.items()]
        return [(own, wanted) for own, wanted in asked if wanted]

    def _teams(self, incident: Incident) -> List[str]:
        team = self._account.team_of(incident)
        return [team.id] if team else []

    @staticmethod
    def _sorted(rows: List[Incident], order: str) -> List[Incident]:
        """Up to two of the documented fields, comma separated [api-schema, sort_by]."""
        fields = [part.partition(":") for part in order.split(",")]
        for name, _, direction in fields:
            if name not in SORTS or direction not in ("", "asc", "desc") or len(fields) > 2:
                raise invalid("Sort by is invalid")
        keys: Dict[str, Any] = {
            "incident_number": lambda one: one.number,
            "created_at": lambda one: (one.created_at, one.number),
            "resolved_at": lambda one: (one.resolved_at is None, one.resolved_at or 0),
            "urgency": lambda one: one.urgency}
        for name, _, direction in reversed(fields):
            rows = sorted(rows, key=keys[name], reverse=direction == "desc")
        return rows

    def get(self, call: Call) -> Response:
        incident = self._account.incident(call.ids[0])
        return Response.of(200, {"incident": self._shapes.incident(incident, call.include)})

    def create(self, call: Call) -> Response:
        """Makes no alert [support: alerts]. details must be a string [developer-docs, REST/15]."""
        sent = call.wrapped("incident")
        title = sent.get("title")
        if sent.get("type") != "incident" or not isinstance(title, str) or not title.strip():
            raise invalid("Type and title are required")
        service = self._account.services.get(reference_id(sent.get("service"), "Service"))
        if service is None or service.disabled:
            raise invalid("Service not found" if service is None else "Service is disabled")
        policy, people = sent.get("escalation_policy"), sent.get("assignments")
        if policy is not None and people is not None:
            raise invalid("Only one of escalation policy and assignments may be given")
        key, urgency = sent.get("incident_key"), sent.get("urgency")
        self._check_key(key, service.id)
        self._changes.check_urgency(urgency)
        incident = self._lifecycle.open(
            service, title, call.agent, urgency or service.usual_urgency,
            self._account.policies[self._changes.policy(policy)] if policy is not None else None,
            self._changes.assignees(people) if people is not None else None,
            key or self._account.new_hex(),
            self._changes.priority(sent["priority"]) if sent.get("priority") else None,
            _details(sent.get("body")))
        return self._show(incident, 201)

    def _check_key(self, key: Any, service_id: str) -> None:
        """400, code 2002 [developer-docs, REST-API/15; the text from third parties]."""
        same = [one for one in self._account.incidents.values()
                if one.open and one.service_id == service_id and one.incident_key == key]
        if key and same:
            raise Refused(2002, "Arguments Caused Error",
                          ["Open incident with matching dedup key already exists on this service"])

    def update(self, call: Call) -> Response:
        incident = self._account.incident(call.ids[0])
        change = self._changes.read(incident, call.wrapped("incident"), call.agent)
        self._changes.apply(change, call.agent)
        return self._show(incident)

    def update_many(self, call: Call) -> Response:
        """All or nothing, 250 at most, no service [developer-docs, REST-API/05; api-schema]."""
        sent = call.document.get("incidents") if isinstance(call.document, dict) else None
        if not isinstance(sent, list) or not all(isinstance(one, dict) for one in sent):
            raise invalid("Incidents must be a list")
        if len(sent) > MOST_IN_BULK:
            raise Refused(2001, "Too Many Incidents", status=413)
        changes = []
        for one in sent:
            incident = self._account.incident(str(one.get("id")))
            asked = {name: value for name, value in one.items() if name != "service"}
            changes.append(self._changes.read(incident, asked, call.agent))
        for change in changes:
            self._changes.apply(change, call.agent)
        shown = [self._shapes.incident(change.incident) for change in changes]
        return Response.of(200, {"incidents": shown})

    def merge(self, call: Call) -> Response:
        target = self._account.incident(call.ids[0])
        sources = (call.document or {}).get("source_incidents")
        if not isinstance(sources, list) or not sources:
            raise invalid("Source incidents must be a list")
        found = [self._account.incident(reference_id(one, "Source incident")) for one in sources]
        self._lifecycle.merge(target, found, call.agent)
        return Response.of(200, {"incident": self._shapes.incident_reference(target)})

    def snooze(self, call: Call) -> Response:
        """The body is not wrapped [api-schema]."""
        incident = self._account.incident(call.ids[0])
        self._lifecycle.snooze(incident, (call.document or {}).get("duration"), call.agent)
        return self._show(incident, 201)

    def notes(self, call: Call) -> Response:
        incident = self._account.incident(call.ids[0])
        shown = [self._shapes.note(note) for note in reversed(incident.notes)]
        return Response.of(200, {"notes": shown})

    def add_note(self, call: Call) -> Response:
        incident = self._account.incident(call.ids[0])
        content = call.wrapped("note").get("content")
        if not isinstance(content, str) or not content.strip():
            raise invalid("Content cannot be blank")
        note = self._lifecycle.add_note(incident, content, call.agent)
        return Response.of(200, {"note": self._shapes.note(note)})

    def alerts(self, call: Call) -> Response:
        rows = self._account.alerts_of(self._account.incident(call.ids[0]))
        key, states = call.request.one("alert_key"), call.request.every("statuses[]")
        rows = [one for one in rows if not key or one.alert_key == key]
        rows = [one for one in rows if not states or one.status in states]
        return call.page("alerts", rows, self._shapes.alert)

    def alert(self, call: Call) -> Response:
        alert = self._account.found(self._account.alerts, call.ids[1])
        return Response.of(200, {"alert": self._shapes.alert(alert)})

    def incident_log(self, call: Call) -> Response:
        return self._log_page(call, self._account.incident(call.ids[0]).log)

    def log(self, call: Call) -> Response:
        return self._log_page(call, self._account.log)

    def _log_page(self, call: Call, entries: List[LogEntry]) -> Response:
        """Newest first."""
        since, until = call.time("since"), call.time("until")
        overview = call.request.one("is_overview") == "true"
        rows = [one for one in reversed(entries)
                if (since is None or one.at >= since) and (until is None or one.at < until) and
                not (overview and one.type in NOT_IN_OVERVIEW)]
        return call.page("log_entries", rows,
                         lambda one: self._shapes.log_entry(one, call.include))


def _details(body: Any) -> Any:
    if body is None:
        return None
    if not isinstance(body, dict) or not isinstance(body.get("details", ""), str):
        raise invalid("Body details must be a string")
    return body.get("details")
