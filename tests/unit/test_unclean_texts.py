"""The pack cleans texts that a database or StackStorm's JSON refuses where they enter."""

from __future__ import annotations

import json
import re

import pytest
from action_site import ActionTestCase
from add_note import AddNoteAction
from polling_site import Pollers
from update_stackflow_incident import UpdateStackFlowIncidentAction
from world import World

GROUP = "Platform Engineering"
TEXTS = {"\ud83d half an emoji \ude00": "? half an emoji ?",
         "Disk\0 full \x07\x1b[31m\x7f\x9f": "Disk full [31m",
         "caf\u00e9 \U0001f600 \u4e2d": "caf\u00e9 \U0001f600 \u4e2d",
         "two\nlines\tand a tab": "two\nlines\tand a tab"}
each_text = pytest.mark.parametrize("text, clean", TEXTS.items(), ids=ascii)


def assert_clean(value):
    """StackStorm can store it and show it, and so can a database."""
    shown = json.dumps(value, ensure_ascii=False)
    shown.encode("utf-8")
    assert not re.search(r"\\u00[01]|[\x7f-\x9f]", shown), shown


@pytest.fixture(params=["webhook", "poll", "action"])
def carry(request):
    """A world with one way for changes to come in."""
    world = World(sync_notes=True)
    world.listening = request.param == "webhook"
    pollers = Pollers(world)
    if request.param == "poll":
        pollers.settle(1)

    def carry_over(action=None, **parameters):
        if request.param == "webhook":
            world.settle()
        elif request.param == "poll":
            pollers.settle()
        else:
            world.run(1)
            world.act(action, **parameters)
        for payload in world.payloads:
            assert_clean(payload)

    return world, carry_over


@each_text
def test_a_title_of_pagerduty(carry, text, clean):
    world, carry_over = carry
    incident = world.pagerduty.create_incident(world.api, text, world.casey)
    carry_over("create_stackflow_incident", incident_id=incident)
    record, = world.records_of(incident)
    assert record["short_description"] == clean
    assert_clean(record)


@each_text
def test_a_title_of_stackflow(carry, text, clean):
    world, carry_over = carry
    number = world.stackflow.create_incident(text, "P1", group=GROUP, category="api")
    carry_over("trigger_incident", incident_id=number)
    world.run(2)
    incident, = world.pagerduty.incidents("stackflow:acme.stackflow.example:" + number)
    assert incident.title == "%s: %s" % (number, clean)


@each_text
@pytest.mark.parametrize("view", ["get_incident", "sync_status"])
def test_what_an_action_shows(text, clean, view):
    world = World()
    incident = world.pagerduty.create_incident(world.api, text, world.casey)
    number = world.stackflow.create_incident(text, "P1", group="Nobody Mapped")
    for incident_id in (incident, number):
        assert_clean(world.act(view, incident_id=incident_id))
    found = world.act("list_incidents")
    assert_clean(found)
    assert clean in json.dumps(found, ensure_ascii=False).replace("\\n", "\n").replace("\\t", "\t")


class NoteTestCase(ActionTestCase):
    action_cls = AddNoteAction

    def test_a_note_that_a_person_gives(self):
        for text, clean in TEXTS.items():
            number = self.record()
            self.succeed("done", incident_id=number, side="stackflow", text=" %s\n" % text)
            note, = self.stackflow.notes(number)
            self.assertEqual(note["note"].split(), clean.split())


class FieldsTestCase(ActionTestCase):
    action_cls = UpdateStackFlowIncidentAction

    def test_fields_that_a_person_gives(self):
        for text, clean in TEXTS.items():
            number = self.record()
            self.succeed("done", incident_id=number, fields={"description": text})
            self.assertEqual(self.stackflow.incident(number)["description"], clean)
