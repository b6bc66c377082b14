"""Observing a pair: both sides as they are now, beside what was seen of them last.

Reads are monotonic: a side that shows less than its own stored time is read again, or counts as it
was seen. That one rule covers caches, late events, and incidents that are shown as they were
before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Dict, FrozenSet, Mapping, NamedTuple, Optional, Sequence, Tuple

from .decide import ACKNOWLEDGED, DONE_STATES, RESOLVED, TRIGGERED, Now
from .errors import PackError
from .fields import PAGERDUTY, STACKFLOW, shown_here, shown_there
from .incidents import (STATES, PagerDutyIncident, StackFlowIncident, format_time, last_resort_key,
                        number_of_key, parse_time, record_of_key)
from .links import VISIBLE, Link
from .matching import (CACHED, belongs_to_newer, find_incident, find_record, last_entry,
                       linked_incident, rebuild)
from .pack import Pack
from .routing import entry_of_service, find_route

MERGES = 10
"""Merges that are followed in a row."""
SNAPSHOTS = 3
"""How often both sides are read anew because another run wrote to the link meanwhile."""
CACHED_PAUSE = 0.5
"""Seconds between two looks for a change that a read does not show yet."""
SECOND = timedelta(seconds=1)
CLOCK_ALLOWANCE = timedelta(minutes=2)
"""How far PagerDuty's clock and the pack's may be apart before a resolve counts as an earlier one.
"""
LOST = "lost"
"""In place of the fingerprint of a routing key that the datastore has lost."""
STATUSES = (TRIGGERED, ACKNOWLEDGED, RESOLVED)
NO_SIDES: FrozenSet[str] = frozenset()


class UnreadableError(PackError):
    """An incident in a state that the pack does not know, so that nothing can be decided."""

    kind = "unreadable"


class Given(NamedTuple):
    """What a run knows before it looks: the record as an event carried it; the PagerDuty incident
    that an event named, and its ``numbers`` by the links; either side, where it was read just now;
    and the link that this run wrote before, which counts where another run did not know it.
    """

    event_record: Optional[StackFlowIncident] = None
    incident_id: Optional[str] = None
    numbers: Sequence[str] = ()
    record: Optional[StackFlowIncident] = None
    incident: Optional[PagerDutyIncident] = None
    own: Optional[Link] = None


class Pair:
    """Both sides as they are now.

    ``link`` is what counts as seen before this look, ``stored`` the link as the datastore has it.
    ``incident`` is None where PagerDuty was not asked or shows none; ``state`` is PagerDuty's
    status as it counts for the pair. ``reopened``: PagerDuty was resolved and opened again since.
    ``follows``: the incident belongs to another record. ``wrote``: this run stored the link.
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
        link = stored or Link(number)
        if given.own is not None and given.own.joined and not link.joined:
            link = given.own._replace(here=dict(given.own.here, **link.here))
        pair = _look(pack, link, given)
        pair.stored = pack.links.read(number)[0]
        if pair.stored == stored:
            break
        stored, given = pair.stored, given._replace(record=None, incident=None, numbers=())
    pair.event_record = given.event_record
    return pair


def _look(pack: Pack, link: Link, given: Given) -> Pair:
    """PagerDuty first: a record that is read later shows at least what the pack acted upon."""
    incident: Optional[PagerDutyIncident] = None
    if link.joined:
        incident = given.incident or linked_incident(pack, link)
        record = _record(pack, link, given)
    else:
        record = _record(pack, link, given)
        if record is not None:
            found, incident = rebuild(pack, record)
            link = found._replace(here=dict(link.here, **found.here), expects=link.expects,
                                  successor=link.successor,
                                  last_resort=link.last_resort or _lost_last_resort(pack, found))
    link = _as_written(pack, link, record)
    if given.incident_id and given.incident_id not in (
            incident.id if incident else None, link.pagerduty_id if link.target else None):
        link, incident = _named(pack, link, incident, given.incident_id)
    link, incident = _follow_merges(pack, link, incident)
    _check(record, incident)
    pair = Pair(link, record, incident)
    if incident is not None:
        _see_incident(pack, pair, incident, given)
    else:
        pair.state = link.expected(PAGERDUTY).get("state", link.there.get("state"))
    return pair


