"""The workflow escalate_sla_breach, on its real engine: who is paged when, what ends it, and that
every way through it is taken.
"""

from __future__ import annotations

import logging

import pytest
from conducted import all_transitions
from sla_world import GROUP, KEY, MINUTES, RESOLUTION, RESPONSE, SlaWorld

JANE = "jane@example.com"
LEVEL = 60 * MINUTES + 5
"""Seconds in which one level has had its time."""
HOSTILE = "{{ st2kv.system.pagerduty_api_key }} {% raw %} <% ctx().st2 %> [[ incident ]]"


@pytest.fixture
def world():
    return SlaWorld()


def started(world, number):
    """The one workflow, which has started the policy."""
    workflow, = world.workflows
    assert world.incident(number).policy_id == world.command
    return workflow


def ended(workflow, **output):
    """It succeeded, with this output among the rest."""
    assert workflow.status == "succeeded", workflow.results
    assert {name: workflow.output[name] for name in output} == output
    return True


def reasons(workflow):
    return [result["reason"] for _, result in workflow.results]


def test_a_breach_starts_the_mapped_policy_with_one_write_and_a_note_on_both_sides(world):
    number = world.opened()
    world.breach(number)
    started(world, number)
    assert world.puts() == [{"escalation_policy": {"id": world.command,
                                                   "type": "escalation_policy_reference"}}]
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], [])
    note, = world.notes(number)
    assert note == world.incident(number).notes[0].content
    assert note == ("SLA %s, escalation of 2026-01-05 10:00:04 UTC: PagerDuty's escalation policy "
                    "Command was started" % RESOLUTION)
    assert world.stackflow.state_writes(number) == []


def test_nobody_answers_up_to_the_last_resort(world):
    number = world.opened()
    world.breach(number)
    workflow = started(world, number)
    world.wait(LEVEL)
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], ["escalated"])
    assert not workflow.status
    world.wait(LEVEL)
    assert ended(workflow, level=2, unanswered=True)
    last = world.incident(number, ":unanswered")
    alert, = world.pagerduty.alerts(last.id)
    assert (last.status, last.service_id, alert.severity) == ("triggered", world.api, "critical")
    assert last.title == "Nobody answered: %s: Database timeout" % number
    assert "nobody answered (the escalation policy has no such level); Production API was " \
           "alerted" in world.notes(number)[-1]
    assert len(world.notes(number)) == len(world.incident(number).notes) == 2
    assert len(world.stackflow.incidents()) == 1
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], ["escalated"])


def test_the_last_resort_goes_through_the_default_service():
    world = SlaWorld(default_pagerduty_service_id="P5678CD")
    number = world.opened()
    world.breach(number)
    world.wait(3 * LEVEL)
    assert world.incident(number, ":unanswered").service_id == world.database


@pytest.mark.parametrize("most, kim", [(1, []), (2, ["escalated"])])
def test_no_more_levels_are_climbed_than_configured(most, kim):
    world = SlaWorld(escalation={"max_levels": most})
    number = world.opened()
    world.breach(number)
    world.wait(most * LEVEL + 30)
    assert ended(world.workflows[0], level=most, unanswered=True)
    assert world.pages(world.kim) == kim
    assert "%d levels were alerted" % most in world.notes(number)[-1]


@pytest.mark.parametrize("end", [
    lambda world, number: world.stackflow.set_state(number, "resolved"),
    lambda world, number: world.stackflow.cancel(number),
    lambda world, number: world.pagerduty.resolve(world.incident(number).id, world.kim)])
def test_the_last_resort_is_resolved_with_the_pair_from_either_side(world, end):
    number = world.opened()
    world.breach(number)
    world.wait(3 * LEVEL)
    assert world.incident(number, ":unanswered").status == "triggered"
    end(world, number)
    world.wait(5)
    assert world.incident(number).status == "resolved"
    assert world.incident(number, ":unanswered").status == "resolved"
    assert len(world.stackflow.incidents()) == 1


