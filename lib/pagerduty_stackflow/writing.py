"""Carrying out what the merge decided. Every write may be repeated, or is looked up before it is.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import merge
from .answers import PAGERDUTY
from .deciding import place
from .errors import AGAIN, ConflictError
from .incidents import (CLIENT, PagerDutyIncident, StackFlowIncident, dedup_key, format_time,
                        last_resort_key, number_of_key, record_url)
from .links import Link
from .moves import move
from .pack import Pack
from .pagerduty.events import fingerprint
from .pairs import Pair, find_record, has_newer
from .routing import entry_of_service, route_for_opening, severity
from .settings import ServiceMapping, Settings
from .templates import public_mapping, render, template_values
from .transport import OutcomeUnknownError

DETAILS = ("number", "state", "priority", "category", "subcategory", "impact", "urgency",
           "assignment_group", "assigned_to", "opened_by", "ci_id", "created_at", "description")


class Words(NamedTuple):
    """What is added to a write: who did it, why, a work note beside a StackFlow state, and with a
    trigger a severity in place of the priority's; any may be None.
    """

    by: Optional[str] = None
    resolution: Optional[str] = None
    note: Optional[str] = None
    severity: Optional[str] = None


class Done:
    """What was written, found to be there already, left out, and cut or repeated; in words."""

    def __init__(self) -> None:
        self.writes: List[str] = []
        self.found: List[str] = []
        self.skipped: List[str] = []
        self.warnings: List[str] = []


def carry_out(pack: Pack, pair: Pair, decision: merge.Decision, words: Words,
              done: Done) -> merge.Decision:
    """Write to both sides, PagerDuty first; returns the decision with PagerDuty's state as it is then.

    What was written goes into ``done``, also when a later write fails.
    """
    before, ends = pair.link, ends_incident(pair, decision)
    for write in decision.pagerduty:
        if write == merge.TRIGGER:
            _trigger(pack, pair, words, done)
            continue
        if write == merge.MOVE:
            _move(pack, pair, done)
            continue
        change = _acknowledge if write == merge.ACKNOWLEDGE else _resolve
        carried = change(pack, pair, words, done)
        if not carried:
            decision = decision._replace(agreed_pagerduty=merge.OPEN)
    for write in decision.stackflow:
        if write in (merge.CREATE, merge.REPLACE):
            from .creating import create_record  # paging creates none
            create_record(pack, pair, done)
        elif write == merge.REGROUP:
            _regroup(pack, pair, done)
        else:
            set_state(pack, pair, write, done)
            if words.note:
                pack.stackflow.add_note(pair.link.number, words.note)
    if before.last_resort and ends:
        _resolve_last_resort(pack, pair, before, done)
    return decision


def routing_key(settings: Settings, link: Link) -> Optional[str]:
    """The routing key that opened the pair's incident; None where only REST reaches it."""
    if link.rest_only or not link.dedup_key:
        return None
    keys = [key for entry in settings.service_mapping
            if link.key_fingerprint or entry.service_id == link.service_id
            for key in (entry.integration_key,) + entry.previous_integration_keys]
    if link.key_fingerprint:
        return next((key for key in keys if fingerprint(key) == link.key_fingerprint), None)
    return keys[0] if len(set(keys)) == 1 else None  # a rebuilt link does not know the key


def ends_incident(pair: Pair, decision: merge.Decision) -> bool:
    """Whether the pair's PagerDuty incident is resolved, or will be by this decision."""
    if decision.follow_merge:
        return False
    over = pair.incident is not None and pair.incident.status == "resolved"
    return (over or merge.RESOLVE in decision.pagerduty or
            decision.agreed_pagerduty == merge.RESOLVED)


def _resolve_last_resort(pack: Pack, pair: Pair, link: Link, done: Done) -> None:
    """Resolve the alert that an unanswered escalation has sent for the incident of ``link``."""
    key = last_resort_key(pack.settings.stackflow.host, link.number, link.dedup_key)
    routing = routing_key(pack.settings, link._replace(
        dedup_key=key, key_fingerprint=link.last_resort, rest_only=False))
    if routing is not None:
        pack.events.resolve(routing, key)
    else:  # that key is gone
        for incident in pack.rest.incidents_of_key(key):
            if incident.status != "resolved":
                pack.rest.set_status(incident.id, "resolved")
    pack.links.forget_last_resort(link.number)
    pair.link = pair.link._replace(last_resort=None)
    done.writes.append("the alert of last resort resolved")


