"""The writes to PagerDuty: trigger, acknowledge, resolve, move, and plain fields.

The link says that a write is expected before it is sent, so that its echo is known and a run after
a crash finishes it. An incident that the pack opened is reached by the routing key that opened it;
any other by REST.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from .answers import PAGERDUTY as SYSTEM
from .decide import (ACKNOWLEDGE, ACKNOWLEDGED, MOVE, RESOLVE, RESOLVED, SET_VALUES, TRIGGER,
                     TRIGGERED, Decision)
from .errors import AGAIN, ApiError, ConflictError, PackError, RoutingKeyError
from .fields import BY_NAME, PAGERDUTY
from .incidents import (PagerDutyIncident, dedup_key, format_time, last_resort_key, number_of_key)
from .links import Expected, Link
from .matching import newest
from .moves import move
from .pack import Pack
from .pagerduty.events import fingerprint
from .pairs import Pair, ended_alone, now_of, seen_now
from .routing import entry_of_service, route_for_opening
from .settings import Settings
from .templates import send_trigger
from .transport import OutcomeUnknownError


@dataclass
class WriteLog:
    """What was written (in words, and by the names of `decide`), found to be there already, left
    out, and cut or repeated.
    """

    writes: List[str] = field(default_factory=list)
    names: List[str] = field(default_factory=list)
    found: List[str] = field(default_factory=list)
    skipped: List[str] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)

    def add(self, name: str, words: str) -> None:
        """Note a write."""
        self.names.append(name)
        self.writes.append(words)


@dataclass
class WriteContext:
    """What is added to a write: who did it, why, a work note beside a StackFlow state, and with a
    trigger a severity in place of the priority's; any may be None. ``dry_run``: report and write
    nothing. ``log`` takes what was done.
    """

    by: Optional[str] = None
    resolution: Optional[str] = None
    note: Optional[str] = None
    severity: Optional[str] = None
    dry_run: bool = False
    log: WriteLog = field(default_factory=WriteLog)


@contextmanager
def expecting(pack: Pack, pair: Pair, side: str, values: Mapping[str, str]) -> Iterator[None]:
    """Store that a side shall show these values, while the write is sent; one that was refused is
    not expected.

    Where PagerDuty's incident has no record, or a person asked for the write, nothing is stored.
    """
    before, link = pair.stored, pair.link._replace(
        expects=Expected(side, values, format_time(pack.clock.now())))
    stores = bool(link.number) and pair.remembers
    pair.link = link
    if stores:
        pack.links.write(link)
        pair.stored, pair.wrote = link, True
    try:
        yield
    except PackError as error:
        if stores and not _may_come_late(error, link):
            pack.links.restore(link.number, before)
            pair.stored = before
        raise


def _may_come_late(error: PackError, link: Link) -> bool:
    """Whether a failed write may have been carried out all the same, and shows only later: an
    event, or one to StackFlow. After a write by REST the next read tells.
    """
    if isinstance(error, OutcomeUnknownError):
        return "state" not in link.expected(PAGERDUTY)
    return isinstance(error, ApiError) and (error.status is None or error.status >= 500)


def routing_key(settings: Settings, key_fingerprint: Optional[str]) -> Optional[str]:
    """Return the routing key with this fingerprint; None where it has left the config."""
    keys = (key for entry in settings.service_mapping
            for key in (entry.integration_key,) + entry.previous_integration_keys)
    return next((key for key in keys if fingerprint(key) == key_fingerprint), None)


def event_key(settings: Settings, link: Link) -> Optional[str]:
    """Return the routing key that reaches the pair's alert; None where only REST does."""
    if not (link.dedup_key and link.key_fingerprint):
        return None
    return routing_key(settings, link.key_fingerprint)