def _see_incident(pack: Pack, pair: Pair, incident: PagerDutyIncident, given: Given) -> None:
    """Put into the pair how the incident counts, and join it to its record."""
    link, ends = pair.link, False
    if link.target or not link.pagerduty_id and not (
            given.incident_id == incident.id and link.number in given.numbers):
        ends = _join(pack, pair, incident)
        link = pair.link
    if link.target is None:
        link = link._replace(pagerduty_id=incident.id)
    place = link.there.get("place")
    if place and incident.service_id not in (None, place) and not pair.follows:
        link = link._replace(key_fingerprint=None)  # moved: an event may not reach it any more
    pair.link, pair.state, pair.reopened = _status(pack, link, incident)
    if pair.reopened:
        pair.link = pair.link._replace(key_fingerprint=None)  # its alert may be closed for good
    if ends:
        pair.state = RESOLVED


def _join(pack: Pack, pair: Pair, incident: PagerDutyIncident) -> bool:
    """Join a record to an incident; one that is not the incident's own follows it. The own one gets
    to know, as an event would end its own alert alone. Returns whether it is about to resolve the
    incident.
    """
    number = pair.link.number
    own, followers = pack.links.index(incident.id)
    owner = pack.links.read(own)[0] if own and own != number else None
    if owner is not None and _has_newer(pack, owner, incident.id):
        owner = own = None
    pair.follows = number != own and bool({own, *followers} - {None, number})  # alone, it has it
    if number != own and number not in followers:
        pack.links.join(incident.id, number, pair.follows or pair.link.target is not None)
        if owner is not None and owner.target is None:
            pack.links.write(owner._replace(pagerduty_id=incident.id, target=incident.id))
    if pair.follows and pair.link.target is None:
        pair.link = _following(pair.link, incident)
    return owner is not None and owner.expected(PAGERDUTY).get("state") == RESOLVED and (
        owner.expects is not None and owner.expects.is_fresh(pack.clock.now()))


def _has_newer(pack: Pack, owner: Link, incident_id: str) -> bool:
    """Whether an incident's own record was opened again since, and has another one."""
    if owner.incident_id == incident_id:
        return False
    if owner.successor or owner.incident_id:
        return True
    known = number_of_key(owner.dedup_key, pack.settings.stackflow.host)
    return known is not None and known[1] > 0 and (
        owner.dedup_key not in pack.rest.alerts(incident_id))


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
    if record.updated_at is None or record.updated_at >= known + SECOND:
        return None
    same = event is None or "state" not in event.fields or record.state == event.state
    return None if record.updated_at >= known and same else known


def _as_written(pack: Pack, link: Link, record: Optional[StackFlowIncident]) -> Link:
    """The link with what the pack wrote to the record before it could remember it: PagerDuty had
    shown that already. What the record does not show was never written.
    """
    expected = link.expected(STACKFLOW)
    if record is None or not expected:
        return link
    here, there = dict(link.here), dict(link.there)
    shown = shown_here(record)
    for name, value in expected.items():
        if shown.get(name) != value and not (value == RESOLVED and record.state in DONE_STATES):
            continue
        here[name] = value
        if name == "state":
            there["state"] = RESOLVED if value == RESOLVED else TRIGGERED
        elif name == "place":
            route = find_route(pack.settings, record.assignment_group, record.category)
            if route is not None:
                there["place"] = route.mapping.service_id
    return link._replace(here=here, there=there, expects=None)


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
    if waits == RESOLVED and seen != RESOLVED:
        return _expected_resolve(pack, link, incident, at)
    if incident.reopened_at and (at is None or incident.reopened_at > at):
        return link._replace(expects=None), status, True
    if seen == RESOLVED:
        as_before = at is not None and changed is not None and changed <= at
        if as_before or _ended_alone(pack, link, incident):
            return link, RESOLVED, False
        return link, status, True
    if seen and at and changed and changed < at:
        status = seen
    if waits == ACKNOWLEDGED and status == TRIGGERED:
        if link.expects and link.expects.is_fresh(pack.clock.now()):
            return link, ACKNOWLEDGED, False
        last = last_entry(pack, incident.id, "acknowledge_log_entry")
        if last is None or at is not None and last <= at:
            return _unassigned(link), status, False
    return link, status, False


