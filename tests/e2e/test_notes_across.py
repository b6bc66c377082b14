"""Notes across, through the sensor, the rules and the actions of the platform."""

from __future__ import annotations

from scene import Scene

TEXT = "{{ trigger.incident.number }} {% raw %} <% ctx().x %> [[ author ]] \"\u00fc\"\n\tnull"


def test_notes_of_both_sides_cross_once_whatever_they_hold(scene: Scene) -> None:
    scene.turn(scene.stackflow.switches, note_visibility="public")
    scene.configure(sync_notes=True)
    number, incident = scene.pair()
    with scene.change() as change:
        here = scene.stackflow.add_note(number, TEXT, by="jane@example.com")
    assert [note.content for note in incident.notes] == [
        "jane@example.com (StackFlow): %s\n\nStackFlow-Note-Id: %s" % (TEXT, here)]
    assert [one.rule for one in change.executions] == ["stackflow_note"]
    with scene.change() as change:
        there = scene.pagerduty.add_note(incident.id, TEXT, scene.site.casey)
    assert [note["note"] for note in scene.stackflow.notes(number)] == [
        TEXT, "Casey Oncall (PagerDuty): %s\n\nPagerDuty-Note-Id: %s" % (TEXT, there)]
    assert [one.rule for one in change.executions] == ["pagerduty_note"]


def test_notes_stay_where_they_are_unless_it_is_switched_on(scene: Scene) -> None:
    number, incident = scene.pair()
    with scene.change() as change:
        scene.stackflow.add_note(number, "looking", by="jane@example.com")
        scene.pagerduty.add_note(incident.id, "looking", scene.site.casey)
    assert change.executions == []
    assert len(incident.notes) == len(scene.stackflow.notes(number)) == 1
