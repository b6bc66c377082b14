"""The writes to StackFlow: state, group and plain fields of a record, and a new record."""

from __future__ import annotations

from typing import Any, Dict

from .decide import (DONE_STATES, IN_PROGRESS, REGROUP, REPLACE, RESOLVED, SET_VALUES, Decision)
from .errors import ConflictError
from .fields import BY_NAME, STACKFLOW
from .incidents import StackFlowIncident
from .links import Link
from .matching import CACHED, owner_of_mark
from .pack import Pack
from .pairs import Pair, now_of
from .routing import entry_of_service
from .templates import new_record, place_fields, state_fields
from .to_pagerduty import WriteContext, WriteLog, expecting
from .transport import OutcomeUnknownError


def update_record(pack: Pack, pair: Pair, decision: Decision, context: WriteContext) -> None:
    """Write what a decision says to the record, in one request. The link says so first, so that the
    echo is known.
    """
    assert pair.record is not None
    number, log = pair.record.number, context.log
    fields: Dict[str, Any] = {}
    values: Dict[str, str] = {}
    if REGROUP in decision.stackflow:
        entry = entry_of_service(pack.settings, (now_of(pack, pair).there or {}).get("place"))
        assert entry is not None
        values["place"] = entry.assignment_group
        fields.update(place_fields(entry))
        log.add(REGROUP, "handed %s to %s in StackFlow" % (number, entry.assignment_group))
    for state in (IN_PROGRESS, RESOLVED):
        if state in decision.stackflow:
            values["state"] = state
            written, warnings = state_fields(pack, pair, state)
            fields.update(written)
            log.warnings += warnings
            log.add(state, "set %s to %s in StackFlow" % (number, state))
    for (side, name), value in decision.values.items():
        write = BY_NAME[name].to_stackflow
        if side == STACKFLOW and write is not None:
            values[name] = value
            fields.update(write(value))
            log.add(SET_VALUES, "set %s in StackFlow" % name)
    with expecting(pack, pair, STACKFLOW, values):
        pair.record = patch(pack, pair.record, fields)
    pair.link = pair.link._replace(expects=None)
    if context.note:
        pack.stackflow.add_note(number, context.note)


def patch(pack: Pack, record: StackFlowIncident, fields: Dict[str, Any]) -> StackFlowIncident:
    """Write fields of a record; returns it as it is then.

    No page shows which steps of states are allowed: some may lead by way of in_progress alone, so
    that is tried where a resolve is refused and nobody else changed the state.
    """
    try:
        return pack.stackflow.update(record.number, fields)
    except ConflictError:
        state = pack.stackflow.incident(record.number).state
        if fields.get("state") != RESOLVED or state != record.state or (
                state in DONE_STATES + (IN_PROGRESS,)):
            raise
        pack.stackflow.update(record.number, {"state": IN_PROGRESS})
        return pack.stackflow.update(record.number, fields)


def create_record(pack: Pack, pair: Pair, write: str, log: WriteLog) -> None:
    """Create the StackFlow record of a PagerDuty incident, once, and put it into the pair.

    No state that is stored could make this unique, so the mark is searched before and after: of two
    records the lower number stays, whoever wrote it, and the other is cancelled. Where the pair has
    a record already, that one is final and is replaced.
    """
    incident, old, created = pair.incident, pair.record, None
    assert incident is not None
    owner = owner_of_mark(pack, incident.id, live=True) if write == REPLACE else None
    if owner is not None:
        log.found.append("%s was created for it" % owner)
    else:
        fields, warnings = new_record(pack, pair)
        log.warnings += warnings
        pack.links.announce(incident.id)
        try:
            created = pack.stackflow.create(fields)
        except OutcomeUnknownError:
            pack.clock.sleep(CACHED.total_seconds())
            raise  # the next try looks for the mark first, which the search knows by now
        owner = _settle_race(pack, incident.id, created)
        log.add(write, "created %s in StackFlow" % owner)
    pack.links.join(incident.id, owner)
    if old is not None:
        pack.stackflow.add_note(old.number, "Reopened in PagerDuty; carried on in %s" % owner)
        there = dict(pair.link.there, state=RESOLVED)
        pack.links.write(pair.link._replace(successor=owner, expects=None, there=there,
                                            here=dict(pair.link.here, state=old.state)))
    whole = created is not None and created.is_complete and created.number == owner
    pair.stored = pack.links.read(owner)
    pair.record = created if whole else pack.stackflow.incident(owner)
    pair.link = (pair.stored or Link(owner))._replace(pagerduty_id=incident.id, target=None)
    pair.follows = pair.reopened = False


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
