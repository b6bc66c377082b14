"""Escalating breached SLAs: once for each breach, step by step, with both sides read before each.

A step compares both sides with what is stored and writes at most what is due, so that it may be
repeated, be late, or be taken by another run: ``escalation`` decides, here it is carried out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Dict, List, Optional, Tuple

from . import merge
from .deciding import decide, situation
from .errors import PackError
from .escalation import (DROPPED, RECONCILE, STARTING, UNANSWERED, WAITING, Escalation, Seen,
                         begin_of, decode, encode, end_of, follow, is_started, mapping_of,
                         same_breach)
from .incidents import (ATTENDED_STATES, PagerDutyIncident, format_time, last_resort_key,
                        parse_time)
from .levels import DeadEndError, note, open_incident, policy_reference, put
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack
from .pagerduty.events import fingerprint
from .pairs import Pair, read_pair, wait_for_incidents
from .routing import CRITICAL, entry_of_service, route_for_opening
from .sync import before_start, insist, no_record, settle, stackflow_number
from .verification import invisible
from .writing import Words, send_trigger

LONGEST_WAIT = 60
"""Seconds between two looks, so that a run ends soon after somebody answered: while it goes on, a
further breach of the same SLA starts no other.
"""


@dataclass
class Step(Outcome):
    """What a look at an escalation came to.

    ``go_on``: look again after ``wait_seconds``, whole and at least 1, because a fraction fails a
    workflow. ``level`` of the policy that was reached, from 1; ``unanswered``: nobody answered, and
    the alert of last resort is out.
    """

    go_on: bool = False
    wait_seconds: int = 1
    level: int = 0
    unanswered: bool = False


def follow_escalation(pack: Pack, incident_id: str, sla_policy: str, run: str, begin: bool = False,
                      metric: Optional[str] = None, trigger_on: Optional[str] = None) -> Step:
    """Take the next step of an escalation, or with ``begin`` start the one that a breach asks for.

    ``run`` is the id of the workflow's execution: an escalation is followed by one. With ``begin``
    come the ``metric`` of the breach and its kind as in `escalation_mapping`, ``trigger_on``; a
    breach that was escalated already is left alone, unless the run that followed it has died.
    """
    number = stackflow_number(pack, incident_id)
    if begin:
        return _begin(pack, number, sla_policy, run, metric, trigger_on)
    return look(pack, number, sla_policy, run)


def look(pack: Pack, number: str, policy: str, run: str = RECONCILE) -> Step:
    """Take the step of an escalation that is due; what another living run follows is left to it."""
    text, recovered = pack.links.escalation(number, policy)
    stored = decode(text)
    if stored is None or not stored.active:
        return Step(SKIPPED, "no escalation is under way", number)
    if stored.run != run and not stored.overdue(pack.clock.now()):
        return Step(ALREADY, "another run follows it", number, stored.pagerduty_id)
    return _Look(pack, stored, run, recovered).step()


def overdue(pack: Pack) -> List[Tuple[str, str]]:
    """Number and SLA policy of each escalation that stands still, for :func:`look`."""
    found = filter(None, map(decode, pack.links.escalations()))
    return [(one.number, one.policy) for one in found if one.overdue(pack.clock.now())]


def _begin(pack: Pack, number: str, policy: str, run: str, metric: Optional[str],
           trigger_on: Optional[str]) -> Step:
    """Both sides are read before what is stored, so that whoever finds nothing stored has seen them
    as they were before any escalation.
    """
    if mapping_of(pack.settings, policy, trigger_on) is None:
        return Step(SKIPPED, "escalation_mapping names no policy for SLA %r" % policy, number)
    pair, seen = _see(pack, number)
    if pair.record is None:
        raise no_record(number)
    text, recovered = pack.links.escalation(number, policy)
    seen = replace(seen, recovered=recovered)
    now, stored = pack.clock.now(), decode(text)
    if stored is not None and same_breach(follow(stored, seen), seen):
        if stored.active and (stored.run == run or stored.overdue(now)):
            return _Look(pack, stored, run, recovered).step()
        if not stored.active:
            pack.links.write_escalation(number, policy, encode(stored))  # expires 90 days from now
        return Step(ALREADY, "this breach was escalated already: %s" % stored.state, number,
                    stored.pagerduty_id, stored.dedup_key, level=stored.level)
    fresh = begin_of(number, policy, run, metric, trigger_on, format_time(now), seen)
    end = end_of(fresh, seen)
    if end is not None:
        return Step(SKIPPED, end[1], number, pair.incident_id, pair.link.dedup_key)
    if not pair.link.joined and before_start(pack, pair.record):
        return Step(SKIPPED, "created before the pack was installed", number)
    pack.links.write_escalation(number, policy, encode(fresh))
    return _Look(pack, fresh, run, recovered).step()


class _Look:
    """One look at an escalation: takes the step that is due, if one is."""

    def __init__(self, pack: Pack, stored: Escalation, run: str, recovered: Optional[str]) -> None:
        self._pack = pack
        self._stored = stored
        self._now = replace(stored, run=run)
        self._recovered = recovered
        self._sent = 0
        self._dead_end = ""
        self._step: Optional[Step] = None
        self._warnings: List[str] = []

    def step(self) -> Step:
        """Both sides are read anew after each write, and after one whose answer was lost."""
        insist(self._pack, self._attempt, self._warnings)
        step = self._step or self._go_on(self._now, "look again")
        step.warnings = self._warnings
        return step

    def _attempt(self) -> bool:
        pair, seen = _see(self._pack, self._stored.number, self._recovered)
        now = follow(self._now, seen)
        if now != self._now:
            self._remember(now)  # what the incident was like before anything is written to it
        entry = mapping_of(self._pack.settings, now.policy, now.trigger_on)
        before = now.state
        if before == STARTING and entry and seen.open_incident:
            now = self._started(now, seen, seen.open_incident, entry.escalation_policy_id)
        end = end_of(now, seen)
        if end is not None:
            if before == WAITING and self._sent:  # the next level was alerted, and has answered
                now = replace(now, level=now.level + 1)
            self._step = self._end(now, *end)
        elif entry is None:
            self._step = self._end(now, DROPPED, "escalation_mapping names no policy any more")
        elif self._dead_end:
            self._step = self._call_last(now, pair, seen, self._dead_end)
        elif now.state != before:
            self._step = self._go_on(now, "the escalation policy was started", DONE)
        elif now.state == WAITING and self._seconds_left(now) > 0:
            self._step = self._go_on(now, "there is time left to answer")
        else:
            try:
                take = self._start if now.state == STARTING else self._climb
                self._step = take(now, pair, seen, entry.escalation_policy_id)
            except DeadEndError as error:
                self._dead_end = error.reason
        return self._step is not None

    def _started(self, now: Escalation, seen: Seen, incident: PagerDutyIncident,
                 policy_id: str) -> Escalation:
        """The escalation with its people alerted, once they are; whatever they did since."""
        if self._sent < 2 and not is_started(now, incident, seen, policy_id):
            return now
        if incident.escalation_policy_id != policy_id:
            raise PackError("PagerDuty accepted escalation policy %s for %s and shows another one" %
                            (policy_id, incident.id), "start it in PagerDuty", retryable=True)
        self._note(now, incident, "PagerDuty's escalation policy %s was started" %
                   incident.escalation_policy_name)
        return self._waiting(now, 1, seen)

    def _start(self, now: Escalation, pair: Pair, seen: Seen, policy_id: str) -> Optional[Step]:
        """Put the incident on the policy; None where a write was made, to be looked at."""
        incident = seen.open_incident
        if incident is None:
            if open_incident(self._pack, pair):
                return None
            return self._call_last(now, pair, seen, "PagerDuty shows no incident")
        self._put(incident, {"escalation_level": 1} if self._sent else
                  {"escalation_policy": policy_reference(policy_id)})
        return None

    def _climb(self, now: Escalation, pair: Pair, seen: Seen, policy_id: str) -> Optional[Step]:
        """Alert the next level, unless somebody was assigned since; None as above."""
        level, most = now.level + 1, self._pack.settings.escalation.max_levels
        incident = seen.open_incident
        if level > most:
            return self._call_last(now, pair, seen, "%d levels were alerted" % most)
        if incident is None:
            return self._go_on(now, "PagerDuty does not show the incident")
        if self._sent or seen.assigned != now.assigned:
            return self._go_on(self._waiting(now, level, seen), "level %d was alerted" % level,
                               DONE)
        fields: Dict[str, Any] = {"escalation_level": level}
        if incident.escalation_policy_id != policy_id:  # a person, or a move, has changed it
            fields["escalation_policy"] = policy_reference(policy_id)
        self._put(incident, fields)
        return None

    def _put(self, incident: PagerDutyIncident, fields: Dict[str, Any]) -> None:
        put(self._pack, incident, fields)
        self._sent += 1

    def _call_last(self, now: Escalation, pair: Pair, seen: Seen, why: str) -> Step:
        """Alert the default service, as part of the pair. That may be repeated: it has a dedup key.
        """
        pack, record, incident = self._pack, pair.record, seen.open_incident
        assert record is not None
        settings = pack.settings
        entry = (entry_of_service(settings, settings.default_service_id) or
                 entry_of_service(settings, (incident or pair.link).service_id) or
                 route_for_opening(settings, record.assignment_group, record.category).mapping)
        key = last_resort_key(settings.stackflow.host, now.number, pair.link.dedup_key)
        key_fingerprint = fingerprint(entry.integration_key)
        pack.links.remember_last_resort(now.number, key_fingerprint)
        self._warnings += send_trigger(pack, record, entry, key, CRITICAL, "Nobody answered: ")
        if not wait_for_incidents(pack, key):
            raise invisible(pack, entry, "the alert of last resort for %s" % now.number)
        self._note(now, incident, "nobody answered (%s); %s was alerted as a last resort" % (
            why, entry.service_name))
        pack.links.remember_last_resort(now.number, key_fingerprint)
        pair, seen = _see(pack, now.number)
        if seen.over:  # whoever resolved the pair meanwhile came too early for this alert
            settle(pack, pair, Words())
        return self._end(now, UNANSWERED, "nobody answered: %s" % why)

    def _note(self, now: Escalation, incident: Optional[PagerDutyIncident], text: str) -> None:
        begun = now.begun.partition(".")[0].replace("T", " ")
        note(self._pack, now.number, incident,
             "SLA %s, escalation of %s UTC: %s" % (now.policy, begun, text), look_first=True)

    def _waiting(self, now: Escalation, level: int, seen: Seen) -> Escalation:
        """The escalation with the people of a level having time to answer, from now on."""
        time = timedelta(minutes=self._pack.settings.escalation.acknowledge_timeout_minutes)
        return replace(now, state=WAITING, level=level, assigned=seen.assigned, at=seen.at,
                       look_at=format_time(self._pack.clock.now() + time))

    def _go_on(self, now: Escalation, reason: str, outcome: str = ALREADY) -> Step:
        self._remember(now)
        wait = max(1, min(LONGEST_WAIT, math.ceil(self._seconds_left(now))))
        return Step(outcome, reason, now.number, now.pagerduty_id, now.dedup_key, go_on=True,
                    wait_seconds=wait, level=now.level)

    def _end(self, now: Escalation, state: str, reason: str) -> Step:
        self._remember(replace(now, state=state))
        return Step(DONE, reason, now.number, now.pagerduty_id, now.dedup_key, level=now.level,
                    unanswered=state == UNANSWERED)

    def _remember(self, now: Escalation) -> None:
        if now != self._stored:
            self._pack.links.write_escalation(now.number, now.policy, encode(now))
        self._stored = self._now = now

    def _seconds_left(self, now: Escalation) -> float:
        due = parse_time(now.look_at)
        return (due - self._pack.clock.now()).total_seconds() if due else 0.0


def _see(pack: Pack, number: str, recovered: Optional[str] = None) -> Tuple[Pair, Seen]:
    """Both sides as they are; PagerDuty's log is read last, right before anything is written."""
    pair = read_pair(pack, number)
    now, decision = situation(pack, pair), decide(pack, pair, may_trigger=True)
    resolved = now.stackflow in (None,) + merge.DONE_STATES or now.pagerduty == merge.RESOLVED
    reopening = {merge.TRIGGER, merge.SET_IN_PROGRESS, merge.REPLACE}
    taken = pack.settings.auto_acknowledge and now.assignee == merge.ANOTHER
    return pair, Seen(
        over=resolved and not reopening.intersection(decision.pagerduty + decision.stackflow),
        responded=now.pagerduty == merge.ACKNOWLEDGED or now.stackflow in ATTENDED_STATES or taken,
        recovered=recovered,
        reopened_at=pair.record.fields.get("reopened_at") if pair.record else None,
        assignee=pair.record.assigned_to if pair.record else None,
        dedup_key=pair.link.dedup_key, incident=pair.incident,
        history=pack.rest.history(pair.incident.id) if pair.incident else ())
