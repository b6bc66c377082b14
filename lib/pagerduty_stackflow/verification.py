"""The guide's "Testing the Integration": send a test event, and say why a verification failed."""

from __future__ import annotations

from typing import Dict, Optional, Type

from .errors import PackError
from .incidents import PagerDutyIncident
from .links import VISIBLE
from .matching import wait_for_incidents
from .pack import DONE, Outcome, Pack
from .routing import CRITICAL, service_named
from .settings import ServiceMapping

CLIENT = "StackFlow integration test"
"""Differs from the client of an alert for a StackFlow incident: the test needs a record."""
COPY_KEY = "re-copy the Integration Key from the PagerDuty service -> Integrations"
HINTS: Dict[str, str] = {
    "disabled": "enable the service in PagerDuty: a disabled one opens no incidents",
    "maintenance": "wait for the end of the service's maintenance window, or end it: until then it "
                   "opens no incidents"}
"""What to do about an invisible incident, by the status of its service."""
RUNS = ("see whether PagerDuty's webhooks arrive: /healthz of the listener counts them, and "
        "manage_webhooks with operation=ping sends one; then run `st2 execution list -n 5 "
        "--action pagerduty_stackflow.%s`")
WRITES = ("the error of this task in the same execution says why; the REST key has to be "
          "Read/Write, and pagerduty.from_email a user of PagerDuty")
WAITS = {"wait_for_record": ("got no StackFlow record", RUNS % "create_stackflow_incident"),
         "acknowledge": ("was not acknowledged", WRITES),
         "wait_for_in_progress": ("was acknowledged, and StackFlow did not show in_progress",
                                  RUNS % "set_stackflow_state"),
         "resolve": ("was not resolved", WRITES),
         "wait_for_resolved": ("was resolved, and StackFlow did not show resolved",
                               RUNS % "set_stackflow_state" +
                               "; StackFlow may need stackflow.resolve_fields")}
"""What did not happen at a step of verify_integration, and what to do."""


class VerificationError(PackError):
    """A step of verify_integration failed."""

    kind = "verification"


def send_test_event(pack: Pack, service: str) -> Outcome:
    """Trigger an alert on a mapped service, given by id or name, and wait for its incident.

    The incident stays open, for a person or `verify_integration` to acknowledge, unless it is not
    visible in time or on another service than its key's entry says.
    """
    entry, settings = service_named(pack.settings, service), pack.settings.stackflow
    pack.account.service(entry.service_id)  # fails here, before it pages anybody
    key = "stackflow-test:%s:%s" % (  # no record has it, and no other test
        entry.service_id, pack.clock.now().strftime("%Y%m%dT%H%M%S%fZ"))
    warnings = pack.events.trigger(
        entry.integration_key, key, "Test of the StackFlow integration of %s: please acknowledge" %
        entry.service_name, settings.host, CRITICAL, client=CLIENT,
        client_url=settings.instance_url, group=entry.assignment_group,
        custom_details={"test": "sent by the action send_test_event"})
    try:
        incident = wait_until_visible(pack, entry, key, "the test event")
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


def wait_until_visible(pack: Pack, entry: ServiceMapping, key: str, what: str,
                       failure: Type[PackError] = PackError) -> PagerDutyIncident:
    """Return the incident of an alert that was just triggered; raise ``failure``, with the
    service's status, if PagerDuty does not show it in time.
    """
    found = wait_for_incidents(pack, key)
    if found:
        return found[-1]
    status = pack.account.service(entry.service_id).status
    raise failure(
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
