"""The escalation of an SLA breach as it is remembered, and what is decided about it.

Pure: no input, no output, no clock. An escalation compares what PagerDuty and StackFlow show with
what they showed when it began and at its last step, never their clocks with ours.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Iterable, Mapping, Optional, Sequence, Tuple

from .bounded_json import loads
from .incidents import PagerDutyIncident, parse_time
from .settings import EscalationMapping, Settings

FIRST_RESPONSE = "first_response"
RESOLUTION = "resolution"

STARTING = "starting"
WAITING = "waiting"
ANSWERED = "answered"
RESOLVED = "resolved"
RECOVERED = "recovered"
UNANSWERED = "unanswered"
DROPPED = "dropped"
"""The states of an escalation: the policy is to be started; its people have time to answer; and the
ends, of which one came after the alert of last resort and one with a change of the config.
"""

RECONCILE = "reconcile"
"""Stands for the run of a workflow where the reconcile follows an escalation."""
OVERDUE = timedelta(minutes=10)
"""A look is late by more than this only if its run has died: StackStorm ends an action after 600 s.
"""
HIGH = "high"
"""The urgency with which an incident climbs its policy (support.pagerduty.com, Dynamic
Notifications).
"""
ACKNOWLEDGE_ENTRY = "acknowledge_log_entry"
RESOLVE_ENTRY = "resolve_log_entry"
ASSIGNING_ENTRIES = ("assign_log_entry", "delegate_log_entry", "escalate_log_entry")


@dataclass(frozen=True)
class Escalation:
    """One escalation of an incident under a StackFlow SLA policy, as the datastore has it.

    ``run``: who follows it, the id of a workflow's execution or RECONCILE; ``trigger_on``: the kind
    of its entry in `escalation_mapping`; ``begun`` and ``look_at``: our own times of its start and
    of its next step.

    What tells this breach from any other: the last recovery before it, the record's
    ``reopened_at``, the PagerDuty incident with its dedup key and the number of its resolves;
    ``pagerduty_id`` is None until one is open. What was there before, and so is no answer:
    ``acknowledges``, the number of acknowledgements; ``assignee`` in StackFlow. ``level``: of the
    policy, from 1; ``assigned``: who had the PagerDuty incident at the last step; ``at``:
    PagerDuty's own time of it.
    """

    number: str
    policy: str
    run: str
    metric: str
    state: str
    begun: str
    look_at: str
    trigger_on: Optional[str] = None
    recovered: Optional[str] = None
    reopened_at: Optional[str] = None
    pagerduty_id: Optional[str] = None
    dedup_key: Optional[str] = None
    resolves: int = 0
    acknowledges: int = 0
    assignee: Optional[str] = None
    level: int = 0
    assigned: str = ""
    at: Optional[str] = None

    @property
    def active(self) -> bool:
        """Whether it is to be followed."""
        return self.state in (STARTING, WAITING)

    def overdue(self, now: datetime) -> bool:
        """Whether it stands still: nobody has taken the step that was due. The reconcile looks at
        its own whenever they are due.
        """
        due = parse_time(self.look_at)
        late = timedelta(0) if self.run == RECONCILE else OVERDUE
        return self.active and (due is None or now >= due + late)


@dataclass(frozen=True)
class Seen:
    """Both sides at one look.

    ``over``: resolved on a side and not opened again; ``responded``: somebody gave a first
    response; ``incident``: the PagerDuty incident, where PagerDuty shows one; ``history``: its log
    entries.
    """

    over: bool = False
    responded: bool = False
    recovered: Optional[str] = None
    reopened_at: Optional[str] = None
    assignee: Optional[str] = None
    dedup_key: Optional[str] = None
    incident: Optional[PagerDutyIncident] = None
    history: Sequence[Mapping[str, Any]] = ()

    @property
    def open_incident(self) -> Optional[PagerDutyIncident]:
        """The incident, unless it is resolved."""
        resolved = self.incident is None or self.incident.status == RESOLVED
        return None if resolved else self.incident

    @property
    def acknowledges(self) -> int:
        """How often the incident was acknowledged."""
        return len(self._times(ACKNOWLEDGE_ENTRY))

    @property
    def resolves(self) -> int:
        """How often it was resolved."""
        return len(self._times(RESOLVE_ENTRY))

    @property
    def assigned(self) -> str:
        """Who has the incident since when; another text once anything about that changed."""
        people = sorted("%s %s" % one for one in self.incident.assignments) if self.incident else []
        return "; ".join([str(len(self._times(*ASSIGNING_ENTRIES)))] + people)

    @property
    def at(self) -> Optional[str]:
        """PagerDuty's own time of the last that happened."""
        return max((str(entry.get("created_at")) for entry in self.history), default=None)

    def acknowledges_until(self, at: Optional[str]) -> int:
        """Those up to a time of PagerDuty's; all of them for None."""
        end = parse_time(at)
        times = map(parse_time, self._times(ACKNOWLEDGE_ENTRY))
        return sum(end is None or time is None or time <= end for time in times)

    def _times(self, *kinds: str) -> Tuple[str, ...]:
        return tuple(str(entry.get("created_at")) for entry in self.history
                     if entry.get("type") in kinds)