def _trigger(pack: Pack, pair: Pair, words: Words, done: Done) -> None:
    settings, record = pack.settings, pair.record
    assert record is not None
    entry = route_for_opening(settings, record.assignment_group, record.category).mapping
    key, found = _next_key(pack, pair)
    if found is not None:
        pair.incident = found
        done.found.append("an incident is open under %s" % key)
    else:
        done.warnings += send_trigger(pack, record, entry, key, words.severity)
        done.writes.append("triggered in PagerDuty, service %s" % entry.service_name)
        pair.incident = None
    pair.link = Link(
        number=record.number, dedup_key=key, service_id=entry.service_id,
        pagerduty_id=found.id if found else None,
        key_fingerprint=fingerprint(entry.integration_key),
        group=record.assignment_group, stackflow_at=pair.link.stackflow_at,
        assignee=pair.link.assignee, last_resort=pair.link.last_resort,
        unseen=pair.link.unseen if key == pair.link.dedup_key else None,
        sent_at=format_time(pack.clock.now()))


def _next_key(pack: Pack, pair: Pair) -> Tuple[str, Optional[PagerDutyIncident]]:
    """The dedup key to trigger under, and the incident that is open under it already, if one is.

    The bare key for the first incident; after a reopening the first `:<n>` that no incident has.
    """
    host = pack.settings.stackflow.host
    link = pair.link
    if not link.joined or (link.dedup_key and link.pagerduty != merge.RESOLVED and
                           pair.incident is None):
        return link.dedup_key or dedup_key(host, link.number), None
    used = number_of_key(link.dedup_key, host)
    count = used[1] + 1 if used else 1
    while True:
        key = dedup_key(host, link.number, count)
        found = pack.rest.incidents_of_key(key)
        if not found:
            return key, None
        for incident in found:
            if incident.status != "resolved":
                return key, incident
        count += 1


def send_trigger(pack: Pack, record: StackFlowIncident, entry: ServiceMapping, key: str,
                 as_severity: Optional[str] = None, before: str = "") -> List[str]:
    """Trigger an alert for a record through an entry; returns warnings about what had to be cut.

    ``as_severity`` stands in place of the priority's severity, ``before`` before the summary.
    """
    settings = pack.settings
    url = record_url(settings.stackflow.instance_url, record.number)
    shipped = "%s: %s" % (record.number, record.short_description)
    summary, warnings = render(settings.templates.summary, shipped, "templates.summary", {
        "incident": record.fields, "pagerduty": None, "mapping": public_mapping(entry)})
    details = {name: record.fields[name] for name in DETAILS if record.fields.get(name)}
    stamp = record.updated_at or record.created_at
    return warnings + pack.events.trigger(
        entry.integration_key, key, before + summary, settings.stackflow.host,
        as_severity or severity(settings, record.priority),
        timestamp=format_time(stamp) if stamp else None,
        component=_text(record.fields.get("ci_id")), group=record.assignment_group,
        custom_details=details, client=CLIENT, client_url=url,
        links=[{"href": url, "text": record.number}], **{"class": record.category})


def _acknowledge(pack: Pack, pair: Pair, words: Words, done: Done) -> bool:
    """By the routing key that opened it; by REST only as the person, as that assigns the incident
    to the From user. Returns whether PagerDuty shows it acknowledged then.
    """
    link, person = pair.link, words.by
    if pair.record is not None and pair.record.assigned_to:
        person = person or pair.record.assigned_to
        link = pair.link = link._replace(assignee=pair.record.assigned_to)
    key = routing_key(pack.settings, link)
    if key is not None and link.dedup_key:
        pack.events.acknowledge(key, link.dedup_key)
        pair.link = link._replace(sent_at=format_time(pack.clock.now()))
        done.writes.append("acknowledged in PagerDuty")
        return True
    if pair.incident is None:
        done.skipped.append("PagerDuty does not show the incident yet")
        return False
    known = pack.rest.user_email(person) if person else None
    if known is None:
        pack.rest.add_note(pair.incident.id, "Taken in StackFlow by %s" % (person or "a person"))
        done.skipped.append("%s, so a note was written in place of an acknowledgement" % (
            "%s is no PagerDuty user" % person if person else "nobody is named who took it"))
        return False
    _check_unchanged(pack, pair.incident)
    pack.rest.set_status(pair.incident.id, "acknowledged", by=known)
    done.writes.append("acknowledged in PagerDuty as %s" % known)
    return True


def _resolve(pack: Pack, pair: Pair, words: Words, done: Done) -> bool:
    """By the routing key that opened it, else by REST. Returns whether the incident is resolved then:
    one that a merge gave to several records stays open for the others.
    """
    link = pair.link
    key = routing_key(pack.settings, link)
    if link.shared or words.resolution and pair.incident is not None:
        key = None  # an event resolves its own alert, and only REST takes a resolution
    if key is not None and link.dedup_key:
        pack.events.resolve(key, link.dedup_key)
        pair.link = link._replace(sent_at=format_time(pack.clock.now()))
        done.writes.append("resolved in PagerDuty")
        return True
    if pair.incident is None:
        done.skipped.append("PagerDuty does not show the incident yet")
        return False
    others = waits_for(pack, pair)
    if others:
        done.skipped.append("merged in PagerDuty with %s, still open" % ", ".join(others))
        return False
    _check_unchanged(pack, pair.incident)
    by = "Resolved in StackFlow by %s" % words.by if words.by else None
    pack.rest.set_status(pair.incident.id, "resolved",
                         resolution=": ".join(filter(None, (by, words.resolution))) or None)
    pair.link = link._replace(rest_only=True)
    done.writes.append("resolved in PagerDuty as %s" % pack.settings.pagerduty.from_email)
    return True


