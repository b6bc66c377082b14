"""Notes across: each once, with its author's name."""

import itertools
import random

import pytest
from interleaving import Interleaved
from notes_world import GROUP, JANE, Notes, copy_of
from world import Crash

from pagerduty_stackflow.errors import ConflictError, DatastoreError, NotFoundError
from pagerduty_stackflow.stores import ACTION_SECONDS


@pytest.fixture
def world():
    return Notes()


# Across.

def test_a_stackflow_note_is_copied_to_pagerduty_with_its_author_and_origin(world):
    note = world.comment()
    assert world.in_pagerduty() == [copy_of(note)]
    assert world.in_stackflow() == ["Restarted the pool"]
    outcome = world.outcomes[-1]
    assert (outcome.outcome, outcome.stackflow_id, outcome.pagerduty_incident_id) == (
        "done", world.number, world.incident_id)


def test_a_pagerduty_note_is_copied_to_stackflow_with_its_author_and_origin(world):
    note = world.annotate()
    assert world.in_stackflow() == [copy_of(note, "Pool is back", "Casey Oncall", "PagerDuty")]
    assert world.in_pagerduty() == ["Pool is back"]


def test_notes_stay_where_they_are_by_default():
    world = Notes(sync_notes=False)
    world.comment()
    note = world.annotate()
    assert (world.in_pagerduty(), world.in_stackflow()) == (["Pool is back"],
                                                            ["Restarted the pool"])
    assert [payload["sync"] for _, payload in world.payloads[-2:]] == [
        {"apply": False, "reason": "sync_notes is off"}] * 2
    outcome = world.again(note, incident_id=world.incident_id)
    assert (outcome.outcome, outcome.reason) == ("skipped", "sync_notes is off")


def test_notes_cross_with_bidirectional_sync_off_as_well():
    world = Notes(bidirectional_sync=False)
    world.annotate()
    assert len(world.in_stackflow()) == 1


@pytest.mark.parametrize("text", [
    "{{ trigger.incident.number }} {% raw %} <% ctx().x %>", "{{", "{% if %}", "[[ author ]]",
    "{'a': 1}", "[1, 2]", "null", "None", "\u00fc \U0001f525 \u2028 \"quoted\" 'quoted' \\n",
    "  two\n\n  lines  ", "x" * 60000])
def test_whatever_a_note_holds_crosses_unharmed(world, text):
    note = world.comment(text)
    assert world.in_pagerduty() == [copy_of(note, text)]
    note = world.annotate(text + "!")
    assert world.in_stackflow()[1:] == [copy_of(note, text + "!", "Casey Oncall", "PagerDuty")]


def test_a_note_that_pagerduty_trims_in_its_webhook_crosses_whole(world):
    text = "a long story " * 300
    note = world.annotate(text)
    assert world.payloads[-2][1]["note"]["trimmed"] is True
    assert world.in_stackflow() == [copy_of(note, text, "Casey Oncall", "PagerDuty")]


def test_a_note_without_an_author_is_somebodys(world):
    note = world.comment(by="")
    assert world.in_pagerduty() == [copy_of(note, author="somebody")]


def test_the_template_of_a_site_is_used_and_the_mark_stands_behind_it():
    world = Notes(templates={"note": "[[ author ]] on [[ incident.number ]] ([[ pagerduty.id ]], "
                                     "[[ mapping.pagerduty_service_name ]]): [[ text ]]"})
    note = world.comment("{{ x }} [[ y ]]")
    assert world.in_pagerduty() == ["%s on %s (%s, Production API): {{ x }} [[ y ]]\n\n"
                                    "StackFlow-Note-Id: %s" % (JANE, world.number,
                                                               world.incident_id, note)]


def test_a_broken_template_gives_the_shipped_text_and_a_warning():
    world = Notes(templates={"note": "[[ nobody.knows ]]"})
    note = world.comment()
    assert world.in_pagerduty() == [copy_of(note)]
    assert "templates.note is broken" in world.outcomes[-1].warnings[0]


