"""Somebody else moves a record between our look and our write, or the server refuses in one of its
many ways.
"""

import pytest
from world import World

from pagerduty_stackflow.errors import ApiError, ConflictError, CredentialsError, NotFoundError

GROUP = "Platform Engineering"


@pytest.fixture(params=["flat", "nested"])
def world(request):
    made = World()
    made.stackflow.switches.error_shape = request.param
    return made


def created(world):
    number = world.stackflow.create_incident("Database timeout", "P1", group=GROUP, category="api")
    world.settle()
    return number, world.pagerduty.incidents()[0].id


def born_in_pagerduty(world):
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.settle()
    return world.records_of(incident)[0]["number"], incident


def meanwhile(world, call, act):
    """Let somebody act right before the first call whose name begins so."""
    def hook(what):
        if what.startswith(call):
            world.before_call = lambda what: None
            act()
    world.before_call = hook


def test_a_record_closed_right_before_our_resolve_counts_as_agreement(world):
    number, incident = created(world)
    world.pagerduty.resolve(incident, world.casey)
    meanwhile(world, "PATCH", lambda: (world.stackflow.set_state(number, "resolved"),
                                       world.stackflow.close(number)))
    world.settle()
    assert world.stackflow.incident(number)["state"] == "closed"
    assert world.status(number) == "resolved"
    assert not [one for one in world.outcomes if isinstance(one, Exception)]


def test_a_move_of_what_was_resolved_right_before_fails_and_says_what_to_do(world):
    number, incident = created(world)
    world.configure(service_mapping=[
        world.config["service_mapping"][0],
        dict(world.config["service_mapping"][0], pagerduty_service_id=world.database,
             stackflow_assignment_group="Database")])
    meanwhile(world, "GET /services", lambda: world.pagerduty.resolve(incident, world.casey))
    with pytest.raises(ConflictError) as caught:
        world.act("reroute_incident", incident_id=number, assignment_group="Database")
    assert caught.value.retryable and "run it again" in caught.value.hint


def test_a_record_cancelled_right_before_our_acknowledgement_is_left_alone_and_resolves(world):
    number, incident = created(world)
    world.pagerduty.acknowledge(incident, world.casey)
    meanwhile(world, "PATCH", lambda: world.stackflow.cancel(number))
    world.settle()
    assert world.stackflow.incident(number)["state"] == "cancelled"
    assert world.status(number) == "resolved"


def test_a_transition_that_the_site_forbids_fails_with_the_servers_own_words(world):
    number, incident = created(world)
    world.stackflow.switches.transitions["new"] = ("cancelled",)
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    error = [one for one in world.outcomes if isinstance(one, ConflictError)][-1]
    assert "409" in error.message and "INVALID_STATE_TRANSITION" in error.message
    assert "does not allow" in error.hint


@pytest.mark.parametrize("state", ["new", "on_hold"])
def test_where_only_what_is_at_work_can_be_resolved_it_is_set_to_work_first(world, state):
    number, incident = created(world)
    world.stackflow.set_state(number, state)
    world.settle()
    world.stackflow.switches.transitions[state] = ("in_progress", "cancelled")
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    assert world.stackflow.incident(number)["state"] == "resolved"
    assert world.sf_writes(number) == ["in_progress", "resolved"]
    assert not [one for one in world.outcomes if isinstance(one, Exception)]
    assert world.status(number) == "resolved"


@pytest.mark.parametrize("match", ["PATCH /prod/api/incidents", "GET /prod/api/incidents"])
def test_an_outage_of_a_minute_is_waited_out(world, match):
    number, incident = created(world)
    world.pagerduty.resolve(incident, world.casey)
    world.run(2)
    world.stackflow.faults.add(match, "status", 503, times=10 ** 6)
    world.stackflow.after(60, world.stackflow.faults.clear)
    world.run_queue()
    assert world.outcomes[-1].outcome == "done"
    assert world.stackflow.incident(number)["state"] == "resolved"
    assert world.sf_writes(number) == ["resolved"]


def test_an_outage_that_lasts_fails_the_run_in_time_and_says_so(world):
    number, incident = created(world)
    world.pagerduty.resolve(incident, world.casey)
    world.run(2)
    world.stackflow.faults.add("PATCH", "status", 503, times=10 ** 6)
    before = world.clock.now()
    world.run_queue()
    assert isinstance(world.outcomes[-1], ApiError) and world.outcomes[-1].retryable
    assert (world.clock.now() - before).total_seconds() <= 120


def test_a_missing_resolution_field_fails_with_a_hint_to_the_setting_that_adds_it(world):
    world.stackflow.switches.resolve_requires = ("resolution_code",)
    number, incident = created(world)
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    error = [one for one in world.outcomes if isinstance(one, ApiError)][-1]
    assert error.status == 422 and "stackflow.resolve_fields" in error.hint


