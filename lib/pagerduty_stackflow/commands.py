"""What each action does, for an event or for a person.

An event is settled: both sides end as `decide` says. A command by hand is carried out as the person
says, after a look at both sides; it is a change like any other, and the webhook of that side
carries it over.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from .decide import ACKNOWLEDGE, ACKNOWLEDGED, FINAL_STATES, RESOLVE, RESOLVED, Decision
from .errors import BadInputError
from .incidents import is_stackflow_number
from .links import Link
from .matching import find_record, numbers_of
from .moves import move
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack
from .pairs import Pair, observe
from .routing import entry_of_service, find_route, unmapped_group
from .settings import ServiceMapping
from .sync import (apply, no_record, number_of, pair_of_event, report, settle,
                   settle_event, settle_incident)
from .templates import state_fields
from .to_pagerduty import WriteContext, WriteLog, shown
from .to_stackflow import patch


def trigger_incident(pack: Pack, incident_id: str, incident: Optional[Mapping[str, Any]] = None,
                     force: bool = False) -> Outcome:
    """Page for a StackFlow incident, unless it is paged, resolved, under the threshold or older
    than the pack.

    ``incident`` is the record as an event carried it; it is read where absent. ``force``: a person
    asked, so threshold and first run do not count.
    """
    number = number_of(pack, incident_id)
    pair = pair_of_event(pack, number, incident, opens=True)
    if pair.record is None:
        raise no_record(number)
    return settle(pack, pair, force=force)


def acknowledge_incident(pack: Pack, incident_id: str, by: Optional[str] = None,
                         incident: Optional[Mapping[str, Any]] = None) -> Outcome:
    """Acknowledge in PagerDuty: for an event (``incident``) as both sides are, else because a
    person asked.
    """
    if incident is not None:
        return settle_event(pack, incident_id, incident, WriteContext())
    return _ask(pack, incident_id, WriteContext(by), ACKNOWLEDGED)


def resolve_incident(pack: Pack, incident_id: str, by: Optional[str] = None,
                     resolution: Optional[str] = None,
                     incident: Optional[Mapping[str, Any]] = None) -> Outcome:
    """Resolve in PagerDuty: for an event (``incident``) as both sides are, else because a person
    asked.
    """
    context = WriteContext(by, resolution)
    if incident is not None:
        return settle_event(pack, incident_id, incident, context)
    return _ask(pack, incident_id, context, RESOLVED)


def reroute_incident(pack: Pack, incident_id: str, assignment_group: Optional[str] = None,
                     category: Optional[str] = None,
                     incident: Optional[Mapping[str, Any]] = None) -> Outcome:
    """Move the PagerDuty incident to the service of its record's group, or of the group that a
    person named; then PagerDuty's webhook carries the group over to the record.

    ``incident`` is the record as an event carried it. RoutingError for a group that no entry pages:
    the earlier team keeps the incident.
    """
    if assignment_group:
        route = find_route(pack.settings, assignment_group, category)
        if route is None:
            raise unmapped_group(pack.settings, assignment_group)
        return _move_to(pack, incident_id, route.mapping)
    if category:
        raise BadInputError("a category without a group", "give assignment_group as well")
    return settle_event(pack, incident_id, incident or {}, WriteContext())


def create_stackflow_incident(pack: Pack, incident_id: str,
                              incident: Optional[Mapping[str, Any]] = None) -> Outcome:
    """Create the StackFlow record of a PagerDuty incident, unless it has one, and settle the pair.

    ``incident`` (what the event said) is not needed: PagerDuty is read, as it may have moved on.
    """
    if is_stackflow_number(incident_id):
        raise BadInputError("%s is a StackFlow number" % incident_id,
                            "give a PagerDuty incident id")
    settled = settle_incident(pack, incident_id)
    if settled is not None:
        return settled
    found = pack.rest.incident(incident_id)
    if found.merged_into:
        return Outcome(SKIPPED, "merged in PagerDuty into %s before a record was created" %
                       found.merged_into, None, incident_id)
    if entry_of_service(pack.settings, found.service_id) is None:
        return Outcome(SKIPPED, "service %s (%s) is not in service_mapping" % (
            found.service_id, found.service_name), None, incident_id)
    return settle(pack, Pair(Link(""), None, found))


def set_stackflow_state(pack: Pack, incident_id: str, state: str, note: Optional[str] = None,
                        by: Optional[str] = None) -> Outcome:
    """Settle the records of a PagerDuty incident, or write a state to a StackFlow number as a
    person asks.
    """
    if state not in ("in_progress", "resolved"):
        raise BadInputError("state is %r" % state, "give in_progress or resolved")
    signed = "%s: %s" % (by, note) if note and by else note
    if is_stackflow_number(incident_id):
        return _write_state(pack, incident_id, state, signed)
    return settle_incident(pack, incident_id, WriteContext(note=signed)) or Outcome(
        SKIPPED, "there is no StackFlow record yet; create_stackflow_incident settles both states",
        None, incident_id)


def update_stackflow_incident(pack: Pack, incident_id: str,
                              fields: Mapping[str, Any]) -> Outcome:
    """Write fields of a record as a person asks; without fields, bring the record of a PagerDuty
    incident up to date, and create it where it is missing.
    """
    if not fields and is_stackflow_number(incident_id):
        raise BadInputError("fields is empty", "give an object such as {\"priority\": \"P1\"}")
    if not fields:
        return settle_incident(pack, incident_id) or create_stackflow_incident(pack, incident_id)
    number = number_of(pack, incident_id)
    if not pack.settings.bidirectional_sync:
        return Outcome(SKIPPED, "bidirectional_sync is off", stackflow_id=number)
    if find_record(pack, number) is None:
        raise no_record(number)
    pack.stackflow.update(number, fields)
    return Outcome(DONE, "wrote %s" % ", ".join(sorted(fields)), stackflow_id=number)


def _write_state(pack: Pack, number: str, state: str, note: Optional[str]) -> Outcome:
    """Write a state to a record, and a work note beside it."""
    if not pack.settings.bidirectional_sync:
        return Outcome(SKIPPED, "bidirectional_sync is off", stackflow_id=number)
    pair, log = observe(pack, number, pack.links.read(number)), WriteLog()
    if pair.record is None:
        raise no_record(number)
    if pair.record.state == state:
        return report(pair, ALREADY, "%s in StackFlow already" % state, log)
    if pair.record.state in FINAL_STATES:
        return report(pair, SKIPPED, "%s is final" % pair.record.state, log)
    fields, log.warnings = state_fields(pack, pair, state)
    patch(pack, pair.record, fields)
    if note:
        pack.stackflow.add_note(number, note)
    log.writes.append("set %s to %s in StackFlow" % (number, state))
    return report(pair, DONE, "asked by a person", log)


def pair_of_command(pack: Pack, incident_id: str) -> Pair:
    """Return the pair of an id of either side as it is now; NotFoundError where its side does not
    know it.
    """
    numbers = numbers_of(pack, incident_id)
    if not numbers:
        return Pair(Link(""), None, pack.rest.incident(incident_id))
    pair = observe(pack, numbers[0], pack.links.read(numbers[0]))
    if pair.record is None and pair.incident is None:
        raise no_record(incident_id)
    return pair


def _ask(pack: Pack, incident_id: str, context: WriteContext, state: str) -> Outcome:
    """Bring an open PagerDuty incident to a state."""
    pair, log = pair_of_command(pack, incident_id), context.log
    if pair.state in (None, RESOLVED):
        reason = ("no PagerDuty incident is open for it" if pair.state is None else
                  "resolved in PagerDuty already")
        return report(pair, ALREADY if pair.state == state else SKIPPED, reason, log)
    if pair.state == state:
        return report(pair, ALREADY, "%s in PagerDuty already" % state, log)
    if pair.follows and state == RESOLVED:
        owner = pack.links.index(pair.incident_id or "").own
        return report(pair, SKIPPED, "its PagerDuty incident %s belongs to %s" % (
            pair.incident_id, owner or "another system"), log)
    pair.remembers = False
    write = ACKNOWLEDGE if state == ACKNOWLEDGED else RESOLVE
    apply(pack, pair, Decision("asked by a person", pagerduty=(write,)), context)
    return report(pair, DONE if log.writes else SKIPPED, "asked by a person", log)


def _move_to(pack: Pack, incident_id: str, entry: ServiceMapping) -> Outcome:
    pair, log = pair_of_command(pack, incident_id), WriteLog()
    if pair.state in (None, RESOLVED):
        return report(pair, SKIPPED, "no PagerDuty incident is open for it", log)
    if shown(pair).service_id == entry.service_id:
        return report(pair, ALREADY, "on service %s already" % entry.service_name, log)
    move(pack, shown(pair), entry)
    if pair.link.number:
        pack.links.write(pair.link._replace(key_fingerprint=None))
    return report(pair, DONE, "moved to service %s in PagerDuty" % entry.service_name, log)
