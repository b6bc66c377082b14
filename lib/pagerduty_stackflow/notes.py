"""Notes: written as a person asks, or each copied once to the other side where `sync_notes` is on.

A copy ends in a mark that names the note it was made of. Before it is written, the notes that are
there are looked through for it; afterwards both notes count as done with in the datastore. So
neither a repeated event nor a crash nor an edited note makes a second one. Copies never come back:
their marks and their ids are known. Of everything else that the pack writes the datastore hears
first (`NoteMarks.write_note`), and the pre-filter knows the echo.
"""

from __future__ import annotations

import random
import secrets
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Iterator, List, Optional, Tuple, Union

from . import answers
from .errors import BadInputError, ConflictError, NotFoundError
from .incidents import (Note, is_stackflow_number, note_digest, note_mark, note_of_mark, plain,
                        reaches)
from .fields import PAGERDUTY, STACKFLOW
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack, combined
from .pagerduty.rest import RestClient
from .matching import numbers_of
from .pairs import Pair, observe
from .stackflow.client import StackFlowClient
from .templates import render, template_values

SYSTEMS = {PAGERDUTY: answers.PAGERDUTY, STACKFLOW: answers.STACKFLOW}
NOBODY_NAMED = "somebody"
WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between looks for an incident that was triggered and that PagerDuty does not show yet."""
NEW = timedelta(minutes=2)
"""Age of a record under which it may be about to be paged."""
TURN = 0.5
"""Seconds, more or less, between two tries to be the only run that copies a note."""


def add_note(pack: Pack, incident_id: str, text: str, author: Optional[str] = None,
             side: Optional[str] = None, note_id: Optional[str] = None) -> Outcome:
    """Write a note on the other side of an incident, or on ``side`` (`pagerduty`, `stackflow`).

    With ``note_id`` an event tells of a note that stands on the incident itself; it is copied once,
    if `sync_notes` is on. The id is "" where the event names none, and so may be the text. Raises
    NotFoundError where the other side has no incident for a person's note; an event's is skipped.
    """
    here = STACKFLOW if is_stackflow_number(incident_id) else PAGERDUTY
    if side not in (None, PAGERDUTY, STACKFLOW):
        raise BadInputError("side is %r" % side, "give pagerduty or stackflow, or leave it out")
    if note_id is not None:
        if not pack.settings.sync_notes:
            return _outcome(here, incident_id, SKIPPED, "sync_notes is off")
        given = Note(note_id or None, text, author)
        return combined([_copy(pack, here, incident_id, note)
                         for note in _sources(pack, here, incident_id, given)])
    if not text.strip():
        raise BadInputError("the note is empty", "give its text")
    there = side or _other(here)
    targets = [incident_id] if there == here else [
        _target(pair, there) for pair in _pairs(pack, here, incident_id)]
    if not targets:
        raise NotFoundError("%s has no incident for %s" % (SYSTEMS[there], incident_id),
                            "open one with %s" % ("trigger_incident" if there == PAGERDUTY else
                                                  "create_stackflow_incident"))
    for target in targets:
        _client(pack, there).add_note(target, "%s: %s" % (author, text) if author else text)
    reason = "note written in %s on %s" % (SYSTEMS[there], ", ".join(targets))
    return _outcome(here, incident_id, DONE, reason, "" if there == here else targets[0])


def _sources(pack: Pack, here: str, incident_id: str, given: Note) -> List[Note]:
    """The notes that an event tells of, read where it does not hold all: PagerDuty trims long ones,
    and an event may come without an id; then all with its words are meant.
    """
    if here == STACKFLOW and given.id and given.text:
        return [given]
    listed = _client(pack, here).notes(incident_id)
    found = ([note for note in listed if given.id and note.id == given.id] or
             [note for note in listed if given.text and plain(note.text) == plain(given.text)])
    if not found and here == STACKFLOW and given.text:
        return [given]
    if not found:
        raise NotFoundError("%s shows no such note on %s" % (SYSTEMS[here], incident_id),
                            "run it again if the note is there", retryable=True)
    return [note._replace(author=note.author or given.author) for note in found]


def _copy(pack: Pack, here: str, incident_id: str, note: Note) -> Outcome:
    pairs = _pairs(pack, here, incident_id)
    if not pairs:
        return _outcome(here, incident_id, SKIPPED, "the other side has no incident for it")
    with _turn(pack, _name(incident_id, note)) as to_do:
        if not to_do:
            return _outcome(here, incident_id, ALREADY, "done with before")
        done = combined([_copy_to(pack, here, incident_id, note, pair) for pair in pairs])
        pack.note_marks.finish_note(_name(incident_id, note))
    return done


def _copy_to(pack: Pack, here: str, incident_id: str, note: Note, pair: Pair) -> Outcome:
    there = _other(here)
    target = _target(pair, there)
    present = _client(pack, there).notes(target)
    if _is_copy(pack, here, incident_id, note, present):
        return _outcome(here, incident_id, SKIPPED, "a copy that this pack wrote", target)
    text, warnings = _words(pack, here, note, pair)
    words = "copied to %s in %s" % (target, SYSTEMS[there])
    if any(plain(one.text) == plain(text) for one in present):
        return _outcome(here, incident_id, ALREADY, words + " already", target)
    copy_id = _client(pack, there).add_note(target, text)
    if copy_id:
        pack.note_marks.finish_note(_name(target, Note(copy_id, text, None)))
    return replace(_outcome(here, incident_id, DONE, words, target), warnings=warnings)


def _is_copy(pack: Pack, here: str, incident_id: str, note: Note, present: List[Note]) -> bool:
    """Whether a note's mark shows that it was copied from one of those ``present`` on the other
    side. Of several notes with that mark the first is the copy: people quote, and they imitate.
    """
    system = SYSTEMS[_other(here)]
    name = note_of_mark(note.text, system)
    if name is None or name not in [one.name for one in present]:
        return False
    alike = [one for one in _client(pack, here).notes(incident_id)
             if note_of_mark(one.text, system) == name]
    return not alike or alike[0].name == note.name or plain(alike[0].text) == plain(note.text)


def _words(pack: Pack, here: str, note: Note, pair: Pair) -> Tuple[str, List[str]]:
    """The text of a copy, with its mark, and warnings of the template."""
    author = note.author or NOBODY_NAMED
    text, warnings = render(
        pack.settings.templates.note, "%s (%s): %s" % (author, SYSTEMS[here], note.text),
        "templates.note", dict(template_values(pack, pair), author=author, text=note.text))
    return "%s\n\n%s" % (text, note_mark(SYSTEMS[here], note.name)), warnings


@contextmanager
def _turn(pack: Pack, name: str) -> Iterator[bool]:
    """Be the only run that copies a note; gives whether that is still to be done."""
    run = secrets.token_hex(8)
    try:
        yield _is_mine(pack, name, run)
    finally:
        pack.note_marks.lower_flag(name, run)


def _is_mine(pack: Pack, name: str, run: str) -> bool:
    """Wait until no other run copies the note; False where it is done with by then.

    The datastore knows no compare-and-set. So a run raises a flag of its own and goes on only if a
    look after that shows no other: of two runs, the one that raised its flag later sees both. All
    but the first by name lower theirs then. The flag of a run that crashed falls after 10 minutes.
    """
    end = pack.clock.monotonic() + pack.settings.http.total_seconds
    while True:
        finished, flags = pack.note_marks.note(name)
        if finished or flags == [run]:
            return not finished
        if not flags:
            pack.note_marks.raise_flag(name, run)
            continue
        if run in flags[1:]:
            pack.note_marks.lower_flag(name, run)
        if pack.clock.monotonic() > end:
            raise ConflictError("another run has been copying this note for %d seconds" %
                                pack.settings.http.total_seconds,
                                "run it again in 10 minutes, if the note is still missing", True)
        pack.clock.sleep(TURN * random.uniform(0.5, 1.5))


def _pairs(pack: Pack, here: str, incident_id: str) -> List[Pair]:
    """The pairs that lead to the other side; a merge in PagerDuty may have given it several records.
    """
    if here == PAGERDUTY:
        pairs = [_observe(pack, number) for number in numbers_of(pack, incident_id)]
        return [pair for pair in pairs if pair.record is not None]
    pair = _observe(pack, incident_id)
    for wait in WAITS:
        if pair.incident_id or not (pair.link.joined or _may_be_paged_now(pack, pair)):
            break
        pack.clock.sleep(wait)
        pair = _observe(pack, incident_id)
    if pair.incident_id:
        return [pair]
    if pair.link.joined:
        raise NotFoundError("PagerDuty does not show the incident of %s yet" % incident_id,
                            "run it again", retryable=True)
    if pair.record is None:
        raise NotFoundError("StackFlow does not know %s" % incident_id, "check the number")
    return []


def _observe(pack: Pack, number: str) -> Pair:
    return observe(pack, number, pack.links.read(number))


def _may_be_paged_now(pack: Pack, pair: Pair) -> bool:
    """Whether another run may be triggering an alert for a record that was created just now."""
    record = pair.record
    return (record is not None and record.created_at is not None and
            pack.clock.now() - record.created_at < NEW and
            reaches(record.priority, pack.settings.priority_threshold))


def _other(side: str) -> str:
    return PAGERDUTY if side == STACKFLOW else STACKFLOW


def _target(pair: Pair, side: str) -> str:
    return pair.link.number if side == STACKFLOW else pair.incident_id or ""


def _client(pack: Pack, side: str) -> Union[StackFlowClient, RestClient]:
    return pack.stackflow if side == STACKFLOW else pack.rest


def _name(incident_id: str, note: Note) -> str:
    """What the datastore calls a note; ids of different incidents may be equal."""
    return note_digest("%s %s" % (incident_id, note.name))


def _outcome(here: str, incident_id: str, outcome: str, reason: str, target: str = "") -> Outcome:
    ids = {here: incident_id, _other(here): target or None}
    return Outcome(outcome, reason, ids[STACKFLOW], ids[PAGERDUTY])