def trigger(pack: Pack, pair: Pair, decision: Decision, context: WriteContext) -> None:
    """Trigger an alert, and acknowledge it where a person has the record already.

    Raises RoutingError where nobody would be paged.
    """
    record, log = pair.record, context.log
    assert record is not None
    entry = route_for_opening(pack.settings, record.assignment_group, record.category).mapping
    key, found = _next_key(pack, pair)
    _end_before(pack, pair)
    link = Link(record.number, dedup_key=key, here=pair.link.here,
                key_fingerprint=fingerprint(entry.integration_key),
                unseen=pair.link.unseen if key == pair.link.dedup_key else None,
                there={"state": TRIGGERED, "place": entry.service_id},
                last_resort=pair.link.last_resort)
    pair.incident, pair.reopened = found, False
    if found is not None:
        log.found.append("an incident is open under %s" % key)
        pair.link, pair.state = link._replace(pagerduty_id=found.id), found.status
        if ACKNOWLEDGE in decision.pagerduty and found.status == TRIGGERED:
            acknowledge(pack, pair, context)
        return
    pair.link = link
    pair.link = seen_now(pair)
    pair.state = ACKNOWLEDGED if ACKNOWLEDGE in decision.pagerduty else TRIGGERED
    with expecting(pack, pair, PAGERDUTY, {"state": pair.state}):
        log.warnings += send_trigger(pack, record, entry, key, context.severity)
        log.add(TRIGGER, "triggered a PagerDuty incident on service %s" % entry.service_name)
        if pair.state == ACKNOWLEDGED:
            pack.events.acknowledge(entry.integration_key, key)
            log.add(ACKNOWLEDGE, "acknowledged it")


def _end_before(pack: Pack, pair: Pair) -> None:
    """Resolve by REST an incident whose resolve may be lost, as one open incident is enough; where
    other systems' alerts keep it open, it is theirs.
    """
    before, expected = pair.incident, pair.link.expected(PAGERDUTY)
    if before is not None and before.status != RESOLVED == expected.get("state") and (
            not ended_alone(pack, pair.link, before)):
        pack.rest.set_status(before.id, RESOLVED)


def repeat(pack: Pack, link: Link) -> None:
    """Send again the event that another run sent while this one triggered: PagerDuty drops what
    comes before the trigger.
    """
    state, key = link.expected(PAGERDUTY).get("state"), event_key(pack.settings, link)
    if key is not None and state in (ACKNOWLEDGED, RESOLVED):
        send = pack.events.acknowledge if state == ACKNOWLEDGED else pack.events.resolve
        send(key, link.dedup_key or "")


def _next_key(pack: Pack, pair: Pair) -> Tuple[str, Optional[PagerDutyIncident]]:
    """The dedup key to trigger under, and the incident that is open under it already, if one is.

    The bare key for the first incident, and the same one for a trigger that PagerDuty never
    showed; after a reopening the first `:<n>` that no incident has.
    """
    host, link = pack.settings.stackflow.host, pair.link
    if not link.joined:
        return link.dedup_key or dedup_key(host, link.number), None
    if link.dedup_key and pair.state != RESOLVED and pair.incident is None:
        return link.dedup_key, None
    used = number_of_key(link.dedup_key, host)
    count = used[1] + 1 if used else 1
    while True:
        key = dedup_key(host, link.number, count)
        found = newest(pack.rest.incidents_of_key(key))
        if found is None or found.status != RESOLVED:
            return key, found
        count += 1


def acknowledge(pack: Pack, pair: Pair, context: WriteContext) -> None:
    """Acknowledge by the routing key that opened the incident; by REST only as the person, as that
    assigns the incident to the From user.
    """
    log = context.log
    if _send(pack, pair, ACKNOWLEDGED, log):
        log.add(ACKNOWLEDGE, "acknowledged in PagerDuty")
        return
    person = context.by or (pair.record.assigned_to if pair.record else None)
    incident = shown(pair)
    known = pack.rest.user_email(person) if person else None
    if known is None:
        pack.rest.add_note(incident.id, "Taken in StackFlow by %s" % (person or "a person"))
        log.skipped.append("%s, so a note was written in place of an acknowledgement" % (
            "%s is no PagerDuty user" % person if person else "nobody is named who took it"))
        return
    _set_status(pack, pair, incident, ACKNOWLEDGED, {"by": known})
    log.add(ACKNOWLEDGE, "acknowledged in PagerDuty as %s" % known)


def resolve(pack: Pack, pair: Pair, context: WriteContext) -> None:
    """Resolve by the routing key that opened the incident, else by REST, which alone takes a
    resolution. An event is sent at least once: the reconcile repeats it by REST until it is seen.
    """
    log, incident, key = context.log, pair.incident, pair.link.dedup_key
    by_rest = incident is not None and (context.resolution or pair.link.target)
    if not by_rest and _send(pack, pair, RESOLVED, log):
        log.add(RESOLVE, "resolved in PagerDuty")
        return
    incident = incident or (newest(pack.rest.incidents_of_key(key)) if key else None)
    if incident is None:
        log.skipped.append("PagerDuty does not show the incident yet")
        return
    by = "Resolved in StackFlow by %s" % context.by if context.by else None
    resolution = ": ".join(filter(None, (by, context.resolution))) or None
    _set_status(pack, pair, incident, RESOLVED, {"resolution": resolution})
    log.add(RESOLVE, "resolved in PagerDuty as %s" % pack.settings.pagerduty.from_email)


