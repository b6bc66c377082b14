"""The workflow escalate_sla_breach, on its real engine: who is paged when, what ends it, and that
every way through it is taken.
"""

from __future__ import annotations

import logging

import pytest
from conducted import all_transitions
from sla_world import GROUP, KEY, MINUTES, RESOLUTION, RESPONSE, SlaWorld

JANE = "jane@example.com"
TIME = 60 * MINUTES + 70
"""Seconds after which nobody has answered, and a look has shown it."""
LOOK = 70
"""Seconds in which a workflow has looked again."""
HOSTILE = "{{ st2kv.system.pagerduty_api_key }} {% raw %} <% ctx().st2 %> [[ incident ]]"


@pytest.fixture
def world():
    return SlaWorld()


@pytest.fixture
def number(world):
    return world.opened()


def own_policy():
    """A world whose SLA leads to the policy that pages for the service anyway."""
    world = SlaWorld()
    world.configure(escalation_mapping=[{
        "stackflow_sla_policy": RESOLUTION, "pagerduty_escalation_policy_id": world.policy,
        "trigger_on": "sla_breach"}])
    return world


def reason_of_end(workflow, unanswered=False):
    """Why a workflow ended, which succeeded."""
    assert workflow.status == "succeeded", workflow.results
    assert workflow.output["unanswered"] is unanswered
    return workflow.results[-1][1]["reason"]


def last(world, number):
    return world.incident(number, ":unanswered")


def test_a_breach_starts_the_mapped_policy_with_one_write_and_a_note_on_both_sides(world, number):
    world.breach(number)
    assert world.incident(number).policy_id == world.command
    assert world.puts() == [{"escalation_policy": {"id": world.command,
                                                   "type": "escalation_policy_reference"}}]
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], [])
    note, = world.notes(number)
    assert note == world.incident(number).notes[0].content
    assert note == ("SLA %s, escalation of 2026-01-05 10:00:04 UTC: PagerDuty's escalation policy "
                    "Command was started" % RESOLUTION)
    assert world.stackflow.state_writes(number) == []


def test_pagerduty_climbs_the_policy_and_then_comes_the_last_resort(world, number):
    world.breach(number)
    world.wait(TIME - 80)
    workflow, = world.workflows
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], ["escalated"])
    assert not workflow.status and last(world, number) is None
    world.wait(80)
    assert reason_of_end(workflow, True) == "nobody answered: no acknowledgement in 3 minutes"
    alert, = world.pagerduty.alerts(last(world, number).id)
    assert (alert.severity, last(world, number).service_id) == ("critical", world.api)
    assert last(world, number).title == "Nobody answered: %s: Database timeout" % number
    assert world.notes(number)[-1].endswith(
        "nobody answered (no acknowledgement in 3 minutes); Production API was alerted as a last "
        "resort")
    assert len(world.notes(number)) == len(world.incident(number).notes) == 2
    assert len(world.puts()) == len(world.stackflow.incidents()) == 1


def test_the_last_resort_goes_through_the_default_service():
    world = SlaWorld(default_pagerduty_service_id="P5678CD")
    number = world.opened()
    world.breach(number)
    world.wait(TIME)
    assert last(world, number).service_id == world.database


@pytest.mark.parametrize("minutes, seconds", [(0.1, 6), (2.5, 150)])
def test_the_time_to_answer_may_be_a_fraction_of_a_minute(minutes, seconds):
    world = SlaWorld(escalation={"unanswered_after_minutes": minutes})
    number = world.opened()
    world.breach(number, seconds=seconds - 5)
    assert not world.workflows[0].status
    world.wait(15)
    assert "no acknowledgement in %g minutes" % minutes in reason_of_end(world.workflows[0], True)


@pytest.mark.parametrize("end", [
    lambda world, number: world.stackflow.set_state(number, "resolved"),
    lambda world, number: world.stackflow.cancel(number),
    lambda world, number: world.pagerduty.resolve(world.incident(number).id, world.kim)])
def test_the_last_resort_is_resolved_with_the_pair_from_either_side(world, number, end):
    world.breach(number)
    world.wait(TIME)
    assert last(world, number).status == "triggered"
    end(world, number)
    world.wait(5)
    assert world.incident(number).status == last(world, number).status == "resolved"
    assert len(world.stackflow.incidents()) == 1


