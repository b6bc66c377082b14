"""Creating the StackFlow record of a PagerDuty incident, once, whoever else is at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict

from . import merge
from .incidents import StackFlowIncident, mark
from .links import Link
from .pack import Pack
from .pairs import CACHED, PAUSE, Pair, owner_of_mark
from .routing import entry_of_service, priority_for
from .templates import render, template_values
from .transport import OutcomeUnknownError

if TYPE_CHECKING:
    from .writing import Done


def create_record(pack: Pack, pair: Pair, done: Done) -> None:
    """Create the StackFlow record of a PagerDuty incident, once, and put it into ``pair``.

    No state that is stored could make this unique, so the mark is searched before and after: of two
    records the lower number stays, whoever wrote it, and the other is cancelled. Where the pair has
    a record already, that one is final and is replaced.
    """
    incident = pair.incident
    assert incident is not None
    old, created = pair.record, None
    owner = None if pair.searched else (
        owner_of_mark(pack, incident.id, live=old is not None))
    if owner is not None:
        done.found.append("%s was created for it" % owner)
    else:
        try:
            created = pack.stackflow.create(_new_record(pack, pair, done))
        except OutcomeUnknownError:
            _wait_for_search(pack, incident.id, live=old is not None)
            raise  # whoever tries again looks for the mark first
        owner = _settle_race(pack, incident.id, created)
        done.writes.append("%s created in StackFlow" % owner)
    pack.links.join(incident.id, owner)
    if old is not None:
        pack.stackflow.add_note(old.number, "Reopened in PagerDuty; carried on in %s" % owner)
        pack.links.write(pair.link._replace(replaced_by=owner, stackflow=merge.RESOLVED,
                                            pagerduty=merge.RESOLVED))
    pair.stored = pack.links.read(owner)[0]
    whole = created is not None and created.is_complete and created.number == owner
    pair.record = created if whole else pack.stackflow.incident(owner)
    link = pair.stored or Link(owner, service_id=incident.service_id, rest_only=True)
    pair.link = link._replace(pagerduty_id=incident.id, seen=True)


def _wait_for_search(pack: Pack, incident_id: str, live: bool) -> None:
    """Wait until the search finds a record that may have been created just now, or must know that there
    is none.
    """
    end = pack.clock.monotonic() + CACHED.total_seconds()
    while pack.clock.monotonic() < end and owner_of_mark(pack, incident_id, live) is None:
        pack.clock.sleep(PAUSE)


def _settle_race(pack: Pack, incident_id: str, created: StackFlowIncident) -> str:
    """The number that stays of all open records with this mark; the others are cancelled with a
    note.
    """
    numbers = {record.number for record in pack.stackflow.created_for(incident_id)
               if record.state not in merge.DONE_STATES} | {created.number}
    first, *others = sorted(numbers, key=lambda number: (len(number), number))
    for number in others:
        pack.stackflow.add_note(number, "Duplicate of %s" % first)
        pack.stackflow.update(number, {"state": "cancelled"})
    return first


def _new_record(pack: Pack, pair: Pair, done: Done) -> Dict[str, Any]:
    settings, incident = pack.settings, pair.incident
    assert incident is not None
    entry = entry_of_service(settings, incident.service_id)
    shipped = "%s\n\nPagerDuty service: %s\nUrgency: %s" % (incident.title, incident.service_name,
                                                            incident.urgency)
    text, warnings = render(settings.templates.description, shipped, "templates.description",
                            template_values(pack, pair))
    done.warnings += warnings
    fields = {
        "short_description": incident.title or "PagerDuty incident %s" % incident.id,
        "description": "%s\n\nPagerDuty incident: %s\n%s" % (text, incident.html_url,
                                                             mark(incident.id)),
        "priority": priority_for(settings, incident.priority, incident.urgency)}
    if entry is not None:
        fields["assignment_group"] = entry.assignment_group
        if entry.category:
            fields["category"] = entry.category
    return fields
