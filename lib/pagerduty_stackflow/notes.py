"""Write the notes that a person asks for, or copy each note once if `sync_notes` is on.

A copy ends in a mark that names its original. The pack looks for the mark before it writes a copy,
and then stores that both notes are finished. So a repeated event, a crash or an edited note makes
no second copy. `NoteMarks.write_note` hears of each write first, so the filter knows the echo.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import List, Optional, Union

from . import answers
from .errors import BadInputError, ConflictError, NotFoundError
from .fields import PAGERDUTY, STACKFLOW
from .incidents import (Note, is_stackflow_number, note_digest, note_mark, note_of_mark, plain,
                        reaches)
from .matching import numbers_of
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack, combined
from .pagerduty.rest import RestClient
from .pairs import Pair, observe
from .stackflow.client import StackFlowClient
from .stores import ACTION_SECONDS
from .templates import render, template_values

SYSTEMS = {PAGERDUTY: answers.PAGERDUTY, STACKFLOW: answers.STACKFLOW}
NOBODY_NAMED = "somebody"
WAITS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each look for an incident that was triggered and that PagerDuty does not show."""
NEW = timedelta(minutes=2)
"""A younger record may be about to be paged."""


def add_note(pack: Pack, incident_id: str, text: str, author: Optional[str] = None,
             side: Optional[str] = None, note_id: Optional[str] = None) -> Outcome:
    """Write a note on the other side of an incident, or on ``side`` (`pagerduty`, `stackflow`).

    With ``note_id`` ("" if it names none) an event reports a note of the incident itself, which is
    copied once if `sync_notes` is on. NotFoundError if a person's note has no other side.
    """
    if side not in (None, PAGERDUTY, STACKFLOW):
        raise BadInputError("side is %r" % side, "give pagerduty or stackflow, or leave it out")
    notes = _Notes(pack, incident_id)
    if note_id is not None:
        if not pack.settings.sync_notes:
            return notes.outcome(SKIPPED, "sync_notes is off")
        given = Note(note_id or None, text, author)
        return combined([notes.copy(note) for note in notes.sources(given)])
    if not text.strip():
        raise BadInputError("the note is empty", "give its text")
    return notes.write("%s: %s" % (author, text) if author else text, side or notes.there)


