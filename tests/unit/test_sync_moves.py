"""Handing an incident to another team, on either side: the new team is paged once, nobody twice."""

import itertools

import pytest
from world import Crash, World

from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.errors import ApiError, BadInputError, NotFoundError, RoutingError
from pagerduty_stackflow.links import Links

GROUP, DATABASE, UNMAPPED = "Platform Engineering", "Database Reliability", "Nobody Mapped"


def site(pagerduty=None, **config):
    """A world whose database service has a team of its own."""
    world = World(pagerduty, **config)
    world.dana = world.pagerduty.add_user("Dana Database", "dana@example.com", id="PDANA00")
    policy = world.pagerduty.add_escalation_policy("Database", [(5, [world.dana])])
    world.pagerduty.account.services[world.database].policy_id = policy
    return world


@pytest.fixture
def world():
    return site()


def paged_incident(world, **fields):
    number = world.stackflow.create_incident("Slow", "P1", group=GROUP, category="api", **fields)
    world.settle()
    return number, world.pagerduty.incidents()[0].id


def group_of(world, number):
    record = world.stackflow.incident(number)
    return record["assignment_group"], record["category"]


def check_moved(world, incident_id, times=1):
    incident = world.pagerduty.incident(incident_id)
    assert (incident.service_id, incident.status) == (world.database, "triggered")
    assert incident.assignees == [world.dana]
    assert world.paged() == {world.casey: 1, world.robin: 0, world.bot: 0, world.dana: times}
    assert len(world.pagerduty.incidents()) == 1


def link_of(world, number):
    return Links(Datastore(world.store)).read(number)


def forget_links(world):
    world.store.values = {name: value for name, value in world.store.values.items()
                          if name.endswith(".start")}


def failures(world):
    return [one for one in world.outcomes if isinstance(one, Exception)]


def test_another_group_in_stackflow_pages_its_team_once_and_nothing_comes_back(world):
    number, incident_id = paged_incident(world)
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    check_moved(world, incident_id)
    assert world.stackflow.state_writes(number) == [] and failures(world) == []
    assert group_of(world, number) == (DATABASE, "api")


SWITCHES = ("move_takes_service_policy", "move_reassigns", "move_needs_second_put",
            "move_keeps_acknowledgement")


@pytest.mark.parametrize("acknowledged", [False, True])
@pytest.mark.parametrize("values", list(itertools.product((False, True), repeat=4)))
def test_whatever_a_move_does_to_policy_and_state_the_new_team_is_paged_once(values, acknowledged):
    world = site(dict(zip(SWITCHES, values)))
    number, incident_id = paged_incident(world)
    if acknowledged:
        world.pagerduty.acknowledge(incident_id, world.casey)
        world.settle()
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    incident = world.pagerduty.incident(incident_id)
    assert (incident.service_id, incident.status, incident.assignees) == (
        world.database, "triggered", [world.dana])
    pages = {user: [page.reason for page in found]
             for user, found in world.pagerduty.notifications.items()}
    assert len(pages[world.dana]) == 1 and not pages[world.robin] and not pages[world.bot]
    assert pages[world.casey] in (["triggered"], ["triggered", "moved"])  # by PagerDuty's own doing


def test_a_move_that_pagerduty_does_not_make_fails_loudly():
    world = site({"move_refused": True})
    number, incident_id = paged_incident(world)
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    error = failures(world)[0]
    assert isinstance(error, ApiError) and "Database Service" in error.message and error.hint
    assert world.pagerduty.incident(incident_id).service_id == world.api


def test_group_and_person_in_one_event_move_and_never_acknowledge_for_that_person(world):
    number, incident_id = paged_incident(world)
    world.stackflow.assign(number, person="robin@example.com", group=DATABASE)
    world.settle()
    check_moved(world, incident_id)
    world.act("acknowledge_incident", incident_id=number,
              incident=world.stackflow.incident(number))
    assert world.pagerduty.incident(incident_id).status == "triggered"
    world.stackflow.assign(number, person="dana@example.com")
    world.settle()
    assert world.pagerduty.incident(incident_id).status == "acknowledged"


