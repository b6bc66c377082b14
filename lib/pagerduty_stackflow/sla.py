"""Escalating a breached SLA: start the mapped policy once, and wait until somebody answers.

PagerDuty climbs and repeats the policy by itself. Each step compares both sides with what is stored
and writes what is due, so that any run may take it, again or late.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Iterable, List, Mapping, Optional, Tuple

from .commands import pair_of_command
from .decide import ACKNOWLEDGED, DONE_STATES, IN_PROGRESS, REPLACE, RESOLVED, TRIGGER
from .fields import same_name
from .incidents import ATTENDED_STATES, format_time, last_resort_key, parse_time
from .levels import DeadEndError, add_notes, assign, assigned, open_incident
from .matching import wait_for_incidents
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack
from .pagerduty.events import fingerprint
from .routing import CRITICAL, entry_of_service, mapping_of, route_for_opening
from .stores import STARTING, UNANSWERED, WAITING, Escalation
from .sync import before_install, decide_pair, number_of, retry_on_conflict, settle
from .contents import send_trigger
from .verification import invisible

ACKNOWLEDGES, RESOLVES = "acknowledge_log_entry", "resolve_log_entry"
REOPENS = frozenset((TRIGGER, IN_PROGRESS, REPLACE))
FIRST_RESPONSE = "first_response"
LONGEST_WAIT = 60
"""Seconds between two steps of a workflow."""
OVERDUE = 600
"""Seconds after which a step that was due has died: StackStorm ends an action then."""


@dataclass
class Step(Outcome):
    """What a step came to. ``go_on``: take the next one after ``wait_seconds``, whole and at least
    1, as Orquesta waits for nothing else; ``unanswered``: the alert of last resort is out.
    """

    go_on: bool = False
    wait_seconds: int = 1
    unanswered: bool = False


def follow_escalation(pack: Pack, incident_id: str, sla_policy: str,
                      breach: Optional[Mapping[str, Any]] = None) -> Step:
    """Take the next step of an escalation; a ``breach`` that was not escalated yet starts one.

    ``breach`` may hold its `metric`, and `trigger_on` as in `escalation_mapping`.
    """
    number = number_of(pack, incident_id)
    steps: List[Step] = []
    warnings: List[str] = []

    def attempt() -> bool:
        with pack.leases.hold("sla." + number, OVERDUE, pack.clock):
            steps.append(_Look(pack, number, sla_policy).step(breach))
        return True

    retry_on_conflict(pack, attempt, warnings)
    steps[0].warnings += warnings
    return steps[0]


def overdue(pack: Pack) -> List[Tuple[str, str]]:
    """Return number and SLA policy of each escalation that stands still, for the reconcile."""
    return [(one.number, one.policy) for one in pack.escalations.every()
            if one.state in (STARTING, WAITING) and _seconds_left(pack, one) <= -OVERDUE]


def _seconds_left(pack: Pack, one: Escalation) -> float:
    """Until a step is due: at once, or when people had their time to answer."""
    minutes = pack.settings.escalation.unanswered_after_minutes if one.state == WAITING else 0
    now = pack.clock.now()
    return 60 * minutes - (now - (parse_time(one.begun) or now)).total_seconds()


def _latest(stamps: Iterable[Any]) -> str:
    """The latest of PagerDuty's own times; "0" without any."""
    return max((format_time(time) for time in map(parse_time, stamps) if time), default="0")


