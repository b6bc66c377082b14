"""Incidents of both sides, their ids and times, and the marks that join them to a pair."""

import hashlib
import re
from datetime import datetime, timezone
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

from .errors import BadInputError

STACKFLOW_NUMBER = re.compile(r"^INC[0-9]{1,20}\Z")
"""`id` and `number` of a record are equal and of the form INC + digits (StackFlow
api/incidents.html).
"""
PAGERDUTY_ID_FORM = r"(?!INC)(?=[0-9]*[A-Z])[0-9A-Z]{2,40}"
"""Of an id: no page states its form, and all that are shown are of capitals and digits.

Digits alone are an incident's number, which PagerDuty accepts in its place (Get an Incident).
"""
PAGERDUTY_ID = re.compile("^%s\\Z" % PAGERDUTY_ID_FORM)
STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s*"
                   r"(Z|[+-]\d\d(?::?\d\d)?)?", re.IGNORECASE)
CLIENT = "StackFlow"
"""`client` of every trigger: the mark that comes back in the webhook `incident.triggered`."""
DEDUP_KEY_LIMIT = 255
"""Characters (PagerDuty Events API v2, Send an Alert Event)."""
LAST_RESORT = ":unanswered"
"""Ends the dedup key of the alert that an escalation sends when nobody has answered it."""
KEY = re.compile(r"stackflow:.*:(INC[0-9]{1,20})(?::([1-9][0-9]{0,8}))?(%s)?" % LAST_RESORT)
PRIORITIES = ("P1", "P2", "P3", "P4")
STATES = ("new", "in_progress", "on_hold", "pending_customer", "pending_vendor", "resolved",
          "closed", "cancelled")
"""Of a StackFlow record, in their canonical spelling (StackFlow api/incidents.html)."""
OPEN_STATES = STATES[:5]
ATTENDED_STATES = STATES[1:]
"""Those that only a person's response leads to; one that nobody knows is not taken for one."""
ESSENTIAL_FIELDS = ("state", "priority", "assignment_group", "assigned_to", "description")
"""Of a record: those that a decision needs."""
MARK = "PagerDuty-Incident-Id: "
"""Followed by the id as a word of its own, so that StackFlow's full-text search finds it however it
splits words.
"""


def is_stackflow_number(incident_id: str) -> bool:
    """Return True for a StackFlow number, False for a PagerDuty id; else raise BadInputError."""
    if STACKFLOW_NUMBER.match(str(incident_id)):
        return True
    if PAGERDUTY_ID.match(str(incident_id)):
        return False
    if re.fullmatch(r"#?[0-9]+", str(incident_id)):
        raise BadInputError("%s looks like the number of a PagerDuty incident, not its id" %
                            incident_id, "give the id, such as Q1ABCDEFGHIJKL: it is at the end of "
                            "the incident's address in PagerDuty, and list_incidents shows it; or "
                            "give the StackFlow number, such as INC0001234")
    raise BadInputError("%r is neither a StackFlow number nor a PagerDuty incident id" %
                        (incident_id,),
                        "give a number such as INC0001234 or an id such as Q1ABCDEFGHIJKL")


def dedup_key(host: str, number: str, reopened: int = 0, end: str = "") -> str:
    """Return the key under which the pack triggers an incident; after reopenings with a count."""
    key = "stackflow:%s:%s%s%s" % (host, number, ":%d" % reopened if reopened else "", end)
    if len(key) <= DEDUP_KEY_LIMIT:
        return key
    return dedup_key(hashlib.sha256(host.encode()).hexdigest(), number, reopened, end)


def number_of_key(key: Any, host: str) -> Optional[Tuple[str, int]]:
    """Return number and reopenings of a dedup key of ours; None for any other or a last resort's.
    """
    known = _parts_of_key(key, host)
    return known[:2] if known and not known[2] else None


def record_of_key(key: Any, host: str) -> Optional[str]:
    """Return the number of a dedup key of ours, a last resort's too; None for any other key."""
    known = _parts_of_key(key, host)
    return known[0] if known else None


def last_resort_key(host: str, number: str, key: Optional[str]) -> str:
    """Return the key of the last resort beside the pair's own; that is None if born in PagerDuty.
    """
    known = number_of_key(key, host)
    return dedup_key(host, number, known[1] if known else 0, LAST_RESORT)