def test_a_group_that_nobody_mapped_fails_loudly_and_the_old_team_keeps_it(world):
    number, incident_id = paged_incident(world)
    world.stackflow.assign(number, person="robin@example.com", group=UNMAPPED)
    world.settle()
    error, = failures(world)
    assert isinstance(error, RoutingError) and UNMAPPED in error.message and error.hint
    incident = world.pagerduty.incident(incident_id)
    assert (incident.service_id, incident.status) == (world.api, "triggered")
    assert world.paged()[world.casey] == 1
    world.stackflow.assign(number, person="dana@example.com")
    world.stackflow.set_state(number, "in_progress")
    world.settle()
    assert world.pagerduty.incident(incident_id).status == "acknowledged"
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident_id).status == "resolved"


def test_a_group_that_nobody_mapped_fails_loudly_without_a_link_too(world):
    number, incident_id = paged_incident(world)
    forget_links(world)
    world.stackflow.assign(number, group=UNMAPPED)
    world.settle()
    assert isinstance(failures(world)[0], RoutingError)
    with pytest.raises(RoutingError):
        world.act("reroute_incident", incident_id=number)


def test_what_the_default_service_pages_has_no_other_place():
    world = site(default_pagerduty_service_id="P5678CD")
    number = world.stackflow.create_incident("Slow", "P1", group=UNMAPPED)
    world.settle()
    assert world.act("reroute_incident", incident_id=number).outcome == "already"
    forget_links(world)
    assert world.act("trigger_incident", incident_id=number).outcome == "already"
    assert world.act("reroute_incident", incident_id=number).outcome == "already"


def test_the_default_service_serves_opening_only():
    world = site(default_pagerduty_service_id="P5678CD")
    number, incident_id = paged_incident(world)
    world.stackflow.assign(number, group=UNMAPPED)
    world.settle()
    assert isinstance(failures(world)[0], RoutingError)
    assert world.pagerduty.incident(incident_id).service_id == world.api


def test_a_group_of_the_same_service_moves_nothing():
    world = site()
    world.configure(service_mapping=world.config["service_mapping"] + [
        dict(world.config["service_mapping"][0], stackflow_assignment_group=UNMAPPED)])
    number, incident_id = paged_incident(world)
    world.stackflow.assign(number, group=UNMAPPED, person="robin@example.com")
    world.settle()
    assert world.pd_writes() == ["trigger", "acknowledge"] and failures(world) == []
    assert link_of(world, number).here["place"] == UNMAPPED
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    assert world.pagerduty.incident(incident_id).service_id == world.database


def test_before_the_trigger_was_seen_the_move_waits_for_it():
    world = site({"event_delay": 20.0})
    number = world.stackflow.create_incident("Slow", "P1", group=GROUP, category="api")
    world.run(1)
    world.run_queue()
    world.stackflow.assign(number, group=DATABASE)
    world.run(1)
    world.run_queue()
    world.settle()
    check_moved(world, world.pagerduty.incidents()[0].id)


def test_another_group_that_overtakes_the_trigger_pages_the_right_team_at_once(world):
    number = world.stackflow.create_incident("Slow", "P1", group=GROUP, category="api")
    world.run(1)
    world.stackflow.assign(number, group=DATABASE)
    world.run(1)
    world.run_queue(order=lambda queue: queue[::-1])
    world.settle()
    incident, = world.pagerduty.incidents()
    assert (incident.service_id, incident.status) == (world.database, "triggered")
    assert (world.paged()[world.casey], world.paged()[world.dana]) == (0, 1)


def test_on_an_incident_born_in_pagerduty(world):
    incident_id = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    number = world.records_of(incident_id)[0]["number"]
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    check_moved(world, incident_id)


def test_there_and_back_again(world):
    number, incident_id = paged_incident(world)
    for group, service in ((DATABASE, world.database), (GROUP, world.api)):
        world.stackflow.assign(number, group=group)
        world.settle()
        assert world.pagerduty.incident(incident_id).service_id == service
    assert world.paged()[world.dana] == 1 and world.paged()[world.casey] == 2
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident_id).status == "resolved"


def test_there_and_back_before_anybody_looked_moves_nothing(world):
    number, incident_id = paged_incident(world)
    world.stackflow.assign(number, group=DATABASE)
    world.stackflow.assign(number, group=GROUP)
    world.settle()
    assert world.pagerduty.incident(incident_id).service_id == world.api
    assert world.paged()[world.casey] == 1 and world.paged()[world.dana] == 0