def test_resolve_fields_are_sent_with_a_resolve_and_filled_in_from_templates(world):
    world.stackflow.switches.resolve_requires = ("resolution_code", "resolution_notes")
    world.config["stackflow"] = dict(world.config["stackflow"], resolve_fields={
        "resolution_code": "external",
        "resolution_notes": "Resolved in PagerDuty: [[ pagerduty.title ]]"})
    world.configure()
    number, incident = created(world)
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    write = world.stackflow.state_writes(number)[-1]
    assert write.body["resolution_code"] == "external"
    assert write.body["resolution_notes"].endswith("Database timeout")


def test_a_broken_template_of_a_resolve_field_leaves_the_field_out(world):
    world.config["stackflow"] = dict(world.config["stackflow"], resolve_fields={
        "close_code": "[[ pagerduty.nothing.there ]]"})
    world.configure()
    number, incident = created(world)
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    assert world.stackflow.state_writes(number)[-1].body == {"state": "resolved"}
    assert any("stackflow.resolve_fields.close_code is broken" in warning and "left out" in warning
               for one in world.outcomes for warning in one.warnings)


def test_a_note_is_written_only_beside_a_state_of_stackflow(world):
    number, incident = created(world)
    world.act("set_stackflow_state", incident_id=incident, state="in_progress", note="On it")
    assert world.stackflow.notes(number) == []
    world.listening = False
    world.pagerduty.acknowledge(incident, world.casey)
    world.act("set_stackflow_state", incident_id=incident, state="in_progress", note="On it",
              by="Casey")
    assert [note["note"] for note in world.stackflow.notes(number)] == ["Casey: On it"]


def test_resolved_by_a_person_right_before_our_rest_resolve(world):
    number, incident = born_in_pagerduty(world)
    world.stackflow.set_state(number, "resolved")
    meanwhile(world, "PUT /incidents", lambda: world.pagerduty.resolve(incident, world.casey))
    world.settle()
    assert world.pagerduty.incident(incident).status == "resolved"
    assert world.stackflow.incident(number)["state"] == "resolved"


@pytest.mark.parametrize("code", [1001, 1002, 1005, 1006, 1011, 1012, 1019])
def test_a_conflict_of_pagerduty_is_read_again_and_decided_again(world, code):
    number, incident = born_in_pagerduty(world)
    world.stackflow.set_state(number, "resolved")
    world.pagerduty.faults.add("PUT /incidents", "status", 400, body={
        "error": {"code": code, "message": "Arguments Caused Error", "errors": ["moved"]}})
    world.settle()
    assert world.pagerduty.incident(incident).status == "resolved"
    assert [write.api for write in world.pagerduty.writes] == ["rest"]


@pytest.mark.parametrize("body, words", [
    ({"error": {"code": 2001, "message": "Invalid Input Provided", "errors": ["one", "two"]}},
     "code 2001: Invalid Input Provided: one; two"),
    ({"error": {"code": 2001, "message": "Invalid", "errors": "just text"}},
     "Invalid: just text"),
    ({"error": {"message": "No code"}}, "No code"),
    ({"error": "only a string"}, "only a string"),
    ({"error": ["a", "list"]}, "a; list"),
    ({"errors": ["bare"]}, "bare"), ({}, "400"), (None, "400"), ("text", "400"), ([], "400")])
def test_every_shape_of_a_pagerduty_error_is_quoted(world, body, words):
    number, incident = born_in_pagerduty(world)
    world.stackflow.set_state(number, "resolved")
    world.pagerduty.faults.add("PUT /incidents", "status", 400, body=body)
    world.settle()
    error = [one for one in world.outcomes if isinstance(one, ApiError)][-1]
    assert words in error.message and not error.retryable
    assert world.pagerduty.incident(incident).status == "triggered"


def test_a_revoked_rest_key_fails_with_what_the_operator_has_to_do(world):
    number, incident = born_in_pagerduty(world)
    world.pagerduty.revoke_api_key("rest-key-0123456789x")
    world.stackflow.set_state(number, "resolved")
    world.settle()
    error = [one for one in world.outcomes if isinstance(one, CredentialsError)][-1]
    assert "API key expired or revoked" in error.message
    assert "generate a new key in PagerDuty and update it in Secrets Manager" in error.hint
    assert "rest-key" not in repr(error.as_result())


def test_a_deleted_record_is_reported_and_nothing_is_created_in_its_place(world):
    number, incident = born_in_pagerduty(world)
    world.stackflow.desk.delete(number)
    world.pagerduty.resolve(incident, world.casey)
    world.settle()
    assert world.outcomes[-1].outcome == "skipped"
    assert "deleted" in world.outcomes[-1].reason
    assert world.stackflow.incidents() == []
    with pytest.raises(NotFoundError):
        world.act("trigger_incident", incident_id=number)


def test_an_unreachable_datastore_fails_the_run_and_opens_nothing(world):
    world.listening = False
    number = world.stackflow.create_incident("x", "P1", group=GROUP, category="api")
    world.store.unreachable = True
    with pytest.raises(Exception) as raised:
        world.act("trigger_incident", incident_id=number)
    assert raised.value.kind == "datastore" and raised.value.retryable
    world.store.unreachable = False
    world.run(2)
    assert world.pagerduty.incidents() == []
