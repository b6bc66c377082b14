"""Assigning a PagerDuty incident by escalation policy and level, and escalate_incident."""

from __future__ import annotations

from typing import Any, Dict, Optional

from .commands import pair_of_command
from .decide import DONE_STATES, RESOLVED, TRIGGER, Decision
from .errors import AGAIN, ApiError, BadInputError, ConflictError, PackError
from .incidents import PAGERDUTY_ID, PagerDutyIncident
from .matching import wait_for_incidents
from .pack import DONE, SKIPPED, Outcome, Pack
from .pairs import Pair
from .routing import CRITICAL, route_for_opening
from .sync import apply, settle
from .to_pagerduty import WriteContext
from .transport import OutcomeUnknownError
from .verification import invisible

DEAD_ENDS: Dict[Any, str] = {
    1006: "the escalation policy has no such level",
    1014: "PagerDuty does not know the escalation policy",
    1015: "nobody is on call for the escalation policy"}
"""Codes with which PagerDuty refuses to assign (REST API, Errors)."""


class DeadEndError(PackError):
    """The escalation policy pages nobody."""

    kind = "dead_end"


def escalate_incident(pack: Pack, incident_id: str, escalation_policy_id: Optional[str] = None,
                      escalation_level: Optional[int] = None,
                      reason: Optional[str] = None) -> Outcome:
    """Move a PagerDuty incident to a policy, a level or both; without them to the next level.

    Opens one for a record that has none. DeadEndError where the policy has no such level.
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
        pair = open_incident(pack, pair)
    incident, number, key = pair.incident, pair.link.number or None, pair.link.dedup_key
    if incident is None or pair.state == RESOLVED:
        return Outcome(SKIPPED, "resolved", number, pair.incident_id, key)
    if is_open and not policy and level is None:
        on_calls = pack.account.on_calls([incident.escalation_policy_id or ""])
        level = 1 + max((one.level for one in on_calls if one.user_id in incident.assignees),
                        default=0)
    if policy or level:
        incident = assign(pack, incident, policy, level, assigned(incident))
    text = "%s by request, escalation policy %s" % ("Escalated" if is_open else "Opened",
                                                    incident.escalation_policy_name)
    add_notes(pack, pair, "%s: %s" % (text, reason) if reason else text)
    return Outcome(DONE, text, number, incident.id, key)


def open_incident(pack: Pack, pair: Pair) -> Pair:
    """Open an incident for a record, as `critical`, and without an acknowledgement for the person
    who has the record; returns the pair then. DeadEndError where PagerDuty shows none.
    """
    record = pair.record
    assert record is not None
    opening = Decision("asked for", pagerduty=(TRIGGER,))  # again, where it may not have been sent
    apply(pack, pair, opening, WriteContext(severity=CRITICAL))
    if not wait_for_incidents(pack, pair.link.dedup_key or ""):
        entry = route_for_opening(pack.settings, record.assignment_group, record.category).mapping
        error = invisible(pack, entry, "the alert for %s" % record.number)
        raise DeadEndError(error.message, error.hint)
    pair = pair_of_command(pack, record.number)
    settle(pack, pair)  # with what came meanwhile
    return pair


def assigned(incident: PagerDutyIncident) -> str:
    """Return who has an incident since when; another text once it was assigned anew."""
    return "; ".join(sorted("%s %s" % one for one in incident.assignments))


def assign(pack: Pack, incident: PagerDutyIncident, policy_id: Optional[str], level: Optional[int],
           before: str) -> PagerDutyIncident:
    """Assign an open incident by a policy, a level or both, and make it climb; returns it then.

    May be repeated: ``before`` is what :func:`assigned` gave first, and nothing is sent once that
    changed. A policy that is in force already may change nothing: then its level is asked for.
    """
    policy = {"id": policy_id, "type": "escalation_policy_reference"}
    by_level: Dict[str, Any] = {"escalation_level": level or 1}
    by_policy = dict(by_level if level else {}, escalation_policy=policy)
    for fields in (by_policy if policy_id else by_level, by_level):
        incident = pack.rest.incident(incident.id)
        if incident.status == RESOLVED:
            raise ConflictError("%s was resolved meanwhile" % incident.id, AGAIN, True)
        if policy_id in (None, incident.escalation_policy_id) and assigned(incident) != before:
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


def add_notes(pack: Pack, pair: Pair, text: str, look_first: bool = False) -> None:
    """Write a note on each side that there is; ``look_first``: unless it is there."""
    if pair.link.number:
        pack.stackflow.add_note(pair.link.number, text, look_first=look_first)
    if pair.incident is not None and pair.state != RESOLVED:
        pack.rest.add_note(pair.incident.id, text, look_first=look_first)
