"""How a history may end although that is not what the last person said: one method for each limit
that docs/testing.md names.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Optional

from history_diary import DONE, PACK, PAGING, PERSON, Diary, Entry, Thread, last_word

CLOCK_ALLOWANCE = timedelta(minutes=2)


class Limits:
    """Over a world, of which a diary was kept."""

    def __init__(self, world: Any, diary: Diary) -> None:
        self._world = world
        self._diary = diary

    def excuse(self, thread: Thread, last: Optional[Entry], state: str) -> bool:
        """Whether a pair may be open or resolved, whichever its ``last`` word was not."""
        return (self._reopened_unseen(thread, last) or
                self._cancelled_when(thread, last, state) or
                self._clocks_apart(thread, last) or
                self._both_opened_again(thread, last) or
                self._ended_by_another(thread, last) or
                self._goes_on(thread, last) or
                self._successor_forgotten(thread) or self.follows_later(thread) or
                self._taken_for_ours(last, thread) or
                self.out_of_sight(thread, last))

    def away_and_back(self, thread: Thread) -> bool:
        """Moved by people and back before anybody looked, an incident may be out of the reach of
        events. The first reconcile from a minute after that resolve on sends it by REST.
        """
        moves = [entry.position for entry in self._diary.incidents[thread.incident or ""]
                 if entry.what == "move" and entry.by == PERSON]
        follows = self._world.pagerduty.switches.moved_alert_follows_key
        return not follows and len(moves) > 1 and not any(
            moves[-2] < look.position < moves[-1] and look.number in (None, thread.number)
            for look in self._diary.looks)

    def stands_on_earlier(self, thread: Thread) -> bool:
        """An earlier incident that people opened again stands for a record whose next one was not
        triggered, as the run was killed.
        """
        incidents = self._world.pagerduty.account.incidents
        return any(incidents[one].open and incidents[one].reopened_at for one in thread.own)

    def _incident(self, thread: Thread) -> Any:
        return self._world.pagerduty.account.incidents[thread.incident]

    def never_known(self, thread: Thread) -> bool:
        """Of what a run opened and could not remember nothing is known, if people end it before
        anybody looks: they finish the record, merge the incident, or resolve that of a record that
        they lowered.
        """
        opened = [entry for entry in thread.entries
                  if entry.what in ("create", "trigger") and entry.forgotten]
        record = self._world.stackflow.desk.incidents[thread.number].fields
        if not opened or self._was_looked_at(thread, opened[-1]):
            return False
        if opened[-1].what == "create" or thread.merged and record["state"] in DONE:
            return record["state"] in DONE
        return not self._incident(thread).open and record["priority"] not in PAGING

    @staticmethod
    def opening_forgotten(thread: Thread) -> bool:
        """Whether a run could not remember what it opened: then the pack knows what it finds, and not
        what was before.
        """
        return any(entry.what in ("create", "trigger") and entry.forgotten
                   for entry in thread.entries)

    def shared_unheard(self, thread: Thread) -> bool:
        """An event ends the record's own alert alone, if a merge that nobody heard of before brought
        another record's. The first reconcile from a minute after that on resolves by REST.
        """
        return any(entry.what == "merge" and entry.value == thread.incident
                   for entry in self._diary.entries)

    def after_unheard_merge(self, entry: Entry) -> bool:
        """An acknowledgement that nobody saw is sent to the target too, if people merged the
        incident meanwhile. A merge of what was opened again, before anybody looked, is taken for a
        resolve.
        """
        merges = [one for one in self._diary.entries
                  if one.what == "merge" and one.position < entry.position]
        if entry.what == "acknowledge":
            return any(one.value == entry.subject for one in merges)
        return entry.value == "resolved" and any(
            entry.subject in one.carries and any(
                before.what == "reopen" and before.position < one.position
                for before in self._diary.incidents[one.subject]) for one in merges)

    def follows_later(self, thread: Thread) -> bool:
        """A record that follows the target of a merge is resolved by the event of the resolve that
        the pack sent for the target's own record.
        """
        entries = self._diary.incidents[thread.incident or ""]
        return thread.follows and bool(entries) and (entries[-1].what, entries[-1].by) == (
            "resolve", PACK)

    @staticmethod
    def _taken_for_ours(last: Optional[Entry], thread: Thread) -> bool:
        """A resolve by people in PagerDuty within a minute after the reopening in StackFlow may be
        taken for the pack's own, which was sent before that.
        """
        return last is not None and last.what == "resolve" and any(
            entry.what == "state" and entry.opens and entry.position < last.position and
            last.at - entry.at <= timedelta(minutes=1) for entry in thread.entries)

    def _successor_forgotten(self, thread: Thread) -> bool:
        """A record that a killed run created in place of a closed one counts as a new one, if nobody
        looks within ten minutes.
        """
        return thread.born_in_pagerduty and self.opening_forgotten(thread) and any(
            self._world.pagerduty.alerts(one) for one in thread.own)

    def _was_looked_at(self, thread: Thread, since: Entry) -> bool:
        return any(look.number == thread.number and look.position > since.position
                   for look in self._diary.looks)

    def _reopened_unseen(self, thread: Thread, last: Optional[Entry]) -> bool:
        """A reopening that nobody can see: PagerDuty resolved, StackFlow resolved and opened again,
        and before any event of StackFlow's told so somebody looked at both sides.
        """
        if last is None or last.what != "state" or last.closes:
            return False
        since = max((entry.position for entry in thread.entries
                     if entry.position < last.position and entry.by == PERSON and
                     entry.what == "state" and entry.value in DONE), default=last.position)
        for look in self._diary.looks:
            if look.number in (None, thread.number) and look.position > since:
                if look.told or look.position > last.position:
                    return not look.told
        return True

    def _cancelled_when(self, thread: Thread, last: Optional[Entry], state: str) -> bool:
        """StackFlow does not show when a record was cancelled, so its last change counts."""
        return state == "cancelled" and last is not None and last.what == "reopen" and any(
            entry.subject == thread.number and entry.position > last.position and
            entry.by == PERSON for entry in thread.entries)

    @staticmethod
    def _clocks_apart(thread: Thread, last: Optional[Entry]) -> bool:
        """What was resolved on both sides and opened again in PagerDuty stays open, although
        StackFlow was opened and resolved within two minutes after that.
        """
        return last is not None and last.what == "state" and last.closes and any(
            entry.what == "reopen" and entry.position < last.position and
            last.at - entry.at <= CLOCK_ALLOWANCE for entry in thread.entries)

    def _both_opened_again(self, thread: Thread, last: Optional[Entry]) -> bool:
        """Opened again on both sides, and resolved again on one of them before anybody looked, it is
        as resolved there as it was; the other side's reopening counts.
        """
        if last is None or not last.closes:
            return False
        before = [entry for entry in thread.entries
                  if entry.position < last.position and entry.by == PERSON]
        there = [entry.position for entry in before if entry.what == "reopen"]
        here = [entry.position for entry in before if entry.what == "state" and entry.opens]
        return bool(there and here) and not any(
            min(there[-1], here[-1]) < look.position <= last.position and look.full and
            look.number in (None, thread.number) for look in self._diary.looks)

    def _ended_by_another(self, thread: Thread, last: Optional[Entry]) -> bool:
        """An incident that was opened again and then got a second record by a merge is resolved with
        that one, if nobody looked at the first.
        """
        words = [last_word(other) for other in self._diary.standing_on(thread.incident or "")]
        return last is not None and last.what == "reopen" and any(
            word is not None and word.closes and word.position > last.position for word in words)

    def _goes_on(self, thread: Thread, last: Optional[Entry]) -> bool:
        """A record goes on with the target of a merge also if it was resolved before the news of it,
        and its incident had not been seen until then; or before the target was opened again.
        """
        if last is None or last.what != "state" or not last.closes or not thread.merged:
            return False
        return any(entry.position > last.position and entry.what == "reopen"
                   for entry in self._diary.incidents[thread.incident or ""]) or any(
            entry.what == "merge" and thread.number in entry.carries and
            entry.position < last.position and (entry.heard_at is None or entry.heard_at > last.at)
            for entry in thread.entries)

    def out_of_sight(self, thread: Thread, last: Optional[Entry]) -> bool:
        """What is opened again in PagerDuty, or opened by a run that could not remember it, and is
        brought to a service that nobody mapped, or in the first case merged, before anybody looks,
        is open where nothing leads to its record.
        """
        mapped = {entry.service_id for entry in self._world.settings.service_mapping}
        unmapped = thread.incident is not None and (
            self._incident(thread).service_id not in mapped)
        if last is None or last.what != "reopen":
            return unmapped and self.opening_forgotten(thread)
        return unmapped or any(
            entry.what == "merge" and entry.position > last.position and
            entry.subject == last.subject for entry in thread.entries)
