"""What an incident is on both sides, how they are told apart, and the marks by which a pair
recognises itself.
"""

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
    """Return True for a StackFlow number, False for a PagerDuty id; BadInputError for anything
    else.
    """
    if isinstance(incident_id, str) and STACKFLOW_NUMBER.match(incident_id):
        return True
    if isinstance(incident_id, str) and PAGERDUTY_ID.match(incident_id):
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
    """The deterministic key under which an incident is triggered, the n-th time after a reopening
    with `:<n>`.
    """
    key = "stackflow:%s:%s%s%s" % (host, number, ":%d" % reopened if reopened else "", end)
    if len(key) <= DEDUP_KEY_LIMIT:
        return key
    return dedup_key(hashlib.sha256(host.encode()).hexdigest(), number, reopened, end)


def number_of_key(key: Any, host: str) -> Optional[Tuple[str, int]]:
    """Number and count of reopenings of a dedup key of ours; None for a last resort's and for
    anybody else's key.
    """
    known = _parts_of_key(key, host)
    return known[:2] if known and not known[2] else None


def record_of_key(key: Any, host: str) -> Optional[str]:
    """The number that a dedup key of ours belongs to, a last resort's too; None for anybody else's.
    """
    known = _parts_of_key(key, host)
    return known[0] if known else None


def last_resort_key(host: str, number: str, key: Optional[str]) -> str:
    """The dedup key of the last resort beside ``key``, the pair's own; None: born in PagerDuty."""
    known = number_of_key(key, host)
    return dedup_key(host, number, known[1] if known else 0, LAST_RESORT)


def _parts_of_key(key: Any, host: str) -> Optional[Tuple[str, int, str]]:
    match = KEY.fullmatch(key) if isinstance(key, str) else None
    if match is None:
        return None
    number, count, end = match.group(1), int(match.group(2) or 0), match.group(3) or ""
    return (number, count, end) if dedup_key(host, number, count, end) == key else None


def is_own_key(key: str, host: str) -> bool:
    """Whether a dedup key has the form of the pack's own, whatever stands behind the host."""
    return any(key.startswith("stackflow:%s:" % one)
               for one in (host, hashlib.sha256(host.encode()).hexdigest()))


def record_url(instance_url: str, number: str) -> str:
    """Where a person finds the record; sent as `client_url`, and recognised again in webhooks."""
    return "%s/incidents/%s" % (instance_url, number)


def number_of_url(url: Any, host: str) -> Optional[str]:
    """The number in a record's URL on this instance; None for any other URL."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        hostname = parts.hostname
    except ValueError:
        return None
    last = parts.path.rstrip("/").rpartition("/")[2]
    return last if hostname == host and STACKFLOW_NUMBER.match(last) else None


def mark(pagerduty_id: str) -> str:
    """The line in a record's description that says which PagerDuty incident it was created for."""
    return MARK + pagerduty_id


def pagerduty_id_of_mark(description: Any) -> Optional[str]:
    """The PagerDuty id in a description's mark; the last mark counts, as titles of other systems
    stand before it.
    """
    if not isinstance(description, str):
        return None
    found = re.findall(r"(?m)^" + MARK + r"(%s)\s*$" % PAGERDUTY_ID_FORM, description)
    return found[-1] if found else None


class Note(NamedTuple):
    """A note on an incident; ``id`` and ``author`` are None where its side does not show them."""

    id: Optional[str]
    text: str
    author: Optional[str]

    @property
    def name(self) -> str:
        """What a mark calls it: its id, or a digest of its words where no id can stand as a word.
        """
        if self.id and re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", self.id):
            return self.id
        return "sha256-" + note_digest(self.text)


def plain(text: Any) -> str:
    """A text without regard to its white space, which may be changed on the way."""
    return " ".join(str(text).split())


def note_digest(text: str) -> str:
    """A short name of a note's words, fit for a key of the datastore."""
    return hashlib.sha256(plain(text).encode()).hexdigest()[:32]


def note_mark(system: str, name: str) -> str:
    """The last line of a copied note: which note of which system it is a copy of."""
    return "%s-Note-Id: %s" % (system, name)


def note_of_mark(text: str, system: str) -> Optional[str]:
    """The name of the note that a text ends up as a copy of; None where it does not say so."""
    found = re.search(r"(?:^|\s)%s-Note-Id:\s+(\S+)\s*\Z" % system, text)
    return found.group(1) if found else None


def parse_time(text: Any) -> Optional[datetime]:
    """An ISO 8601 stamp as aware UTC; None where it is absent or unreadable, or stands for "never"
    as the first and the last year do: nothing could be added to those or taken away.
    """
    if not isinstance(text, str):
        return None
    match = STAMP.fullmatch(text.strip())
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
    """An aware time as ISO 8601 UTC with `Z`, in microseconds."""
    return stamp.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def priority_named(text: Optional[str]) -> Optional[str]:
    """Return a priority as PRIORITIES spells it, without regard to letter case; other names as they
    are.
    """
    name = (text or "").strip().upper()
    return name if name in PRIORITIES else text


def reaches(priority: Optional[str], threshold: str) -> bool:
    """Whether a priority is at or above the threshold; an unknown priority is below any."""
    name = priority_named(priority)
    return name in PRIORITIES and PRIORITIES.index(name) <= PRIORITIES.index(threshold)


class StackFlowIncident(NamedTuple):
    """A StackFlow record; ``state`` is canonical, ``fields`` holds all fields as StackFlow sent
    them.
    """

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
        """From a record whose state is canonical already (`stackflow.client` and
        `stackflow.webhooks` see to that).
        """
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
        """Whether the record holds every field that a decision needs; a webhook may carry less."""
        return all(name in self.fields for name in ESSENTIAL_FIELDS)


class PagerDutyIncident(NamedTuple):
    """A PagerDuty incident as REST shows it; ``merged_into`` is the target's id where a merge
    resolved it, ``assignments`` are ids of users and since when (ISO 8601), ``acknowledgers`` ids
    of users, or of services for events. ``reopened_at`` may be missing in an answer: None does not
    say that the incident was never opened again.
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
        """Ids of the users who have it."""
        return tuple(sorted(user for user, _ in self.assignments))

    @classmethod
    def from_rest(cls, data: Mapping[str, Any]) -> "PagerDutyIncident":
        """From the `incident` object of PagerDuty's REST API."""
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
    """The id of the incident that a merge carried on with (REST API, Incident, `resolve_reason`);
    None without a merge.
    """
    reason = _object(resolve_reason)
    if reason.get("type") != "merge_resolve_reason":
        return None
    return _text(_object(reason.get("incident")).get("id"))


def _people(value: Any, name: str) -> Tuple[Tuple[str, str], ...]:
    rows = [_object(row) for row in value] if isinstance(value, list) else []
    found = [(_text(_object(row.get(name)).get("id")), str(row.get("at"))) for row in rows]
    return tuple((user, at) for user, at in found if user)


def _object(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None
