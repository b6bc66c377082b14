"""Notes never back: what the pack wrote is known, and nobody who writes like it is stopped."""

import pytest
from notes_world import Notes, copy_of

from pagerduty_stackflow.datastore import PREFIX
from pagerduty_stackflow.stackflow.client import StackFlowClient


@pytest.fixture
def world():
    return Notes()


# Never back.

def test_the_echo_of_a_copy_starts_no_process(world):
    world.comment()
    world.annotate()
    assert len(world.outcomes) == 3  # the page, and one for each note
    echoes = [payload["sync"] for _, payload in world.payloads
              if payload["note"] and "Note-Id" in (payload["note"].get("content") or
                                                   payload["note"].get("text"))]
    assert echoes == [{"apply": False, "reason": "a note that this pack wrote"}] * 2


@pytest.mark.parametrize("there", [True, False])
def test_a_copy_is_known_by_its_mark_where_the_datastore_is_lost(world, there):
    world.annotate() if there else world.comment()
    world.forget()
    copied, = world.stackflow.notes(world.number) if there else world.pagerduty.incident(
        world.incident_id).notes
    outcome = (world.again(copied["id"], copied["note"]) if there else
               world.again(copied.id, copied.content, world.incident_id))
    assert (outcome.outcome, outcome.reason) == ("skipped", "a copy that this pack wrote")
    assert len(world.in_pagerduty()) == len(world.in_stackflow()) == 1


def test_a_copy_that_was_edited_and_told_of_again_does_not_come_back(world):
    world.comment()
    note = world.pagerduty.incident(world.incident_id).notes[0]
    note.content = "without any mark"
    assert world.again(note.id, note.content, world.incident_id).outcome == "already"
    assert world.in_stackflow() == ["Restarted the pool"]


@pytest.mark.parametrize("listed", [True, False])
def test_a_copy_comes_not_back_though_stackflow_changes_its_text_and_hides_its_id(
        world, monkeypatch, listed):
    add_note, pages = world.stackflow.desk.add_note, StackFlowClient.pages
    monkeypatch.setattr(world.stackflow.desk, "add_note", lambda number, text, *more: add_note(
        number, text.replace("Pool", "<b>Pool</b>"), *more))
    monkeypatch.setattr(StackFlowClient, "add_note", lambda client, number, text: client.call(
        "POST", "/incidents/%s/notes" % number, {"note": text}) and None)
    monkeypatch.setattr(StackFlowClient, "pages", lambda client, path, params=(): (
        row if listed else dict(row, id=None) for row in pages(client, path, params)))
    world.annotate()
    text, = world.in_stackflow()
    assert "<b>Pool</b> is back" in text
    assert world.in_pagerduty() == ["Pool is back"]
    assert world.outcomes[-1].reason == "a copy that this pack wrote"


def test_notes_that_the_pack_writes_for_other_reasons_do_not_cross(world):
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    number = world.records_of(incident)[0]["number"]
    world.stackflow.assign(number, person="sam@example.com")  # no user of PagerDuty
    world.settle()
    assert world.in_pagerduty(incident) == ["Taken in StackFlow by sam@example.com"]
    assert world.in_stackflow(number) == []
    world.act("resolve_incident", incident_id=number, by="sam", resolution="disk replaced")
    world.settle()
    assert world.in_pagerduty(incident)[1:] == [
        "Resolution Note: Resolved in StackFlow by sam: disk replaced"]
    assert world.in_stackflow(number) == []
    world.stackflow.set_state(number, "closed")
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    assert [text.split(";")[0] for text in world.in_stackflow(number)] == ["Reopened in PagerDuty"]
    assert len(world.in_pagerduty(incident)) == 2


def test_the_notes_of_an_escalation_on_both_sides_stay_where_they_are(world):
    world.act("escalate_incident", incident_id=world.number, reason="nobody answers")
    world.settle()
    assert len(world.in_pagerduty()) == len(world.in_stackflow()) == 1
    assert "nobody answers" in world.in_stackflow()[0]


def test_the_resolution_note_of_a_person_crosses(world):
    world.pagerduty.resolve(world.incident_id, world.casey, note="pool enlarged")
    world.settle()
    text, = world.in_stackflow()
    assert text.startswith("Casey Oncall (PagerDuty): Resolution Note: pool enlarged\n")


def test_a_note_that_a_person_asked_for_does_not_come_back(world):
    world.act("add_note", incident_id=world.number, text="done", author="casey")
    world.act("add_note", incident_id=world.incident_id, text="done", author="casey")
    world.settle()
    assert world.in_pagerduty() == world.in_stackflow() == ["casey: done"]


# Nobody is stopped.

def test_the_words_of_a_note_of_the_pack_are_free_again_a_while_later(world):
    world.act("add_note", incident_id=world.number, text="done")
    world.settle(3600)
    world.annotate("done")
    assert len(world.in_stackflow()) == 1


@pytest.mark.parametrize("mark", ["PagerDuty-Note-Id: Q0NOBODY", "StackFlow-Note-Id: note_000001",
                                  "PagerDuty-Note-Id:", "PagerDuty-Note-Id: x y"])
def test_a_mark_that_names_no_note_of_the_other_side_stops_nothing(world, mark):
    text = "looks like yours\n\n" + mark
    note = world.comment(text)
    assert world.in_pagerduty() == [copy_of(note, text)]
    assert world.in_stackflow() == [text]


def test_who_quotes_a_copy_with_its_mark_is_heard(world):
    world.annotate()
    copied, = world.in_stackflow()
    quote = "I agree:\n" + copied
    note = world.comment(quote)
    assert world.in_pagerduty() == ["Pool is back", copy_of(note, quote)]
    assert world.in_stackflow() == [copied, quote]
    world.forget()
    assert world.again(note, quote).outcome == "already"


def test_who_writes_the_mark_of_a_note_ahead_of_its_copy_does_not_keep_it_away(world):
    world.pagerduty.add_note(world.incident_id, "mine\n\nStackFlow-Note-Id: note_000001",
                             world.casey)
    world.run(2)
    world.queue = []
    note = world.comment()
    assert note == "note_000001"
    assert world.in_pagerduty()[1:] == [copy_of(note)]


def test_the_datastore_can_hold_every_name(world):
    world.comment("ok")
    world.annotate()
    names = [name for name in world.store.values if ".note." in name]
    assert len(names) > 4
    for name in names:
        assert name.startswith(PREFIX) and not set(name) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")
