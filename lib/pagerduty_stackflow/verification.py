"""The test event of the vendor's guide ("Testing the Integration"): sent, and looked for."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Dict, List

from .errors import PackError
from .incidents import DEDUP_KEY_LIMIT, PagerDutyIncident
from .links import VISIBLE
from .pack import DONE, Outcome, Pack
from .pairs import wait_for_incidents
from .routing import service_named
from .settings import ServiceMapping

CLIENT = "StackFlow integration test"
"""Not the client of an alert for a StackFlow incident: a record has to be created for this one."""
SEVERITY = "critical"
"""What a P1 is sent with by default: a test that wakes nobody would prove nothing."""


def send_test_event(pack: Pack, service: str) -> Outcome:
    """Trigger an alert on a mapped service, given by id or name, and wait for its incident.

    The incident stays open, for a person or `verify_integration` to acknowledge. On a failure the
    alert is resolved again: when it is not visible in time, or on another service than its key's
    entry says.
    """
    entry = service_named(pack.settings, service)
    pack.account.service(entry.service_id)  # fails here, where nobody is paged yet
    host = pack.settings.stackflow.host
    key = test_key(host, entry.service_id, pack.clock.now())
    summary = "Test of the StackFlow integration of %s: please acknowledge" % entry.service_name
    warnings = pack.events.trigger(
        entry.integration_key, key, summary, host, SEVERITY, client=CLIENT,
        client_url=pack.settings.stackflow.instance_url, group=entry.assignment_group,
        custom_details={"test": "sent by the action send_test_event"})
    try:
        incident = _wait(pack, entry, key)
    except PackError as error:
        _resolve(pack, entry, key, error)
        raise
    return Outcome(DONE, "incident %s is %s on %s" % (incident.id, incident.status,
                                                      entry.service_name),
                   pagerduty_incident_id=incident.id, dedup_key=key, warnings=warnings)


def test_key(host: str, service_id: str, now: datetime) -> str:
    """A dedup key that no record has and no other test; send_event takes it, to end the test."""
    start, end = "stackflow-test:", ":%s:%s" % (service_id, now.strftime("%Y%m%dT%H%M%S%fZ"))
    if len(start + host + end) > DEDUP_KEY_LIMIT:
        host = hashlib.sha256(host.encode()).hexdigest()
    return start + host + end


def _resolve(pack: Pack, entry: ServiceMapping, key: str, error: PackError) -> None:
    try:
        pack.events.resolve(entry.integration_key, key)
    except PackError as second:
        error.message += "; and its alert could not be resolved again: %s" % second.message


def _wait(pack: Pack, entry: ServiceMapping, key: str) -> PagerDutyIncident:
    found = wait_for_incidents(pack, key)
    if not found:
        raise invisible(pack, entry, "the test event")
    return _on_its_service(entry, found)


def _on_its_service(entry: ServiceMapping, found: List[PagerDutyIncident]) -> PagerDutyIncident:
    incident = found[-1]
    if incident.service_id in (None, entry.service_id):
        return incident
    raise PackError(
        "the integration key of %s (%s) opened %s on another service, %s (%s)" % (
            entry.service_name, entry.service_id, incident.id, incident.service_name,
            incident.service_id),
        "re-copy the Integration Key from the PagerDuty service -> Integrations")


HINTS: Dict[str, str] = {
    "disabled": "enable the service in PagerDuty: a disabled one opens no incidents",
    "maintenance": "wait for the end of the service's maintenance window, or end it: until then it "
                   "opens no incidents"}
"""What to do about an invisible incident, by the status of its service."""


def invisible(pack: Pack, entry: ServiceMapping, what: str) -> PackError:
    """The error for an event that PagerDuty accepted and does not show, with the service's status.
    """
    status = pack.account.service(entry.service_id).status
    return PackError(
        "PagerDuty accepted %s and shows no incident %d seconds later; the status of service %s "
        "(%s) is %s" % (what, VISIBLE.total_seconds(), entry.service_name, entry.service_id,
                        status or "unknown"),
        HINTS.get(status, "re-copy the Integration Key from the PagerDuty service -> Integrations; "
                          "see that somebody is on call, and that no event rule suppresses it"))
