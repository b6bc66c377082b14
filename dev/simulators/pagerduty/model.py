"""The things that a PagerDuty account is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from dev.simulators.base import Timer

TRIGGERED, ACKNOWLEDGED, RESOLVED = "triggered", "acknowledged", "resolved"
HIGH, LOW = "high", "low"
BY_POLICY, DIRECT = "escalation_policy", "direct_assignment"


@dataclass
class Switches:
    """What PagerDuty leaves open, and what a test may want otherwise. Times are in seconds.

    `events_limit` and `rest_limit` are requests per minute and key; None switches them off.
    `move_takes_service_policy`: a move without a named policy adopts that of the new service.
    `move_reassigns`: the policy adopted in a move takes effect at once; off: it is recorded, but
    assignees stay until somebody is assigned anew. `move_needs_second_put`: a policy sent together
    with a service is ignored. `move_keeps_acknowledgement`: an acknowledged incident stays so, and
    nobody is notified. `move_refused`: the service stays as it was, without an error.
    `moved_alert_follows_key`: an event with the old routing key still finds the alert of a moved
    incident (dedup looks at integration and key alone); off: it does not. `low_urgency_escalates`:
    a level may be asked for while the urgency is low; off: it is refused with code 1006.
    """

    event_delay: float = 0.05
    events_limit: Optional[int] = 120
    unknown_key_status: int = 202
    rest_limit: Optional[int] = 960
    largest_page: int = 100
    rest_acknowledge_reassigns: bool = True
    snooze_needs_acknowledged: bool = False
    subscription_created_status: int = 201
    agent_is_null: bool = False
    client_is_null: bool = False
    ping_agent_is_null: bool = False
    resolution_note_first: bool = False
    note_trimmed_at: int = 2000
    move_takes_service_policy: bool = True
    move_reassigns: bool = True
    move_needs_second_put: bool = False
    move_keeps_acknowledgement: bool = False
    move_refused: bool = False
    moved_alert_follows_key: bool = True
    low_urgency_escalates: bool = False


class Refused(Exception):
    """A change that PagerDuty does not make, with the code of its error list."""

    def __init__(self, code: int, message: str, errors: Optional[List[str]] = None,
                 status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors


class Agent(NamedTuple):
    """Who did something: kind is `user` or `integration`. Automation is None instead."""

    kind: str
    id: str


class Notification(NamedTuple):
    """One page of one person."""

    at: datetime
    incident_id: str
    reason: str


@dataclass
class User:
    id: str
    name: str
    email: str


@dataclass
class Priority:
    id: str
    name: str


@dataclass
class Team:
    id: str
    name: str


@dataclass
class Level:
    """One rule of an escalation policy: whom to assign, and how long to wait for them."""

    delay_minutes: float
    user_ids: List[str]


@dataclass
class Policy:
    id: str
    name: str
    levels: List[Level]
    num_loops: int = 0
    team_id: Optional[str] = None

    def staffed(self, level: int) -> Optional[int]:
        """The first level from `level` (1 is the lowest) on which somebody is on call."""
        for number in range(level, len(self.levels) + 1):
            if self.levels[number - 1].user_ids:
                return number
        return None


@dataclass
class Service:
    """Timeouts in seconds, None: off. `urgency` is high, low or severity_based."""

    id: str
    name: str
    policy_id: str
    created_at: datetime
    urgency: str = HIGH
    acknowledgement_timeout: Optional[int] = None
    auto_resolve_timeout: Optional[int] = None
    disabled: bool = False
    maintenance: bool = False

    @property
    def usual_urgency(self) -> str:
        """Of an incident without an alert: there is no severity to judge by."""
        return self.urgency if self.urgency in (HIGH, LOW) else HIGH


@dataclass
class Integration:
    id: str
    name: str
    service_id: str
    created_at: datetime
    key: str = field(repr=False, default="")


@dataclass
class Extension:
    """A legacy V2 webhook on a service."""

    id: str
    name: str
    service_id: str
    url: str


@dataclass
class ApiKey:
    """`user_id` None: an account key."""

    key: str = field(repr=False)
    user_id: Optional[str] = None
    read_only: bool = False


@dataclass
class Alert:
    id: str
    alert_key: str
    integration_id: str
    routing_key: str = field(repr=False)
    incident_id: str
    service_id: str
    created_at: datetime
    summary: str
    source: str
    severity: str
    status: str = TRIGGERED
    resolved_at: Optional[datetime] = None
    details: Any = None
    contexts: List[Dict[str, Any]] = field(default_factory=list)
    client: Optional[Dict[str, Any]] = None


@dataclass
class Note:
    id: str
    content: str
    user_id: Optional[str]
    created_at: datetime


@dataclass
class LogEntry:
    id: str
    type: str
    at: datetime
    incident_id: str
    agent: Optional[Agent]
    channel: Dict[str, Any]
    note: Optional[str] = None


@dataclass
class Incident:
    """`incident_key` is its own key (REST and web UI); alert-born incidents have none.

    `level` is the level of the policy that it is assigned to, from 1. `policy_idle` is true when
    the policy was changed without assigning anybody.
    """

    id: str
    number: int
    title: str
    service_id: str
    policy_id: str
    urgency: str
    created_at: datetime
    updated_at: datetime
    status_changed_at: datetime
    status: str = TRIGGERED
    incident_key: Optional[str] = None
    priority_id: Optional[str] = None
    status_changed_by: Optional[Agent] = None
    resolved_at: Optional[datetime] = None
    reopened_at: Optional[datetime] = None
    merged_into: Optional[str] = None
    assignments: List[Tuple[datetime, str]] = field(default_factory=list)
    assigned_via: str = BY_POLICY
    acknowledgements: List[Tuple[datetime, Agent]] = field(default_factory=list)
    level: int = 1
    loops: int = 0
    policy_idle: bool = False
    details: Optional[str] = None
    alert_ids: List[str] = field(default_factory=list)
    notes: List[Note] = field(default_factory=list)
    log: List[LogEntry] = field(default_factory=list)
    timers: Dict[str, Timer] = field(default_factory=dict, repr=False)

    @property
    def open(self) -> bool:
        return self.status != RESOLVED

    @property
    def assignees(self) -> List[str]:
        """Ids of the users it is assigned to."""
        return [user_id for _, user_id in self.assignments]

    @property
    def last_status_change_at(self) -> datetime:
        """While triggered, the time of the last update [api-schema, Incident]."""
        return self.updated_at if self.status == TRIGGERED else self.status_changed_at


@dataclass
class Subscription:
    """`filter_id` None: the account. `more_secrets` sign too, as in a rotation."""

    id: str
    url: str
    events: List[str]
    filter_type: str
    filter_id: Optional[str]
    secret: str = field(repr=False)
    description: str = ""
    active: bool = True
    headers: Dict[str, str] = field(default_factory=dict, repr=False)
    more_secrets: List[str] = field(default_factory=list, repr=False)
    drops: int = 0
    disabled_until: Optional[datetime] = None


class Write(NamedTuple):
    """A state-changing API request that was accepted. `who`: routing key or the user's id."""

    at: datetime
    api: str
    method: str
    path: str
    document: Any
    who: Optional[str]
