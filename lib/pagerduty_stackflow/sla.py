"""Escalate: by hand, and for a breached SLA, where the mapped policy starts once.

PagerDuty climbs and repeats a policy by itself. Each step of an SLA escalation compares both sides
with the stored escalation and writes only what is due, so any run can repeat it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .commands import pair_of_command
from .decide import (ACKNOWLEDGED, DONE_STATES, IN_PROGRESS, REPLACE, RESOLVED, TRIGGER,
                     Decision)
from .errors import AGAIN, ApiError, BadInputError, ConflictError, PackError
from .fields import same_name
from .incidents import (ATTENDED_STATES, PAGERDUTY_ID, PagerDutyIncident, format_time,
                        last_resort_key, parse_time)
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack
from .pairs import Pair
from .pagerduty.events import fingerprint
from .routing import CRITICAL, entry_of_service, mapping_of, route_for_opening
from .stores import STARTING, UNANSWERED, WAITING, Escalation
from .sync import apply, before_install, decide_pair, number_of, retry_on_conflict, settle
from .templates import send_trigger
from .to_pagerduty import WriteContext
from .transport import OutcomeUnknownError
from .verification import wait_until_visible

REOPENS = frozenset((TRIGGER, IN_PROGRESS, REPLACE))
FIRST_RESPONSE = "first_response"
LONGEST_WAIT = 60
"""Seconds between two steps of a workflow."""
OVERDUE = 600
"""Seconds after which a step that was due has died: StackStorm ends an action then."""
DEAD_ENDS: Dict[Any, str] = {
    1006: "the escalation policy has no such level",
    1014: "PagerDuty does not know the escalation policy",
    1015: "nobody is on call for the escalation policy"}
"""Codes with which PagerDuty refuses to assign (REST API, Errors)."""


class DeadEndError(PackError):
    """The escalation policy pages nobody."""

    kind = "dead_end"


@dataclass
class Step(Outcome):
    """Report a step. ``go_on``: take the next one after ``wait_seconds``, whole and at least 1, as
    Orquesta needs it; ``unanswered``: the last-resort alert was sent.
    """

    go_on: bool = False
    wait_seconds: int = 1
    unanswered: bool = False


def escalate_incident(pack: Pack, incident_id: str, escalation_policy_id: Optional[str] = None,
                      escalation_level: Optional[int] = None,
                      reason: Optional[str] = None) -> Outcome:
    """Move a PagerDuty incident to a policy, a level or both; without them to the next level.

    Opens one for a record that has none. DeadEndError if the policy has no such level.
    """
    policy, level = escalation_policy_id, escalation_level
    if level is not None and level < 1:
        raise BadInputError("escalation_level is %r" % level, "levels start at 1")
    if policy and not PAGERDUTY_ID.match(policy):
        raise BadInputError("%r is no id of an escalation policy" % policy,
                            "give an id such as PXXXXXX, as in the policy's URL")
    if policy:
        pack.account.policy_name(policy)  # an unknown one is an error before anything is written
    pair = pair_of_command(pack, incident_id)
    record, is_open = pair.record, pair.state not in (None, RESOLVED)
    if record is not None and record.state not in DONE_STATES and not is_open:
        pair = _open_incident(pack, pair)
    incident, number, key = pair.incident, pair.link.number or None, pair.link.dedup_key
    if incident is None or pair.state == RESOLVED:
        return Outcome(SKIPPED, "resolved", number, pair.incident_id, key)
    if is_open and not policy and level is None:
        on_calls = pack.account.on_calls([incident.escalation_policy_id or ""])
        level = 1 + max((one.level for one in on_calls if one.user_id in incident.assignees),
                        default=0)
    if policy or level:
        incident = _assign(pack, incident, policy, level, _assigned(incident))
    text = "%s by request, escalation policy %s" % ("Escalated" if is_open else "Opened",
                                                    incident.escalation_policy_name)
    _add_notes(pack, pair, "%s: %s" % (text, reason) if reason else text)
    return Outcome(DONE, text, number, incident.id, key)


def follow_escalation(pack: Pack, incident_id: str, sla_policy: str,
                      breach: Optional[Mapping[str, Any]] = None) -> Step:
    """Take the next step of an escalation; a ``breach`` that was not escalated yet starts one.

    ``breach`` may hold its `metric`, and `trigger_on` as in `escalation_mapping`.
    """
    number = number_of(pack, incident_id)
    steps: List[Step] = []
    warnings: List[str] = []

    def attempt() -> bool:
        with pack.leases.hold("sla." + number, OVERDUE, pack.clock, patience=10):
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
    """Return the seconds until a step is due; people have time to answer only while it waits."""
    minutes = pack.settings.escalation.unanswered_after_minutes if one.state == WAITING else 0
    now = pack.clock.now()
    return 60 * minutes - (now - (parse_time(one.begun) or now)).total_seconds()


class _Look:
    """Both sides and the stored escalation at one step."""

    def __init__(self, pack: Pack, number: str, policy: str) -> None:
        self._pack, self._number, self._policy = pack, number, policy
        self._stored, self._recovered = pack.escalations.read(number, policy)
        self._pair = pair_of_command(pack, number)
        incident = self._pair.incident
        self._log = [(entry.get("type"), format_time(at))
                     for entry in (pack.rest.history(incident.id) if incident else ())
                     for at in [parse_time(entry.get("created_at"))] if at]

    def step(self, breach: Optional[Mapping[str, Any]]) -> Step:
        """Take the step that is due."""
        now = self._stored
        if breach is not None and (now is None or self._news(now)):
            now = self._new(breach)
        elif now is None:
            return self._step(SKIPPED, "no escalation is under way")
        elif now.state != STARTING and (breach is not None or now.state != WAITING):
            return self._step(ALREADY, "escalated already: %s" % now.state)
        end = self._end_of(now)
        if end:
            is_new = now is not self._stored
            return self._step(SKIPPED, end) if is_new else self._step(
                DONE, end, now._replace(state=end))
        if now.state == STARTING:
            return self._start(now)
        if _seconds_left(self._pack, now) > 0:
            return self._step(ALREADY, "people have time left to answer", now)
        minutes = self._pack.settings.escalation.unanswered_after_minutes
        return self._call_last(now, "no acknowledgement in %g minutes" % minutes)

    def _new(self, breach: Mapping[str, Any]) -> Escalation:
        """An escalation of a new breach, with the state of both sides before it."""
        pair, policy = self._pair, self._policy
        incident = pair.incident if pair.state != RESOLVED else None
        metric = breach.get("metric") or (FIRST_RESPONSE if "response" in policy.casefold() else "")
        return Escalation(
            self._number, policy, STARTING, format_time(self._pack.clock.now()),
            self._last_entry(), metric, breach.get("trigger_on"), self._recovered,
            self._alert if incident else None, _assigned(incident) if incident else "",
            pair.record.assigned_to if pair.record else None)

    def _news(self, one: Escalation) -> str:
        """What has happened since, so that the same SLA may be breached again; "" for nothing."""
        if self._recovered not in (None, one.recovered):
            return "the SLA has recovered"
        known = one.dedup_key is None or self._alert in (None, one.dedup_key)
        reopened = self._last_entry("resolve_log_entry") > one.at or not known
        return "resolved and reopened since" if reopened else ""

    @property
    def _alert(self) -> Optional[str]:
        """Names the pair's alert: a merge keeps it, a reopening in StackFlow opens another one."""
        return self._pair.link.dedup_key or self._pair.link.pagerduty_id

    def _last_entry(self, kind: str = "") -> str:
        """PagerDuty's own time of the last entry in its log, or of the last of a kind; or "0"."""
        return max((at for name, at in self._log if kind in ("", name)), default="0")

    def _end_of(self, one: Escalation) -> str:
        """Why an escalation ends now; "" if it goes on."""
        pack, pair, record = self._pack, self._pair, self._pair.record
        if record is None or (record.state in DONE_STATES or pair.state == RESOLVED) and not (
                REOPENS.intersection(decide_pair(pack, pair).writes)):
            return RESOLVED
        news = self._news(one)
        if news:
            return news
        if self._last_entry("acknowledge_log_entry") > one.at:
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
        """Start the policy, on an incident that is opened if none is open."""
        pack, entry = self._pack, mapping_of(self._pack.settings, now.policy, now.trigger_on)
        assert entry is not None
        pack.escalations.write(now)  # the state before a write
        try:
            if self._pair.incident is None or self._pair.state == RESOLVED:
                self._pair = _open_incident(pack, self._pair)
            assert self._pair.incident is not None
            incident = _assign(pack, self._pair.incident, entry.escalation_policy_id, None,
                               now.assigned)
        except DeadEndError as error:
            return self._call_last(now, error.message)
        self._note(now, "PagerDuty's escalation policy %s was started" %
                   incident.escalation_policy_name)
        at = max((format_time(time) for time in (parse_time(one[1]) for one in incident.assignments)
                  if time), default="0")
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
        wait_until_visible(pack, entry, key, "the alert of last resort for %s" % now.number)
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
        _add_notes(self._pack, self._pair, "SLA %s, escalation of %s UTC: %s" % (
            now.policy, begun, text), look_first=True)

    def _step(self, outcome: str, reason: str, now: Optional[Escalation] = None) -> Step:
        """Report a step, and store the escalation ``now`` if it changed."""
        step = Step(outcome, reason, self._number, self._pair.incident_id,
                    self._pair.link.dedup_key)
        if now is not None:
            if now != self._stored:
                self._pack.escalations.write(now)
            left = math.ceil(_seconds_left(self._pack, now))
            step.go_on, step.wait_seconds = now.state == WAITING, max(1, min(LONGEST_WAIT, left))
            step.unanswered = now.state == UNANSWERED
        return step


