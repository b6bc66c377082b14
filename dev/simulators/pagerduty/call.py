"""One REST call on its way to its handler, and what handlers have in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from dev.simulators.base import Request, Response
from dev.simulators.pagerduty.model import Agent, ApiKey, Refused, User

DEFAULT_PAGE = 25
# offset + limit beyond it gives 400 [developer-docs, REST-API/09].
DEEPEST_ROW = 10000


@dataclass
class Call:
    """`user` is who acts: from the user key, or the From header. `ids` come from the path."""

    request: Request
    key: ApiKey
    user: Optional[User]
    ids: Tuple[str, ...]
    document: Any
    now: datetime
    largest_page: int

    @property
    def agent(self) -> Agent:
        if self.user is None:
            raise Refused(2016, MISSING_FROM)
        return Agent("user", self.user.id)

    def wrapped(self, name: str) -> Dict[str, Any]:
        """The object that the body wraps, as in {"incident": {...}} [developer-docs, REST-API]."""
        inner = self.document.get(name) if isinstance(self.document, dict) else None
        if not isinstance(inner, dict):
            raise invalid("{} must be an object".format(name))
        return inner

    def time(self, name: str) -> Optional[datetime]:
        text = self.request.one(name)
        return parse_time(text) if text else None

    @property
    def include(self) -> List[str]:
        return self.request.every("include[]")

    def page(self, name: str, rows: Sequence[Any], shape: Callable[[Any], Any]) -> Response:
        """Classic pagination [developer-docs, REST-API/09]; `total` only on demand."""
        limit = min(self._number("limit", DEFAULT_PAGE, 1), self.largest_page)
        offset = self._number("offset", 0, 0)
        if offset + limit > DEEPEST_ROW:
            raise invalid("Offset and limit exceed {}".format(DEEPEST_ROW))
        total = len(rows) if self.request.one("total") == "true" else None
        chosen = [shape(row) for row in rows[offset:offset + limit]]
        return Response.of(200, {name: chosen, "limit": limit, "offset": offset, "total": total,
                                 "more": offset + limit < len(rows)})

    def _number(self, name: str, default: int, least: int) -> int:
        text = self.request.one(name, str(default)) or ""
        if not text.isdigit() or int(text) < least:
            raise invalid("{} is invalid".format(name.capitalize()))
        return int(text)


MISSING_FROM = ('You must specify a user\'s email address in the "From" header to perform this '
                'action')

Handler = Callable[[Call], Response]


class Route(NamedTuple):
    """`path` has {id} for every id. `needs_from`: the From header is required with account keys."""

    method: str
    path: str
    handler: Handler
    needs_from: bool = False


def invalid(*errors: str) -> Refused:
    """400 with the code of bad arguments."""
    return Refused(2001, "Invalid Input Provided", list(errors))


def parse_time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace(" ", "+"))
    except ValueError:
        raise invalid("Time is not ISO 8601")
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
