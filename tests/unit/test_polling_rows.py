"""With the listener off, polling carries every row of the table over; with it on, nothing is
written twice.
"""

import pytest
from polling_site import Pollers
from world import World

PLATFORM, DATABASE = "Platform Engineering", "Database Reliability"
JANE = "jane@example.com"
MOVE = ["/incidents/", "/incidents/"]


def incident_of(world, number, reopened=0):
    suffix = ":%d" % reopened if reopened else ""
    found, = world.pagerduty.incidents(dedup_key="stackflow:acme.stackflow.example:%s%s" % (
        number, suffix))
    return found


class Story:
    """A world whose pairs exist already, and both pollers."""

    def __init__(self, listening):
        self.world = World()
        self.world.listening = listening
        self.pollers = Pollers(self.world)
        self.pollers.settle()

    def settle(self):
        if self.world.listening:
            self.world.settle()
        self.pollers.settle()

    def paged(self, priority="P1", **fields):
        number = self.world.stackflow.create_incident("Database timeout", priority, group=PLATFORM,
                                                      category="api", **fields)
        self.settle()
        return number

    def born_in_pagerduty(self):
        incident = self.world.pagerduty.create_incident(self.world.api, "Disk full",
                                                        self.world.casey)
        self.settle()
        record, = self.world.records_of(incident)
        return record["number"], incident

    def writes(self):
        """Changes of state and place on both sides by anybody but people, so far."""
        there = ["move" if write.startswith("/incidents/") else write
                 for write in self.world.pd_writes()]
        here = ["created" if write.method == "POST" else write.body.get("state") or "fields"
                for write in self.world.stackflow.writes
                if write.status < 300 and not write.path.endswith("/notes")]
        return there, here


def created(story):
    return lambda: story.paged()


def raised(story):
    number = story.paged("P3")
    return lambda: story.world.stackflow.set_priority(number, "P1")


def assigned(story):
    number = story.paged()
    return lambda: story.world.stackflow.assign(number, person=JANE)


def state(*path):
    def prepare(story):
        number = story.paged()
        for before in path[:-1]:
            story.world.stackflow.set_state(number, before)
            story.settle()
        return lambda: story.world.stackflow.set_state(number, path[-1])
    return prepare


def regrouped(story):
    number = story.paged()
    return lambda: story.world.stackflow.update(number, assignment_group=DATABASE,
                                                category="database", assigned_to=JANE)


def triggered_there(story):
    return lambda: story.born_in_pagerduty()


def there(act, *before):
    def prepare(story):
        _, incident = story.born_in_pagerduty()
        for earlier in before:
            earlier(story.world, incident)
            story.settle()
        return lambda: act(story.world, incident)
    return prepare


def acknowledge(world, incident):
    world.pagerduty.acknowledge(incident, world.casey)


def resolve(world, incident):
    world.pagerduty.resolve(incident, world.casey)


def unacknowledge(world, incident):
    world.pagerduty.unacknowledge(incident, world.casey)


def reopen_and_assign(world, incident):
    """A reopening alone leaves no log entry; what is done to the incident then shows it."""
    world.pagerduty.reopen(incident, world.casey)
    world.pagerduty.reassign(incident, world.robin, world.casey)


def move_and_assign(world, incident):
    world.pagerduty.move(incident, world.database, world.casey)
    world.pagerduty.reassign(incident, world.robin, world.casey)