@pytest.mark.parametrize("person", [None, JANE])
def test_under_the_threshold_an_incident_is_opened_as_critical_and_unacknowledged(world, person):
    world.pagerduty.account.services[world.api].urgency = "severity_based"
    number = world.opened("P3", person=person)
    assert world.incident(number) is None
    world.breach(number)
    incident = world.incident(number)
    alert, = world.pagerduty.alerts(incident.id)
    assert (incident.status, alert.severity, incident.urgency) == ("triggered", "critical", "high")
    assert (world.pages(world.casey), world.pages(world.lee)) == (["triggered"], ["delegated"])
    assert "acknowledge" not in world.pd_writes()
    world.stackflow.set_state(number, "resolved")
    world.wait(LOOK)
    assert incident.status == "resolved" and reason_of_end(world.workflows[0]) == "resolved"


def test_a_policy_that_opened_the_incident_just_now_is_not_paged_twice():
    world = own_policy()
    world.breach(world.opened("P3"))
    assert world.pages(world.casey) == ["triggered"] and world.puts() == []


def test_a_policy_that_is_in_force_already_is_started_again_from_its_first_level():
    world = own_policy()
    number = world.opened()
    world.breach(number)
    assert [sorted(put) for put in world.puts()] == [["escalation_policy"], ["escalation_level"]]
    assert world.pages(world.casey) == ["triggered", "escalated"]
    assert (world.incident(number).level, len(world.notes(number))) == (1, 1)


def test_low_urgency_is_raised_with_the_same_write_so_that_the_policy_climbs(world):
    world.pagerduty.account.services[world.api].urgency = "low"
    world.breach(world.opened())
    put, = world.puts()
    assert sorted(put) == ["escalation_policy", "urgency"] and put["urgency"] == "high"
    world.wait(TIME)
    assert world.pages(world.kim) == ["escalated"]


def test_a_policy_that_nobody_mapped_is_logged_and_starts_nothing(world, number, caplog):
    with caplog.at_level(logging.WARNING):
        world.breach(number, "Some-Other-SLA")
    assert "names no policy for SLA 'Some-Other-SLA'" in caplog.text
    assert world.workflows == [] and world.puts() == [] and world.notes(number) == []


def test_a_warning_starts_what_is_mapped_to_warnings_alone():
    world = SlaWorld()
    world.configure(escalation_mapping=[
        {"stackflow_sla_policy": RESOLUTION, "pagerduty_escalation_policy_id": policy,
         "trigger_on": kind} for policy, kind in ((world.policy, "sla_breach"),
                                                  (world.command, "sla_warning"))])
    number = world.opened()
    world.stackflow.warn_sla(number, RESOLUTION)
    world.wait(5)
    assert world.incident(number).policy_id == world.command
    world.breach(number)
    assert world.pages(world.lee) == ["delegated"] and len(world.puts()) == 1


@pytest.mark.parametrize("kind", ["sla_breach", "sla_warning"])
def test_the_other_kind_of_event_starts_nothing(world, number, kind):
    world.configure(escalation_mapping=[dict(world.config["escalation_mapping"][1],
                                             trigger_on=kind)])
    other = world.stackflow.warn_sla if kind == "sla_breach" else world.stackflow.breach_sla
    other(number, RESOLUTION)
    world.wait(5)
    assert world.workflows == []


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_what_is_resolved_already_is_left_alone(world, number, side):
    if side == "stackflow":
        world.stackflow.set_state(number, "resolved")
    else:
        world.pagerduty.resolve(world.incident(number).id, world.casey)
    world.settle()
    world.breach(number)
    assert reason_of_end(world.workflows[0]) == "resolved"
    assert world.puts() == [] and world.notes(number) == [] and world.pages(world.lee) == []


@pytest.mark.parametrize("how", ["pagerduty", "assigned", "in progress"])
@pytest.mark.parametrize("sla", [RESPONSE, RESOLUTION])
def test_an_earlier_answer_counts_for_the_first_response_alone(world, number, how, sla):
    if how == "pagerduty":
        world.pagerduty.acknowledge(world.incident(number).id, world.casey)
    elif how == "assigned":
        world.stackflow.assign(number, person=JANE)
    else:
        world.stackflow.set_state(number, "in_progress")
    world.wait(1)
    world.breach(number, sla)
    if sla == RESPONSE:
        assert reason_of_end(world.workflows[0]) == "somebody has responded"
        assert world.pages(world.lee) == []
    else:
        world.wait(TIME)
        assert reason_of_end(world.workflows[0], True).startswith("nobody answered")