@pytest.mark.parametrize("follows", [True, False])
def test_after_a_move_everything_goes_by_rest(follows):
    world = site({"moved_alert_follows_key": follows})
    number, incident_id = paged_incident(world)
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    world.stackflow.assign(number, person="dana@example.com")
    world.settle()
    assert world.pagerduty.incident(incident_id).status == "acknowledged"
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident_id).status == "resolved"
    assert [write.api for write in world.pagerduty.writes][1:] == ["rest"] * 3
    world.stackflow.reopen(number)
    world.settle()
    assert [one.service_id for one in world.pagerduty.incidents(status="triggered")] == [
        world.database]


def test_another_service_in_pagerduty_hands_the_record_to_its_group_and_nothing_comes_back(world):
    number, incident_id = paged_incident(world)
    world.pagerduty.move(incident_id, world.database, world.casey)
    writes = len(world.pagerduty.writes)
    world.settle()
    assert group_of(world, number) == (DATABASE, "database")
    assert len(world.pagerduty.writes) == writes and failures(world) == []
    assert world.paged()[world.dana] == 1
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident_id).status == "resolved"


def test_a_service_whose_entry_has_no_category_hands_over_once_whatever_category_the_record_has():
    entries = World().config["service_mapping"]
    world = site(service_mapping=[
        {name: value for name, value in entries[0].items() if name != "stackflow_category"},
        dict(entries[1], stackflow_assignment_group=GROUP)])
    number = world.stackflow.create_incident("Slow", "P1", group=GROUP, category="database")
    world.settle()
    incident = world.pagerduty.incidents()[0]
    assert incident.service_id == world.database
    world.pagerduty.move(incident.id, world.api, world.casey)
    world.settle()
    before = len(world.stackflow.writes)
    assert world.act("reconcile").as_result()["in_step"] == 1
    assert len(world.stackflow.writes) == before
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident.id).status == "resolved"


def test_a_service_that_nobody_mapped_leaves_the_group_and_goes_by_rest(world):
    number, incident_id = paged_incident(world)
    world.pagerduty.move(incident_id, world.other, world.casey)
    world.settle()
    assert group_of(world, number) == (GROUP, "api") and failures(world) == []
    forget_links(world)
    for _ in range(2):
        world.act("trigger_incident", incident_id=number)
    assert world.pagerduty.incident(incident_id).service_id == world.other
    assert group_of(world, number) == (GROUP, "api")
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident_id).status == "resolved"


def test_from_an_unmapped_service_to_a_mapped_one_makes_the_record(world):
    incident_id = world.pagerduty.create_incident(world.other, "Disk full", world.casey)
    world.settle()
    assert world.records_of(incident_id) == []
    world.pagerduty.move(incident_id, world.database, world.casey)
    world.settle()
    assert [one["assignment_group"] for one in world.records_of(incident_id)] == [DATABASE]


def test_bidirectional_sync_off_writes_no_group_and_still_moves():
    world = site(bidirectional_sync=False)
    number, incident_id = paged_incident(world)
    world.pagerduty.move(incident_id, world.database, world.casey)
    world.settle()
    assert group_of(world, number) == (GROUP, "api") and world.queue == []
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    assert world.paged()[world.dana] == 1 and failures(world) == []


@pytest.mark.parametrize("last", ["stackflow", "pagerduty"])
def test_where_both_sides_were_changed_pagerduty_counts_whichever_event_came_through(last):
    world = site()
    world.stackflow.add_group("Network")
    network = world.pagerduty.add_service("Network", world.policy)
    world.configure(service_mapping=world.config["service_mapping"] + [
        {"pagerduty_service_id": network, "pagerduty_service_name": "Network",
         "stackflow_assignment_group": "Network", "integration_key": "n" * 32}])
    number, incident_id = paged_incident(world)
    acts = [lambda: world.stackflow.assign(number, group="Network"),
            lambda: world.pagerduty.move(incident_id, world.database, world.casey)]
    first, second = acts if last == "pagerduty" else acts[::-1]
    simulators = (world.stackflow, world.pagerduty)
    simulators[last == "stackflow"].outbox.lose()
    first()
    second()
    world.settle()
    assert (world.pagerduty.incident(incident_id).service_id, group_of(world, number)[0]) == (
        world.database, DATABASE)