NEW = ("incident.created", "incident.triggered")
"""What a poller calls an incident that was created since its last look."""
ROWS = {
    "created": (created, ["trigger"], [], "incident.created"),
    "raised": (raised, ["trigger"], [], "incident.priority_changed"),
    "assigned": (assigned, ["acknowledge"], [], "incident.assigned"),
    "resolved": (state("resolved"), ["resolve"], [], "incident.resolved"),
    "cancelled": (state("cancelled"), ["resolve"], [], "incident.resolved"),
    "reopened": (state("resolved", "in_progress"), ["trigger"], [], "incident.reopened"),
    "regrouped": (regrouped, ["move", "move"], [], "incident.regrouped"),
    "triggered in PagerDuty": (triggered_there, [], ["created"], "incident.triggered"),
    "acknowledged there": (there(acknowledge), [], ["in_progress"], "incident.acknowledged"),
    "resolved there": (there(resolve), [], ["resolved"], "incident.resolved"),
    "reopened there": (there(reopen_and_assign, resolve), [], ["in_progress"],
                       "incident.reopened"),
    "moved there": (there(move_and_assign), [], ["fields"], "incident.service_updated"),
    "un-acknowledged there": (there(unacknowledge, acknowledge), [], [],
                              "incident.unacknowledged"),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("listening", [False, True], ids=["polled", "polled and received"])
def test_every_row_is_carried_over_with_one_write(name, listening):
    prepare, to_pagerduty, to_stackflow, event_type = ROWS[name]
    story = Story(listening)
    act = prepare(story)
    before, events = story.writes(), len(story.world.payloads)
    act()
    story.settle()
    after = story.writes()
    assert after[0][len(before[0]):] == to_pagerduty
    assert after[1][len(before[1]):] == to_stackflow
    told = [payload for _, payload in story.world.payloads[events:]]
    if listening:
        assert event_type in [payload["event_type"] for payload in told]
    else:
        assert {payload["received_by"] for payload in told} == {"poll"}
        polled = event_type if event_type in NEW else "incident.updated"
        applied = [payload["event_type"] for payload in told if payload["sync"]["apply"]]
        # PagerDuty's log does not say of an alert that the pack itself triggered it.
        assert applied == [polled] + ["incident.triggered"] * to_pagerduty.count("trigger")
    assert not [one for one in story.world.outcomes if isinstance(one, Exception)]


@pytest.mark.parametrize("name", ROWS)
def test_what_was_carried_over_once_gives_no_further_event_that_is_acted_upon(name):
    story = Story(False)
    ROWS[name][0](story)()
    story.settle()
    events = len(story.world.payloads)
    for side in ("pagerduty", "stackflow"):
        story.pollers.start(side)
    story.settle()
    assert acted_upon(story, events) == []


def acted_upon(story, since=0):
    return [event for event in story.pollers.events(since) if event.endswith("!")]


def test_a_record_that_was_opened_taken_and_resolved_between_two_polls_pages_nobody():
    story = Story(False)
    number = story.world.stackflow.create_incident("Database timeout", "P1", group=PLATFORM,
                                                   category="api", person=JANE)
    story.world.stackflow.set_state(number, "resolved")
    story.settle()
    assert story.world.pd_writes() == []
    assert sum(story.world.paged().values()) == 0


def test_a_person_on_a_new_record_acknowledges_what_the_same_event_opened():
    story = Story(False)
    number = story.paged(person=JANE)
    assert incident_of(story.world, number).status == "acknowledged"
    assert story.world.pd_writes() == ["trigger", "acknowledge"]


def test_an_incident_that_was_acknowledged_before_its_record_was_made_is_in_progress():
    story = Story(False)
    incident = story.world.pagerduty.create_incident(story.world.api, "Disk full",
                                                     story.world.casey)
    acknowledge(story.world, incident)
    story.settle()
    record, = story.world.records_of(incident)
    assert record["state"] == "in_progress"


def test_a_merge_in_pagerduty_is_followed():
    story = Story(False)
    first, second = story.paged(), story.paged()
    world = story.world
    target, source = incident_of(world, first).id, incident_of(world, second).id
    world.pagerduty.merge(target, [source], world.casey)
    story.settle()
    assert world.stackflow.incident(second)["state"] == "new"
    resolve(world, target)
    story.settle()
    assert [world.stackflow.incident(one)["state"] for one in (first, second)] == ["resolved"] * 2


@pytest.mark.parametrize("act", [
    lambda world, number: world.stackflow.add_note(number, "Still slow"),
    lambda world, number: world.stackflow.update(number, description="Slower"),
    lambda world, number: world.stackflow.update(number, category="network")])
def test_a_record_under_the_threshold_is_told_once_as_created_and_never_acted_upon(act):
    story = Story(False)
    number = story.paged("P4")
    for _ in range(3):
        act(story.world, number)
        story.settle()
    assert story.pollers.events() == ["incident.created"] + ["incident.updated"] * (
        len(story.world.payloads) - 1)
    assert len(story.world.payloads) > 1


def test_what_changed_since_the_last_look_is_told_with_what_the_record_is_now():
    story = Story(False)
    number = story.paged("P4", person=JANE)
    world = story.world
    for change in (lambda: world.stackflow.set_state(number, "on_hold"),
                   lambda: world.stackflow.unassign(number),
                   lambda: world.stackflow.set_priority(number, "P3"),
                   lambda: world.stackflow.assign(number, group=DATABASE)):
        change()
        story.settle()
    told = [(payload["event_type"], payload["incident"]) for _, payload in world.payloads[1:]]
    assert [event_type for event_type, _ in told] == ["incident.updated"] * 4
    assert [(one["state"], one.get("assigned_to"), one["priority"], one["assignment_group"])
            for _, one in told] == [
        ("on_hold", JANE, "P4", PLATFORM), ("on_hold", None, "P4", PLATFORM),
        ("on_hold", None, "P3", PLATFORM), ("on_hold", None, "P3", DATABASE)]


def test_an_incident_of_a_service_that_nobody_mapped_is_told_as_it_goes_and_left_alone():
    story = Story(False)
    world = story.world
    incident = world.pagerduty.create_incident(world.other, "Printer", world.casey)
    story.settle()
    for act in (acknowledge, resolve):
        act(world, incident)
        story.settle()
    assert story.pollers.events() == ["incident.triggered", "incident.updated", "incident.updated"]
    assert [payload["incident"]["status"] for _, payload in world.payloads] == [
        "triggered", "acknowledged", "resolved"]
    assert world.records_of(incident) == []


def test_with_bidirectional_sync_off_no_record_is_made():
    story = Story(False)
    story.world.configure(bidirectional_sync=False)
    story.pollers.start()
    incident = story.world.pagerduty.create_incident(story.world.api, "Disk full",
                                                     story.world.casey)
    story.settle()
    acknowledge(story.world, incident)
    story.settle()
    assert story.pollers.events() == ["incident.triggered", "incident.updated"]
    assert story.world.records_of(incident) == []


@pytest.mark.parametrize("sync_notes", [True, False])
def test_a_note_is_told_with_its_author_and_its_text_where_notes_are_copied(sync_notes):
    story = Story(False)
    story.world.configure(sync_notes=sync_notes)
    story.pollers.start()
    _, incident = story.born_in_pagerduty()
    world = story.world
    events = len(world.payloads)
    for text in ("Looking", "Found it"):
        world.pagerduty.add_note(incident, text, world.casey)
    world.run(20)
    world.pagerduty.add_note(incident, "Done", world.robin)
    story.settle()
    assert set(story.pollers.events(events)) == {
        "incident.updated", "incident.annotated" + "!" * sync_notes}
    notes = [payload for _, payload in world.payloads[events:]
             if payload["event_type"] == "incident.annotated"]
    assert len(notes) == 3
    assert [one["agent"]["id"] for one in notes] == [world.casey, world.casey, world.robin]
    if sync_notes:
        kept = [note.id for note in world.pagerduty.incident(incident).notes]
        assert [one["note"] for one in notes] == [
            {"id": key, "content": text, "trimmed": False}
            for key, text in zip(kept, ("Looking", "Found it", "Done"))]
    else:
        assert {one["note"]["trimmed"] for one in notes} == {True}


def test_a_note_that_is_listed_before_its_log_entry_is_told_once():
    story = Story(False)
    story.world.configure(sync_notes=True)
    story.pollers.start()
    number, incident = story.born_in_pagerduty()
    world = story.world
    events = len(world.payloads)
    world.pagerduty.add_note(incident, "Looking", world.casey)
    world.run(10)
    world.pagerduty.add_note(incident, "Found it", world.casey)
    story.pollers.poll("pagerduty")
    story.settle()
    told = [payload["note"] for _, payload in world.payloads[events:]
            if payload["event_type"] == "incident.annotated"]
    assert [(note["content"], note["trimmed"]) for note in told] == [
        ("Looking", False), ("Found it", False)]
    assert len(world.stackflow.notes(number)) == 2


def test_a_lost_datastore_makes_no_duplicate():
    story = Story(False)
    number, (_, incident) = story.paged(), story.born_in_pagerduty()
    world = story.world
    for key in list(world.store.values):
        if not key.endswith(".start"):
            del world.store.values[key]
    story.pollers.start()
    world.stackflow.assign(number, person=JANE)
    acknowledge(world, incident)
    story.settle()
    assert world.pd_writes() == ["trigger", "acknowledge"]
    assert len(world.stackflow.incidents()) == 2
    assert world.records_of(incident)[0]["state"] == "in_progress"


def noting(note_visibility="public"):
    """A pair of a site that copies notes."""
    story = Story(False)
    story.world.configure(sync_notes=True)
    story.world.stackflow.switches.note_visibility = note_visibility
    story.pollers.start()
    return story, story.paged()


def test_notes_of_both_sides_are_copied_once_and_not_back():
    story, number = noting()
    world = story.world
    incident = incident_of(world, number)
    world.stackflow.add_note(number, "Restarted the pool", by=JANE)
    story.settle()
    world.pagerduty.add_note(incident.id, "Pool is back", world.casey)
    story.settle()
    world.stackflow.update(number, description="Slower")
    story.settle()
    here = [note["note"].splitlines()[0] for note in world.stackflow.notes(number)]
    there = [note.content.splitlines()[0] for note in incident.notes]
    assert here == ["Restarted the pool", "Casey Oncall (PagerDuty): Pool is back"]
    assert there == [JANE + " (StackFlow): Restarted the pool", "Pool is back"]
    assert [event for event in story.pollers.events() if event.endswith("!") and
            event.startswith(("incident.comment", "incident.annot"))] == [
        "incident.comment_added!", "incident.annotated!"]


def test_a_note_beside_a_change_of_state_is_copied_as_well():
    story, number = noting()
    world = story.world
    world.stackflow.add_note(number, "Restarted the pool", by=JANE)
    world.stackflow.assign(number, person=JANE)
    story.settle()
    incident = incident_of(world, number)
    assert incident.status == "acknowledged"
    assert len(incident.notes) == 1


def test_internal_notes_and_what_was_written_before_are_not_copied():
    story, number = noting("internal")
    world = story.world
    world.stackflow.add_note(number, "Between us", visibility="internal", by=JANE)
    story.settle()
    world.stackflow.add_note(number, "Restarted the pool", by=JANE)
    story.settle()
    world.run(3600)
    story.pollers.start()
    world.stackflow.update(number, description="Slower")
    story.settle()
    assert [note.content.splitlines()[0] for note in incident_of(world, number).notes] == [
        JANE + " (StackFlow): Restarted the pool"]


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_notes_that_cannot_be_read_hold_up_nothing_else(side):
    story, number = noting()
    world = story.world
    incident = incident_of(world, number)
    getattr(world, side).faults.add("/notes", "status", status=403, times=1000)
    if side == "stackflow":
        world.stackflow.add_note(number, "Restarted the pool", by=JANE)
        world.stackflow.assign(number, person=JANE)
    else:
        world.pagerduty.add_note(incident.id, "Mine", world.casey)
        world.pagerduty.acknowledge(incident.id, world.casey)
    story.settle()
    assert incident.status == "acknowledged"
    assert side == "stackflow" or world.stackflow.incident(number)["state"] == "in_progress"
