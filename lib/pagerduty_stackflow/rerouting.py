"""What the actions do that hand an incident to another team, or write fields of a record."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from . import merge
from .errors import ApiError, BadInputError
from .incidents import is_stackflow_number
from .links import Link
from .moves import move
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack
from .pairs import Pair, find_record, numbers_of, read_pair
from .routing import find_route, unmapped_group
from .settings import ServiceMapping
from .sync import (create_stackflow_incident, no_record, pair_of_event, report, settle,
                   settle_all, stackflow_number)
from .writing import Done, Words


def reroute_incident(pack: Pack, incident_id: str, assignment_group: Optional[str] = None,
                     category: Optional[str] = None,
                     incident: Optional[Mapping[str, Any]] = None) -> Outcome:
    """Move the PagerDuty incident to the service of its record's group, or of the group that a person
    named; then PagerDuty's webhook carries the group over to the record.

    ``incident`` is the record as an event carried it. RoutingError for a group that no entry pages:
    the team before keeps the incident.
    """
    if assignment_group:
        route = find_route(pack.settings, assignment_group, category)
        if route is None:
            raise unmapped_group(pack.settings, assignment_group)
        return _move_to(pack, incident_id, route.mapping)
    if category:
        raise BadInputError("a category without a group", "give assignment_group as well")
    number = stackflow_number(pack, incident_id)
    pair = pair_of_event(pack, number, pack.links.read(number)[0], incident, merge.STACKFLOW)
    return settle(pack, pair, Words())


def update_stackflow_incident(pack: Pack, incident_id: str,
                              fields: Mapping[str, Any]) -> Outcome:
    """Write fields of a record as a person asks; none of them: bring its group and category to the
    service that PagerDuty moved the incident to.
    """
    if fields:
        return _write_fields(pack, incident_id, fields)
    if is_stackflow_number(incident_id):
        raise BadInputError("fields is empty", "give an object such as {\"priority\": \"P1\"}")
    settled = settle_all(pack, incident_id, Words(), merge.PAGERDUTY)
    if settled is None:  # it came from a service that nobody mapped
        return create_stackflow_incident(pack, incident_id)
    return settled


def _move_to(pack: Pack, incident_id: str, entry: ServiceMapping) -> Outcome:
    if is_stackflow_number(incident_id) or numbers_of(pack, incident_id):
        pair = read_pair(pack, stackflow_number(pack, incident_id))
        if pair.record is None and pair.incident is None:
            raise no_record(incident_id)
    else:
        pair = Pair(Link("", rest_only=True), None, pack.rest.incident(incident_id))
    if pair.incident is None and pair.link.pagerduty in (merge.OPEN, merge.ACKNOWLEDGED):
        raise ApiError("PagerDuty does not show the incident yet", "run it again", True)
    if pair.incident is None or pair.incident.status == "resolved":
        return report(pair, SKIPPED, "no PagerDuty incident is open for it", Done())
    if pair.incident.service_id == entry.service_id:
        return report(pair, ALREADY, "on service %s already" % entry.service_name, Done())
    move(pack, pair.incident, entry)
    if pair.link.number:
        pack.links.write(pair.link._replace(moved=True, rest_only=True))
    return report(pair, DONE, "moved to service %s in PagerDuty" % entry.service_name, Done())


def _write_fields(pack: Pack, incident_id: str, fields: Mapping[str, Any]) -> Outcome:
    number = stackflow_number(pack, incident_id)
    if not pack.settings.bidirectional_sync:
        return Outcome(SKIPPED, "bidirectional_sync is off", stackflow_id=number)
    if find_record(pack, number) is None:
        raise no_record(number)
    pack.stackflow.update(number, fields)
    return Outcome(DONE, "wrote %s" % ", ".join(sorted(fields)), stackflow_id=number)
