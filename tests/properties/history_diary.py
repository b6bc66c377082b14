"""What people did on both sides, in true order, and what has to come of it by the contract table.

Written from people's acts and from what both simulators show, never from what the pack remembers:
who did what last on which side decides how a pair has to end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, List, Optional, Tuple

from world import SF_HOST

PERSON, PACK, TIME = "a person", "the pack", "time"
DONE = ("resolved", "closed", "cancelled")
FINAL = ("closed", "cancelled")
PAGING = ("P1", "P2")
HOST = SF_HOST.partition("://")[2]
SILENT = ("notify", "annotate", "urgency_change", "repeat_escalation_path")
SENT = timedelta(seconds=1)
"""Longer than an event needs."""
TAKEN_BACK = ("unacknowledge", "assign", "escalate", "delegate", "reopen", "move", "merge")
"""What ends an acknowledgement in PagerDuty."""


@dataclass
class Entry:
    """One change. ``subject`` is a number or a PagerDuty id; ``what`` for a record: create, state,
    assigned_to, priority, assignment_group; for an incident: trigger, acknowledge, unacknowledge,
    resolve, reopen, merge, move, assign, escalate, delegate, snooze.
    """

    position: int
    at: datetime
    subject: str
    what: str
    by: str
    value: Any = None
    heard_at: Optional[datetime] = None
    """Of a merge: when the pack looked at it first."""
    unheard: bool = False
    """Of a resolve by the pack: it was sent when a merge had not been heard of."""
    forgotten: bool = False
    """Of a write of the pack: the run could not remember it."""
    carries: Tuple[str, ...] = ()
    """Of a merge: the records that came with it."""

    before: Any = None
    """Of a state: the one before."""

    @property
    def closes(self) -> bool:
        """Whether this resolved an incident, or a record that was open."""
        return self.what == "resolve" or (self.what == "state" and self.value in DONE and
                                          self.before not in DONE)

    @property
    def opens(self) -> bool:
        """Whether this opened again what was resolved."""
        return self.what == "reopen" or (self.what == "state" and self.value not in DONE and
                                         self.before in DONE)

    def __str__(self) -> str:
        value = "" if self.value is None or self.what == "create" else " %s" % self.value
        return "%s %s %s%s by %s" % (self.at.strftime("%H:%M:%S.%f")[:-3], self.subject, self.what,
                                     value, self.by)


@dataclass
class Look:
    """A run that looked at a pair (None: at all pairs) when so many changes had been made;
    ``told``: by an event that shows the record resolved or opened again; ``full``: at PagerDuty as
    well.
    """

    position: int
    number: Optional[str]
    told: bool
    full: bool


@dataclass
class Thread:
    """A record and the incidents that it stood on; ``entries`` are the changes of both, ``found``
    the acknowledgements of what it was merged into.

    ``incident`` is the PagerDuty id of today, after merges; ``own`` are those that the pack
    triggered for it, or the one that it was created for.
    """

    number: str
    born_in_pagerduty: bool
    old: bool
    incident: Optional[str] = None
    own: List[str] = field(default_factory=list)
    entries: List[Entry] = field(default_factory=list)
    found: List[Entry] = field(default_factory=list)
    replaced: bool = False
    duplicate: bool = False
    merged: bool = False

    def followed(self, entry: Entry) -> bool:
        """Whether an entry is one of an incident that belongs to another record, or to none."""
        return self.merged and entry.subject not in self.own + [self.number]

    @property
    def follows(self) -> bool:
        """Whether its incident belongs to another record, or to none."""
        return self.merged and self.incident not in self.own[-1:]

    @property
    def cancelled(self) -> bool:
        """Whether a person cancelled it."""
        return any(entry.by == PERSON and entry.value == "cancelled" for entry in self.entries)


def last_word(thread: Thread) -> Optional[Entry]:
    """The resolve or reopening that counts for a pair, by people alone and in true order: None
    where nobody ever resolved it. For a follower also the resolve of its target, whose own record
    may have been resolved.
    """
    last = None
    for entry in thread.entries:
        of_target = entry.closes and thread.followed(entry)
        if (entry.opens or entry.closes) and (entry.by == PERSON or entry.unheard or of_target):
            last = entry
    return last


class Diary:
    """Looks at both simulators whenever somebody may have changed something."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.entries: List[Entry] = []
        self.threads: Dict[str, Thread] = {}
        self.incidents: Dict[str, List[Entry]] = {}
        self.old: List[str] = []
        self.looks: List[Look] = []
        self.failed: List[Tuple[datetime, datetime]] = []
        self._logged = 0
        self._alerts: Dict[str, str] = {}
        self._states: Dict[str, int] = {}
        self._fields: Dict[str, Dict[str, Any]] = {}
        self._reopened: Dict[str, Any] = {}
        self._services: Dict[str, str] = {}

    def person(self, act: Callable[[], Any]) -> Any:
        """A person does this; what came before was not theirs. Returns what it returns."""
        self.look()
        result = act()
        self.look(PERSON)
        return result

    def look(self, by: str = PACK) -> None:
        """Note what changed since the last look; StackFlow does not tell who did it, PagerDuty
        does.
        """
        self._look_at_pagerduty(by)
        self._look_at_stackflow(by)

    def looked(self, subject: Optional[str], told: bool, full: bool) -> None:
        """A run about this record or incident ended well."""
        numbers: List[Optional[str]] = [subject]
        if subject is not None and subject not in self.threads:
            unheard = {number for entry in self.entries if entry.heard_at is None
                       for number in entry.carries}
            numbers = [thread.number for thread in self.threads.values() if subject in thread.own or
                       thread.incident == subject and thread.number not in unheard]
        self.looks += [Look(len(self.entries), number, told, full) for number in numbers]
        for entry in self.entries:
            if entry.heard_at is None and (subject is None or set(numbers) & set(entry.carries)):
                entry.heard_at = self._world.clock.now()

    def forgot(self, began: datetime) -> None:
        """A run that began then could not remember what it wrote."""
        self.failed.append((began, self._world.clock.now() + SENT))

    def before_start(self) -> None:
        """Everything until now was there before the pack."""
        self.look(PERSON)
        self.old = list(self.threads) + list(self.incidents)
        for thread in self.threads.values():
            thread.old = True

    # PagerDuty.

    def _look_at_pagerduty(self, by: str) -> None:
        account = self._world.pagerduty.account
        for row in account.log[self._logged:]:
            kind = row.type[:-len("_log_entry")]
            if kind in SILENT or (kind == "trigger" and row.incident_id in self.incidents):
                continue
            who = TIME if row.agent is None else PACK if row.agent.kind == "integration" else by
            target = account.incidents[row.incident_id].merged_into
            if kind == "resolve" and target is not None:
                self._merge(row.at, row.incident_id, target, who)
            else:
                self._add(row.at, row.incident_id, kind, who)
        self._logged = len(account.log)
        for incident in account.incidents.values():
            if incident.reopened_at != self._reopened.get(incident.id):
                self._reopened[incident.id] = incident.reopened_at
                self._add(incident.reopened_at, incident.id, "reopen", by)
            service = self._services.setdefault(incident.id, self._first_service(incident))
            if service != incident.service_id:
                self._services[incident.id] = incident.service_id
                self._add(incident.updated_at, incident.id, "move", by, incident.service_id)
        for alert in account.alerts.values():
            if alert.id not in self._alerts:
                self._alerts[alert.id] = alert.incident_id
                self._belongs(alert)

    def _first_service(self, incident: Any) -> str:
        """Where an incident was opened: the pack may have moved it before anybody looked."""
        account = self._world.pagerduty.account
        alerts = [account.alerts[one] for one in incident.alert_ids[:1]]
        return str(account.integrations[alerts[0].integration_id].service_id if alerts else
                   incident.service_id)

    def _belongs(self, alert: Any) -> None:
        """An incident that the pack triggered belongs to the record that its dedup key names."""
        number = alert.alert_key.split(":")[2]
        thread = self.threads[number]
        thread.incident = alert.incident_id
        thread.own.append(alert.incident_id)
        for entry in self.incidents[alert.incident_id]:
            thread.entries.append(entry)

    def _merge(self, at: datetime, source: str, target: str, by: str) -> None:
        self._add(at, source, "merge", by, target)
        self.entries[-1].carries = tuple(one.number for one in self.standing_on(source))
        for thread in self.threads.values():
            if thread.incident == source:
                thread.incident, thread.merged = target, True
                thread.found += [entry for entry in self.incidents[target]
                                 if entry.what == "acknowledge"]
        for thread in self.standing_on(target):
            thread.merged = True

    # StackFlow.

    def _look_at_stackflow(self, by: str) -> None:
        desk = self._world.stackflow.desk
        for number, record in desk.incidents.items():
            if number not in self.threads:
                self._new_record(record, by)
                continue
            known = self._fields[number]
            for at, state in record.history[self._states[number]:]:
                self._add(at, number, "state", by, state)
                self.entries[-1].before, known["state"] = known["state"], state
                if by == PACK and state == "cancelled":
                    self.threads[number].duplicate = True
            self._states[number] = len(record.history)
            for name in ("assigned_to", "priority", "assignment_group"):
                if record.fields[name] != known[name]:
                    known[name] = record.fields[name]
                    self._add(record.updated_at, number, name, by, record.fields[name])
            if len(desk.notes[number]) != known["notes"]:
                known["notes"] = len(desk.notes[number])
                self._add(record.updated_at, number, "note", by)

    def _new_record(self, record: Any, by: str) -> None:
        number = record.number
        thread = self.threads[number] = Thread(number, by == PACK, False)
        self._states[number] = len(record.history)
        self._fields[number] = dict(record.fields, notes=0)
        if by == PACK:
            incident = record.fields["description"].rpartition("PagerDuty-Incident-Id: ")[2]
            thread.own.append(incident)
            for other in self.standing_on(incident):
                state = self._world.stackflow.desk.incidents[other.number].state
                if other.number != number and state in FINAL:
                    other.replaced = True
            thread.incident = self.target(incident)
            thread.merged = any(other is not thread for other in self.standing_on(thread.incident))
            thread.entries += self.incidents[incident]
        self._add(record.created_at, number, "create", by, dict(record.fields))
        if record.fields["assigned_to"]:
            self._add(record.created_at, number, "assigned_to", by, record.fields["assigned_to"])

    def _add(self, at: datetime, subject: str, what: str, by: str, value: Any = None) -> None:
        entry = Entry(len(self.entries), at, subject, what, by, value)
        entry.forgotten = by == PACK and any(began <= at <= end for began, end in self.failed)
        if by == PACK and what == "resolve":
            entry.unheard = any(one.carries and self.target(one.subject) == subject and
                                (one.heard_at is None or at - one.heard_at < SENT)
                                for one in self.entries)
        self.entries.append(entry)
        if subject in self.threads:
            self.threads[subject].entries.append(entry)
            return
        self.incidents.setdefault(subject, []).append(entry)
        for thread in self.standing_on(subject):
            thread.entries.append(entry)

    # What follows.

    def target(self, incident: str) -> str:
        """The incident that carries on for it, after merges."""
        merged = self._world.pagerduty.account.incidents[incident].merged_into
        return incident if merged is None else self.target(merged)

    def standing_on(self, incident: str) -> List[Thread]:
        """The records that this incident is the incident of today of, but those that ended."""
        return [thread for thread in self.threads.values()
                if thread.incident == incident and not thread.replaced and not thread.duplicate]

    def later(self, incident: str) -> List[Thread]:
        """The records that had this incident and have a newer one."""
        return [thread for thread in self.threads.values() if thread.incident != incident and any(
            entry.subject == incident for entry in thread.entries)]
