"""The built-in SLA clock: which deadlines have come, from what is known of the incidents.

A deadline is the incident's `created_at` plus the target's minutes. There are no business hours.
`pending_customer` stops it, for as long as polls saw that state, and a finished state ends it; an
incident that is opened again starts anew. Pure: the present time is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from .deliveries import as_object
from .incidents import ATTENDED_STATES, StackFlowIncident, format_time, parse_time
from .merge import DONE_STATES
from .settings import SlaTarget

WARNING, BREACH, RECOVERY = "sla.warning", "sla.breach", "sla.recovery"
WARNING_PERCENT = 75.0
"""StackFlow's own default (notifications/sla-alerts.html)."""
STOPPED_STATES = ("pending_customer",)
KEPT = timedelta(days=7)
"""How long a finished incident is known, so that its reopening is told from an old incident."""


class Alert(NamedTuple):
    """Something to report: the payload of the trigger `stackflow_sla_event`, without `sync`."""

    number: str
    policy: str
    payload: Dict[str, Any]


@dataclass(frozen=True)
class Timer:
    """What is known of one incident.

    ``since``: from when it counts, where that is not its creation; ``stopped``: seconds that do not
    count, without those since ``stopped_at``; ``responded``: somebody took care of it once;
    ``told``: the last event of each policy that was reported.
    """

    record: Optional[StackFlowIncident] = None
    since: Optional[datetime] = None
    stopped: float = 0.0
    stopped_at: Optional[datetime] = None
    ended_at: Optional[datetime] = None
    responded: bool = False
    told: Dict[str, str] = field(default_factory=dict)

    def deadline(self, minutes: float) -> datetime:
        """When so many minutes are over, if it is not stopped any more."""
        assert self.record is not None and self.record.created_at is not None
        begin = self.since or self.record.created_at
        try:
            return begin + timedelta(minutes=minutes, seconds=self.stopped)
        except OverflowError:  # a mistake in a record or in a target
            return datetime.max.replace(tzinfo=timezone.utc)

    def percent(self, minutes: float, now: datetime) -> float:
        """How much of so many minutes is over."""
        left = self.deadline(minutes) - (self.stopped_at or now)
        return 100 - 100 * left.total_seconds() / (minutes * 60)


def look(timer: Optional[Timer], record: StackFlowIncident) -> Timer:
    """The timer of an incident after another look at its record."""
    at = record.updated_at or record.created_at
    done = record.state in DONE_STATES
    if timer is None:
        timer = Timer()
    elif timer.ended_at and not done:
        timer = Timer(since=at)
    answered = record.state in ATTENDED_STATES or record.assigned_to is not None
    stopped, stopped_at = timer.stopped, timer.stopped_at
    if record.state in STOPPED_STATES:
        stopped_at = stopped_at or at
    elif stopped_at and at:
        stopped, stopped_at = stopped + max(0.0, (at - stopped_at).total_seconds()), None
    return replace(timer, record=record, stopped=stopped, stopped_at=stopped_at,
                   ended_at=(timer.ended_at or at) if done else None,
                   responded=timer.responded or answered)


def due(timer: Timer, target: SlaTarget, now: datetime) -> Optional[str]:
    """The event that is to be reported of an incident for a target now, if one is."""
    told = timer.told.get(target.policy)
    met = timer.responded if target.metric == "first_response" else timer.ended_at is not None
    if met:
        return RECOVERY if told == BREACH else None
    if timer.record is None or timer.record.priority != target.priority:
        return None
    percent = timer.percent(target.minutes, now)
    if percent >= 100:
        return BREACH if told != BREACH else None
    return WARNING if percent >= WARNING_PERCENT and told is None else None


def alert(timer: Timer, target: SlaTarget, event_type: str, now: datetime) -> Alert:
    """The event of a timer that :func:`due` named; found again, it has the same id."""
    record = timer.record
    assert record is not None
    minutes = target.minutes * (WARNING_PERCENT / 100 if event_type == WARNING else 1)
    at = timer.deadline(minutes)
    if event_type == RECOVERY:
        now = at = record.updated_at or now
    return Alert(record.number, target.policy, {
        "event_id": "%s:%s:%s:%s" % (record.number, event_type, format_time(at), target.policy),
        "event_type": event_type, "occurred_at": format_time(at), "received_by": "clock",
        "incident": dict(record.fields),
        "sla": {"policy": target.policy, "metric": target.metric,
                "elapsed_percent": round(timer.percent(target.minutes, now), 1),
                "breached_at": format_time(at) if event_type == BREACH else None}})


class SlaClock:
    """The timers of all incidents that a target is about.

    ``stored`` is what :meth:`to_store` gave to be kept over a restart. Incidents created before
    ``start`` are left out: nobody is paged for what is older than the pack.
    """

    def __init__(self, targets: Sequence[SlaTarget], start: Optional[datetime],
                 stored: Mapping[str, Any]) -> None:
        self._targets = targets
        self._start = start
        self._timers = {number: _restored(as_object(values)) for number, values in stored.items()}
        self.priorities = sorted({target.priority for target in targets})

    def look(self, record: StackFlowIncident) -> None:
        """Take notice of a record as it is now."""
        older = self._start and record.created_at and record.created_at < self._start
        known = self._timers.get(record.number)
        if record.created_at is None or older or not record.number:
            return
        if known or (record.priority in self.priorities and record.state not in DONE_STATES):
            self._timers[record.number] = look(known, record)

    def due(self, now: datetime) -> List[Alert]:
        """What is to be reported now; each comes again until it was :meth:`told`.

        Forgets what ended long ago, and what was open before a restart and was not seen since.
        """
        self._timers = {number: timer for number, timer in self._timers.items()
                        if (now - timer.ended_at < KEPT if timer.ended_at else timer.record)}
        alerts = []
        for timer in self._timers.values():
            for target in self._targets if timer.record is not None else ():
                event_type = due(timer, target, now)
                if event_type is not None:
                    alerts.append(alert(timer, target, event_type, now))
        return alerts

    def told(self, one: Alert) -> None:
        """The alert was dispatched."""
        timer = self._timers[one.number]
        told = dict(timer.told, **{one.policy: one.payload["event_type"]})
        self._timers[one.number] = replace(timer, told=told)

    def to_store(self) -> Dict[str, Any]:
        """What the records alone do not tell, as JSON."""
        kept = {number: _kept(timer) for number, timer in sorted(self._timers.items())}
        return {number: values for number, values in kept.items() if values}


def _kept(timer: Timer) -> Dict[str, Any]:
    values = {"since": timer.since, "stopped": timer.stopped, "stopped_at": timer.stopped_at,
              "ended_at": timer.ended_at, "responded": timer.responded, "told": timer.told}
    return {name: format_time(value) if isinstance(value, datetime) else value
            for name, value in values.items() if value}


def _restored(values: Mapping[str, Any]) -> Timer:
    stopped, told = values.get("stopped"), as_object(values.get("told"))
    return Timer(since=parse_time(values.get("since")),
                 stopped=float(stopped) if isinstance(stopped, (int, float)) else 0.0,
                 stopped_at=parse_time(values.get("stopped_at")),
                 ended_at=parse_time(values.get("ended_at")),
                 responded=values.get("responded") is True,
                 told={policy: str(event) for policy, event in told.items()})
