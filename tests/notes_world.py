"""A world in which notes cross: one pair, and what people and the pack write on it."""

from world import World

GROUP = "Platform Engineering"
JANE = "jane@example.com"


class Notes(World):
    """A world with one pair, where StackFlow tells of every note, also of the pack's own."""

    def __init__(self, **config):
        super().__init__(**dict({"sync_notes": True}, **config))
        self.stackflow.switches.note_visibility = "public"
        self.number = self.stackflow.create_incident("Database timeout", "P1", group=GROUP,
                                                     category="api")
        self.settle()
        self.incident_id = self.pagerduty.incidents()[0].id

    def in_stackflow(self, number=None):
        return [note["note"] for note in self.stackflow.notes(number or self.number)]

    def in_pagerduty(self, incident_id=None):
        incident = self.pagerduty.incident(incident_id or self.incident_id)
        return [note.content for note in incident.notes]

    def comment(self, text="Restarted the pool", by=JANE, settle=True):
        """A person writes a note in StackFlow; its id."""
        note = self.stackflow.add_note(self.number, text, by=by)
        if settle:
            self.settle()
        return note

    def annotate(self, text="Pool is back", settle=True):
        """Casey writes a note in PagerDuty; its id."""
        note = self.pagerduty.add_note(self.incident_id, text, self.casey)
        if settle:
            self.settle()
        return note

    def again(self, note_id, text="Restarted the pool", incident_id=None):
        """The event of a note comes again."""
        return self.act("add_note", incident_id=incident_id or self.number, text=text, author=JANE,
                        note_id=note_id)

    def forget(self):
        """The datastore is lost."""
        self.store.values.clear()

    def waiting(self):
        """The runs that deliveries caused and that have not run yet."""
        self.run(2)
        runs, self.queue = self.queue, []
        return runs


def copy_of(note, text="Restarted the pool", author=JANE, system="StackFlow"):
    return "%s (%s): %s\n\n%s-Note-Id: %s" % (author, system, text, system, note)