def test_under_the_threshold_an_incident_is_opened_as_critical(world):
    world.pagerduty.account.services[world.api].urgency = "severity_based"
    number = world.opened("P3")
    assert world.incident(number) is None
    world.breach(number)
    started(world, number)
    incident = world.incident(number)
    alert, = world.pagerduty.alerts(incident.id)
    assert (incident.status, alert.severity, incident.urgency) == ("triggered", "critical", "high")
    assert (world.pages(world.casey), world.pages(world.lee)) == (["triggered"], ["delegated"])
    world.stackflow.set_state(number, "resolved")
    world.wait(70)
    assert incident.status == "resolved" and ended(world.workflows[0], unanswered=False)


def test_what_an_escalation_opened_is_not_acknowledged_for_who_has_the_record_already(world):
    number = world.opened("P3", person=JANE)
    world.breach(number)
    assert world.incident(number).status == "triggered"
    assert world.pages(world.lee) == ["delegated"]
    world.wait(LEVEL)
    assert world.pages(world.kim) == ["escalated"]


def test_a_policy_that_opened_the_incident_just_now_is_not_paged_twice():
    world = SlaWorld()
    world.configure(escalation_mapping=[{
        "stackflow_sla_policy": RESOLUTION, "pagerduty_escalation_policy_id": world.policy,
        "trigger_on": "sla_breach"}])
    number = world.opened("P3")
    world.breach(number)
    assert world.pages(world.casey) == ["triggered"] and world.puts() == []
    world.wait(LEVEL)
    assert world.pages(world.robin) == ["escalated"]


def test_a_policy_that_is_in_force_already_is_started_again_from_its_first_level():
    world = SlaWorld()
    world.configure(escalation_mapping=[{
        "stackflow_sla_policy": RESOLUTION, "pagerduty_escalation_policy_id": world.policy,
        "trigger_on": "sla_breach"}])
    number = world.opened()
    world.breach(number)
    assert [sorted(put) for put in world.puts()] == [["escalation_policy"], ["escalation_level"]]
    assert world.pages(world.casey) == ["triggered", "escalated"]
    assert (world.incident(number).level, len(world.notes(number))) == (1, 1)


def test_low_urgency_is_raised_so_that_the_policy_climbs(world):
    world.pagerduty.account.services[world.api].urgency = "low"
    number = world.opened()
    world.breach(number)
    started(world, number)
    put, = world.puts()
    assert put["urgency"] == "high" and world.incident(number).urgency == "high"
    world.pagerduty.set_urgency(world.incident(number).id, "low", world.casey)
    world.wait(LEVEL)
    assert world.puts()[-1] == {"escalation_level": 2, "urgency": "high"}
    assert world.pages(world.kim) == ["escalated"]


def test_a_policy_that_nobody_mapped_is_logged_and_starts_nothing(world, caplog):
    number = world.opened()
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
    started(world, number)
    world.breach(number)
    assert len(world.workflows) == 1 and world.pages(world.lee) == ["delegated"]


@pytest.mark.parametrize("kind", ["sla_breach", "sla_warning"])
def test_the_other_kind_of_event_starts_nothing(kind):
    world = SlaWorld()
    world.configure(escalation_mapping=[dict(world.config["escalation_mapping"][1],
                                             trigger_on=kind)])
    number = world.opened()
    if kind == "sla_breach":
        world.stackflow.warn_sla(number, RESOLUTION)
    else:
        world.stackflow.breach_sla(number, RESOLUTION)
    world.wait(5)
    assert world.workflows == []


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_what_is_resolved_already_is_left_alone(world, side):
    number = world.opened()
    if side == "stackflow":
        world.stackflow.set_state(number, "resolved")
    else:
        world.pagerduty.resolve(world.incident(number).id, world.casey)
    world.settle()
    world.breach(number)
    assert ended(world.workflows[0], level=0, unanswered=False)
    assert reasons(world.workflows[0]) == ["resolved"]
    assert world.puts() == [] and world.notes(number) == [] and world.pages(world.lee) == []


@pytest.mark.parametrize("how", ["pagerduty", "assigned", "in progress"])
@pytest.mark.parametrize("sla, pages", [(RESPONSE, []), (RESOLUTION, ["delegated"])])
def test_an_earlier_answer_counts_for_the_first_response_alone(world, how, sla, pages):
    number = world.opened()
    if how == "pagerduty":
        world.pagerduty.acknowledge(world.incident(number).id, world.casey)
    elif how == "assigned":
        world.stackflow.assign(number, person=JANE)
    else:
        world.stackflow.set_state(number, "in_progress")
    world.wait(1)
    world.breach(number, sla)
    assert world.pages(world.lee) == pages
    assert bool(world.workflows[0].status) == (sla == RESPONSE)
    world.wait(LEVEL)
    assert world.pages(world.kim) == (["escalated"] if pages else [])


