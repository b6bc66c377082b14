"""The SLA clock in StackFlow's poller: what it dispatches, and what a restart does to it."""

from datetime import datetime, timezone

import pytest
from polling_site import Pollers
from world import World

GROUP = "Platform Engineering"
JANE = "jane@example.com"
TARGETS = {"P1-Response-SLA": {"priority": "P1", "metric": "first_response", "minutes": 20},
           "P3-Resolution-SLA": {"priority": "P3", "metric": "resolution", "minutes": 100}}
MAPPING = [{"stackflow_sla_policy": "P1-Response-SLA", "trigger_on": "sla_breach",
            "pagerduty_escalation_policy_id": "PXXXXXX"}]


class Story:
    def __init__(self):
        self.world = World(sla={"targets": TARGETS}, escalation_mapping=MAPPING)
        self.world.listening = False
        self.pollers = Pollers(self.world)

    def opened(self, priority="P1", **fields):
        return self.world.stackflow.create_incident("Database timeout", priority, group=GROUP,
                                                    category="api", **fields)

    def pass_by(self, minutes):
        for _ in range(minutes):
            self.world.clock.advance(60)
            self.pollers.poll("stackflow")

    def alerts(self):
        return [payload for trigger, payload in self.world.payloads
                if trigger == "stackflow_sla_event"]

    def told(self):
        return ["%s %s" % (one["event_type"], one["sla"]["policy"]) for one in self.alerts()]


@pytest.fixture
def story():
    return Story()


def test_a_breach_comes_at_its_time_and_is_acted_upon_where_it_is_mapped(story):
    number = story.opened()
    story.pass_by(25)
    assert story.told() == ["sla.warning P1-Response-SLA", "sla.breach P1-Response-SLA"]
    warning, breach = story.alerts()
    assert warning["sync"]["apply"] is False and breach["sync"]["apply"] is True
    assert breach["incident"]["number"] == number
    assert breach["occurred_at"] == breach["sla"]["breached_at"] == "2026-01-05T10:20:00.000000Z"
    story.world.stackflow.assign(number, person=JANE)
    story.pass_by(2)
    assert story.told()[2:] == ["sla.recovery P1-Response-SLA"]
    story.pass_by(30)
    assert len(story.alerts()) == 3


def test_a_record_from_the_end_of_all_time_keeps_no_other_one_from_its_deadline(story, monkeypatch):
    far = story.opened()
    desk = story.world.stackflow.desk
    monkeypatch.setattr(desk.incident(far), "created_at", datetime.max.replace(tzinfo=timezone.utc))
    number = story.opened()
    story.pass_by(25)
    assert {one["incident"]["number"] for one in story.alerts()} == {number}


def test_a_record_under_the_threshold_has_its_deadline_as_well(story):
    story.opened("P3")
    story.pass_by(101)
    assert story.told() == ["sla.warning P3-Resolution-SLA", "sla.breach P3-Resolution-SLA"]


def test_time_with_the_customer_does_not_count(story):
    number = story.opened("P3")
    story.pass_by(50)
    story.world.stackflow.set_state(number, "pending_customer")
    story.pass_by(60)
    story.pollers.start("stackflow")
    story.pass_by(60)
    story.world.stackflow.set_state(number, "in_progress")
    story.pass_by(45)
    assert story.told() == ["sla.warning P3-Resolution-SLA"]
    story.pass_by(6)
    assert story.told()[1:] == ["sla.breach P3-Resolution-SLA"]


def test_a_restart_tells_nothing_twice_and_forgets_no_recovery(story):
    number = story.opened()
    story.pass_by(25)
    for _ in range(3):
        story.pollers.start("stackflow")
        story.pass_by(2)
    assert len(story.alerts()) == 2
    story.world.stackflow.set_state(number, "resolved")
    story.pollers.start("stackflow")
    story.pass_by(1)
    assert story.told()[2:] == ["sla.recovery P1-Response-SLA"]


def test_what_came_due_while_the_sensor_was_away_is_told(story):
    story.opened()
    story.pass_by(1)
    story.world.clock.advance(3600)
    story.pollers.start("stackflow")
    story.pass_by(1)
    assert story.told() == ["sla.breach P1-Response-SLA"]


def test_a_sensor_that_is_killed_at_any_point_loses_no_breach_and_gives_it_the_same_id():
    killed, step, ids = True, 0, set()
    while killed:
        story = Story()
        story.opened()
        story.pass_by(19)
        story.world.clock.advance(90)
        killed = story.pollers.poll_and_crash("stackflow", step)
        story.pass_by(3)
        breaches = [one for one in story.alerts() if one["event_type"] == "sla.breach"]
        ids.update(one["event_id"] for one in breaches)
        assert breaches
        step += 1
    assert step > 5 and len(ids) == 1


def test_states_that_the_instance_does_not_have_are_passed_over(story):
    story.world.stackflow.switches.state_names["on_hold"] = "awaiting"
    story.opened()
    story.pass_by(25)
    assert len(story.alerts()) == 2


def test_states_are_asked_for_as_the_instance_spells_them(story):
    story.world.stackflow.switches.state_names["pending_vendor"] = "with_vendor"
    story.world.configure(stackflow=dict(story.world.config["stackflow"],
                                         states={"pending_vendor": "with_vendor"}))
    number = story.opened("P3")
    story.world.stackflow.set_state(number, "pending_vendor")
    story.pass_by(1)
    story.world.clock.advance(90 * 60)
    story.pollers.start("stackflow")
    story.pass_by(12)
    assert story.told()[-1] == "sla.breach P3-Resolution-SLA"