def _send(pack: Pack, pair: Pair, state: str, log: WriteLog) -> bool:
    """Bring the pair's alert to a state by an event; False where no routing key reaches it, also as
    PagerDuty refuses the key of an integration that was deleted.
    """
    key, dedup = event_key(pack.settings, pair.link), pair.link.dedup_key or ""
    if key is None:
        return False
    pair.link = seen_now(pair)
    try:
        with expecting(pack, pair, PAGERDUTY, {"state": state}):
            (pack.events.acknowledge if state == ACKNOWLEDGED else pack.events.resolve)(key, dedup)
        pair.state = state
        return True
    except RoutingKeyError as error:  # its integration was deleted
        log.warnings.append("PagerDuty refused the event: %s" % error.message)
        pair.link = pair.link._replace(expects=None, key_fingerprint=None)
        return False


def _set_status(pack: Pack, pair: Pair, incident: PagerDutyIncident, status: str,
                how: Dict[str, Optional[str]]) -> None:
    """Write a status by REST; it is read right before, as on a resolved incident a write would
    reopen it.
    """
    now = pack.rest.incident(incident.id)
    if now.status != incident.status:
        raise ConflictError("%s became %s meanwhile" % (incident.id, now.status), AGAIN, True,
                            SYSTEM)
    with expecting(pack, pair, PAGERDUTY, {"state": status}):
        pair.incident = pack.rest.set_status(incident.id, status, **how)
    pair.state, pair.reopened = status, False
    pair.link = pair.link._replace(expects=None)
    if status == RESOLVED:
        pair.link = pair.link._replace(key_fingerprint=None)


def shown(pair: Pair) -> PagerDutyIncident:
    """Return the incident, where REST has to reach it. OutcomeUnknownError, so that the run looks
    again, where PagerDuty does not show it.
    """
    if pair.incident is None:
        raise OutcomeUnknownError("PagerDuty does not show the incident yet",
                                  "run it again, or wait for the next reconcile", True, SYSTEM)
    return pair.incident


def move_incident(pack: Pack, pair: Pair, log: WriteLog) -> None:
    """Move the incident to the service of the record's group, so that its team is paged."""
    entry = entry_of_service(pack.settings, now_of(pack, pair).service)
    incident = shown(pair)
    assert entry is not None
    with expecting(pack, pair, PAGERDUTY, {"place": entry.service_id}):
        pair.incident = move(pack, incident, entry)
    pair.state = pair.incident.status
    pair.link = pair.link._replace(key_fingerprint=None, expects=None)
    log.add(MOVE, "moved to service %s in PagerDuty" % entry.service_name)


def set_values(pack: Pack, pair: Pair, values: Mapping[str, str], log: WriteLog) -> None:
    """Write plain fields of an open incident."""
    incident = shown(pair)
    fields: Dict[str, Any] = {}
    for name, value in values.items():
        write = BY_NAME[name].to_pagerduty
        assert write is not None
        fields.update(write(value))
    with expecting(pack, pair, PAGERDUTY, values):
        pack.rest.update(incident.id, fields)
        pair.incident = pack.rest.incident(incident.id)
    pair.link = pair.link._replace(expects=None)
    log.add(SET_VALUES, "set %s in PagerDuty" % ", ".join(sorted(values)))


def resolve_last_resort(pack: Pack, pair: Pair, before: Link, log: WriteLog) -> None:
    """Resolve the alert that an unanswered escalation sent for the incident of the link ``before``.
    """
    key = last_resort_key(pack.settings.stackflow.host, before.number, before.dedup_key)
    routing = routing_key(pack.settings, before.last_resort)
    if routing is not None:
        pack.events.resolve(routing, key)
    else:
        for incident in pack.rest.incidents_of_key(key):
            if incident.status != RESOLVED:
                pack.rest.set_status(incident.id, RESOLVED)
    pack.links.forget_last_resort(before.number)
    pair.link = pair.link._replace(last_resort=None)
    log.add("last_resort", "resolved the alert of last resort")