def test_without_auto_acknowledge_a_person_assigned_is_no_first_response():
    world = SlaWorld(auto_acknowledge=False)
    number = world.opened(person=JANE)
    world.breach(number, RESPONSE)
    assert world.pages(world.lee) == ["delegated"]


def test_a_state_that_nobody_knows_is_no_first_response(world):
    world.stackflow.switches.state_names["new"] = "triage"
    number = world.opened()
    world.breach(number, RESPONSE)
    assert world.pages(world.lee) == ["delegated"]


def test_the_metric_of_the_event_counts_before_the_name_of_the_policy(world):
    number = world.opened()
    world.pagerduty.acknowledge(world.incident(number).id, world.casey)
    world.wait(1)
    world.stackflow.breach_sla(number, RESPONSE, metric="resolution")
    world.wait(5)
    assert world.pages(world.lee) == ["delegated"]


@pytest.mark.parametrize("sla", [RESPONSE, RESOLUTION])
def test_an_acknowledgement_while_it_waits_ends_it(world, sla):
    number = world.opened()
    world.breach(number, sla)
    world.wait(100)
    world.pagerduty.acknowledge(world.incident(number).id, world.lee)
    world.wait(70)
    assert ended(world.workflows[0], level=1, unanswered=False)
    assert reasons(world.workflows[0])[-1] == "acknowledged in PagerDuty"
    world.wait(3 * LEVEL)
    assert world.pages(world.kim) == [] and world.stackflow.incident(number)["state"] == (
        "in_progress")


def test_who_acknowledges_at_once_leaves_the_notes_and_the_level(world):
    number = world.opened()
    handle = world.pagerduty.handle

    def quick(request):
        answer = handle(request)
        if request.method == "PUT":
            world.pagerduty.acknowledge(world.incident(number).id, world.lee)
        return answer

    world.pagerduty.handle = quick
    world.breach(number)
    assert ended(world.workflows[0], level=1)
    assert len(world.notes(number)) == len(world.incident(number).notes) == 1


def test_who_acknowledges_the_next_level_at_once_is_told_of_that_level(world):
    number = world.opened()
    world.breach(number)
    world.wait(LEVEL - 60)
    incident = world.incident(number)

    def acknowledge(what):
        if incident.assignees == [world.kim] and incident.status == "triggered":
            world.pagerduty.acknowledge(incident.id, world.kim)

    world.before_call = acknowledge
    world.wait(120)
    assert ended(world.workflows[0], level=2, unanswered=False)
    assert world.pages(world.kim) == ["escalated"]


def test_an_acknowledgement_that_was_taken_back_meanwhile_was_an_answer(world):
    number = world.opened()
    world.breach(number)
    incident = world.incident(number)
    world.pagerduty.acknowledge(incident.id, world.lee)
    world.pagerduty.unacknowledge(incident.id, world.lee)
    world.wait(70)
    assert reasons(world.workflows[0])[-1] == "acknowledged in PagerDuty"
    assert len(world.puts()) == 1


@pytest.mark.parametrize("auto", [True, False])
def test_a_person_who_is_assigned_in_stackflow_while_it_waits_ends_it(auto):
    world = SlaWorld(auto_acknowledge=auto)
    number = world.opened(person=JANE)
    world.breach(number)
    world.wait(100)
    world.stackflow.assign(number, person="lee@example.com")
    world.wait(70)
    assert ended(world.workflows[0], level=1)
    assert len(world.puts()) == 1 and world.pages(world.kim) == []


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_a_resolve_while_it_waits_ends_it(world, side):
    number = world.opened()
    world.breach(number)
    world.wait(100)
    if side == "stackflow":
        world.stackflow.set_state(number, "resolved")
    else:
        world.pagerduty.resolve(world.incident(number).id, world.lee)
    world.wait(70)
    assert ended(world.workflows[0], level=1, unanswered=False)
    assert reasons(world.workflows[0])[-1] == "resolved"
    world.wait(3 * LEVEL)
    assert len(world.puts()) == 1 and world.pages(world.kim) == []
    assert world.incident(number, ":unanswered") is None


