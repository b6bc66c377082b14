"""Writes a note on the other side of an incident."""

from st2common.runners.base_action import Action

from pagerduty_stackflow import notes
from pagerduty_stackflow.running import perform

__all__ = ["AddNoteAction"]


class AddNoteAction(Action):
    """Writes a note on the other side of an incident."""

    def run(self, incident_id, text, author=None, side=None, note_id=None):
        return perform(self, notes.add_note, incident_id=incident_id, text=text, author=author,
                       side=side, note_id=note_id)