@pytest.mark.parametrize("sync", [True, False])
def test_where_both_sides_were_changed_and_no_event_tells_pagerduty_counts_if_it_may(sync):
    world = site(bidirectional_sync=sync)
    world.stackflow.add_group("Network")
    network = world.pagerduty.add_service("Network", world.policy)
    world.configure(service_mapping=world.config["service_mapping"] + [
        {"pagerduty_service_id": network, "pagerduty_service_name": "Network",
         "stackflow_assignment_group": "Network", "integration_key": "n" * 32}])
    number, incident_id = paged_incident(world)
    for simulator in (world.stackflow, world.pagerduty):
        simulator.outbox.lose()
    world.stackflow.assign(number, group="Network")
    world.pagerduty.move(incident_id, world.database, world.casey)
    world.act("trigger_incident", incident_id=number)
    wanted = (world.database, DATABASE) if sync else (network, "Network")
    assert (world.pagerduty.incident(incident_id).service_id, group_of(world, number)[0]) == wanted


@pytest.mark.parametrize("lost", [False, True])
def test_a_lost_event_of_another_group_is_made_good_by_any_other(lost):
    world = site()
    number, incident_id = paged_incident(world)
    world.stackflow.outbox.lose()
    world.stackflow.assign(number, group=DATABASE)
    if lost:
        forget_links(world)
    world.stackflow.assign(number, person="robin@example.com")
    world.settle()
    check_moved(world, incident_id)


def test_a_record_born_in_pagerduty_follows_its_incident_without_a_link_too(world):
    incident_id = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    number = world.records_of(incident_id)[0]["number"]
    forget_links(world)
    world.pagerduty.move(incident_id, world.database, world.casey)
    world.settle()
    assert group_of(world, number) == (DATABASE, "database")
    check_moved(world, incident_id)


def test_of_several_records_on_one_incident_none_moves_it(world):
    number, target = paged_incident(world)
    other = world.stackflow.create_incident("Slower", "P1", group=GROUP, category="api")
    world.settle()
    source = [one.id for one in world.pagerduty.incidents() if one.id != target]
    world.pagerduty.merge(target, source, world.casey)
    world.settle()
    world.stackflow.assign(other, group=DATABASE)
    world.settle()
    assert world.pagerduty.incident(target).service_id == world.api and failures(world) == []
    assert group_of(world, other)[0] == DATABASE
    world.stackflow.assign(other, group=UNMAPPED)
    world.settle()
    assert failures(world) == []