def test_a_recovery_while_it_waits_ends_it(world):
    number = world.opened()
    world.breach(number)
    world.wait(100)
    world.stackflow.recover_sla(number, RESOLUTION)
    world.wait(70)
    assert reasons(world.workflows[0])[-1] == "the SLA has recovered"
    assert ended(world.workflows[0], unanswered=False) and world.pages(world.kim) == []


def test_pagerdutys_own_step_counts_as_a_level(world):
    number = world.opened()
    world.pagerduty.account.policies[world.command].levels[0].delay_minutes = 4
    world.breach(number)
    world.wait(LEVEL)
    assert world.pages(world.kim) == ["escalated"] and len(world.puts()) == 1
    assert not world.workflows[0].status
    world.wait(LEVEL)
    assert ended(world.workflows[0], level=2, unanswered=True)


def test_somebody_who_reassigns_it_is_left_time_as_well(world):
    number = world.opened()
    world.breach(number)
    world.wait(100)
    world.pagerduty.reassign(world.incident(number).id, world.robin, world.lee)
    world.wait(LEVEL)
    assert len(world.puts()) == 1 and not world.workflows[0].status
    world.wait(LEVEL)
    assert ended(world.workflows[0], level=2, unanswered=True)


def test_a_move_while_it_waits_is_left_time_and_then_the_mapped_policy_goes_on(world):
    number = world.opened()
    world.breach(number)
    world.wait(100)
    world.stackflow.assign(number, group="Database Reliability")
    world.wait(LEVEL)
    incident = world.incident(number)
    assert (incident.service_id, incident.policy_id) == (world.database, world.policy)
    assert world.pages(world.kim) == [] and not world.workflows[0].status
    world.wait(2 * LEVEL)
    assert ended(world.workflows[0], level=3, unanswered=True)
    assert len(world.puts()) == 2  # the second is the move


def test_somebody_who_gives_it_to_another_policy_delays_the_mapped_one(world):
    number = world.opened()
    other, command = [world.pagerduty.account.policies[one] for one in (world.policy,
                                                                        world.command)]
    other.levels[0].delay_minutes = 60
    command.levels += other.levels[1:]
    world.breach(number)
    world.wait(100)
    world.pagerduty.delegate(world.incident(number).id, world.policy, world.lee)
    world.wait(2 * LEVEL)
    assert sorted(world.puts()[-1]) == ["escalation_level", "escalation_policy"]
    assert world.incident(number).policy_id == world.command
    assert world.pages(world.robin) == ["delegated"]


def test_notes_of_an_escalation_are_not_copied_where_notes_are():
    world = SlaWorld(sync_notes=True)
    number = world.opened()
    world.breach(number)
    world.wait(3 * LEVEL)
    assert len(world.notes(number)) == len(world.incident(number).notes) == 2


def test_a_merge_while_it_waits_is_followed_and_an_earlier_acknowledgement_is_no_answer(world):
    number, other = world.opened(), world.opened()
    target = world.incident(other)
    world.pagerduty.acknowledge(target.id, world.casey)
    world.breach(number)
    world.wait(60)
    world.pagerduty.merge(target.id, [world.incident(number).id], world.casey)
    world.wait(65)
    assert (target.policy_id, target.status) == (world.command, "triggered")
    assert world.pages(world.lee) == ["delegated", "delegated"]
    world.wait(LEVEL)
    assert world.pages(world.kim) == ["escalated"] and target.level == 2
    world.pagerduty.acknowledge(target.id, world.kim)
    world.wait(70)
    assert reasons(world.workflows[0])[-1] == "acknowledged in PagerDuty"


def test_an_incident_that_was_born_in_pagerduty_is_escalated_the_same_way(world):
    incident = world.pagerduty.incident(
        world.pagerduty.create_incident(world.api, "Disk full", world.casey))
    world.settle()
    record, = world.records_of(incident.id)
    number = record["number"]
    world.breach(number)
    assert world.pages(world.lee) == ["delegated"] and len(world.notes(number)) == 1
    world.wait(3 * LEVEL)
    last = world.incident(number, ":unanswered")
    assert ended(world.workflows[0], unanswered=True) and last.status == "triggered"
    world.pagerduty.resolve(incident.id, world.kim)
    world.wait(5)
    assert last.status == "resolved" and len(world.stackflow.incidents()) == 1