def _expected_resolve(pack: Pack, link: Link, incident: PagerDutyIncident,
                      at: Optional[datetime]) -> Tuple[Link, str, bool]:
    """How an open incident counts whose resolve was sent as an event: reopened since, or on its
    way, or lost.
    """
    expects, ended = link.expects, link._replace(expects=None)
    assert expects is not None
    sent, resolved = parse_time(expects.at), last_entry(pack, incident.id, "resolve_log_entry")
    if resolved is not None and (at is None or resolved > at):
        changed = incident.status_changed_at
        if changed is not None and changed < resolved.replace(microsecond=0):
            return link, RESOLVED, False  # it was read before that
        if sent is not None and resolved >= sent - CLOCK_ALLOWANCE:  # the pack's own resolve
            ended = ended._replace(there=dict(link.there, state=RESOLVED))
        return ended, incident.status, True
    if incident.reopened_at and (at is None or incident.reopened_at > at):
        return ended, incident.status, True
    if expects.is_fresh(pack.clock.now()):
        return link, RESOLVED, False
    if _ended_alone(pack, link, incident):
        return ended, RESOLVED, False
    return ended._replace(key_fingerprint=None), incident.status, False


def _unassigned(link: Link) -> Link:
    """The link as if nobody had been seen with the record, so that its acknowledgement is sent
    again.
    """
    here = {name: value for name, value in link.here.items() if name != "acknowledgement"}
    return link._replace(here=here, expects=None)


def _ended_alone(pack: Pack, link: Link, incident: PagerDutyIncident) -> bool:
    """Whether the pair's own alert is resolved, and alerts that are not the pack's keep the
    incident open.
    """
    alerts = pack.rest.alerts(incident.id)
    own, host = alerts.get(link.dedup_key or ""), pack.settings.stackflow.host
    return own is not None and own.status == RESOLVED and any(
        alert.status != RESOLVED and record_of_key(key, host) is None
        for key, alert in alerts.items())


def _named(pack: Pack, link: Link, incident: Optional[PagerDutyIncident], incident_id: str
           ) -> Tuple[Link, Optional[PagerDutyIncident]]:
    """For an event about another incident than the link knows: one that was merged away, or a newer
    one of the record.
    """
    other = find_incident(pack, incident_id)
    if other is None:
        return link, incident
    if other.merged_into is not None:
        stays = belongs_to_newer(pack, link, other) if link.dedup_key else False
        return link, incident if stays else other
    host = pack.settings.stackflow.host
    known = number_of_key(link.dedup_key, host)
    for key in pack.rest.alerts(incident_id):
        found = number_of_key(key, host)
        if found is None or found[0] != link.number or known and found[1] < known[1]:
            continue
        newer = known is None or found[1] > known[1]
        again = incident is None or (incident.status == RESOLVED and
                                     incident.merged_into is None and other.status != RESOLVED)
        if newer or again:  # a trigger whose answer was lost was sent again, after a resolve
            there = {"state": TRIGGERED, "place": other.service_id or ""}
            same_key = key == link.dedup_key
            return link._replace(
                pagerduty_id=None, target=None, successor=None, dedup_key=key, there=there,
                expects=None, key_fingerprint=link.key_fingerprint if same_key else None), other
    return link, incident


def _follow_merges(pack: Pack, link: Link, incident: Optional[PagerDutyIncident]
                   ) -> Tuple[Link, Optional[PagerDutyIncident]]:
    """A merge is not a fix: the pair follows the target, of which nothing was seen yet. A record
    that was resolved before has nothing to follow.
    """
    for _ in range(MERGES):
        if incident is None or not _goes_on(link, incident):
            break
        assert incident.merged_into is not None
        target = find_incident(pack, incident.merged_into)
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


def _lost_last_resort(pack: Pack, link: Link) -> Optional[str]:
    """LOST where an alert of last resort is open beside a pair without a link; remembered anew."""
    if not pack.settings.escalation_mapping or not link.joined:
        return None
    key = last_resort_key(pack.settings.stackflow.host, link.number, link.dedup_key)
    if all(one.status == RESOLVED for one in pack.rest.incidents_of_key(key)):
        return None
    pack.links.remember_last_resort(link.number, LOST)
    return LOST