def _parts_of_key(key: Any, host: str) -> Optional[Tuple[str, int, str]]:
    match = KEY.fullmatch(key) if isinstance(key, str) else None
    if match is None:
        return None
    number, count, end = match.group(1), int(match.group(2) or 0), match.group(3) or ""
    return (number, count, end) if dedup_key(host, number, count, end) == key else None


def is_own_key(key: str, host: str) -> bool:
    """Tell whether a dedup key starts as the pack's own do."""
    return any(key.startswith("stackflow:%s:" % one)
               for one in (host, hashlib.sha256(host.encode()).hexdigest()))


def record_url(instance_url: str, number: str) -> str:
    """Return a record's address: the `client_url` that webhooks bring back."""
    return "%s/incidents/%s" % (instance_url, number)


def number_of_url(url: Any, host: str) -> Optional[str]:
    """Return the number in a record's URL on this instance; None for any other URL."""
    try:
        parts = urlsplit(_text(url) or "")
        last = parts.path.rstrip("/").rpartition("/")[2]
        return last if parts.hostname == host and STACKFLOW_NUMBER.match(last) else None
    except ValueError:
        return None


def mark(pagerduty_id: str) -> str:
    """Return the line of a description that names the PagerDuty incident of a record."""
    return MARK + pagerduty_id


def pagerduty_id_of_mark(description: Any) -> Optional[str]:
    """Return the PagerDuty id in a description's last mark: before it stand foreign titles."""
    found = re.findall(r"(?m)^" + MARK + r"(%s)\s*$" % PAGERDUTY_ID_FORM, _text(description) or "")
    return found[-1] if found else None


class Note(NamedTuple):
    """A note on an incident; ``id`` and ``author`` are None where its side does not show them."""

    id: Optional[str]
    text: str
    author: Optional[str]

    @property
    def name(self) -> str:
        """Return its name in a mark: its id, or a digest of its text if the id is no word."""
        if self.id and re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", self.id):
            return self.id
        return "sha256-" + note_digest(self.text)


def plain(text: Any) -> str:
    """Return a text with single blanks: servers may change its white space."""
    return " ".join(str(text).split())


def note_digest(text: str) -> str:
    """Return a short name of a note's words, fit for a key of the datastore."""
    return hashlib.sha256(plain(text).encode()).hexdigest()[:32]


def note_mark(system: str, name: str) -> str:
    """Return the last line of a copied note, which names its original."""
    return "%s-Note-Id: %s" % (system, name)


def note_of_mark(text: str, system: str) -> Optional[str]:
    """Return the name of a copied note's original; None if the text is no copy."""
    found = re.search(r"(?:^|\s)%s-Note-Id:\s+(\S+)\s*\Z" % system, text)
    return found.group(1) if found else None


def parse_time(text: Any) -> Optional[datetime]:
    """Return an ISO 8601 stamp as aware UTC; None if it is unreadable, or of the first or last
    year, which stand for "never" and would overflow.
    """
    match = STAMP.fullmatch((_text(text) or "").strip())
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone[:3] + ":" + (zone[3:][-2:] or "00")
    try:
        stamp = datetime.fromisoformat("%sT%s%s" % (day, clock, zone))
        if fraction:
            stamp = stamp.replace(microsecond=int(fraction[:6].ljust(6, "0")))
        stamp = stamp.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
    return stamp if 1 < stamp.year < 9999 else None


def format_time(stamp: datetime) -> str:
    """Return an aware time as ISO 8601 UTC with `Z`, in microseconds."""
    return stamp.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def priority_named(text: Optional[str]) -> Optional[str]:
    """Return a priority as PRIORITIES spells it, and other names as they are."""
    name = (text or "").strip().upper()
    return name if name in PRIORITIES else text


def reaches(priority: Optional[str], threshold: str) -> bool:
    """Tell whether a priority is at or above the threshold; an unknown one never is."""
    name = priority_named(priority)
    return name in PRIORITIES and PRIORITIES.index(name) <= PRIORITIES.index(threshold)


