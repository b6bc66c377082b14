"""Moving a PagerDuty incident to another service, so that its team is paged.

PagerDuty does not document what a move does to policy, assignees and state, so each is read back
and sent alone where it did not take (REST API, Update an incident; docs/decisions.md, Moves).
"""

from __future__ import annotations

from typing import Any, Dict

from .answers import PAGERDUTY
from .errors import AGAIN, ApiError, ConflictError
from .incidents import PagerDutyIncident
from .pack import Pack
from .settings import ServiceMapping


def move(pack: Pack, incident: PagerDutyIncident, entry: ServiceMapping) -> PagerDutyIncident:
    """Bring an open incident to the entry's service and its escalation policy, triggered; returns it
    as it is then.

    May be repeated: what is there already is not sent again. Raises ConflictError where it was
    resolved meanwhile, ApiError where PagerDuty leaves it with the team before.
    """
    policy_id = pack.account.service(entry.service_id).policy_id
    before = _open(pack, incident.id)
    wanted = {"service": _reference("service", entry.service_id)}
    policy = {"escalation_policy": _reference("escalation_policy", policy_id)} if policy_id else {}
    now = before
    if now.service_id != entry.service_id:
        now = _put(pack, now, dict(wanted, **policy))
    if now.service_id != entry.service_id:
        now = _put(pack, now, wanted)
    if now.service_id != entry.service_id:
        raise ApiError(
            "PagerDuty left %s on service %s in place of %s (%s), so its team is not paged" % (
                now.id, now.service_id, entry.service_name, entry.service_id),
            "move it in PagerDuty by hand, and see what the service allows", False, PAGERDUTY)
    resumed = before.service_id == entry.service_id  # another run moved it, and may be at it still
    if policy and (now.escalation_policy_id != policy_id or
                   now.assignees == before.assignees and not resumed):
        now = _put(pack, now, policy)
    if policy and now.escalation_policy_id != policy_id:
        raise ApiError(
            "PagerDuty moved %s to %s and left it on escalation policy %s in place of %s, so its "
            "team is not paged" % (now.id, entry.service_name, now.escalation_policy_id, policy_id),
            "set the escalation policy in PagerDuty by hand", False, PAGERDUTY)
    if now.status == "acknowledged" and not (
            resumed and set(now.acknowledgers) & set(now.assignees)):
        now = _put(pack, now, {"status": "triggered"})
    return now


def _put(pack: Pack, incident: PagerDutyIncident, fields: Dict[str, Any]) -> PagerDutyIncident:
    pack.rest.update(incident.id, fields)
    return _open(pack, incident.id)


def _open(pack: Pack, incident_id: str) -> PagerDutyIncident:
    """The incident right before a write, which would reopen a resolved one."""
    incident = pack.rest.incident(incident_id)
    if incident.status == "resolved":
        raise ConflictError("%s was resolved meanwhile" % incident_id, AGAIN, True, PAGERDUTY)
    return incident


def _reference(kind: str, identity: str) -> Dict[str, str]:
    return {"id": identity, "type": kind + "_reference"}