@pytest.mark.parametrize("spoil", [
    lambda world: world.configure(auto_acknowledge=False),
    lambda world: world.pagerduty.account.services[world.api].__setattr__("urgency", "low")])
def test_a_response_that_was_none_does_not_count(world, spoil):
    spoil(world)
    world.breach(world.opened(person=JANE if world.settings.auto_acknowledge is False else None),
                 RESPONSE)
    assert world.pages(world.lee) == ["delegated"]


def test_the_metric_of_the_event_counts_before_the_name_of_the_policy(world, number):
    world.pagerduty.acknowledge(world.incident(number).id, world.casey)
    world.wait(1)
    world.stackflow.breach_sla(number, RESPONSE, metric="resolution")
    world.wait(5)
    assert world.pages(world.lee) == ["delegated"]


@pytest.mark.parametrize("sla", [RESPONSE, RESOLUTION])
@pytest.mark.parametrize("taken_back", [True, False])
def test_an_acknowledgement_while_it_waits_ends_it(world, number, sla, taken_back):
    world.breach(number, sla)
    world.wait(100)
    world.pagerduty.acknowledge(world.incident(number).id, world.lee)
    if taken_back:
        world.pagerduty.unacknowledge(world.incident(number).id, world.lee)
    world.wait(LOOK)
    assert reason_of_end(world.workflows[0]) == "acknowledged in PagerDuty"
    world.wait(TIME)
    assert last(world, number) is None and len(world.puts()) == 1


def test_an_acknowledgement_right_after_the_start_ends_it_after_the_note(world, number):
    handle = world.pagerduty.handle

    def quick(request):
        answer = handle(request)
        if request.method == "PUT":
            world.pagerduty.acknowledge(world.incident(number).id, world.lee)
        return answer

    world.pagerduty.handle = quick
    world.breach(number)
    world.wait(LOOK)
    assert reason_of_end(world.workflows[0]) == "acknowledged in PagerDuty"
    assert len(world.notes(number)) == len(world.incident(number).notes) == 1


@pytest.mark.parametrize("auto", [True, False])
def test_a_person_who_is_assigned_in_stackflow_while_it_waits_ends_it(auto):
    world = SlaWorld(auto_acknowledge=auto)
    number = world.opened(person=JANE)
    world.breach(number)
    world.wait(100)
    world.stackflow.assign(number, person="lee@example.com")
    world.wait(LOOK)
    assert reason_of_end(world.workflows[0]) == (
        "acknowledged in PagerDuty" if auto else "taken by a person in StackFlow")


def test_the_same_person_in_other_letters_is_no_answer():
    world = SlaWorld(auto_acknowledge=False)
    number = world.opened(person=JANE)
    world.breach(number)
    world.stackflow.assign(number, person=JANE.title())
    world.wait(TIME)
    assert reason_of_end(world.workflows[0], True).startswith("nobody answered")


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_a_resolve_while_it_waits_ends_it(world, number, side):
    world.breach(number)
    world.wait(100)
    if side == "stackflow":
        world.stackflow.set_state(number, "resolved")
    else:
        world.pagerduty.resolve(world.incident(number).id, world.lee)
    world.wait(LOOK)
    assert reason_of_end(world.workflows[0]) == "resolved"
    world.wait(TIME)
    assert len(world.puts()) == 1 and last(world, number) is None


def test_a_recovery_while_it_waits_ends_it(world, number):
    world.breach(number)
    world.wait(100)
    world.stackflow.recover_sla(number, RESOLUTION)
    world.wait(LOOK)
    assert reason_of_end(world.workflows[0]) == "the SLA has recovered"


def test_notes_of_an_escalation_are_not_copied_where_notes_are():
    world = SlaWorld(sync_notes=True)
    number = world.opened()
    world.breach(number)
    world.wait(TIME)
    assert len(world.notes(number)) == len(world.incident(number).notes) == 2


@pytest.mark.parametrize("acknowledged", ["before the breach", "after the merge"])
def test_a_merge_while_it_waits_is_no_answer_and_the_target_is_watched(world, number, acknowledged):
    target = world.incident(world.opened())
    if acknowledged == "before the breach":
        world.pagerduty.acknowledge(target.id, world.casey)
        world.wait(2)
    world.breach(number)
    world.wait(60)
    world.pagerduty.merge(target.id, [world.incident(number).id], world.casey)
    world.wait(LOOK)
    assert not world.workflows[0].status
    if acknowledged == "after the merge":
        world.pagerduty.acknowledge(target.id, world.kim)
        world.wait(LOOK)
        assert reason_of_end(world.workflows[0]) == "acknowledged in PagerDuty"
    else:
        world.wait(TIME)
        assert last(world, number).status == "triggered"


