"""The guide's "Testing the Integration": send a test event, and say why a verification failed."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Dict, Optional

from .errors import PackError
from .incidents import DEDUP_KEY_LIMIT
from .links import VISIBLE
from .pack import DONE, Outcome, Pack
from .matching import wait_for_incidents
from .routing import service_named
from .settings import ServiceMapping

CLIENT = "StackFlow integration test"
"""Not the client of an alert for a StackFlow incident: this one needs a record."""
SEVERITY = "critical"
"""The default severity of a P1: a test that wakes nobody would prove nothing."""
COPY_KEY = "re-copy the Integration Key from the PagerDuty service -> Integrations"
HINTS: Dict[str, str] = {
    "disabled": "enable the service in PagerDuty: a disabled one opens no incidents",
    "maintenance": "wait for the end of the service's maintenance window, or end it: until then it "
                   "opens no incidents"}
"""What to do about an invisible incident, by the status of its service."""
RUNS = "then run `st2 execution list -n 5 --action pagerduty_stackflow.%s`"
WEBHOOK = ("see whether PagerDuty's webhooks arrive: /healthz of the listener counts them, and "
           "manage_webhooks with operation=ping sends one; ")
WRITES = ("the error of this task in the same execution says why; the REST key has to be "
          "Read/Write, and pagerduty.from_email a user of PagerDuty")
WAITS = {"wait_for_record": ("got no StackFlow record",
                             WEBHOOK + RUNS % "create_stackflow_incident"),
         "acknowledge": ("was not acknowledged", WRITES),
         "wait_for_in_progress": ("was acknowledged, and StackFlow did not show in_progress",
                                  WEBHOOK + RUNS % "set_stackflow_state"),
         "resolve": ("was not resolved", WRITES),
         "wait_for_resolved": ("was resolved, and StackFlow did not show resolved",
                               WEBHOOK + RUNS % "set_stackflow_state" +
                               "; StackFlow may need stackflow.resolve_fields")}
"""What did not happen at a step of verify_integration, and what to do."""


class VerificationError(PackError):
    """A step of verify_integration did not come about."""

    kind = "verification"


def send_test_event(pack: Pack, service: str) -> Outcome:
    """Trigger an alert on a mapped service, given by id or name, and wait for its incident.

    The incident stays open, for a person or `verify_integration` to acknowledge. The alert is
    resolved again if it is not visible in time, or on another service than its key's entry says.
    """
    entry = service_named(pack.settings, service)
    pack.account.service(entry.service_id)  # fails here, before it pages anybody
    host = pack.settings.stackflow.host
    key = test_key(host, entry.service_id, pack.clock.now())
    warnings = pack.events.trigger(
        entry.integration_key, key, "Test of the StackFlow integration of %s: please acknowledge" %
        entry.service_name, host, SEVERITY, client=CLIENT,
        client_url=pack.settings.stackflow.instance_url, group=entry.assignment_group,
        custom_details={"test": "sent by the action send_test_event"})
    try:
        found = wait_for_incidents(pack, key)
        if not found:
            raise invisible(pack, entry, "the test event")
        incident = found[-1]
        if incident.service_id not in (None, entry.service_id):
            raise PackError("the integration key of %s (%s) opened %s on another service, %s (%s)" %
                            (entry.service_name, entry.service_id, incident.id,
                             incident.service_name, incident.service_id), COPY_KEY)
    except PackError as error:
        try:
            pack.events.resolve(entry.integration_key, key)
        except PackError as second:
            error.message += "; and its alert could not be resolved again: %s" % second.message
        raise
    return Outcome(DONE, "incident %s is %s on %s" % (incident.id, incident.status,
                                                      entry.service_name),
                   pagerduty_incident_id=incident.id, dedup_key=key, warnings=warnings)


def test_key(host: str, service_id: str, now: datetime) -> str:
    """Make a dedup key that no record and no other test has; send_event takes it to end the test.
    """
    start, end = "stackflow-test:", ":%s:%s" % (service_id, now.strftime("%Y%m%dT%H%M%S%fZ"))
    if len(start + host + end) > DEDUP_KEY_LIMIT:
        host = hashlib.sha256(host.encode()).hexdigest()
    return start + host + end


def invisible(pack: Pack, entry: ServiceMapping, what: str) -> PackError:
    """Make the error for an event that PagerDuty accepted and does not show, with the service's
    status.
    """
    status = pack.account.service(entry.service_id).status
    return PackError(
        "PagerDuty accepted %s and shows no incident %d seconds later; the status of service %s "
        "(%s) is %s" % (what, VISIBLE.total_seconds(), entry.service_name, entry.service_id,
                        status or "unknown"),
        HINTS.get(status, COPY_KEY + "; see that somebody is on call, and that no event rule "
                  "suppresses it"))


def explain_verification(pack: Pack, failed_step: str, pagerduty_incident_id: str,
                         stackflow_id: Optional[str] = None, left_open: bool = False) -> None:
    """Fail with the reason why verify_integration failed, and what to do."""
    happened, hint = WAITS.get(failed_step, ("was not verified", WRITES))
    message = "%s: the test incident %s %s" % (failed_step, pagerduty_incident_id, happened)
    if not pack.settings.bidirectional_sync:
        hint = "set bidirectional_sync to true: without it the pack writes nothing to StackFlow"
    if left_open:
        message += "; it may be open still"
        hint = "resolve %s by hand; %s" % (
            " and ".join(filter(None, (pagerduty_incident_id, stackflow_id))), hint)
    raise VerificationError(message, hint)
