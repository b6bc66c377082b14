"""What a person opened again, and what only looks like it: stories that random histories found."""

from datetime import timedelta

import pytest
from world import Crash, World

from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.errors import RoutingError
from pagerduty_stackflow.links import Links
from pagerduty_stackflow.reconcile import reconcile

GROUP = "Platform Engineering"
KEY = "stackflow:acme.stackflow.example:"


@pytest.fixture
def world():
    return World()


def created(world, **fields):
    number = world.stackflow.create_incident("Timeout", "P1", group=GROUP, **fields)
    world.settle()
    return number, world.pagerduty.incidents(dedup_key=KEY + number)[0].id


def born_there(world, service=None):
    incident = world.pagerduty.create_incident(service or world.api, "Disk full", world.casey)
    world.settle()
    return world.records_of(incident)[0]["number"], incident


def unheard(world, *acts):
    """Each act in a second of its own, and no webhook of it arrives."""
    world.listening = False
    for act in acts:
        world.run(1)
        act()
    world.run(1)
    world.stackflow.outbox.discard(world.stackflow.subscriptions[0].id)
    for subscription in world.pagerduty.subscriptions():
        world.pagerduty.outbox.discard(subscription)
    world.listening = True


def resolved_in_vain():
    """A record whose resolve PagerDuty accepted and dropped, as the incident had been moved."""
    world = World({"moved_alert_follows_key": False})
    number, incident = created(world)
    unheard(world, lambda: world.pagerduty.move(incident, world.database, world.casey))
    world.stackflow.set_state(number, "resolved")
    world.settle()
    return world, number, incident


def show_as_it_is(world, incident):
    """From now on PagerDuty shows an incident as it is now, whatever becomes of it."""
    answer, shown = world.pagerduty.answer, []

    def late(request):
        if (request.method, request.path) != ("GET", "/incidents/" + incident):
            return answer(request)
        shown.append(shown[0] if shown else answer(request))
        return shown[0]

    world.pagerduty.answer = late
    world.pack().rest.incident(incident)


def waiting(world):
    """The runs that deliveries caused and that have not run yet."""
    world.run(2)
    runs, world.queue = world.queue, []
    return runs


def kill_after(world, one, call):
    """Kill a run right after the call that begins like this."""
    calls = [""]

    def before_call(what):
        if calls[-1].startswith(call):
            world.before_call = lambda what: None
            raise Crash(what)
        calls.append(what)

    world.before_call = before_call
    with pytest.raises(Crash):
        world.run_one(one)


def state(world, number):
    return world.stackflow.incident(number)["state"]


def there(world, incident):
    return world.pagerduty.incident(incident).status


# What only looks like a reopening in PagerDuty.