@pytest.mark.parametrize("ahead", [0, 10])
def test_a_note_right_after_the_creation_waits_until_pagerduty_shows_the_incident(world, ahead):
    """Also where its run is so many calls ahead of the one that triggers the alert."""
    world.pagerduty.switches.event_delay = 3.0
    world.number = world.stackflow.create_incident("Disk full", "P1", group=GROUP)
    note = world.stackflow.add_note(world.number, "Looking", by=JANE)
    created, comment = world.waiting()
    runs = Interleaved(world, [lambda: world.run_one(created), lambda: world.run_one(comment)])
    runs.go([1] * ahead + [0] * 60)
    incident, = world.pagerduty.incidents(dedup_key="stackflow:acme.stackflow.example:" +
                                          world.number)
    assert world.in_pagerduty(incident.id) == [copy_of(note, "Looking")]


def test_a_note_whose_incident_pagerduty_never_shows_fails_for_an_operator_to_see(world):
    world.pagerduty.switches.event_delay = 1e6
    world.number = world.stackflow.create_incident("Disk full", "P1", group=GROUP)
    world.settle()
    world.stackflow.add_note(world.number, "Looking", by=JANE)
    world.settle()
    error = world.outcomes[-1]
    assert isinstance(error, NotFoundError) and error.retryable


def test_a_note_on_a_record_that_nobody_was_paged_for_is_skipped(world):
    world.number = world.stackflow.create_incident("Disk full", "P4", group=GROUP)
    world.comment()
    assert world.outcomes[-1].outcome == "skipped"
    assert "no incident" in world.outcomes[-1].reason


def test_a_note_on_an_incident_that_carries_several_records_reaches_all_of_them(world):
    first = world.number
    second = world.stackflow.create_incident("Disk full", "P1", group=GROUP)
    world.settle()
    other, = world.pagerduty.incidents(dedup_key="stackflow:acme.stackflow.example:" + second)
    world.pagerduty.merge(world.incident_id, [other.id], world.casey)
    world.settle()
    note = world.annotate()
    expected = [copy_of(note, "Pool is back", "Casey Oncall", "PagerDuty")]
    assert world.in_stackflow(first) == world.in_stackflow(second) == expected
    world.number = second
    note = world.comment()
    assert world.in_pagerduty()[1:] == [copy_of(note)]
    assert world.in_stackflow(first) == expected


# Once.

def test_the_same_event_again_and_again_copies_nothing_more(world):
    note = world.comment()
    for _ in range(3):
        assert world.again(note).outcome == "already"
    assert len(world.in_pagerduty()) == 1


def test_another_way_in_that_names_no_id_finds_the_same_note(world):
    world.comment()
    world.annotate()
    for incident_id, text in ((world.number, "Restarted the pool"),
                              (world.incident_id, "Pool is back")):
        assert world.again("", text, incident_id).outcome == "already"
    assert len(world.in_pagerduty()) == len(world.in_stackflow()) == 2


def test_a_note_without_any_id_crosses_once():
    world = Notes()
    world.stackflow.faults.add("GET /prod/api/incidents/%s/notes" % world.number, status=200,
                               body={"data": [{"body": "Restarted the pool"}]}, times=9)
    for expected in ("done", "already"):
        assert world.again("").outcome == expected
    copied, = world.in_pagerduty()
    assert "StackFlow-Note-Id: sha256-" in copied


def test_equal_words_of_two_notes_cross_twice(world):
    first, second = world.comment("ok"), world.comment("ok")
    assert world.in_pagerduty() == [copy_of(first, "ok"), copy_of(second, "ok")]
    world.annotate("ok", settle=False)
    world.annotate("ok", settle=False)
    world.settle()
    assert len(world.in_stackflow()) == 4


def test_equal_ids_on_two_incidents_are_two_notes(world):
    note = world.comment()
    world.number = world.stackflow.create_incident("Disk full", "P1", group=GROUP)
    world.settle()
    assert world.again(note).outcome == "done"


def test_a_lost_datastore_copies_nothing_a_second_time(world):
    note, other = world.comment(), world.annotate()
    world.forget()
    assert world.again(note).outcome == "already"
    assert world.again(other, incident_id=world.incident_id).outcome == "already"
    assert len(world.in_pagerduty()) == len(world.in_stackflow()) == 2