def test_nothing_is_ever_assigned_to_the_user_that_writes(world):
    number = world.opened()
    world.breach(number)
    world.wait(3 * LEVEL)
    assert world.pages(world.bot) == []
    assert all(write.who == world.bot for write in world.pagerduty.writes if write.api == "rest")


def test_without_bidirectional_sync_notes_are_written_and_the_last_resort_is_resolved():
    world = SlaWorld(bidirectional_sync=False)
    number = world.opened()
    world.breach(number)
    world.wait(3 * LEVEL)
    assert len(world.notes(number)) == len(world.incident(number).notes) == 2
    world.pagerduty.resolve(world.incident(number).id, world.kim)
    world.wait(5)
    assert world.incident(number, ":unanswered").status == "resolved"
    assert world.sf_writes(number) == []


def test_what_was_open_before_the_pack_was_installed_is_not_opened():
    world = SlaWorld(start=False)
    number = world.stackflow.create_incident("Old", "P3", group=GROUP)
    world.run(60)
    world.store.set_value("pagerduty_stackflow.start", "2026-01-05T10:00:30.000000Z")
    world.breach(number)
    assert reasons(world.workflows[0]) == ["created before the pack was installed"]
    assert world.pagerduty.incidents() == []


def test_a_title_of_templates_goes_through_all_of_it_unharmed(world):
    number = world.stackflow.create_incident(HOSTILE, "P3", group=GROUP)
    world.settle()
    world.breach(number)
    world.wait(3 * LEVEL)
    assert ended(world.workflows[0], unanswered=True)
    titles = [world.incident(number, end).title for end in ("", ":unanswered")]
    assert titles == ["%s%s: %s" % (before, number, HOSTILE)
                      for before in ("", "Nobody answered: ")]
    assert "st2kv" not in str(world.workflows[0].results)


@pytest.mark.parametrize("cancels", [True, False])
def test_the_same_breach_five_times_is_one_escalation(world, cancels):
    world.cancels = cancels
    number = world.opened()
    for _ in range(2):
        world.stackflow.breach_sla(number, RESOLUTION)
    world.wait(20)
    world.breach(number)
    world.wait(LEVEL)
    world.breach(number)
    world.wait(2 * LEVEL)
    world.breach(number)
    assert len(world.workflows) == (2 if cancels else 5)
    assert all(workflow.status == "succeeded" for workflow in world.workflows)
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], ["escalated"])
    assert len(world.puts()) == 2 and len(world.notes(number)) == 2
    assert len(world.pagerduty.alerts(dedup_key=KEY + number + ":unanswered")) == 1


def test_two_sla_policies_of_one_incident_escalate_once_each(world):
    number = world.opened()
    for policy in (RESPONSE, RESOLUTION, RESPONSE, RESOLUTION):
        world.breach(number, policy)
    assert len(world.workflows) == 2 and len(world.notes(number)) == 2


def test_after_a_recovery_a_further_breach_escalates_again(world):
    number = world.opened()
    world.breach(number)
    world.pagerduty.acknowledge(world.incident(number).id, world.lee)
    world.wait(70)
    world.breach(number)
    assert world.pages(world.lee) == ["delegated"]
    world.stackflow.recover_sla(number, RESOLUTION)
    world.wait(60)
    world.breach(number)
    assert world.pages(world.lee) == ["delegated", "escalated"]
    world.breach(number)
    assert len(world.notes(number)) == 2
    world.wait(LEVEL)
    assert world.pages(world.kim) == ["escalated"]


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_after_a_reopening_a_further_breach_escalates_again(world, side):
    number = world.opened()
    world.breach(number)
    world.pagerduty.resolve(world.incident(number).id, world.lee)
    world.wait(70)
    if side == "stackflow":
        world.stackflow.reopen(number)
    else:
        world.pagerduty.reopen(world.incident(number).id, world.lee)
    world.wait(60)
    world.breach(number)
    world.breach(number)
    assert [bool(workflow.status) for workflow in world.workflows] == [True, False]
    assert len(world.notes(number)) == 2
    incident = world.incident(number, ":1" if side == "stackflow" else "")
    assert (incident.policy_id, incident.assignees) == (world.command, [world.lee])