class _Notes:
    """The notes of an incident on its own side, ``here``, and on the other one, ``there``."""

    def __init__(self, pack: Pack, incident_id: str) -> None:
        self._pack, self._id = pack, incident_id
        self.here, self.there = PAGERDUTY, STACKFLOW
        if is_stackflow_number(incident_id):
            self.here, self.there = STACKFLOW, PAGERDUTY

    def _client(self, side: str) -> Union[StackFlowClient, RestClient]:
        return self._pack.stackflow if side == STACKFLOW else self._pack.rest

    def outcome(self, outcome: str, reason: str, target: str = "") -> Outcome:
        """Report about the incident, and the other side's ``target``."""
        ids = {self.here: self._id, self.there: target or None}
        return Outcome(outcome, reason, ids[STACKFLOW], ids[PAGERDUTY])

    def write(self, text: str, side: str) -> Outcome:
        """Write a person's note on a side."""
        targets = [self._id] if side == self.here else [self._target(one) for one in self._pairs()]
        if not targets:
            raise NotFoundError("%s has no incident for %s" % (SYSTEMS[side], self._id),
                                "open one with %s" % ("trigger_incident" if side == PAGERDUTY else
                                                      "create_stackflow_incident"))
        for target in targets:
            self._client(side).add_note(target, text)
        reason = "note written in %s on %s" % (SYSTEMS[side], ", ".join(targets))
        return self.outcome(DONE, reason, "" if side == self.here else targets[0])

    def sources(self, given: Note) -> List[Note]:
        """Return the notes that an event reports, read if it does not hold all: PagerDuty trims
        long ones, and an event may come without an id; then it means all with its words.
        """
        if self.here == STACKFLOW and given.id and given.text:
            return [given]
        listed = self._client(self.here).notes(self._id)
        found = ([note for note in listed if given.id and note.id == given.id] or
                 [note for note in listed if given.text and plain(note.text) == plain(given.text)])
        if not found and self.here == STACKFLOW and given.text:
            return [given]
        if not found:
            raise NotFoundError("%s shows no such note on %s" % (SYSTEMS[self.here], self._id),
                                "run it again if the note is there", retryable=True)
        return [note._replace(author=note.author or given.author) for note in found]

    def copy(self, note: Note) -> Outcome:
        """Copy a note to the other side as the only run that does."""
        pack, pairs, name = self._pack, self._pairs(), _name(self._id, note)
        if not pairs:
            return self.outcome(SKIPPED, "the other side has no incident for it")
        lease, seconds = "note." + name, pack.settings.http.total_seconds
        if pack.leases.take(lease, ACTION_SECONDS, pack.clock, seconds) is not None:
            raise ConflictError("another run has been copying this note for %d seconds" % seconds,
                                "run it again in 10 minutes, if the note is still missing", True)
        try:
            if pack.note_marks.is_finished(name):
                return self.outcome(ALREADY, "done with before")
            done = combined([self._copy_to(note, pair) for pair in pairs])
            pack.note_marks.finish_note(name)
            return done
        finally:
            pack.leases.release(lease)

    def _copy_to(self, note: Note, pair: Pair) -> Outcome:
        client, target = self._client(self.there), self._target(pair)
        present = client.notes(target)
        if self._is_copy(note, present):
            return self.outcome(SKIPPED, "a copy that this pack wrote", target)
        author, system = note.author or NOBODY_NAMED, SYSTEMS[self.here]
        text, warnings = render(
            self._pack.settings.templates.note, "%s (%s): %s" % (author, system, note.text),
            "templates.note", dict(template_values(self._pack, pair), author=author,
                                   text=note.text))
        text = "%s\n\n%s" % (text, note_mark(system, note.name))
        words = "copied to %s in %s" % (target, SYSTEMS[self.there])
        if any(plain(one.text) == plain(text) for one in present):
            return self.outcome(ALREADY, words + " already", target)
        copy_id = client.add_note(target, text)
        if copy_id:
            self._pack.note_marks.finish_note(_name(target, Note(copy_id, text, None)))
        return replace(self.outcome(DONE, words, target), warnings=warnings)

    def _is_copy(self, note: Note, present: List[Note]) -> bool:
        """Whether a note's mark shows that it was copied from one of those ``present`` on the other
        side. Of several notes with that mark the first is the copy: people quote, and they imitate.
        """
        system = SYSTEMS[self.there]
        name = note_of_mark(note.text, system)
        if name is None or name not in [one.name for one in present]:
            return False
        alike = [one for one in self._client(self.here).notes(self._id)
                 if note_of_mark(one.text, system) == name]
        return not alike or alike[0].name == note.name or plain(alike[0].text) == plain(note.text)

    def _target(self, pair: Pair) -> str:
        return pair.link.number if self.there == STACKFLOW else pair.incident_id or ""

    def _pairs(self) -> List[Pair]:
        """The pairs that lead to the other side; a merge in PagerDuty may have given it several
        records.
        """
        if self.here == PAGERDUTY:
            pairs = [self._observe(number) for number in numbers_of(self._pack, self._id)]
            return [pair for pair in pairs if pair.record is not None]
        for wait in WAITS:
            self._pack.clock.sleep(wait)
            pair = self._observe(self._id)
            if pair.incident_id or not (pair.link.joined or self._may_be_paged_now(pair)):
                break
        if pair.incident_id:
            return [pair]
        if pair.link.joined:
            raise NotFoundError("PagerDuty does not show the incident of %s yet" % self._id,
                                "run it again", retryable=True)
        if pair.record is None:
            raise NotFoundError("StackFlow does not know %s" % self._id, "check the number")
        return []

    def _observe(self, number: str) -> Pair:
        return observe(self._pack, number, self._pack.links.read(number))

    def _may_be_paged_now(self, pair: Pair) -> bool:
        """Whether another run may be triggering an alert for a record that was created just now."""
        record = pair.record
        return (record is not None and record.created_at is not None and
                self._pack.clock.now() - record.created_at < NEW and
                reaches(record.priority, self._pack.settings.priority_threshold))


def _name(incident_id: str, note: Note) -> str:
    """Names a note in the datastore; ids of different incidents may be equal."""
    return note_digest("%s %s" % (incident_id, note.name))
