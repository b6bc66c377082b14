"""The writes to StackFlow: state, group and plain fields of a record, and a new record."""

from __future__ import annotations

from typing import Any, Dict

from .decide import (DONE_STATES, IN_PROGRESS, REGROUP, REPLACE, RESOLVED, SET_VALUES,
                     Decision)
from .errors import ConflictError
from .fields import BY_NAME, STACKFLOW
from .incidents import StackFlowIncident, mark
from .links import Link
from .matching import CACHED, PAUSE, owner_of_mark
from .pack import Pack
from .pairs import Pair, now_of
from .routing import entry_of_service, priority_for
from .templates import render, template_values
from .to_pagerduty import WriteContext, WriteLog, expect, expecting
from .transport import OutcomeUnknownError


def update_record(pack: Pack, pair: Pair, decision: Decision, context: WriteContext) -> None:
    """Write what a decision says to the record, in one request. The link says so first, so that the
    echo is known, and a run after a crash knows the change for the pack's own.
    """
    assert pair.record is not None
    log = context.log
    fields: Dict[str, Any] = {}
    values: Dict[str, str] = {}
    if REGROUP in decision.stackflow:
        entry = entry_of_service(pack.settings, (now_of(pack, pair).there or {}).get("place"))
        assert entry is not None
        fields["assignment_group"] = values["place"] = entry.assignment_group
        if entry.category:
            fields["category"] = entry.category
        log.add(REGROUP, "handed %s to %s in StackFlow" % (pair.record.number,
                                                           entry.assignment_group))
    for state in (IN_PROGRESS, RESOLVED):
        if state in decision.stackflow:
            values["state"] = state
            fields.update(state_fields(pack, pair, state, log))
            log.add(state, "set %s to %s in StackFlow" % (pair.record.number, state))
    for (side, name), value in decision.values.items():
        write_value = BY_NAME[name].to_stackflow
        if side == STACKFLOW and write_value is not None:
            values[name] = value
            fields.update(write_value(value))
            log.add(SET_VALUES, "set %s in StackFlow" % name)
    with expecting(pack, pair, expect(pack, pair.link, STACKFLOW, values)):
        pair.record = patch(pack, pair.record, fields)
    pair.link = pair.link._replace(expects=None)
    if context.note:
        pack.stackflow.add_note(pair.link.number, context.note)


def state_fields(pack: Pack, pair: Pair, state: str, log: WriteLog) -> Dict[str, Any]:
    """Return a state as it is written, with `stackflow.resolve_fields` when it is resolved."""
    fields = {"state": state}
    if state == RESOLVED:
        for name, source in pack.settings.stackflow.resolve_fields.items():
            text, warnings = render(source, "", "stackflow.resolve_fields." + name,
                                    template_values(pack, pair))
            log.warnings += warnings
            if text:  # nothing is better than half a template
                fields[name] = text
    return fields


def patch(pack: Pack, record: StackFlowIncident, fields: Dict[str, Any]) -> StackFlowIncident:
    """Write fields of a record; returns it as it is then."""
    try:
        return pack.stackflow.update(record.number, fields)
    except ConflictError:
        if fields.get("state") != RESOLVED or not _still(pack, record):
            raise
        # No page shows which steps are allowed: some may lead by way of in_progress alone.
        pack.stackflow.update(record.number, {"state": IN_PROGRESS})
        return pack.stackflow.update(record.number, fields)


def _still(pack: Pack, record: StackFlowIncident) -> bool:
    """Whether a record that refused a step is as it was read, and was not in progress."""
    state = pack.stackflow.incident(record.number).state
    return state == record.state != IN_PROGRESS and state not in DONE_STATES


def create_record(pack: Pack, pair: Pair, write: str, log: WriteLog) -> None:
    """Create the StackFlow record of a PagerDuty incident, once, and put it into the pair.

    No state that is stored could make this unique, so the mark is searched before and after: of two
    records the lower number stays, whoever wrote it, and the other is cancelled. Where the pair has
    a record already, that one is final and is replaced.
    """
    incident, old, created = pair.incident, pair.record, None
    assert incident is not None
    owner = owner_of_mark(pack, incident.id, live=old is not None) if write == REPLACE else None
    if owner is not None:
        log.found.append("%s was created for it" % owner)
    else:
        pack.links.announce(incident.id)
        try:
            created = pack.stackflow.create(_new_record(pack, pair, log))
        except OutcomeUnknownError:
            _wait_for_search(pack, incident.id, live=old is not None)
            raise  # the next try looks for the mark first
        owner = _settle_race(pack, incident.id, created)
        log.add(write, "created %s in StackFlow" % owner)
    pack.links.join(incident.id, owner)
    if old is not None:
        pack.stackflow.add_note(old.number, "Reopened in PagerDuty; carried on in %s" % owner)
        there = dict(pair.link.there, state=RESOLVED)
        pack.links.write(pair.link._replace(successor=owner, expects=None, there=there,
                                            here=dict(pair.link.here, state=old.state)))
    whole = created is not None and created.is_complete and created.number == owner
    pair.stored = pack.links.read(owner)[0]
    pair.record = created if whole else pack.stackflow.incident(owner)
    pair.link = (pair.stored or Link(owner))._replace(pagerduty_id=incident.id, target=None)
    pair.follows = pair.reopened = False


def _wait_for_search(pack: Pack, incident_id: str, live: bool) -> None:
    """Wait until the search finds a record that may have been created just now, or must know that
    there is none.
    """
    end = pack.clock.monotonic() + CACHED.total_seconds()
    while pack.clock.monotonic() < end and owner_of_mark(pack, incident_id, live) is None:
        pack.clock.sleep(PAUSE)


def _settle_race(pack: Pack, incident_id: str, created: StackFlowIncident) -> str:
    """The number that stays of all open records with this mark; the others are cancelled with a
    note.
    """
    numbers = {record.number for record in pack.stackflow.created_for(incident_id)
               if record.state not in DONE_STATES} | {created.number}
    first, *others = sorted(numbers, key=lambda number: (len(number), number))
    for number in others:
        pack.stackflow.add_note(number, "Duplicate of %s" % first)
        pack.stackflow.update(number, {"state": "cancelled"})
    return first


def _new_record(pack: Pack, pair: Pair, log: WriteLog) -> Dict[str, Any]:
    settings, incident = pack.settings, pair.incident
    assert incident is not None
    entry = entry_of_service(settings, incident.service_id)
    shipped = "%s\n\nPagerDuty service: %s\nUrgency: %s" % (incident.title, incident.service_name,
                                                            incident.urgency)
    text, warnings = render(settings.templates.description, shipped, "templates.description",
                            template_values(pack, pair))
    log.warnings += warnings
    fields: Dict[str, Any] = {
        "short_description": incident.title or "PagerDuty incident %s" % incident.id,
        "description": "%s\n\nPagerDuty incident: %s\n%s" % (text, incident.html_url,
                                                             mark(incident.id)),
        "priority": priority_for(settings, incident.priority, incident.urgency)}
    if entry is not None:
        fields["assignment_group"] = entry.assignment_group
        if entry.category:
            fields["category"] = entry.category
    return fields