class StackFlowIncident(NamedTuple):
    """A StackFlow record; ``state`` is canonical, ``fields`` holds all fields of the answer."""

    number: str
    state: str
    priority: Optional[str]
    assignment_group: Optional[str]
    category: Optional[str]
    assigned_to: Optional[str]
    short_description: str
    description: str
    created_at: Optional[datetime]
    updated_at: Optional[datetime]
    reopened_at: Optional[datetime]
    fields: Mapping[str, Any]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "StackFlowIncident":
        """Read a record of `stackflow.records.canonical_record`."""
        def text(name: str) -> Optional[str]:
            return _text(record.get(name))

        return cls(
            number=text("number") or text("id") or "", state=text("state") or "",
            priority=text("priority"), assignment_group=text("assignment_group"),
            category=text("category"), assigned_to=text("assigned_to"),
            short_description=text("short_description") or "",
            description=text("description") or "", created_at=parse_time(record.get("created_at")),
            updated_at=parse_time(record.get("updated_at")),
            reopened_at=parse_time(record.get("reopened_at")), fields=record)

    @property
    def is_complete(self) -> bool:
        """Whether it holds every field that a decision needs; a webhook may bring fewer."""
        return all(name in self.fields for name in ESSENTIAL_FIELDS)


class PagerDutyIncident(NamedTuple):
    """A PagerDuty incident as REST shows it.

    ``merged_into`` is the target's id after a merge. ``assignments`` are ids of users and since
    when (ISO 8601), ``acknowledgers`` ids of users, or of services for events. Without
    ``reopened_at`` it may have been reopened all the same.
    """

    id: str
    status: str
    title: str
    urgency: Optional[str]
    priority: Optional[str]
    service_id: Optional[str]
    service_name: Optional[str]
    escalation_policy_id: Optional[str]
    escalation_policy_name: Optional[str]
    assignments: Tuple[Tuple[str, str], ...]
    html_url: str
    created_at: Optional[datetime]
    status_changed_at: Optional[datetime]
    merged_into: Optional[str]
    reopened_at: Optional[datetime] = None
    acknowledgers: Tuple[str, ...] = ()

    @property
    def assignees(self) -> Tuple[str, ...]:
        """Return the ids of its assignees, sorted."""
        return tuple(sorted(user for user, _ in self.assignments))

    @classmethod
    def from_rest(cls, data: Mapping[str, Any]) -> "PagerDutyIncident":
        """Read the `incident` object of PagerDuty's REST API."""
        service = _object(data.get("service"))
        priority = _object(data.get("priority"))
        policy = _object(data.get("escalation_policy"))
        return cls(
            id=_text(data.get("id")) or "", status=_text(data.get("status")) or "",
            title=_text(data.get("title")) or _text(data.get("summary")) or "",
            urgency=_text(data.get("urgency")),
            priority=_text(priority.get("name")) or _text(priority.get("summary")),
            service_id=_text(service.get("id")), service_name=_text(service.get("summary")),
            escalation_policy_id=_text(policy.get("id")),
            escalation_policy_name=_text(policy.get("summary")),
            assignments=_people(data.get("assignments"), "assignee"),
            html_url=_text(data.get("html_url")) or "",
            created_at=parse_time(data.get("created_at")),
            status_changed_at=parse_time(data.get("last_status_change_at") or
                                         data.get("updated_at")),
            merged_into=merge_target(data.get("resolve_reason")),
            reopened_at=parse_time(data.get("reopened_at")),
            acknowledgers=tuple(user for user, _ in _people(data.get("acknowledgements"),
                                                            "acknowledger")))


def merge_target(resolve_reason: Any) -> Optional[str]:
    """Return the id of a merge's target (REST API, Incident, `resolve_reason`), or None."""
    reason = _object(resolve_reason)
    merged = reason.get("type") == "merge_resolve_reason"
    return _text(_object(reason.get("incident")).get("id")) if merged else None


def _people(value: Any, name: str) -> Tuple[Tuple[str, str], ...]:
    rows = [_object(row) for row in value] if isinstance(value, list) else []
    found = [(_text(_object(row.get(name)).get("id")), str(row.get("at"))) for row in rows]
    return tuple((user, at) for user, at in found if user)


def _object(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None