def test_a_copy_that_was_edited_or_a_new_template_makes_no_second_one(world):
    note = world.comment()
    world.pagerduty.incident(world.incident_id).notes[0].content = "never mind"
    assert world.again(note).outcome == "already"
    world.configure(templates={"note": "[[ text ]]"})
    assert world.again(note).outcome == "already"
    assert world.in_pagerduty() == ["never mind"]


@pytest.mark.parametrize("there", [True, False])
def test_a_crash_between_any_two_calls_and_the_same_event_again_copies_it_once(there):
    for count in itertools.count(1):
        world = Notes()
        world.annotate(settle=False) if there else world.comment(settle=False)
        one, = world.waiting()
        calls, crashed = itertools.count(1), []

        def hook(what):
            if crashed or next(calls) == count:
                crashed.append(what)
                raise Crash()

        world.before_call = hook
        try:
            world.run_one(one)
        except Crash:
            pass
        world.before_call = lambda what: None
        world.run(ACTION_SECONDS)  # what it left behind has fallen by then
        world.run_one(one)
        world.settle()
        assert len(world.in_pagerduty()) == len(world.in_stackflow()) == 1, count
        assert not any(isinstance(one, Exception) for one in world.outcomes)
        if not crashed:
            assert count > 8
            return


@pytest.mark.parametrize("kind", ["drop_answer", "reset", "status", "half_body", "not_json"])
@pytest.mark.parametrize("there", [True, False])
def test_a_lost_answer_to_the_write_neither_loses_nor_doubles_a_note(there, kind):
    world = Notes()
    (world.stackflow if there else world.pagerduty).faults.add("POST", kind, status=500)
    note = world.annotate() if there else world.comment()
    copies = world.in_stackflow() if there else world.in_pagerduty()
    assert len(copies) == 1 and copies[0].endswith("-Note-Id: " + note)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_ten_runs_at_once_copy_a_note_once(there, seed):
    world = Notes()
    world.stackflow.switches.rate_limits = False
    world.annotate(settle=False) if there else world.comment(settle=False)
    one, = world.waiting()
    draw = random.Random(seed)
    runs = Interleaved(world, [lambda: world.run_one(one)] * 10)
    outcomes = runs.go(draw.randrange(10) for _ in range(2000))
    world.settle()
    assert len(world.in_pagerduty()) == len(world.in_stackflow()) == 1
    assert sorted(one.outcome for one in outcomes) == ["already"] * 9 + ["done"]


def test_two_runs_at_once_copy_a_note_once_whichever_moves_when():
    """The second starts after any number of the first's calls, and goes on alone for any number."""
    for before in range(30):
        for alone in range(1, 30, 3):
            world = Notes()
            world.comment(settle=False)
            one, = world.waiting()
            runs = Interleaved(world, [lambda: world.run_one(one)] * 2)
            runs.go([0] * before + [1] * alone + [0] * 60)
            assert len(world.in_pagerduty()) == 1, (before, alone)


def test_a_note_that_was_refused_can_be_copied_at_once_when_its_event_comes_again(world):
    world.pagerduty.faults.add("POST", "status", status=400, times=1)
    note = world.comment()
    assert world.outcomes[-1].status == 400
    before = world.clock.now()
    assert world.again(note).outcome == "done" and world.clock.now() == before


def test_a_run_that_crashed_holds_a_note_up_and_does_not_lose_it(world):
    note = world.comment(settle=False)
    one, = world.waiting()

    def crash(what):
        if what.startswith("POST"):
            world.before_call = dead
            raise Crash()

    def dead(what):
        raise Crash()

    world.before_call = crash
    with pytest.raises(Crash):
        world.run_one(one)
    world.before_call = lambda what: None
    error = world.run_one(one)
    assert isinstance(error, ConflictError) and error.retryable and "10 minutes" in error.hint
    world.run(ACTION_SECONDS)
    assert world.run_one(one).outcome == "done"
    assert world.in_pagerduty() == [copy_of(note)]


def test_without_the_datastore_nothing_is_copied(world):
    note = world.comment(settle=False)
    one, = world.waiting()
    world.store.unreachable = True
    assert isinstance(world.run_one(one), DatastoreError)
    assert world.in_pagerduty() == []
    world.store.unreachable = False
    world.run_one(one)
    assert world.in_pagerduty() == [copy_of(note)]