def test_pagerduty_in_trouble_for_a_minute_changes_nothing_in_the_end(world):
    number = world.opened()
    for delay in (0, LEVEL, 2 * LEVEL):
        world.pagerduty.after(delay, lambda: world.pagerduty.faults.add("", "status", times=9999))
        world.pagerduty.after(delay + 60, world.pagerduty.faults.clear)
    world.breach(number)
    world.wait(4 * LEVEL)
    assert ended(world.workflows[0], level=2, unanswered=True)
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], ["escalated"])
    assert len(world.puts()) == 2 and len(world.notes(number)) == 2
    assert len(world.incident(number).notes) == 2


@pytest.mark.parametrize("side", ["stackflow", "pagerduty"])
def test_trouble_of_several_minutes_does_not_end_it(world, side):
    simulator = getattr(world, side)
    number = world.opened()
    world.breach(number)
    simulator.after(200, lambda: simulator.faults.add("", "status", status=503, times=9999))
    simulator.after(200 + 600, simulator.faults.clear)
    world.wait(4 * LEVEL + 600)
    assert ended(world.workflows[0], level=2, unanswered=True)
    assert (world.pages(world.lee), world.pages(world.kim)) == (["delegated"], ["escalated"])


def test_trouble_that_does_not_end_fails_loudly(world):
    number = world.opened()
    world.pagerduty.faults.add("GET ", "status", status=503, times=99999)
    world.breach(number)
    world.wait(3600)
    assert world.workflows[0].status == "failed"
    assert world.workflows[0].results[-1][1]["error"]["kind"] == "api"


def test_a_group_that_nobody_mapped_fails_loudly_and_at_once(world):
    number = world.opened("P3", group="Nobody Mapped")
    world.breach(number)
    assert world.workflows[0].status == "failed"
    (_, result), = world.workflows[0].results
    assert (result["error"]["kind"], result["error"]["retryable"]) == ("routing", False)


def test_a_service_that_opens_nothing_leads_to_the_last_resort():
    world = SlaWorld(default_pagerduty_service_id="P5678CD")
    number = world.opened("P3")
    world.pagerduty.disable_service(world.api)
    world.breach(number, seconds=100)
    assert ended(world.workflows[0], level=0, unanswered=True)
    assert world.incident(number, ":unanswered").service_id == world.database
    assert "PagerDuty shows no incident" in world.notes(number)[-1]


def test_a_last_resort_that_pagerduty_does_not_show_fails_loudly(world):
    number = world.opened("P3")
    world.pagerduty.disable_service(world.api)
    world.breach(number)
    world.wait(3600)
    assert world.workflows[0].status == "failed"
    error = world.workflows[0].results[-1][1]["error"]
    assert "alert of last resort" in error["message"] and "disabled" in error["message"]
    assert "enable the service" in error["hint"]


def test_a_policy_with_nobody_on_call_leads_to_the_last_resort(world):
    for level in (1, 2):
        world.pagerduty.set_on_call(world.command, level, [])
    number = world.opened()
    world.breach(number)
    assert ended(world.workflows[0], level=0, unanswered=True)
    assert "nobody is on call" in world.notes(number)[-1]


def test_a_policy_that_pagerduty_does_not_know_leads_to_the_last_resort(world):
    world.configure(escalation_mapping=[dict(world.config["escalation_mapping"][1],
                                             pagerduty_escalation_policy_id="PNOSUCH")])
    number = world.opened()
    world.breach(number)
    assert ended(world.workflows[0], unanswered=True)
    assert "does not know the escalation policy" in world.notes(number)[-1]


def test_an_escalation_whose_policy_is_mapped_no_longer_ends(world):
    number = world.opened()
    world.breach(number)
    world.configure(escalation_mapping=[])
    world.wait(70)
    assert ended(world.workflows[0], level=1, unanswered=False)
    assert world.pages(world.kim) == []


def test_every_transition_is_taken(world):
    """By one that nobody answers, and one that has nothing to do."""
    number = world.opened()
    world.breach(number)
    world.wait(3 * LEVEL)
    world.breach(number)
    taken = [workflow.transitions() for workflow in world.workflows]
    assert taken[0] | taken[1] == all_transitions("escalate_sla_breach")
    assert len(all_transitions("escalate_sla_breach")) == 4
