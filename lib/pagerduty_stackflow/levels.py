"""Assigning a PagerDuty incident by escalation policy and level, and escalate_incident."""

from __future__ import annotations

from copy import copy
from typing import Any, Dict, List, Optional, Tuple

from . import merge
from .deciding import decide
from .errors import ApiError, BadInputError, PackError
from .escalation import HIGH, Seen, on_call_level
from .incidents import PAGERDUTY_ID, PagerDutyIncident, is_stackflow_number
from .links import Link
from .pack import DONE, SKIPPED, Outcome, Pack
from .pairs import Pair, numbers_of, read_pair, wait_for_incidents
from .routing import CRITICAL, route_for_opening
from .sync import insist, no_record, settle
from .verification import invisible
from .writing import Words

DEAD_ENDS: Dict[Any, str] = {
    1006: "the escalation policy has no such level",
    1014: "PagerDuty does not know the escalation policy",
    1015: "nobody is on call for the escalation policy"}
"""Codes with which PagerDuty refuses to assign (REST API, Errors)."""


class DeadEndError(PackError):
    """The escalation policy leads no further; ``reason`` is why, without PagerDuty's own words."""

    kind = "dead_end"
    reason = ""


def escalate_incident(pack: Pack, incident_id: str, escalation_policy_id: Optional[str] = None,
                      escalation_level: Optional[int] = None,
                      reason: Optional[str] = None) -> Outcome:
    """Move a PagerDuty incident to a policy, a level or both; without them to the next level.

    For a StackFlow number one is opened where none is open. Raises NotFoundError for a policy that
    PagerDuty does not know, DeadEndError for a level that it lacks.
    """
    if escalation_level is not None and escalation_level < 1:
        raise BadInputError("escalation_level is %r" % escalation_level, "levels start at 1")
    if escalation_policy_id:
        if not PAGERDUTY_ID.match(escalation_policy_id):
            raise BadInputError("%r is no id of an escalation policy" % escalation_policy_id,
                                "give an id such as PXXXXXX, as in the policy's URL")
        pack.account.policy_name(escalation_policy_id)  # before anything is written
    pair, opened = _pair_to_escalate(pack, incident_id)
    incident, number = pair.incident, pair.link.number or None
    if incident is None or incident.status == "resolved":
        return Outcome(SKIPPED, "resolved", number, pair.incident_id, pair.link.dedup_key)
    warnings: List[str] = []
    changes = _changes(pack, incident, escalation_policy_id, escalation_level, opened)
    incident = _move(pack, incident, changes, warnings)
    text = "%s by request, escalation policy %s" % ("Opened" if opened else "Escalated",
                                                    incident.escalation_policy_name)
    note(pack, number, incident, "%s: %s" % (text, reason) if reason else text)
    return Outcome(DONE, text, number, incident.id, pair.link.dedup_key, warnings)


def _pair_to_escalate(pack: Pack, incident_id: str) -> Tuple[Pair, bool]:
    """The pair of an id, without an incident where the record is resolved; and whether an incident
    was opened for it.
    """
    if not is_stackflow_number(incident_id):
        incident = pack.rest.incident(incident_id)
        number = (numbers_of(pack, incident_id) + [""])[0]
        link = pack.links.read(number)[0] if number else None
        return Pair(link or Link(number), None, incident), False
    pair = read_pair(pack, incident_id)
    if pair.record is None:
        raise no_record(incident_id)
    if pair.record.state in merge.DONE_STATES:
        pair.incident = None
        return pair, False
    if pair.incident is not None and pair.incident.status != "resolved":
        return pair, False
    if not open_incident(pack, pair):
        route = route_for_opening(pack.settings, pair.record.assignment_group, pair.record.category)
        raise invisible(pack, route.mapping, "the alert for %s" % incident_id)
    return read_pair(pack, incident_id), True


def _changes(pack: Pack, incident: PagerDutyIncident, policy_id: Optional[str],
             level: Optional[int], opened: bool) -> List[Dict[str, Any]]:
    """What to write, one after the other until somebody was assigned anew: a policy that is in
    force already may change nothing.
    """
    if policy_id is not None:
        policy: Dict[str, Any] = {"escalation_policy": policy_reference(policy_id)}
        if level is not None:
            policy["escalation_level"] = level
        return [policy, {"escalation_level": level or 1}]
    if level is None and opened:
        return []  # its first level has been alerted just now
    if level is None:
        policies = filter(None, [incident.escalation_policy_id])
        on_calls = [(one.level, one.user_id) for one in pack.account.on_calls(list(policies))]
        level = on_call_level(on_calls, incident) + 1
    return [{"escalation_level": level}]


def _move(pack: Pack, incident: PagerDutyIncident, changes: List[Dict[str, Any]],
          warnings: List[str]) -> PagerDutyIncident:
    """Write changes until one has an effect; the incident then. Stops where it was resolved."""
    before = Seen(incident=incident, history=pack.rest.history(incident.id)).assigned

    def attempt() -> bool:
        nonlocal incident
        incident = pack.rest.incident(incident.id)
        seen = Seen(incident=incident, history=pack.rest.history(incident.id))
        if seen.open_incident is None or seen.assigned != before or not changes:
            return True
        put(pack, incident, changes[0])
        del changes[0]
        return False

    insist(pack, attempt, warnings)
    return incident


def open_incident(pack: Pack, pair: Pair) -> bool:
    """Open an incident for a record that has none, as `critical`, whatever the threshold; returns
    whether PagerDuty shows it. It is not acknowledged for whoever has the record by now.
    """
    assert pair.record is not None
    if merge.TRIGGER in decide(pack, pair, may_trigger=True, force=True).pagerduty:
        opened = copy(pair)
        opened.link = pair.link._replace(assignee=pair.record.assigned_to)
        settle(pack, opened, Words(severity=CRITICAL), may_trigger=True, force=True)
    link = pack.links.read(pair.link.number)[0]
    return bool(link and link.dedup_key and wait_for_incidents(pack, link.dedup_key))


def policy_reference(policy_id: str) -> Dict[str, str]:
    """An escalation policy as PagerDuty takes it."""
    return {"id": policy_id, "type": "escalation_policy_reference"}


def put(pack: Pack, incident: PagerDutyIncident, fields: Dict[str, Any]) -> None:
    """Assign an incident by these of its fields, and make it climb. Raises DeadEndError."""
    urgency = {} if incident.urgency == HIGH else {"urgency": HIGH}
    try:
        pack.rest.update(incident.id, dict(fields, **urgency))
    except ApiError as error:
        if error.code not in DEAD_ENDS:
            raise
        dead_end = DeadEndError("%s (%s)" % (DEAD_ENDS[error.code], error.message), "give another "
                                "policy or level, and see that somebody is on call for it")
        dead_end.reason = DEAD_ENDS[error.code]
        raise dead_end from None


def note(pack: Pack, number: Optional[str], incident: Optional[PagerDutyIncident], text: str,
         look_first: bool = False) -> None:
    """Write a note on the sides that there are; ``look_first``: unless it is there."""
    if number:
        pack.stackflow.add_note(number, text, look_first=look_first)
    if incident is not None:
        pack.rest.add_note(incident.id, text, look_first=look_first)