def test_an_incident_that_was_born_in_pagerduty_is_escalated_the_same_way(world):
    incident = world.pagerduty.incident(
        world.pagerduty.create_incident(world.api, "Disk full", world.casey))
    world.settle()
    number = world.records_of(incident.id)[0]["number"]
    world.breach(number)
    assert world.pages(world.lee) == ["delegated"] and len(world.notes(number)) == 1
    world.wait(TIME)
    assert last(world, number).status == "triggered"
    world.pagerduty.resolve(incident.id, world.kim)
    world.wait(5)
    assert last(world, number).status == "resolved" and len(world.stackflow.incidents()) == 1


def test_nothing_is_ever_assigned_to_the_user_that_writes(world, number):
    world.breach(number)
    world.wait(TIME)
    assert world.pages(world.bot) == []
    assert all(write.who == world.bot for write in world.pagerduty.writes if write.api == "rest")


def test_without_bidirectional_sync_notes_are_written_and_the_last_resort_is_resolved():
    world = SlaWorld(bidirectional_sync=False)
    number = world.opened()
    world.breach(number)
    world.wait(TIME)
    assert len(world.notes(number)) == len(world.incident(number).notes) == 2
    world.pagerduty.resolve(world.incident(number).id, world.kim)
    world.wait(5)
    assert last(world, number).status == "resolved" and world.sf_writes(number) == []


def test_what_was_open_before_the_pack_was_installed_is_not_opened():
    world = SlaWorld(start=False)
    number = world.stackflow.create_incident("Old", "P3", group=GROUP)
    world.run(60)
    world.store.set_value("pagerduty_stackflow.start", "2026-01-05T10:00:30.000000Z")
    world.breach(number)
    assert reason_of_end(world.workflows[0]).startswith("created before the pack was installed")
    assert world.pagerduty.incidents() == []


def test_a_title_of_templates_goes_through_all_of_it_unharmed(world):
    number = world.stackflow.create_incident(HOSTILE, "P3", group=GROUP)
    world.settle()
    world.breach(number)
    world.wait(TIME)
    titles = [world.incident(number, end).title for end in ("", ":unanswered")]
    assert titles == ["%s%s: %s" % (before, number, HOSTILE)
                      for before in ("", "Nobody answered: ")]
    assert "st2kv" not in str(world.workflows[0].results)


def test_the_same_breach_five_times_is_one_escalation(world, number):
    for _ in range(2):
        world.stackflow.breach_sla(number, RESOLUTION)
    world.wait(20)
    for seconds in (TIME, 5, 5):
        world.breach(number, seconds=seconds)
    assert [workflow.output["unanswered"] for workflow in world.workflows] == [True] + [False] * 4
    assert world.pages(world.lee) == ["delegated"]
    assert len(world.puts()) == 1 and len(world.notes(number)) == 2
    assert len(world.pagerduty.alerts(dedup_key=KEY + number + ":unanswered")) == 1


def test_two_sla_policies_of_one_incident_escalate_once_each(world, number):
    for policy in (RESPONSE, RESOLUTION, RESPONSE, RESOLUTION):
        world.breach(number, policy)
    assert len(world.notes(number)) == 2
    assert [bool(workflow.status) for workflow in world.workflows] == [False, False, True, True]


@pytest.mark.parametrize("seconds", [2, 90], ids="a look is {} s later".format)
def test_after_a_recovery_a_further_breach_escalates_again(world, number, seconds):
    """Also while the workflow of the first breach still waits for its next look."""
    world.breach(number)
    world.pagerduty.acknowledge(world.incident(number).id, world.lee)
    world.wait(seconds)
    world.stackflow.recover_sla(number, RESOLUTION)
    world.wait(seconds)
    world.breach(number)
    assert world.pages(world.lee) == ["delegated", "escalated"]
    world.breach(number)
    assert len(world.notes(number)) == 2
    world.wait(TIME)
    assert last(world, number).status == "triggered"
    assert all(workflow.status == "succeeded" for workflow in world.workflows)