def now_of(pack: Pack, pair: Pair) -> Now:
    """What a decision is told of both sides."""
    link, record, incident = pair.link, pair.record, pair.incident
    here = shown_here(record) if record else None
    there = dict(link.there, **(shown_there(incident) if incident else {}))
    there["state"] = pair.state or ""
    route = find_route(pack.settings, record.assignment_group, record.category) if record else None
    reopened, resolved, later = _changes(pair)
    return Now(here, there if pair.state else None,
               merged=incident is not None and _goes_on(link, incident),
               follows=pair.follows, reopened=reopened, resolved=resolved, later=later,
               service=route.mapping.service_id if route else None,
               is_mapped=entry_of_service(pack.settings, there.get("place")) is not None,
               is_default=there.get("place") in (None, pack.settings.default_service_id))


def _changes(pair: Pair) -> Tuple[FrozenSet[str], FrozenSet[str], Optional[str]]:
    """The sides that people reopened, and resolved, since the last look; and the side of the later
    change.
    """
    link, record, incident = pair.link, pair.record, pair.incident
    if record is None or pair.state is None:
        return NO_SIDES, NO_SIDES, None
    reopened, resolved = set(), set()
    at, was = parse_time(link.here.get("at")), link.here.get("state")
    if record.state in DONE_STATES:
        resolved_at = parse_time(record.fields.get("resolved_at"))
        here_time = resolved_at or (at if was in DONE_STATES else record.updated_at)
        unseen = pair.reopened and link.there.get("state") != RESOLVED  # before this, or after
        if was not in DONE_STATES or unseen or (at and resolved_at and resolved_at > at):
            resolved.add(STACKFLOW)
    else:
        event = pair.event_record
        reopened_at = record.reopened_at or (event.reopened_at if event else None)
        here_time = reopened_at or record.updated_at
        again = reopened_at is not None and (at is None or reopened_at > at)
        if was in DONE_STATES or again:
            reopened.add(STACKFLOW)
        elif event is not None and event.state in DONE_STATES:
            reopened.add(STACKFLOW)  # an event shows it resolved before
            late = at and event.updated_at and event.updated_at < at
            here_time = at if late else record.updated_at
    changed = incident.status_changed_at if incident else None
    there_time = incident.reopened_at or changed if incident and pair.reopened else changed
    if pair.reopened:
        reopened.add(PAGERDUTY)
    elif pair.state == RESOLVED:
        there_at = parse_time(link.there.get("at"))
        ours = link.expected(PAGERDUTY).get("state") == RESOLVED and not (
            changed and here_time and changed > here_time + VISIBLE)  # too late for ours
        anew = link.there.get("state") != RESOLVED or (there_at and changed and changed > there_at)
        if anew and not ours:
            resolved.add(PAGERDUTY)
    later = None
    if here_time and there_time:
        opened = STACKFLOW if STACKFLOW in reopened else PAGERDUTY
        other = PAGERDUTY if opened == STACKFLOW else STACKFLOW
        times = {STACKFLOW: here_time, PAGERDUTY: there_time}
        later = opened if times[opened] > times[other] else other
    return frozenset(reopened), frozenset(resolved), later


def seen_now(pair: Pair, kept: FrozenSet[Tuple[str, str]] = frozenset()) -> Link:
    """Return the link with what both sides show now; ``kept`` are fields that still count as
    before.

    A write that is still under way stays expected, and its side counts as it was seen.
    """
    link, record, incident = pair.link, pair.record, pair.incident
    if record is not None:
        new = {name: value for name, value in shown_here(record).items()
               if (STACKFLOW, name) not in kept}
        link = link._replace(here=dict(link.here, **new, **_at(link.here, record.updated_at)))
    if incident is None or _goes_on(pair.link, incident):
        return link
    expected = link.expected(PAGERDUTY).get("state")
    under_way = expected is not None and expected == pair.state != incident.status
    new = {name: value for name, value in dict(shown_there(incident), state=pair.state).items()
           if value and (PAGERDUTY, name) not in kept and not (name == "state" and under_way)}
    if not under_way and (PAGERDUTY, "state") not in kept:
        new.update(_at(link.there, incident.status_changed_at))
    moving = link.expected(PAGERDUTY).get("place")
    moved_on = moving is not None and incident.service_id not in (link.there.get("place"), moving)
    if not under_way and (expected is not None or moved_on or pair.state == RESOLVED):
        link = link._replace(expects=None)
    return link._replace(there=dict(link.there, **new))


def _at(seen: Mapping[str, str], changed: Optional[datetime]) -> Dict[str, str]:
    """A side's own time, which never goes back."""
    at = parse_time(seen.get("at"))
    return {"at": format_time(changed)} if changed and (at is None or changed > at) else {}