def waits_for(pack: Pack, pair: Pair) -> List[str]:
    """The records that a merge put on the same incident and that are open: its resolve waits for
    them, but not for one that was opened again since and has an incident of its own.
    """
    incident = pair.incident
    if not pair.link.shared or incident is None:
        return []
    return [number for number in pack.links.numbers(incident.id)
            if number != pair.link.number and _is_open(pack, number, incident.id)]


def _move(pack: Pack, pair: Pair, done: Done) -> None:
    """To the service of the record's group; the link says so first, so that a run after a crash
    finishes it.
    """
    entry = entry_of_service(pack.settings, place(pack.settings, pair)[0])
    assert entry is not None
    if pair.incident is None:
        raise OutcomeUnknownError("PagerDuty does not show the incident yet",
                                  "run it again, or wait for the next reconcile", True, PAGERDUTY)
    pair.stored = pair.link._replace(moving=entry.service_id)
    pack.links.write(pair.stored)
    pair.incident = move(pack, pair.incident, entry)
    pair.link = pair.link._replace(moved=True, rest_only=True)
    done.writes.append("moved to service %s in PagerDuty" % entry.service_name)


def _regroup(pack: Pack, pair: Pair, done: Done) -> None:
    """Group and category of PagerDuty's service; the link says so first, so that the echo is known.
    """
    entry = entry_of_service(pack.settings, place(pack.settings, pair)[1])
    assert entry is not None and pair.record is not None
    fields = {"assignment_group": entry.assignment_group}
    if entry.category:
        fields["category"] = entry.category
    pair.stored = pair.link._replace(writing=entry.assignment_group)
    pack.links.write(pair.stored)
    pair.record = pack.stackflow.update(pair.record.number, fields)
    done.writes.append("%s handed to %s in StackFlow" % (pair.record.number,
                                                         entry.assignment_group))


def _check_unchanged(pack: Pack, incident: PagerDutyIncident) -> None:
    """Read the status right before a REST write: on a resolved incident it would reopen it."""
    status = pack.rest.incident(incident.id).status
    if status != incident.status:
        raise ConflictError("%s became %s meanwhile" % (incident.id, status), AGAIN, True,
                            PAGERDUTY)


def _is_open(pack: Pack, number: str, incident_id: str) -> bool:
    link = pack.links.read(number)[0]
    if link is not None and has_newer(pack, link, incident_id):
        return False
    if link is None or link.stackflow != merge.RESOLVED:
        return True
    record = find_record(pack, number)
    return record is not None and record.state not in merge.DONE_STATES


def set_state(pack: Pack, pair: Pair, state: str, done: Done) -> None:
    """Write a StackFlow state that PagerDuty has already: the link says so first, so that the echo
    is known as one.
    """
    pair.stored = pair.link._replace(writing=state)
    pack.links.write(pair.stored)
    patch_state(pack, pair, state, done)


def patch_state(pack: Pack, pair: Pair, state: str, done: Done) -> None:
    """Write a StackFlow state, with `stackflow.resolve_fields` when it is resolved."""
    assert pair.record is not None
    number = pair.record.number
    fields: Dict[str, Any] = {"state": state}
    if state == merge.SET_RESOLVED:
        for name, source in pack.settings.stackflow.resolve_fields.items():
            text, warnings = render(source, "", "stackflow.resolve_fields." + name,
                                    template_values(pack, pair))
            done.warnings += warnings
            if text:  # nothing is better than half a template
                fields[name] = text
    try:
        pair.record = pack.stackflow.update(number, fields)
    except ConflictError:
        if state != merge.SET_RESOLVED or not _still(pack, pair.record):
            raise
        # No page shows which steps are allowed: some may lead by way of in_progress alone.
        pack.stackflow.update(number, {"state": merge.SET_IN_PROGRESS})
        pair.record = pack.stackflow.update(number, fields)
    done.writes.append("%s set to %s in StackFlow" % (number, state))


def _still(pack: Pack, record: StackFlowIncident) -> bool:
    """Whether a record that refused a step is as it was read, and was not at work."""
    state = pack.stackflow.incident(record.number).state
    return state == record.state != merge.SET_IN_PROGRESS and state not in merge.DONE_STATES


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None