def test_the_end_of_a_snooze_is_no_reopening(world):
    number, incident = created(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    world.pagerduty.snooze(incident, 600, world.casey)
    world.settle()
    unheard(world, lambda: world.stackflow.set_state(number, "resolved"))
    world.run(700)
    reconcile(world.pack())
    assert (state(world, number), there(world, incident)) == ("resolved", "resolved")


@pytest.mark.parametrize("ahead", [-180, 180])
@pytest.mark.parametrize("heard", [True, False])
def test_a_resolve_after_a_reopening_stays_whatever_stackflows_clock_says(world, ahead, heard):
    world.run(300)
    desk, now = world.stackflow.desk, world.stackflow.desk._now
    desk._now = lambda: now() + timedelta(seconds=ahead)
    number, incident = created(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    assert state(world, number) == "in_progress"
    if heard:
        world.stackflow.set_state(number, "resolved")
        world.settle()
    else:
        unheard(world, lambda: world.stackflow.set_state(number, "resolved"))
        reconcile(world.pack())
    assert (state(world, number), there(world, incident)) == ("resolved", "resolved")


@pytest.mark.parametrize("order, end", [
    (("there", "here", "resolve"), "resolved"), (("here", "resolve", "there"), "in_progress")])
def test_what_both_sides_opened_again_ends_as_whoever_came_last_wanted(world, order, end):
    number, incident = born_there(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    acts = {"there": lambda: world.pagerduty.reopen(incident, world.casey),
            "here": lambda: world.stackflow.reopen(number),
            "resolve": lambda: world.stackflow.set_state(number, "resolved")}
    unheard(world, *[acts[name] for name in order])
    reconcile(world.pack())
    world.settle()
    assert state(world, number) == end
    assert (there(world, incident) == "resolved") == (end == "resolved")


def test_a_note_on_a_resolved_record_does_not_resolve_once_more(world):
    number, incident = born_there(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    unheard(world, lambda: world.pagerduty.reopen(incident, world.casey),
            lambda: world.stackflow.add_note(number, "still looking"))
    reconcile(world.pack())
    assert (state(world, number), there(world, incident)) == ("in_progress", "triggered")


def test_an_incident_that_is_shown_as_it_was_before_it_was_resolved_is_no_reopening(world):
    number, incident = born_there(world)
    show_as_it_is(world, incident)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    reconcile(world.pack())
    assert (state(world, number), there(world, incident)) == ("resolved", "resolved")


def test_a_resolve_that_arrives_between_two_reads_is_no_reopening(world):
    number, incident = created(world)
    world.stackflow.cancel(number)
    world.run(1)
    world.pagerduty.acknowledge(incident, world.casey)
    cancelled, acknowledged = waiting(world)
    world.run_one(cancelled)
    world.stackflow.faults.add("GET /prod/api/incidents", status=500)  # PagerDuty was read by then
    world.run_one(acknowledged)
    world.settle()
    assert len(world.stackflow.incidents()) == 1
    assert (state(world, number), there(world, incident)) == ("cancelled", "resolved")


def test_a_resolve_is_on_its_way_also_to_an_incident_that_was_moved_meanwhile(world):
    number, incident = created(world)
    world.stackflow.set_state(number, "resolved")
    world.run(1)
    world.stackflow.reopen(number)
    world.run(1)
    world.pagerduty.move(incident, world.other, world.casey)
    for one in waiting(world):
        world.run_one(one)
    world.settle()
    assert state(world, number) == "in_progress"
    assert [one.status for one in world.pagerduty.incidents()] == ["resolved", "triggered"]


def test_a_resolve_that_did_not_reach_a_moved_incident_is_sent_again():
    world, number, incident = resolved_in_vain()
    world.act("set_stackflow_state", incident_id=incident, state="in_progress")
    world.run(120)
    reconcile(world.pack())
    assert (state(world, number), there(world, incident)) == ("resolved", "resolved")


def test_what_another_run_opened_again_before_it_was_killed_is_no_reopening_by_a_person(world):
    number, incident = created(world)
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    world.pagerduty.reopen(incident, world.casey)
    reopened, = waiting(world)
    kill_after(world, reopened, "PATCH")
    assert state(world, number) == "in_progress"
    world.run(1)
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    assert (state(world, number), len(world.pagerduty.incidents())) == ("resolved", 1)


def test_late_news_of_an_earlier_resolve_makes_no_reopening_of_a_later_change(world):
    number, incident = born_there(world)
    world.stackflow.set_state(number, "resolved")
    late = waiting(world)
    unheard(world, lambda: world.pagerduty.resolve(incident, world.casey))
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    assert state(world, number) == "in_progress"
    unheard(world, lambda: world.pagerduty.resolve(incident, world.casey),
            lambda: world.stackflow.set_state(number, "on_hold"))
    for one in late:
        world.run_one(one)
    assert state(world, number) == "resolved"
    reconcile(world.pack())
    assert (state(world, number), len(world.pagerduty.incidents())) == ("resolved", 1)


# What is one.

def test_a_reopening_stays_although_the_cancelled_record_was_changed_after_it(world):
    number, incident = created(world)
    world.stackflow.cancel(number)
    world.settle()
    unheard(world, lambda: world.pagerduty.reopen(incident, world.casey))
    world.run(600)
    unheard(world, lambda: world.stackflow.set_priority(number, "P2"))
    world.act("set_stackflow_state", incident_id=incident, state="in_progress")
    assert there(world, incident) == "triggered"
    assert state(world, world.records_of(incident)[0]["number"]) == "new"


def test_a_reopening_in_stackflow_is_known_from_its_own_event_whatever_comes_next(world):
    number, incident = born_there(world)
    world.stackflow.set_state(number, "resolved")
    world.run(1)
    world.pagerduty.resolve(incident, world.casey)
    world.run(1)
    world.stackflow.reopen(number)
    runs = sorted(waiting(world), key=lambda one: ("resolve_incident", "set_stackflow_state",
                                                   "trigger_incident").index(one.action))
    for one in runs:
        world.run_one(one)
    world.settle()
    assert state(world, number) == "in_progress" and world.sf_writes(number) == []
    assert world.pagerduty.incidents()[-1].status == "triggered"


def test_what_was_opened_again_is_resolved_by_rest_as_no_event_reaches_a_closed_alert(world):
    number, incident = created(world)
    unheard(world, lambda: world.pagerduty.resolve(incident, world.casey),
            lambda: world.pagerduty.reopen(incident, world.casey))
    world.stackflow.set_state(number, "resolved")
    world.run(120)
    world.settle()
    world.run(120)
    reconcile(world.pack())
    assert there(world, incident) == "resolved"


def test_a_record_that_carries_on_and_is_cancelled_too_is_followed_by_a_third(world):
    number, incident = born_there(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.stackflow.close(number)
    world.settle()
    for _ in range(2):
        world.pagerduty.reopen(incident, world.casey)
        world.settle()
        number = world.records_of(incident)[-1]["number"]
        world.stackflow.cancel(number)
        world.settle()
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    assert [one["state"] for one in world.records_of(incident)] == [
        "closed", "cancelled", "cancelled", "new"]


def test_a_reconcile_while_a_record_carries_on_for_another_makes_them_share_nothing(world):
    number, incident = created(world)
    world.stackflow.cancel(number)
    world.settle()
    world.pagerduty.reopen(incident, world.casey)
    one, = waiting(world)

    def before_call(what):
        if what.startswith("POST") and what.endswith(number + "/notes"):
            world.before_call = lambda what: None
            reconcile(world.pack())

    world.before_call = before_call
    world.run_one(one)
    world.settle()
    later = world.records_of(incident)[0]["number"]
    assert Links(Datastore(world.store)).read(later).target is None
    world.pagerduty.move(incident, world.database, world.casey)
    world.settle()
    assert world.stackflow.incident(later)["assignment_group"] == "Database Reliability"


# Merges.

def test_a_record_that_is_resolved_leaves_a_shared_incident_to_the_others(world):
    """Its alert may be the only one that is open there, and the last alert takes the incident along.
    """
    first, incident = born_there(world)
    second, source = created(world)
    world.pagerduty.merge(incident, [source], world.casey)
    world.settle()
    world.stackflow.set_state(second, "resolved")
    world.settle()
    assert (there(world, incident), state(world, first)) == ("triggered", "new")
    world.stackflow.set_state(first, "resolved")
    world.settle()
    assert there(world, incident) == "resolved"


def never_shown(world):
    """PagerDuty's webhooks are lost, so only the dedup key leads to the incident."""
    world.pagerduty.outbox.lose(2)
    return created(world)


def test_an_incident_whose_resolve_was_lost_is_resolved_before_a_reopening_triggers_another():
    """PagerDuty accepted the resolve of the first incident, and dropped it."""
    world, number, first = resolved_in_vain()
    world.stackflow.set_state(number, "in_progress")
    world.settle()
    second, = (one.id for one in world.pagerduty.incidents() if one.id != first)
    assert (there(world, first), there(world, second)) == ("resolved", "triggered")
    world.run(300)
    assert not reconcile(world.pack()).repairs
    assert state(world, number) == "in_progress"
    world.pagerduty.reopen(first, world.casey)
    world.settle()
    reconcile(world.pack())
    assert (there(world, first), there(world, second)) == ("triggered", "triggered")


@pytest.mark.parametrize("seconds", [2, 120])
def test_an_incident_that_a_foreign_alert_keeps_open_is_left_to_it(world, seconds):
    number, incident = created(world)
    pack = world.pack()
    world.pagerduty.outbox.lose()
    pack.events.trigger(pack.settings.service_mapping[0].integration_key, "monitor:1", "Disk full",
                        "monitor", "critical")
    world.run(1)
    foreign, = (one.id for one in world.pagerduty.incidents() if one.id != incident)
    world.pagerduty.merge(incident, [foreign], world.casey)
    world.settle()
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert there(world, incident) == "triggered"
    world.run(seconds)
    world.stackflow.reopen(number)
    world.settle()
    newest, = world.pagerduty.incidents(dedup_key=KEY + number + ":1")
    assert (there(world, incident), newest.status) == ("triggered", "triggered")


def test_an_alert_that_a_killed_run_opened_is_resolved_with_its_record(world):
    number, older = born_there(world)
    world.pagerduty.resolve(older, world.casey)
    world.settle()
    world.run(120)
    world.stackflow.set_state(number, "in_progress")
    trigger, = (one for one in waiting(world) if one.action == "trigger_incident")
    kill_after(world, trigger, "POST /v2/enqueue")
    world.run(2)
    forgotten, = (one.id for one in world.pagerduty.incidents() if one.id != older)
    unheard(world, lambda: world.stackflow.cancel(number))
    world.pagerduty.reopen(older, world.casey)
    world.settle()
    world.run(120)
    reconcile(world.pack())
    world.settle()
    assert (there(world, forgotten), there(world, older)) == ("resolved", "triggered")


def test_a_cancelled_record_is_carried_on_in_the_one_that_a_merge_put_beside_it(world):
    first, source = born_there(world)
    second, target = born_there(world)
    unheard(world, lambda: world.stackflow.cancel(first))
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    world.pagerduty.resolve(target, world.casey)
    world.settle()
    unheard(world, lambda: world.pagerduty.reopen(target, world.casey))
    world.run(120)
    reconcile(world.pack())
    assert state(world, second) == "in_progress"
    assert {one["number"] for one in world.stackflow.incidents()} == {first, second}


def test_a_record_that_carries_on_for_two_is_alone_with_their_incident_and_follows_its_move(world):
    first, source = born_there(world)
    second, target = born_there(world)
    world.stackflow.cancel(first)
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    world.stackflow.cancel(second)
    world.settle()
    world.pagerduty.reopen(target, world.casey)
    world.settle()
    number = world.records_of(target)[-1]["number"]
    world.pagerduty.move(target, world.database, world.casey)
    world.settle()
    assert number not in (first, second)
    assert world.stackflow.incident(number)["assignment_group"] == "Database Reliability"


@pytest.mark.parametrize("into", [born_there, created])
@pytest.mark.parametrize("make", [created, never_shown, born_there])
def test_reopened_and_merged_unheard_it_stays_open_and_its_record_resolved(world, make, into):
    number, source = make(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    _, target = into(world)
    unheard(world, lambda: world.pagerduty.reopen(source, world.casey),
            lambda: world.pagerduty.merge(target, [source], world.casey))
    world.run(120)
    world.act("trigger_incident", incident_id=number)
    assert (there(world, target), state(world, number)) == ("triggered", "resolved")


def merged(world):
    """Two records, the incident of the first merged into that of the second."""
    first, source = born_there(world)
    second, target = born_there(world)
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    return first, second, target


@pytest.mark.parametrize("own", [True, False])
def test_a_shared_incident_does_not_wait_for_a_record_that_has_a_newer_one(world, own):
    first, one = created(world)
    second, other = created(world)
    target, source = (one, other) if own else (other, one)
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    world.pagerduty.resolve(target, world.casey)
    world.settle()
    world.stackflow.reopen(first)
    world.settle()
    world.pagerduty.reopen(target, world.casey)
    world.settle()
    assert (state(world, second), there(world, target)) == ("in_progress", "triggered")
    world.stackflow.set_state(second, "resolved")
    world.settle()
    assert there(world, target) == "resolved"
    newer, = world.pagerduty.incidents(dedup_key=KEY + first + ":1")
    assert (state(world, first), newer.status) == ("in_progress", "triggered")
    world.stackflow.assign(first, group="Database Reliability")
    world.settle()
    assert world.pagerduty.incident(newer.id).service_id == world.database


def test_a_reopening_is_compared_with_a_resolve_of_the_shared_incident_that_nobody_saw(world):
    first, second, target = merged(world)
    world.stackflow.set_state(first, "resolved")
    world.settle()
    unheard(world, lambda: world.pagerduty.resolve(target, world.casey))
    world.stackflow.reopen(first)
    world.settle()
    reconcile(world.pack())
    assert (state(world, first), state(world, second)) == ("in_progress", "resolved")
    assert [one.status for one in world.pagerduty.incidents()] == ["resolved"] * 2 + ["triggered"]


def test_a_merge_into_an_incident_that_its_own_record_does_not_know_yet(world):
    """The record's run was killed between the trigger and the memory of it."""
    first, _ = created(world)
    world.stackflow.set_state(first, "resolved")
    world.settle()
    world.stackflow.reopen(first)
    one, = waiting(world)
    kill_after(world, one, "POST /v2/enqueue")
    world.settle()
    second, source = born_there(world)
    target = world.pagerduty.incidents(dedup_key=KEY + first + ":1")[0].id
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    world.pagerduty.resolve(target, world.casey)
    world.settle()
    assert (state(world, first), state(world, second)) == ("resolved", "resolved")


def merged_unheard(world):
    """A record that was taken, its incident, and what that was merged into without an event."""
    number, source = created(world, person="jane@example.com")
    _, target = created(world)
    unheard(world, lambda: world.pagerduty.merge(target, [source], world.casey))
    return number, source, target


def test_a_resolve_that_came_before_the_news_of_a_merge_is_followed_by_no_reopening(world):
    number, source, target = merged_unheard(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.run(120)
    world.act("set_stackflow_state", incident_id=source, state="resolved")
    assert (there(world, target), state(world, number)) == ("triggered", "resolved")


def test_late_news_of_a_merge_before_a_reopening_leads_the_record_nowhere(world):
    number, source = created(world)
    target = world.pagerduty.create_incident(world.other, "Network down", world.casey)
    unheard(world, lambda: world.stackflow.set_state(number, "resolved"),
            lambda: world.pagerduty.merge(target, [source], world.casey))
    reconcile(world.pack())
    world.run(60)
    world.stackflow.reopen(number)
    world.settle()
    world.act("set_stackflow_state", incident_id=source, state="resolved")
    world.settle()
    newest, = world.pagerduty.incidents(dedup_key=KEY + number + ":1")
    assert (state(world, number), newest.status) == ("in_progress", "triggered")


def test_the_merge_of_what_was_resolved_resolves_nothing(world):
    number, source = created(world, person="jane@example.com")
    world.stackflow.set_state(number, "resolved")
    world.settle()
    target = world.pagerduty.create_incident(world.other, "Disk full", world.casey)
    world.pagerduty.merge(target, [source], world.casey)
    world.run(120)
    world.act("set_stackflow_state", incident_id=source, state="resolved")
    assert there(world, target) == "triggered"


def test_the_resolve_of_its_own_record_ends_an_incident_that_a_followers_alert_keeps_open(world):
    number, target = created(world)
    _, source = created(world)
    world.stackflow.set_state(number, "resolved")
    runs = waiting(world)
    world.pagerduty.merge(target, [source], world.casey)
    for one in runs + waiting(world):
        world.run_one(one)
    world.settle()
    world.run(120)
    reconcile(world.pack())
    assert (there(world, target), state(world, number)) == ("resolved", "resolved")


def test_the_resolve_of_its_own_record_ends_an_incident_also_if_nobody_saw_the_merge(world):
    number, target = created(world)
    _, source = created(world)
    unheard(world, lambda: world.pagerduty.merge(target, [source], world.casey))
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.run(120)
    world.act("set_stackflow_state", incident_id=target, state="in_progress")
    assert (there(world, target), state(world, number)) == ("resolved", "resolved")


def test_an_acknowledgement_of_the_target_is_none_of_the_merged_incident(world):
    number, _, target = merged_unheard(world)
    unheard(world, lambda: world.stackflow.unassign(number),
            lambda: world.pagerduty.acknowledge(target, world.casey))
    reconcile(world.pack())
    assert state(world, number) == "in_progress"


# What a killed run wrote.

def test_a_resolve_stays_after_a_killed_run_had_opened_the_record_again(world):
    number, incident = created(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.pagerduty.reopen(incident, world.casey)
    reopened, = waiting(world)
    kill_after(world, reopened, "PATCH")
    world.run(1)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert (state(world, number), there(world, incident)) == ("resolved", "resolved")


def without_a_link(world):
    """A record whose run was killed right after it was created."""
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    one, = waiting(world)
    kill_after(world, one, "POST /prod/api/incidents")
    number = world.records_of(incident)[0]["number"]
    assert Links(Datastore(world.store)).read(number) is None
    return number, incident


def test_a_record_without_a_link_is_found_by_its_mark_beside_one_that_a_merge_brought(world):
    _, source = born_there(world)
    without_a_link(world)
    target = world.pagerduty.incidents()[-1].id
    world.pagerduty.merge(target, [source], world.casey)
    world.settle()
    world.run(120)
    reconcile(world.pack())
    assert [one.id for one in world.pagerduty.incidents()] == [source, target]


def test_a_record_that_a_killed_run_made_to_carry_on_resolves_its_incident_when_cancelled(world):
    number, incident = born_there(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.stackflow.close(number)
    world.settle()
    world.pagerduty.reopen(incident, world.casey)
    one, = waiting(world)
    kill_after(world, one, "POST /prod/api/incidents/")  # the note on the old record
    world.stackflow.cancel(world.records_of(incident)[-1]["number"])
    world.settle()
    assert [one["state"] for one in world.records_of(incident)] == ["closed", "cancelled"]
    assert there(world, incident) == "resolved"


def test_without_links_an_incident_is_resolved_with_all_the_records_that_a_merge_gave_it(world):
    numbers = []
    for _ in range(2):
        numbers.append(world.stackflow.create_incident("Timeout", "P1", group=GROUP))
        one, = waiting(world)
        kill_after(world, one, "POST /v2/enqueue")
    world.settle()
    source, target = [one.id for one in world.pagerduty.incidents()]
    unheard(world, lambda: world.pagerduty.merge(target, [source], world.casey),
            *(lambda number=number: world.stackflow.cancel(number) for number in numbers))
    world.store.values = {name: value for name, value in world.store.values.items()
                          if not name.startswith("pagerduty_stackflow.pagerduty.")}
    for _ in range(2):  # that others follow it is known when the first one was resolved
        world.run(120)
        reconcile(world.pack())
    assert there(world, target) == "resolved"


@pytest.mark.parametrize("service, group", [("other", GROUP), ("database", "Database Reliability")])
def test_without_a_link_the_team_that_pagerduty_pages_keeps_the_incident(world, service, group):
    number, incident = without_a_link(world)
    unheard(world, lambda: world.pagerduty.move(incident, getattr(world, service), world.casey))
    world.act("trigger_incident", incident_id=number)
    assert world.pagerduty.incident(incident).service_id == getattr(world, service)
    assert world.stackflow.incident(number)["assignment_group"] == group


def test_without_a_link_a_move_is_followed_also_after_a_resolve_and_a_reopening(world):
    number, incident = without_a_link(world)
    unheard(world, lambda: world.pagerduty.move(incident, world.database, world.casey),
            lambda: world.pagerduty.resolve(incident, world.casey))
    world.act("set_stackflow_state", incident_id=incident, state="resolved")
    world.pagerduty.reopen(incident, world.casey)
    world.settle()
    assert world.stackflow.incident(number)["assignment_group"] == "Database Reliability"


def test_without_a_link_a_group_that_nobody_mapped_is_left_to_who_chose_it(world):
    number, incident = without_a_link(world)
    unheard(world, lambda: world.stackflow.assign(number, group="Nobody Mapped"))
    with pytest.raises(RoutingError):
        world.act("set_stackflow_state", incident_id=incident, state="in_progress")
    assert world.stackflow.incident(number)["assignment_group"] == "Nobody Mapped"


@pytest.mark.parametrize("service, group", [("other", "Database Reliability"), ("api", GROUP)])
def test_a_group_that_a_killed_run_wrote_is_no_choice_of_a_person(world, service, group):
    number, incident = born_there(world)
    world.pagerduty.move(incident, world.database, world.casey)
    one, = waiting(world)
    kill_after(world, one, "PATCH")
    assert world.stackflow.incident(number)["assignment_group"] == "Database Reliability"
    world.run(1)
    world.pagerduty.move(incident, getattr(world, service), world.casey)
    world.settle()
    reconcile(world.pack())
    assert world.pagerduty.incident(incident).service_id == getattr(world, service)
    assert world.stackflow.incident(number)["assignment_group"] == group