@pytest.mark.parametrize("seconds", [4, 90], ids="a look is {} s later".format)
@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_after_a_reopening_a_further_breach_escalates_again(world, number, side, seconds):
    world.breach(number)
    world.pagerduty.resolve(world.incident(number).id, world.lee)
    world.wait(seconds)
    if side == "stackflow":
        world.stackflow.reopen(number)
    else:
        world.pagerduty.reopen(world.incident(number).id, world.lee)
    world.wait(seconds)
    world.breach(number)
    world.breach(number)
    assert len(world.notes(number)) == 2
    incident = world.incident(number, ":1" if side == "stackflow" else "")
    assert (incident.policy_id, incident.assignees) == (world.command, [world.lee])
    world.wait(TIME)
    assert last(world, number + (":1" if side == "stackflow" else "")).status == "triggered"


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
@pytest.mark.parametrize("seconds", [60, 600])
def test_trouble_of_minutes_changes_nothing_in_the_end(world, number, side, seconds):
    simulator = getattr(world, side)
    for delay in (0, TIME - 130):
        simulator.after(delay, lambda: simulator.faults.add("", "status", status=503, times=9999))
        simulator.after(delay + seconds, simulator.faults.clear)
    world.breach(number)
    world.wait(TIME + 600)
    assert [workflow.output["unanswered"] for workflow in world.workflows] == [True]
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], ["escalated"])
    assert len(world.puts()) == 1
    assert len(world.notes(number)) == len(world.incident(number).notes) == 2


def test_trouble_that_does_not_end_fails_loudly(world, number):
    world.pagerduty.faults.add("GET ", "status", status=503, times=99999)
    world.breach(number)
    world.wait(3600)
    assert world.workflows[0].status == "failed"
    assert world.workflows[0].results[-1][1]["error"]["kind"] == "api"


def test_a_group_that_nobody_mapped_fails_loudly_and_at_once(world):
    world.breach(world.opened("P3", group="Nobody Mapped"))
    assert world.workflows[0].status == "failed"
    (_, result), = world.workflows[0].results
    assert (result["error"]["kind"], result["error"]["retryable"]) == ("routing", False)


def test_a_service_that_opens_nothing_leads_to_the_last_resort():
    world = SlaWorld(default_pagerduty_service_id="P5678CD")
    number = world.opened("P3")
    world.pagerduty.disable_service(world.api)
    world.breach(number, seconds=100)
    assert "is disabled" in reason_of_end(world.workflows[0], True)
    assert last(world, number).service_id == world.database
    assert "shows no incident" in world.notes(number)[-1]


def test_a_last_resort_that_pagerduty_does_not_show_fails_loudly(world):
    number = world.opened("P3")
    world.pagerduty.disable_service(world.api)
    world.breach(number)
    world.wait(3600)
    assert world.workflows[0].status == "failed"
    error = world.workflows[0].results[-1][1]["error"]
    assert "alert of last resort" in error["message"] and "disabled" in error["message"]
    assert "enable the service" in error["hint"]


@pytest.mark.parametrize("spoil, why", [
    (lambda world: [world.pagerduty.set_on_call(world.command, level, []) for level in (1, 2)],
     "nobody is on call for the escalation policy"),
    (lambda world: world.configure(escalation_mapping=[
        dict(world.config["escalation_mapping"][1], pagerduty_escalation_policy_id="PNOSUCH")]),
     "PagerDuty does not know the escalation policy"),
    (lambda world: setattr(world.pagerduty.lifecycle, "delegate", lambda *_: None),
     "PagerDuty accepted escalation policy PCOMMAN for")])
def test_a_policy_that_cannot_be_started_leads_to_the_last_resort(world, number, spoil, why):
    spoil(world)
    world.breach(number)
    assert why in reason_of_end(world.workflows[0], True) and why in world.notes(number)[-1]
    assert last(world, number).status == "triggered"


def test_an_escalation_whose_policy_is_mapped_no_longer_ends(world, number):
    world.breach(number)
    world.configure(escalation_mapping=[])
    world.wait(LOOK)
    assert "names no policy" in reason_of_end(world.workflows[0])


def test_every_transition_is_taken(world, number):
    """By one that nobody answers, and one that has nothing to do."""
    world.breach(number)
    world.wait(TIME)
    world.breach(number)
    taken = [workflow.transitions() for workflow in world.workflows]
    assert taken[0] | taken[1] == all_transitions("escalate_sla_breach")
    assert len(all_transitions("escalate_sla_breach")) == 4
