"""The invariants (behaviour of the pack, section 2), each by its own name, over a history that has
come to rest or is still under way. A check returns what is wrong, in words.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from history_diary import (DONE, FINAL, PACK, PAGING, PERSON, TAKEN_BACK, Diary, Entry, Thread,
                           last_word)
from history_limits import Limits

from pagerduty_stackflow.errors import PackError

OPEN_AND_WORKED_ON = ("in_progress", "on_hold", "pending_customer", "pending_vendor")
REPEATED = ("trigger", "acknowledge", "move", "assignment_group", "resolved")


class Checks:
    """What must hold in a world, of which a diary was kept."""

    def __init__(self, world: Any, diary: Diary) -> None:
        self._world = world
        self._diary = diary
        self._limits = Limits(world, diary)

    def _record(self, thread: Thread) -> Dict[str, Any]:
        fields: Dict[str, Any] = self._world.stackflow.desk.incidents[thread.number].fields
        return fields

    def _incident(self, incident_id: Optional[str]) -> Any:
        return self._world.pagerduty.account.incidents.get(incident_id)

    def _threads(self) -> Iterator[Thread]:
        """The pairs that are to be in step."""
        for thread in self._diary.threads.values():
            if not (thread.old or thread.replaced or thread.duplicate or
                    self._limits.never_known(thread)):
                yield thread

    def _pages(self, record: Dict[str, Any]) -> bool:
        groups = {entry.assignment_group for entry in self._world.settings.service_mapping}
        return record["assignment_group"] in groups

    # At rest.

    def convergence(self) -> Iterator[str]:
        """Every pair is in step by the contract table. A limit: an event may not reach an incident
        that was moved to a service that nobody mapped, and the reconcile does not list it.
        """
        mapped = {entry.service_id for entry in self._world.settings.service_mapping}
        for thread in self._threads():
            record, incident = self._record(thread), self._incident(thread.incident)
            done = record["state"] in DONE
            if incident is None:
                if not done and record["priority"] in PAGING and self._pages(record):
                    yield "%s is open and nobody was paged" % thread.number
            elif not done and not incident.open and self._pages(record) and not (
                    self._limits.stands_on_earlier(thread) or self._limits.follows_later(thread)):
                yield "%s is %s, %s is resolved" % (thread.number, record["state"], incident.id)
            elif done and incident.open and incident.service_id in mapped and not (
                    self._limits.out_of_sight(thread, last_word(thread)) or
                    self._limits.away_and_back(thread) or
                    self._limits.shared_unheard(thread) or thread.follows):
                yield "%s is %s, %s is %s" % (thread.number, record["state"], incident.id,
                                              incident.status)
            elif incident.open and not done:
                yield from self._acknowledgement(thread, record, incident)
                yield from self._place(thread, record, incident)
        known = {one for thread in self._diary.threads.values() for one in
                 [thread.incident, *thread.own, *(entry.subject for entry in thread.entries)]}
        for incident in self._world.pagerduty.account.incidents.values():
            if (incident.open and incident.service_id in mapped and incident.id not in known and
                    incident.id not in self._diary.old):
                yield "%s is open and has no record" % incident.id

    def _acknowledgement(self, thread: Thread, record: Dict[str, Any],
                         incident: Any) -> Iterator[str]:
        there = [entry for entry in self._diary.incidents[incident.id]]
        given = [entry for entry in thread.entries
                 if entry.what == "assigned_to" and entry.by == PERSON and entry.value]
        if incident.status == "acknowledged":
            if record["state"] == "new" and self._taken_there_alone(thread, there) and not (
                    self._limits.opening_forgotten(thread)):  # it may be the pack's own
                yield "%s is acknowledged by a person, %s is new" % (incident.id, thread.number)
            return
        by_event = not any(entry.what in ("reopen", "move") for entry in there) and (
            not self._world.rotated) and thread.own and thread.own[-1] == incident.id and (
                not thread.born_in_pagerduty)
        reaches = by_event or record["assigned_to"] == "robin@example.com"
        first = given[0].position if given else 0
        undone = any(entry.position > first and (
            entry.what in TAKEN_BACK or entry.by == PACK and (
                entry.what == "assignment_group" or entry.value == "in_progress"))
            for entry in there + thread.entries)
        undone = undone or self._limits.opening_forgotten(thread) and any(
            entry.what == "acknowledge" for entry in there)
        undone = undone or any(entry.value == "Nobody Mapped" for entry in thread.entries)
        undone = undone or any(  # handed over with its person: the new team has to be paged
            entry.what == "assignment_group" and entry.by == PERSON and entry.at >= given[-1].at
            for entry in thread.entries if given)
        if record["assigned_to"] and reaches and not undone and len(thread.own) < 2:
            yield "%s is taken by %s, %s is triggered" % (thread.number, record["assigned_to"],
                                                          incident.id)

    def _place(self, thread: Thread, record: Dict[str, Any], incident: Any) -> Iterator[str]:
        """Group and service stand for each other, where both are mapped; and it is the place that
        somebody gave it last, on the side where nobody had looked at the other's.
        """
        services = {entry.assignment_group: entry.service_id
                    for entry in self._world.settings.service_mapping}
        here = services.get(record["assignment_group"])
        if thread.merged or here is None or incident.service_id not in services.values():
            return
        if self._limits.opening_forgotten(thread):
            return  # nothing tells who handed over what: PagerDuty's place may count
        if here != incident.service_id:
            yield "%s is with %s, %s is on %s" % (thread.number, record["assignment_group"],
                                                  incident.id, incident.service_id)
        created = next(entry.position for entry in thread.entries if entry.subject == thread.number)
        given = [entry for entry in thread.entries if entry.by == PERSON and (
            entry.position > created) and (
            entry.what == "move" and entry.value in services.values() or
            entry.what == "assignment_group" and entry.value in services)]
        followed = [entry.position for entry in thread.entries
                    if entry.what == "assignment_group" and entry.by == PACK]
        if given and given[-1].what == "move" and given[-1].subject != incident.id and (
                not followed or followed[-1] < given[-1].position):
            return  # it was resolved before anybody looked, and only open pairs are moved
        if given and not self._both_handed(thread, given):
            wanted = services.get(given[-1].value, given[-1].value)
            if wanted != incident.service_id:
                yield "%s is on %s, and the last word was: %s" % (
                    thread.number, incident.service_id, given[-1])

    def _both_handed(self, thread: Thread, given: List[Entry]) -> bool:
        """Whether nobody looked between the last words of the two sides: then PagerDuty's may count.
        """
        last = given[-1]
        others = [entry.position for entry in given if entry.what != last.what]
        return bool(others) and not any(
            others[-1] < look.position <= last.position and look.full and
            look.number in (None, thread.number) for look in self._diary.looks)

    def _taken_there_alone(self, thread: Thread, there: List[Entry]) -> bool:
        """Whether the acknowledgement in force came from a person in PagerDuty, and nobody held the
        record since. A limit: one that takes the place of an earlier one between two looks.
        """
        since = max((entry.position for entry in there if entry.what in TAKEN_BACK), default=0)
        given = [entry for entry in there if entry.what == "acknowledge"]
        taken = next((entry for entry in given if entry.position > since), None)
        if taken is None or taken.by != PERSON:
            return False
        if given[0] is not taken and not any(
                since < look.position <= taken.position and look.full and
                look.number in (None, thread.number) for look in self._diary.looks):
            return False
        held = [entry for entry in thread.entries if entry.what == "assigned_to"]
        before = [entry for entry in held if entry.position < taken.position][-1:]
        return not any(entry.value for entry in before + held if
                       entry in before or entry.position > taken.position)

    def no_regress(self) -> Iterator[str]:
        """Resolved or open, as the last person said on either side."""
        for thread in self._threads():
            last, state = last_word(thread), self._record(thread)["state"]
            closed = last is not None and last.closes
            others = [self._record(other)["state"] for other in
                      self._diary.standing_on(thread.incident or "") if other is not thread]
            if closed == (state in DONE) or (state in FINAL and not closed and (
                    thread.follows or any(one not in DONE for one in others))):
                continue
            if not self._limits.excuse(thread, last, state):
                yield "%s is %s, and the last word was: %s" % (thread.number, state,
                                                               last or "its creation")

    def out_of_sight(self) -> bool:
        """Whether this limit was met: then a late event still finds something to do."""
        return any(self._limits.out_of_sight(thread, last_word(thread))
                   for thread in self._diary.threads.values())

    # At any time.

    def no_duplicates(self) -> Iterator[str]:
        """At most one open incident of a record that people did not open again themselves."""
        for thread in self._diary.threads.values():
            opened = [one for one in thread.own
                      if self._incident(one).open and self._incident(one).reopened_at is None]
            if len(opened) > 1:
                yield "%s has %s" % (thread.number, " and ".join(opened))

    def one_record(self) -> Iterator[str]:
        """At most one open record of an incident."""
        marked: Dict[str, List[str]] = {}
        for thread in self._diary.threads.values():
            if thread.born_in_pagerduty and self._record(thread)["state"] not in DONE:
                marked.setdefault(thread.own[0], []).append(thread.number)
        for incident, numbers in marked.items():
            if len(numbers) > 1:
                yield "%s has %s" % (incident, " and ".join(numbers))

    def echoes(self, entries: List[Entry]) -> Iterator[str]:
        """What came back of a reconcile's own writes wrote nothing, but that a record which shares
        its incident follows an acknowledgement for the other one.
        """
        for entry in entries:
            thread = self._diary.threads.get(entry.subject)
            if entry.by == PACK and not (thread and thread.merged and (
                    entry.value == "in_progress" or self._limits.follows_later(thread))):
                yield "no loops: an echo caused: %s" % entry

    def no_loops(self) -> Iterator[str]:
        """Each state write of the pack follows from one act of a person on the other side, which
        nothing of the kind followed from before: a merge may bring a state and a place. A limit:
        what a run could not remember may be done once more, if people undid it meanwhile.
        """
        threads = list(self._diary.threads.values())
        spent: Dict[str, Set[Tuple[int, str]]] = {thread.number: set() for thread in threads}
        members = {thread.number: {entry.position for entry in thread.entries}
                   for thread in threads}
        for entry in self._diary.entries:
            if entry.by != PACK or entry.unheard or _causes(entry) is None:
                continue
            causes = [(thread.number, cause.position) for thread in threads
                      if entry.position in members[thread.number]
                      for cause in thread.entries + thread.found
                      if cause.position < entry.position and _causes(entry, cause, thread) and
                      (cause.position, entry.what) not in spent[thread.number]]
            if not causes:
                if not self._limits.after_unheard_merge(entry):
                    yield "%s follows from nothing" % entry
            elif not (entry.forgotten and (entry.what in REPEATED or entry.value in REPEATED)):
                spent[causes[0][0]].add((causes[0][1], entry.what))

    def nobody_silenced(self) -> Iterator[str]:
        """No incident is assigned to the bot, and nothing came of what was open before the start.

        That nobody is acknowledged for twice, and that no merge resolves a record, shows in
        :meth:`no_loops` and :meth:`no_regress`.
        """
        for incident in self._world.pagerduty.account.incidents.values():
            if self._world.bot in incident.assignees:
                yield "%s is assigned to the bot" % incident.id
        for number in self._diary.old:
            thread = self._diary.threads.get(number)
            if thread is not None and thread.own:
                yield "%s was open before the start, and paged for" % number
        targets = {entry.value for entry in self._diary.entries if entry.what == "merge"}
        for thread in self._diary.threads.values():
            if thread.born_in_pagerduty and thread.own[0] in set(self._diary.old) - targets:
                yield "%s was open before the start, and got %s" % (thread.own[0], thread.number)

    def nothing_silent(self) -> Iterator[str]:
        """What failed says what the operator does next."""
        for outcome in self._world.outcomes:
            if isinstance(outcome, PackError) and not (outcome.message and outcome.hint):
                yield "no hint: %r" % outcome

    def no_secret(self) -> Iterator[str]:
        shown = [json.dumps(vars(one), default=str) for one in self._world.outcomes]
        shown += [json.dumps(payload) for _, payload in self._world.payloads]
        shown += ["%s=%s" % (name, value) for name, (value, _) in self._world.store.values.items()]
        everything = "\n".join(shown)
        for number, secret in enumerate(self._world.secrets):
            if secret in everything:
                yield "secret %d is shown" % number


def _causes(entry: Entry, cause: Optional[Entry] = None,
            thread: Optional[Thread] = None) -> Optional[bool]:
    """Whether a write of the pack can follow from another entry; None for what is no state write.

    A merge is not heard of at once: until then a resolve of the target is one of all its records.
    Records that share an incident share the acknowledgements of it.
    """
    kind = entry.value if entry.what == "state" else entry.what
    if kind not in ("acknowledge", "resolve", "trigger", "resolved", "in_progress", "move",
                    "assignment_group"):
        return None
    if cause is None or thread is None:
        return False
    by_person = cause.by == PERSON
    if kind == "acknowledge":
        return cause.what == "assigned_to" and bool(cause.value)
    if kind == "resolve":
        return by_person and (cause.what == "state" and cause.value in DONE or
                              thread.cancelled and cause.subject == thread.number)
    if kind == "trigger":
        return by_person and (cause.what == "create" or
                              cause.opens)
    if kind in ("move", "assignment_group"):
        if cause.what in ("create", "trigger"):
            return cause.forgotten
        return by_person and cause.what in ("move", "assignment_group", "merge") and (
            cause.what != kind)
    if kind == "resolved":
        return cause.what == "resolve" and (by_person or cause.unheard or cause.forgotten or
                                            thread.followed(cause))
    return (cause.what == "acknowledge" and (by_person or thread.merged) or
            cause.what in ("reopen", "merge") and by_person)