def test_what_is_resolved_is_moved_no_more(world):
    number, incident_id = paged_incident(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    writes = len(world.pagerduty.writes)
    for group in (DATABASE, UNMAPPED):
        world.stackflow.assign(number, group=group)
        world.settle()
    assert len(world.pagerduty.writes) == writes and failures(world) == []
    world.stackflow.reopen(number)
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    moved = world.pagerduty.incidents()[-1]
    assert (moved.service_id, moved.status) == (world.database, "triggered")


def test_back_with_its_group_after_a_crash_it_goes_back_to_its_service(world):
    number, incident_id = paged_incident(world)
    world.stackflow.assign(number, group=DATABASE)
    world.run()

    def crash(what):
        if world.pagerduty.incident(incident_id).service_id == world.database:
            raise Crash()
    world.before_call = crash
    with pytest.raises(Crash):
        world.run_queue()
    world.before_call = lambda what: None
    world.queue.clear()
    world.stackflow.assign(number, group=GROUP)
    world.settle()
    assert world.pagerduty.incident(incident_id).service_id == world.api
    assert group_of(world, number)[0] == GROUP


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_without_a_link_the_event_tells_which_side_was_changed(side):
    world = site()
    number, incident_id = paged_incident(world)
    forget_links(world)
    if side == "stackflow":
        world.stackflow.assign(number, group=DATABASE)
    else:
        world.pagerduty.move(incident_id, world.database, world.casey)
    world.settle()
    assert world.pagerduty.incident(incident_id).service_id == world.database
    assert group_of(world, number)[0] == DATABASE
    assert world.paged()[world.dana] == 1
    world.stackflow.set_state(number, "resolved")
    world.settle()
    assert world.pagerduty.incident(incident_id).status == "resolved"


@pytest.mark.parametrize("switches", [{}, {"move_keeps_acknowledgement": True},
                                      {"move_needs_second_put": True}])
@pytest.mark.parametrize("call", range(20))
def test_a_crash_before_any_call_is_made_good_by_the_next_event(call, switches):
    world = site(switches)
    number, incident_id = paged_incident(world)
    world.pagerduty.acknowledge(incident_id, world.casey)
    world.settle()
    world.stackflow.assign(number, group=DATABASE)
    world.run(1)
    left = [call]

    def crash(what):
        left[0] -= 1
        if left[0] < 0:
            raise Crash()
    world.before_call = crash
    try:
        world.run_queue()
    except Crash:
        pass
    world.before_call = lambda what: None
    world.settle()
    world.act("reroute_incident", incident_id=number)
    world.settle()
    check_moved(world, incident_id)


def test_an_answer_that_is_lost_is_looked_up_and_pages_nobody_twice(world):
    number, incident_id = paged_incident(world)
    world.pagerduty.faults.add("PUT /incidents", "drop_answer")
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    check_moved(world, incident_id)


def test_a_person_moves_by_group_and_pagerduty_carries_it_over(world):
    number, incident_id = paged_incident(world)
    outcome = world.act("reroute_incident", incident_id=number, assignment_group=DATABASE)
    assert outcome.outcome == "done"
    assert world.act("reroute_incident", incident_id=incident_id,
                     assignment_group=DATABASE).outcome == "already"
    world.settle()
    check_moved(world, incident_id)
    assert group_of(world, number) == (DATABASE, "database")


def test_a_person_moves_an_incident_without_a_record(world):
    incident_id = world.pagerduty.create_incident(world.other, "Disk full", world.casey)
    world.act("reroute_incident", incident_id=incident_id, assignment_group=DATABASE)
    assert world.pagerduty.incident(incident_id).service_id == world.database


def test_what_cannot_be_moved_is_said_and_nothing_is_written(world):
    number, incident_id = paged_incident(world)
    for wrong, kind in (
            ({"incident_id": number, "assignment_group": UNMAPPED}, RoutingError),
            ({"incident_id": number, "category": "api"}, BadInputError),
            ({"incident_id": "INC0999999"}, NotFoundError),
            ({"incident_id": "nonsense"}, BadInputError)):
        with pytest.raises(kind) as caught:
            world.act("reroute_incident", **wrong)
        assert caught.value.hint
    world.stackflow.set_state(number, "resolved")
    world.settle()
    writes = len(world.pagerduty.writes)
    outcome = world.act("reroute_incident", incident_id=number, assignment_group=DATABASE)
    assert outcome.outcome == "skipped" and len(world.pagerduty.writes) == writes


def test_fields_are_written_as_a_person_asks(world):
    number, incident_id = paged_incident(world)
    outcome = world.act("update_stackflow_incident", incident_id=incident_id,
                        fields={"priority": "P2"})
    assert (outcome.outcome, outcome.stackflow_id) == ("done", number)
    assert world.stackflow.incident(number)["priority"] == "P2"
    for wrong, fields in ((number, {}), ("x", {"priority": "P1"})):
        with pytest.raises(BadInputError):
            world.act("update_stackflow_incident", incident_id=wrong, fields=fields)
    world.configure(bidirectional_sync=False)
    assert world.act("update_stackflow_incident", incident_id=number,
                     fields={"priority": "P3"}).outcome == "skipped"
    assert world.stackflow.incident(number)["priority"] == "P2"


def test_a_move_leaves_no_mark_of_its_own_behind(world):
    number, _ = paged_incident(world)
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    link = link_of(world, number)
    assert (link.expects, link.key_fingerprint) == (None, None)
    assert (link.here["place"], link.there["place"]) == (DATABASE, world.database)


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_handed_over_while_it_was_resolved_it_moves_as_it_is_reopened(world, side):
    number, incident_id = paged_incident(world)
    world.stackflow.set_state(number, "resolved")
    world.settle()
    world.stackflow.assign(number, group=DATABASE)
    world.settle()
    world.pagerduty.reopen(incident_id, world.casey)
    if side == "pagerduty":
        world.pagerduty.move(incident_id, world.database, world.casey)
    world.settle()
    incident, record = world.pagerduty.incident(incident_id), world.stackflow.incident(number)
    assert (incident.service_id, incident.status) == (world.database, "triggered")
    assert (record["assignment_group"], record["state"]) == (DATABASE, "in_progress")
    assert world.paged()[world.dana] == 1