def _open_incident(pack: Pack, pair: Pair) -> Pair:
    """Open a `critical` incident that the assignee has not acknowledged; DeadEndError if PagerDuty
    shows none.
    """
    record = pair.record
    assert record is not None
    opening = Decision("asked for", pagerduty=(TRIGGER,))  # repeated if it may not have been sent
    apply(pack, pair, opening, WriteContext(severity=CRITICAL))
    entry = route_for_opening(pack.settings, record.assignment_group, record.category).mapping
    wait_until_visible(pack, entry, pair.link.dedup_key or "", "the alert for %s" % record.number,
                       DeadEndError)
    pair = pair_of_command(pack, record.number)
    settle(pack, pair)  # with the changes since
    return pair


def _assigned(incident: PagerDutyIncident) -> str:
    """Return who has an incident since when; the text changes when it is assigned anew."""
    return "; ".join(sorted("%s %s" % one for one in incident.assignments))


def _assign(pack: Pack, incident: PagerDutyIncident, policy_id: Optional[str],
            level: Optional[int], before: str) -> PagerDutyIncident:
    """Assign an open incident by a policy, a level or both, and make it climb.

    May be repeated: nothing is sent once :func:`_assigned` differs from ``before``. A policy that
    is in force already may change nothing: then its level is set.
    """
    by_level: Dict[str, Any] = {"escalation_level": level or 1}
    by_policy = dict(by_level if level else {}, escalation_policy={
        "id": policy_id, "type": "escalation_policy_reference"})
    for fields in (by_policy if policy_id else by_level, by_level):
        incident = pack.rest.incident(incident.id)
        if incident.status == RESOLVED:
            raise ConflictError("%s was resolved meanwhile" % incident.id, AGAIN, True)
        if policy_id in (None, incident.escalation_policy_id) and _assigned(incident) != before:
            return incident
        urgency = {} if incident.urgency == "high" else {"urgency": "high"}  # low does not climb
        try:
            pack.rest.update(incident.id, dict(fields, **urgency))
        except OutcomeUnknownError:
            continue  # the next read tells
        except ApiError as error:
            if error.code not in DEAD_ENDS:
                raise
            raise DeadEndError("%s (%s)" % (DEAD_ENDS[error.code], error.message), "give another "
                               "policy or level, or set who is on call for it") from None
    incident = pack.rest.incident(incident.id)
    if policy_id not in (None, incident.escalation_policy_id):
        raise DeadEndError("PagerDuty accepted escalation policy %s for %s and shows %s" % (
            policy_id, incident.id, incident.escalation_policy_id), "start it in PagerDuty")
    return incident


def _add_notes(pack: Pack, pair: Pair, text: str, look_first: bool = False) -> None:
    """Write a note on each side of a pair; ``look_first``: unless it is there."""
    if pair.link.number:
        pack.stackflow.add_note(pair.link.number, text, look_first=look_first)
    if pair.incident is not None and pair.state != RESOLVED:
        pack.rest.add_note(pair.incident.id, text, look_first=look_first)