class _Look:
    """Both sides and the stored escalation at one step."""

    def __init__(self, pack: Pack, number: str, policy: str) -> None:
        self._pack, self._number, self._policy = pack, number, policy
        self._stored, self._recovered = pack.escalations.read(number, policy)
        self._pair = pair_of_command(pack, number)
        incident = self._pair.incident
        self._log = pack.rest.history(incident.id) if incident else []

    def step(self, breach: Optional[Mapping[str, Any]]) -> Step:
        """Take the step that is due."""
        now = self._stored
        if breach is not None and (now is None or not self._is_same(now)):
            now = self._new(breach)
        elif now is None:
            return self._step(SKIPPED, "no escalation is under way")
        elif now.state != STARTING and (breach is not None or now.state != WAITING):
            return self._step(ALREADY, "escalated already: %s" % now.state)
        end = self._end_of(now)
        if end and now is not self._stored:
            return self._step(SKIPPED, end)
        if end:
            return self._step(DONE, end, now._replace(state=end))
        if now.state == STARTING:
            return self._start(now)
        if _seconds_left(self._pack, now) > 0:
            return self._step(ALREADY, "people have time left to answer", now)
        minutes = self._pack.settings.escalation.unanswered_after_minutes
        return self._call_last(now, "no acknowledgement in %g minutes" % minutes)

    def _new(self, breach: Mapping[str, Any]) -> Escalation:
        """An escalation of a new breach, with what was there before it."""
        pair, policy = self._pair, self._policy
        incident = pair.incident if pair.state != RESOLVED else None
        return Escalation(
            self._number, policy, STARTING, format_time(self._pack.clock.now()),
            self._last_entry(),
            breach.get("metric") or (FIRST_RESPONSE if "response" in policy.casefold() else ""),
            breach.get("trigger_on"), self._recovered,
            self._alert if incident else None, assigned(incident) if incident else "",
            pair.record.assigned_to if pair.record else None)

    def _is_same(self, one: Escalation) -> bool:
        """Whether neither a recovery nor a reopening since lets the same SLA be breached again."""
        return (self._recovered in (None, one.recovered) and
                (one.dedup_key is None or self._alert in (None, one.dedup_key)) and
                self._last_entry(RESOLVES) <= one.at)

    @property
    def _alert(self) -> Optional[str]:
        """Names the pair's alert: a merge keeps it, a reopening in StackFlow opens another one."""
        return self._pair.link.dedup_key or self._pair.link.pagerduty_id

    def _last_entry(self, kind: str = "") -> str:
        """PagerDuty's own time of the last entry in its log, or of the last of a kind."""
        return _latest(entry.get("created_at") for entry in self._log
                       if kind in ("", entry.get("type")))

    def _end_of(self, one: Escalation) -> str:
        """Why an escalation ends now; "" where it goes on."""
        pack, pair, record = self._pack, self._pair, self._pair.record
        if record is None or (record.state in DONE_STATES or pair.state == RESOLVED) and not (
                REOPENS.intersection(decide_pair(pack, pair).writes)):
            return RESOLVED
        if self._recovered not in (None, one.recovered):
            return "the SLA has recovered"
        if not self._is_same(one):
            return "resolved and reopened since"
        if self._last_entry(ACKNOWLEDGES) > one.at:
            return "acknowledged in PagerDuty"
        if record.assigned_to and not same_name(record.assigned_to, one.assignee):
            return "taken by a person in StackFlow"
        if one.metric == FIRST_RESPONSE and (
                pair.state == ACKNOWLEDGED or record.state in ATTENDED_STATES):
            return "somebody has responded"
        if mapping_of(pack.settings, one.policy, one.trigger_on) is None:
            return "escalation_mapping names no policy for SLA %r" % one.policy
        return "" if pair.link.joined else before_install(pack, record.created_at)

    def _start(self, now: Escalation) -> Step:
        """Start the policy, on an incident that is opened where none is open."""
        pack, entry = self._pack, mapping_of(self._pack.settings, now.policy, now.trigger_on)
        assert entry is not None
        pack.escalations.write(now)  # what was there before a write
        try:
            if self._pair.incident is None or self._pair.state == RESOLVED:
                self._pair = open_incident(pack, self._pair)
            assert self._pair.incident is not None
            incident = assign(pack, self._pair.incident, entry.escalation_policy_id, None,
                              now.assigned)
        except DeadEndError as error:
            return self._call_last(now, error.message)
        self._note(now, "PagerDuty's escalation policy %s was started" %
                   incident.escalation_policy_name)
        at = _latest(at for _, at in incident.assignments)
        at = at.rstrip("Z") if at >= now.at else now.at  # no Z: an answer in this second is later
        return self._step(DONE, "the escalation policy was started", now._replace(
            state=WAITING, begun=format_time(pack.clock.now()), at=at, dedup_key=self._alert))

    def _call_last(self, now: Escalation, why: str) -> Step:
        """Alert the default service as part of the pair; the dedup key lets it be repeated."""
        pack, pair, settings = self._pack, self._pair, self._pack.settings
        record = pair.record
        assert record is not None
        place = pair.incident.service_id if pair.incident else pair.link.there.get("place")
        entry = (entry_of_service(settings, settings.default_service_id) or
                 entry_of_service(settings, place) or
                 route_for_opening(settings, record.assignment_group, record.category).mapping)
        key = last_resort_key(settings.stackflow.host, now.number, pair.link.dedup_key)
        warnings = send_trigger(pack, record, entry, key, CRITICAL)
        if not wait_for_incidents(pack, key):
            raise invisible(pack, entry, "the alert of last resort for %s" % now.number)
        self._note(now, "nobody answered (%s); %s was alerted as a last resort" % (
            why, entry.service_name))
        pack.links.remember_last_resort(now.number, fingerprint(entry.integration_key))
        self._pair = pair_of_command(pack, now.number)
        if self._end_of(now) == RESOLVED:  # while the alert was sent
            settle(pack, self._pair)
        step = self._step(DONE, "nobody answered: %s" % why, now._replace(state=UNANSWERED))
        step.warnings += warnings
        return step

    def _note(self, now: Escalation, text: str) -> None:
        begun = now.begun.partition(".")[0].replace("T", " ")
        add_notes(self._pack, self._pair, "SLA %s, escalation of %s UTC: %s" % (
            now.policy, begun, text), look_first=True)

    def _step(self, outcome: str, reason: str, now: Optional[Escalation] = None) -> Step:
        """What the step came to; ``now`` is stored where it is news."""
        step = Step(outcome, reason, self._number, self._pair.incident_id,
                    self._pair.link.dedup_key)
        if now is not None:
            if now != self._stored:
                self._pack.escalations.write(now)
            left = math.ceil(_seconds_left(self._pack, now))
            step.go_on, step.wait_seconds = now.state == WAITING, max(1, min(LONGEST_WAIT, left))
            step.unanswered = now.state == UNANSWERED
        return step
