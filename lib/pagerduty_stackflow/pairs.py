"""Observing a pair: both sides as they are now, beside what was seen of them last.

Reads are monotonic: a side that shows less than its own stored time is read again, or counts as it
was seen. That one rule covers caches, late events, and incidents that are shown as they were
before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Dict, FrozenSet, NamedTuple, Optional, Sequence, Tuple

from .decide import ACKNOWLEDGED, DONE_STATES, RESOLVED, TRIGGERED, Now
from .errors import PackError
from .fields import PAGERDUTY, STACKFLOW, shown_here, shown_there
from .incidents import (STATES, PagerDutyIncident, StackFlowIncident, format_time,
                        number_of_key, parse_time, record_of_key)
from .links import VISIBLE, Link
from .matching import CACHED, find_incident, find_record, last_entry, linked_incident, rebuild
from .pack import Pack
from .routing import entry_of_service, find_route

MERGES = 10
"""Merges that are followed in a row."""
SNAPSHOTS = 3
"""How often both sides are read anew because another run wrote to the link meanwhile."""
CACHED_PAUSE = 0.5
"""Seconds between two looks for a change that a read does not show yet."""
STATUSES = (TRIGGERED, ACKNOWLEDGED, RESOLVED)


class UnreadableError(PackError):
    """An incident in a state that the pack does not know, so that nothing can be decided."""

    kind = "unreadable"


class Given(NamedTuple):
    """What a run knows before it looks: the record as an event carried it; the PagerDuty incident
    that an event named, and its ``numbers`` by the links; either side, where it was read just now.
    """

    event_record: Optional[StackFlowIncident] = None
    incident_id: Optional[str] = None
    numbers: Sequence[str] = ()
    record: Optional[StackFlowIncident] = None
    incident: Optional[PagerDutyIncident] = None


class Pair:
    """Both sides as they are now.

    ``link`` is what counts as seen before this look, ``stored`` the link as the datastore has it.
    ``incident`` is None where PagerDuty was not asked or shows none; ``state`` is PagerDuty's
    status as it counts for the pair. ``reopened``: PagerDuty was resolved and opened again since.
    ``follows``: the incident belongs to another record. ``kept``: what a decision does not carry
    over now, as (side, field), so that it counts as before. ``wrote``: this run stored the link.
    ``remembers``: what this run writes is the pack's own change; a person's command is not, so that
    its webhook carries it over.
    """

    def __init__(self, link: Link, record: Optional[StackFlowIncident] = None,
                 incident: Optional[PagerDutyIncident] = None) -> None:
        self.link = link
        self.stored: Optional[Link] = None
        self.record = record
        self.incident = incident
        self.state: Optional[str] = incident.status if incident else None
        self.reopened = False
        self.follows = False
        self.event_record: Optional[StackFlowIncident] = None
        self.kept: FrozenSet[Tuple[str, str]] = frozenset()
        self.wrote = False
        self.remembers = True

    @property
    def incident_id(self) -> Optional[str]:
        """The PagerDuty id, where it is known."""
        return self.incident.id if self.incident else self.link.incident_id


def observe(pack: Pack, number: str, stored: Optional[Link], given: Given = Given()) -> Pair:
    """Look at both sides of a record's pair; a missing link is rebuilt from the marks.

    ``stored`` is the link that was read just now. Where another run writes to it meanwhile, both
    sides are read anew. Raises UnreadableError for a state that the pack does not know.
    """
    for _ in range(SNAPSHOTS):
        pair = _look(pack, stored or Link(number), given)
        pair.stored = pack.links.read(number)
        if pair.stored == stored:
            break
        stored, given = pair.stored, given._replace(record=None, incident=None, numbers=())
    return pair


def _look(pack: Pack, link: Link, given: Given) -> Pair:
    """PagerDuty first: a record that is read later shows at least what the pack acted upon."""
    incident = (given.incident or linked_incident(pack, link)) if link.joined else None
    record = _record(pack, link, given)
    named = (None, link.pagerduty_id, incident.id if incident else None)
    if record is not None and not (link.joined and given.incident_id in named):
        link, incident = _by_marks(pack, link, record, incident)
    link, incident = _follow_merges(pack, _as_written(pack, link, record), incident)
    _check(record, incident)
    pair = Pair(link, record, incident)
    pair.event_record = given.event_record
    if incident is None:
        pair.state = link.expected(PAGERDUTY).get("state", link.there.get("state"))
        return pair
    if link.target or not link.pagerduty_id and not (
            given.incident_id == incident.id and link.number in given.numbers):
        _join(pack, pair, incident)
    if pair.link.target is None:
        pair.link = pair.link._replace(pagerduty_id=incident.id)
    pair.link, pair.state, pair.reopened = _status(pack, pair.link, incident)
    place = pair.link.there.get("place")
    moved = place and incident.service_id not in (None, place) and not pair.follows
    if moved or pair.reopened:  # an event may not reach its alert any more
        pair.link = pair.link._replace(key_fingerprint=None)
    return pair


def _by_marks(pack: Pack, link: Link, record: StackFlowIncident,
              incident: Optional[PagerDutyIncident]
              ) -> Tuple[Link, Optional[PagerDutyIncident]]:
    """The pair by the marks of both sides: where there is no link, or an event named an incident
    that the link does not know.
    """
    found, other = rebuild(pack, record)
    if link.joined:
        known, key = (number_of_key(one.dedup_key, pack.settings.stackflow.host)
                      for one in (link, found))
        newer = key is not None and (known is None or key[1] > known[1])
        again = other is not None and other.status != RESOLVED and key == known and (
            incident is None or incident.status == RESOLVED and not incident.merged_into)
        if not newer and not again:
            return link, incident
    return found._replace(here=dict(link.here, **found.here), last_resort=link.last_resort,
                          expects=None if link.joined else link.expects,
                          successor=None if link.joined else link.successor), other


def _join(pack: Pack, pair: Pair, incident: PagerDutyIncident) -> None:
    """Join a record to an incident; one that is not the incident's own follows it. The own one is
    told, as an event would end its own alert alone.
    """
    number = pair.link.number
    own, followers = pack.links.index(incident.id)[:2]
    owner = pack.links.read(own) if own and own != number else None
    if owner is not None and owner.incident_id != incident.id and (
            owner.successor or owner.incident_id or
            owner.dedup_key not in pack.rest.alerts(incident.id)):
        owner = own = None  # it was opened again since, and has another one
    pair.follows = number != own and bool({own, *followers} - {None, number})  # alone, it has it
    if number != own and number not in followers:
        pack.links.join(incident.id, number, pair.follows or pair.link.target is not None)
        if owner is not None and owner.target is None:
            pack.links.write(owner._replace(pagerduty_id=incident.id, target=incident.id))
    if pair.follows and pair.link.target is None:
        pair.link = _following(pair.link, incident)


def _check(record: Optional[StackFlowIncident], incident: Optional[PagerDutyIncident]) -> None:
    if record is not None and record.state not in STATES:
        raise UnreadableError("%s is in the state %r, which the pack does not know" % (
            record.number, record.state), "name its spelling under stackflow.states")
    if incident is not None and incident.status not in STATUSES:
        raise UnreadableError("PagerDuty shows %s with the status %r" % (
            incident.id, incident.status), "check pagerduty.api_url; a proxy may be answering")


def _record(pack: Pack, link: Link, given: Given) -> Optional[StackFlowIncident]:
    """The record, at least as new as what was seen and as the event says. An older one is read
    again, until the change is so old that no cache hides it any more.
    """
    record = given.record or find_record(pack, link.number)
    for _ in range(int(CACHED.total_seconds() / CACHED_PAUSE)):
        missing = _missing_change(link, given.event_record, record)
        if missing is None or pack.clock.now() - missing > CACHED:
            break
        pack.clock.sleep(CACHED_PAUSE)
        record = find_record(pack, link.number)
    return record


def _missing_change(link: Link, event: Optional[StackFlowIncident],
                    record: Optional[StackFlowIncident]) -> Optional[datetime]:
    """When something was changed that a record does not show yet; None where it shows everything.

    To the second, as events may be finer than reads. Within one the state alone tells: people
    and groups may be named in two ways.
    """
    times = [parse_time(link.here.get("at")), event.updated_at if event else None]
    known = max((one.replace(microsecond=0) for one in times if one), default=None)
    if known is None or record is None:
        return known
    if record.updated_at is None or record.updated_at >= known + timedelta(seconds=1):
        return None
    same = event is None or "state" not in event.fields or record.state == event.state
    return None if record.updated_at >= known and same else known


def _as_written(pack: Pack, link: Link, record: Optional[StackFlowIncident]) -> Link:
    """The link with what a killed run wrote to the record, because PagerDuty had shown that."""
    shown = shown_here(record) if record else {}
    written = {name: value for name, value in link.expected(STACKFLOW).items()
               if shown.get(name) == value}
    there = dict(link.there)
    if record is not None and "place" in written:
        route = find_route(pack.settings, record.assignment_group, record.category)
        there["place"] = route.mapping.service_id if route else there.get("place", "")
    if "state" in written:
        there["state"] = RESOLVED if written["state"] == RESOLVED else TRIGGERED
    return link._replace(here=dict(link.here, **written), there=there)


def _status(pack: Pack, link: Link, incident: PagerDutyIncident) -> Tuple[Link, str, bool]:
    """The link, the status as it counts for the pair, and whether people reopened the incident
    since the last look.

    An incident counts as it was seen where it shows an older time than that, and as the pack
    expects it while a write may still be under way. It counts as resolved where the pair's own
    alert is, and foreign alerts keep it open.
    """
    status, at, changed = incident.status, parse_time(link.there.get("at")), (
        incident.status_changed_at)
    if status == RESOLVED:
        return link, RESOLVED, False
    waits, seen = link.expected(PAGERDUTY).get("state"), link.there.get("state")
    fresh = link.expects is not None and link.expects.is_fresh(pack.clock.now())
    reopened = incident.reopened_at is not None and (at is None or incident.reopened_at > at)
    settled = link._replace(expects=None)
    if waits == RESOLVED and seen != RESOLVED:
        resolved = last_entry(pack, incident.id, "resolve_log_entry")
        if resolved is not None and (at is None or resolved > at):
            stale = changed is not None and changed < resolved.replace(microsecond=0)
            now = None if stale else find_incident(pack, incident.id)  # it was read before the log
            again = now is not None and now.status != RESOLVED
            return (settled, status, True) if again else (link, RESOLVED, False)
        if reopened:
            return settled, status, True
        if fresh:
            return link, RESOLVED, False
        if ended_alone(pack, link, incident):
            return settled, RESOLVED, False
        return settled._replace(key_fingerprint=None), status, False  # lost: now by REST
    if reopened:
        return settled, status, True
    if seen == RESOLVED:
        as_before = at is not None and changed is not None and changed <= at
        if as_before or ended_alone(pack, link, incident):
            return link, RESOLVED, False
        return link, status, True
    if seen and at and changed and changed < at:
        status = seen
    if waits == ACKNOWLEDGED and status == TRIGGERED:
        if fresh:
            return link, ACKNOWLEDGED, False
        last = last_entry(pack, incident.id, "acknowledge_log_entry")
        if last is None or at is not None and last <= at:  # lost: nobody counts as seen with it
            here = {name: value for name, value in link.here.items() if name != "acknowledgement"}
            return settled._replace(here=here), status, False
    return link, status, False


def ended_alone(pack: Pack, link: Link, incident: PagerDutyIncident) -> bool:
    """Return whether the pair's own alert is resolved, and alerts that are not the pack's keep the
    incident open.
    """
    alerts = pack.rest.alerts(incident.id)
    own, host = alerts.get(link.dedup_key or ""), pack.settings.stackflow.host
    return own is not None and own.status == RESOLVED and any(
        alert.status != RESOLVED and record_of_key(key, host) is None
        for key, alert in alerts.items())


def _follow_merges(pack: Pack, link: Link, incident: Optional[PagerDutyIncident]
                   ) -> Tuple[Link, Optional[PagerDutyIncident]]:
    """A merge is not a fix: the pair follows the target, of which nothing was seen yet. A record
    that was resolved before has nothing to follow.
    """
    for _ in range(MERGES):
        if incident is None or not _goes_on(link, incident):
            break
        target = find_incident(pack, incident.merged_into or "")
        if target is None:
            break
        link = _following(link._replace(pagerduty_id=link.pagerduty_id or incident.id), target)
        incident = target
    return link, incident


def _goes_on(link: Link, incident: PagerDutyIncident) -> bool:
    """Whether the target of a merge carries on for the pair."""
    return incident.merged_into is not None and link.here.get("state") not in DONE_STATES


def _following(link: Link, target: PagerDutyIncident) -> Link:
    """The link with a target of which nothing was seen yet. An end of the pair's own incident was
    none of it.
    """
    state = link.there.get("state", TRIGGERED)
    return link._replace(target=target.id, expects=None, there={
        "state": TRIGGERED if state == RESOLVED else state, "place": target.service_id or ""})


def now_of(pack: Pack, pair: Pair) -> Now:
    """What a decision is told of both sides."""
    link, record, incident = pair.link, pair.record, pair.incident
    here = shown_here(record) if record else None
    there = dict(link.there, **(shown_there(incident) if incident else {}))
    there["state"] = pair.state or ""
    route = find_route(pack.settings, record.assignment_group, record.category) if record else None
    return Now(here, there if pair.state else None,
               merged=incident is not None and _goes_on(link, incident),
               follows=pair.follows, reopened=_reopened(pair),
               service=route.mapping.service_id if route else None,
               is_mapped=entry_of_service(pack.settings, there.get("place")) is not None,
               is_default=there.get("place") in (None, pack.settings.default_service_id))


def _reopened(pair: Pair) -> Optional[str]:
    """The side that people opened again since the last look, and later than they resolved the
    other; in the same second, the resolve counts.
    """
    link, record, incident, event = pair.link, pair.record, pair.incident, pair.event_record
    if record is None or pair.state is None:
        return None
    at, was_done = parse_time(link.here.get("at")), link.here.get("state") in DONE_STATES
    there_at = incident.status_changed_at if incident else None
    if record.state in DONE_STATES:
        if incident is None or not pair.reopened:
            return None
        side, opened_at = PAGERDUTY, incident.reopened_at or there_at
        stamp = parse_time(record.fields.get("resolved_at"))
        resolved, resolved_at = not was_done or bool(at and stamp and stamp > at), (
            stamp or record.updated_at)
    else:
        stamp = record.reopened_at or (event.reopened_at if event else None)
        side, opened_at, resolved_at = STACKFLOW, stamp or record.updated_at, there_at
        before = event is not None and event.state in DONE_STATES and not (
            at and event.updated_at and event.updated_at < at)  # an event shows it resolved
        ours = link.expected(PAGERDUTY).get("state") == RESOLVED and not (
            there_at and opened_at and there_at > opened_at + VISIBLE)  # too late for ours
        if not (was_done or before or ours and pair.state == RESOLVED or
                stamp and (at is None or stamp > at)):
            return None
        seen_at = parse_time(link.there.get("at"))
        resolved = pair.state == RESOLVED and not ours and (
            link.there.get("state") != RESOLVED or bool(
                seen_at and there_at and there_at > seen_at))
    later = opened_at and resolved_at and opened_at > resolved_at
    return side if later or not resolved else None


def seen_now(pair: Pair) -> Link:
    """Return the link with what both sides show now, but for what the pair keeps as it was seen.

    A write that is still under way stays expected, and its side counts as it was seen.
    """
    link, record, incident, kept = pair.link, pair.record, pair.incident, pair.kept
    if record is not None:
        new = {name: value for name, value in shown_here(record).items()
               if (STACKFLOW, name) not in kept}
        link = link._replace(here=dict(link.here, **_later(link.here.get("at"), record.updated_at),
                                       **new))
        if link.expected(STACKFLOW):
            link = link._replace(expects=None)
    if incident is None or _goes_on(pair.link, incident):
        return link
    expected, moving = link.expected(PAGERDUTY).get("state"), link.expected(PAGERDUTY).get("place")
    under_way = expected is not None and expected == pair.state != incident.status
    moved_on = moving is not None and incident.service_id not in (link.there.get("place"), moving)
    new = {name: value for name, value in dict(shown_there(incident), state=pair.state).items()
           if value and (PAGERDUTY, name) not in kept and not (name == "state" and under_way)}
    if not under_way and (PAGERDUTY, "state") not in kept:
        new.update(_later(link.there.get("at"), incident.status_changed_at))
    if not under_way and (expected is not None or moved_on or pair.state == RESOLVED):
        link = link._replace(expects=None)
    return link._replace(there=dict(link.there, **new))


def _later(seen: Optional[str], changed: Optional[datetime]) -> Dict[str, str]:
    """A side's own time, which never goes back."""
    at = parse_time(seen)
    return {"at": format_time(changed)} if changed and (at is None or changed > at) else {}