def metric_of(policy: str, metric: Optional[str]) -> str:
    """What the SLA measures: as its event says, else by the policy's name."""
    if metric in (FIRST_RESPONSE, RESOLUTION):
        return str(metric)
    return FIRST_RESPONSE if "response" in policy.casefold() else RESOLUTION


def mapping_of(settings: Settings, policy: Optional[str],
               trigger_on: Optional[str] = None) -> Optional[EscalationMapping]:
    """The entry of a StackFlow SLA policy, for one kind of event or for any; None without one."""
    for entry in settings.escalation_mapping:
        if entry.sla_policy == policy and trigger_on in (None, "", entry.trigger_on):
            return entry
    return None


def decode(text: Optional[str]) -> Optional[Escalation]:
    """A stored escalation; None where there is none, or somebody made something else of it."""
    try:
        escalation = Escalation(**loads(text or ""))
    except (TypeError, ValueError):
        return None
    fits = all(_fits(getattr(escalation, field.name), field.default)
               for field in fields(Escalation))
    return escalation if fits else None


def _fits(value: Any, default: Any) -> bool:
    """Whether a value may stand in a field with this default: a number in place of one, else a text;
    None where that is the default.
    """
    if isinstance(default, int):
        return isinstance(value, int)
    return isinstance(value, str) or (value is None and default is None)


def encode(escalation: Escalation) -> str:
    """What is stored."""
    return json.dumps({name: value for name, value in asdict(escalation).items() if value},
                      sort_keys=True)


def begin_of(number: str, policy: str, run: str, metric: Optional[str], trigger_on: Optional[str],
             begun: str, seen: Seen) -> Escalation:
    """A new escalation of a breach, which knows what was there before it."""
    if seen.open_incident is None:
        seen = replace(seen, incident=None, history=(), dedup_key=None)
    return Escalation(
        number, policy, run, metric_of(policy, metric), STARTING, begun, begun, trigger_on or None,
        seen.recovered, seen.reopened_at, seen.incident.id if seen.incident else None,
        seen.dedup_key, seen.resolves, seen.acknowledges, seen.assignee, assigned=seen.assigned)


def same_breach(escalation: Escalation, seen: Seen) -> bool:
    """Whether nothing has happened since that lets the same SLA be breached once more: a recovery,
    or a reopening on either side.
    """
    if seen.recovered and seen.recovered != escalation.recovered:
        return False
    if seen.reopened_at != escalation.reopened_at:
        return False
    if escalation.pagerduty_id is None or seen.incident is None:
        return True
    if seen.dedup_key != escalation.dedup_key:
        return False
    return seen.incident.id != escalation.pagerduty_id or seen.resolves <= escalation.resolves


def follow(escalation: Escalation, seen: Seen) -> Escalation:
    """The same escalation on the incident that the pair has now: the one that was opened for it, or
    the target of a merge. There the policy is started anew, and only acknowledgements after the
    last step are answers.
    """
    incident = seen.incident
    if incident is None or incident.id == escalation.pagerduty_id:
        return escalation
    if escalation.pagerduty_id is None:
        return replace(escalation, pagerduty_id=incident.id, dedup_key=seen.dedup_key)
    if seen.dedup_key != escalation.dedup_key:  # opened again under the next key
        return escalation
    return replace(escalation, pagerduty_id=incident.id, resolves=seen.resolves,
                   acknowledges=seen.acknowledges_until(escalation.at), assigned=seen.assigned,
                   state=STARTING if escalation.active else escalation.state)


def end_of(escalation: Escalation, seen: Seen) -> Optional[Tuple[str, str]]:
    """The state in which an escalation ends now, and why; None where it goes on."""
    if seen.over:
        return RESOLVED, "resolved"
    if seen.recovered and seen.recovered != escalation.recovered:
        return RECOVERED, "the SLA has recovered"
    if not same_breach(escalation, seen):
        return RESOLVED, "resolved and opened again since"
    if seen.acknowledges > escalation.acknowledges:
        return ANSWERED, "acknowledged in PagerDuty"
    if seen.assignee and seen.assignee != escalation.assignee:
        return ANSWERED, "taken by a person in StackFlow"
    if escalation.metric == FIRST_RESPONSE and seen.responded:
        return ANSWERED, "somebody has responded"
    return None


def is_started(escalation: Escalation, incident: PagerDutyIncident, seen: Seen,
               policy_id: str) -> bool:
    """Whether the incident is with the people of the policy because of this escalation, and climbs.
    """
    return (incident.escalation_policy_id == policy_id and incident.urgency in (None, HIGH) and
            seen.assigned != escalation.assigned)


def on_call_level(levels: Iterable[Tuple[int, str]], incident: PagerDutyIncident) -> int:
    """The highest level of a policy, from 1, on which somebody who has the incident is on call; 0
    for none. ``levels`` are pairs of a level and the id of somebody on call there.
    """
    people = {user for user, _ in incident.assignments}
    return max((level for level, user in levels if user in people), default=0)
