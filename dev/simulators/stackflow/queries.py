"""Lists: filters, full-text search, order and pages (api/incidents.html, api/quickstart.html)."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Iterable, List, Sequence
from urllib.parse import urlencode

from dev.simulators.base import Request
from dev.simulators.stackflow.records import PRIORITIES, Incident
from dev.simulators.stackflow.refusals import bad_request
from dev.simulators.stackflow.switches import Switches

MAX_LIMIT = 200
SORTABLE = ("created_at", "priority", "updated_at")

Test = Callable[[Incident], bool]


def select(incidents: Iterable[Incident], request: Request, switches: Switches) -> List[Incident]:
    """The incidents that pass every filter of the request, in the order that it asks for."""
    tests = _tests(request, switches)
    found = [incident for incident in incidents if all(test(incident) for test in tests)]
    sort = request.one("sort") or switches.default_sort
    order = request.one("order") or switches.default_order
    if sort not in SORTABLE:
        raise bad_request("sort must be one of {}".format(", ".join(SORTABLE)))
    if order not in ("asc", "desc"):
        raise bad_request("order must be asc or desc")

    def rank(incident: Incident) -> Any:
        key = incident.fields[sort] if sort == "priority" else getattr(incident, sort)
        return key, incident.number  # equal keys: by number, so that pages do not overlap
    return sorted(found, key=rank, reverse=order == "desc")


def page(items: Sequence[Any], request: Request, switches: Switches) -> Dict[str, Any]:
    """One page, wrapped in `data` (api/quickstart.html); what stands beside it is a switch."""
    number = _positive(request, "page", 1)
    limit = _positive(request, "limit", switches.default_limit)
    if limit > MAX_LIMIT and switches.limit_above_max == "refuse":
        raise bad_request("limit must not exceed {}".format(MAX_LIMIT))
    limit = min(limit, MAX_LIMIT)
    end = number * limit
    answer: Dict[str, Any] = {
        "data": [item.view(switches) for item in items[end - limit:end]]}
    more = end < len(items)
    if switches.pagination == "page":
        answer.update(page=number, limit=limit, total=len(items))
    elif switches.pagination == "has_more":
        answer["has_more"] = more
    elif switches.pagination == "next":
        others = [(name, value) for name, value in request.query if name not in ("page", "limit")]
        query = urlencode(others + [("page", str(number + 1)), ("limit", str(limit))])
        answer["next"] = "{}?{}".format(request.path, query) if more else None
    return answer


def _tests(request: Request, switches: Switches) -> List[Test]:
    tests: List[Test] = []
    for name in ("priority", "assignment_group", "assigned_to", "category"):
        wanted = request.one(name)
        if wanted:
            tests.append(_equals(name, wanted))
    priority, spelling = request.one("priority"), request.one("state")
    if priority and priority not in PRIORITIES:
        raise bad_request("Invalid value for priority: {}".format(priority))
    if spelling:
        state = switches.canonical(spelling)
        if not state:
            raise bad_request("Invalid value for state: {}".format(spelling))
        tests.append(lambda incident: incident.state == state)
    # Whether the bounds themselves belong is not said; here they do not.
    after, before = request.one("created_after"), request.one("created_before")
    if after:
        lower = _moment("created_after", after)
        tests.append(lambda incident: incident.created_at > lower)
    if before:
        upper = _moment("created_before", before)
        tests.append(lambda incident: incident.created_at < upper)
    text = request.one("q")
    if text:
        tests.append(_search(text, switches))
    return tests


def _equals(name: str, wanted: str) -> Test:
    return lambda incident: bool(incident.fields[name] == wanted)


def _search(text: str, switches: Switches) -> Test:
    """`q=database+timeout` is a full-text search; how it cuts text into words is not said."""
    wanted = text.lower()
    words = set(_words(wanted))

    def found(incident: Incident) -> bool:
        texts = (incident.fields["short_description"] or "", incident.fields["description"] or "")
        whole = "\n".join(texts).lower()
        if switches.search == "substring":
            return wanted in whole
        return bool(words) and words.issubset(_words(whole))
    return found


def _words(text: str) -> List[str]:
    return re.findall(r"\w+", text)


def _positive(request: Request, name: str, default: int) -> int:
    value = request.one(name)
    if value is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < 1:
        raise bad_request("{} must be a positive integer".format(name))
    return int(value)


def _moment(name: str, value: str) -> datetime:
    """ISO 8601, as in 2026-05-01T00:00:00Z; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", value))
    except ValueError:
        raise bad_request("{} must be an ISO 8601 time".format(name)) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
