"""Every way in which a pair falls out of step while nobody hears the webhooks, and where one
reconcile has to bring it.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from world import World

from pagerduty_stackflow.datastore import PREFIX, Datastore
from pagerduty_stackflow.links import Links

GROUP = "Platform Engineering"
CASEY, OUTSIDER = "casey@example.com", "sam@example.com"
LATER = 130
"""Seconds after which nothing is young any more, and nothing on its way."""


class Deaf(World):
    """A world whose webhooks are all lost. Time passes between any two acts."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        for simulator in (self.pagerduty, self.stackflow):
            simulator.outbox.lose(10 ** 9)
        for person in (CASEY, OUTSIDER):
            self.stackflow.add_user(person)
        self.run(LATER)

    def record(self, priority: str = "P1", **fields: Any) -> str:
        """The number of a record that nobody heard of."""
        number = self.stackflow.create_incident(
            "Database timeout", priority, group=fields.pop("group", GROUP),
            category=fields.pop("category", "api"), **fields)
        self.run(2)
        return number

    def pair(self, **fields: Any) -> Tuple[str, str]:
        """A record that was paged: its number and the id of its incident."""
        number = self.record(**fields)
        self.act("trigger_incident", incident_id=number)
        self.run(2)
        incident_id = self.incident_of(number).id
        Links(Datastore(self.store)).join(incident_id, number)  # its first webhook was heard
        return number, incident_id

    def born(self, **fields: Any) -> str:
        """The id of an incident that a person opened in PagerDuty."""
        incident_id = self.pagerduty.create_incident(fields.pop("service", self.api), "Disk full",
                                                     self.casey, **fields)
        self.run(2)
        return incident_id

    def born_pair(self, **fields: Any) -> Tuple[str, str]:
        """An incident that was born in PagerDuty and has its record: number and id."""
        incident_id = self.born(**fields)
        number = self.act("create_stackflow_incident", incident_id=incident_id).stackflow_id
        self.run(2)
        return number, incident_id

    def settled(self, number: str, incident_id: str, state: str) -> Tuple[str, str]:
        """The pair, brought to that state in StackFlow and noticed."""
        self.stackflow.set_state(number, state)
        self.act("resolve_incident", incident_id=number, incident=self.stackflow.incident(number))
        self.run(2)
        return number, incident_id

    def forget(self, number: str, incident_id: str) -> None:
        """Lose all that the datastore knows of a pair."""
        for name in list(self.store.values):
            if number in name or incident_id in name:
                del self.store.values[name]

    def incident_of(self, number: str, reopened: int = 0) -> Any:
        """The newest PagerDuty incident under one of a record's dedup keys."""
        suffix = ":%d" % reopened if reopened else ""
        key = "stackflow:acme.stackflow.example:%s%s" % (number, suffix)
        return self.pagerduty.incidents(dedup_key=key)[-1]

    def reconcile(self, **parameters: Any) -> Dict[str, Any]:
        """The result of a reconcile; the acts before it are old by then."""
        result = self.act("reconcile", **parameters).as_result()
        self.run(2)
        return result

    def written(self) -> Tuple[int, int]:
        """How many writes both systems have accepted."""
        return len(self.pagerduty.writes), len(self.stackflow.writes)

    def stored(self) -> Dict[str, Any]:
        """The datastore, but for the reconcile's own progress."""
        return {name: value for name, value in self.store.values.items()
                if name != PREFIX + "reconcile"}


Check = Callable[[], Any]


class Drift(NamedTuple):
    """``happen`` lets it happen and returns a check of both sides after a reconcile; ``writes`` is
    what the reconcile says that it writes, and ``costs`` what it asks for beside the lists.
    """

    name: str
    happen: Callable[[Deaf], Check]
    writes: List[str]
    costs: int


DRIFTS: List[Drift] = []


def drift(*writes: str, costs: int) -> Callable[[Any], Any]:
    def add(happen: Callable[[Deaf], Check]) -> Callable[[Deaf], Check]:
        DRIFTS.append(Drift(happen.__name__, happen, list(writes), costs))
        return happen
    return add


def states(world: Deaf, number: str, incident_id: Optional[str] = None) -> Tuple[str, str]:
    """State of a record and status of its incident."""
    incident = world.pagerduty.incident(incident_id) if incident_id else world.incident_of(number)
    return world.stackflow.incident(number)["state"], incident.status


def expect(world: Deaf, number: str, incident_id: Optional[str], *wanted: str) -> Check:
    def check() -> None:
        found = states(world, number, incident_id)
        assert found == wanted, (number, found)
    return check


# To PagerDuty.

@drift("trigger", costs=3)
def created(world):
    return expect(world, world.record(), None, "new", "triggered")


@drift("trigger", costs=3)
def raised_to_the_threshold(world):
    number = world.record("P3")
    world.stackflow.set_priority(number, "P2")
    return expect(world, number, None, "new", "triggered")


@drift("trigger", "acknowledge", costs=4)
def created_with_a_person(world):
    return expect(world, world.record(person=CASEY), None, "new", "acknowledged")


@drift("acknowledge", costs=3)
def assigned(world):
    number, incident_id = world.pair()
    world.stackflow.assign(number, OUTSIDER)
    return expect(world, number, incident_id, "new", "acknowledged")


@drift("acknowledge", costs=4)
def assigned_to_another_after_a_time_out(world):
    number, incident_id = world.pair(person=CASEY)
    world.pagerduty.unacknowledge(incident_id, world.casey)
    world.stackflow.assign(number, OUTSIDER)
    return expect(world, number, incident_id, "new", "acknowledged")


@drift("acknowledge", costs=5)
def assigned_born_in_pagerduty(world):
    number, incident_id = world.born_pair()
    world.stackflow.assign(number, CASEY)
    return expect(world, number, incident_id, "new", "acknowledged")


@drift("acknowledge", costs=4)
def assigned_to_somebody_whom_pagerduty_does_not_know(world):
    number, incident_id = world.born_pair()
    world.stackflow.assign(number, OUTSIDER)

    def check():
        assert states(world, number, incident_id) == ("new", "triggered")
        note, = world.pagerduty.incident(incident_id).notes
        assert "Taken in StackFlow by " + OUTSIDER in note.content
    return check


def finished(state):
    def happen(world):
        number, incident_id = world.pair()
        world.stackflow.set_state(number, state)
        return expect(world, number, incident_id, state, "resolved")
    happen.__name__ = state
    return happen


for one in ("resolved", "cancelled"):
    drift("resolve", costs=4)(finished(one))


@drift("resolve", costs=4)
def resolved_and_closed(world):
    number, incident_id = world.pair()
    world.stackflow.set_state(number, "resolved")
    world.stackflow.close(number)
    return expect(world, number, incident_id, "closed", "resolved")


@drift("resolve", costs=4)
def resolved_born_in_pagerduty(world):
    number, incident_id = world.born_pair()
    world.stackflow.set_state(number, "resolved")
    return expect(world, number, incident_id, "resolved", "resolved")


@drift("resolve", costs=4)
def resolved_days_ago(world):
    number, incident_id = world.pair()
    world.stackflow.set_state(number, "resolved")
    incident = world.stackflow.desk.incidents[number]
    incident.updated_at = incident.updated_at.replace(year=incident.updated_at.year - 1)
    return expect(world, number, incident_id, "resolved", "resolved")


@drift("resolve", costs=6)
def a_resolve_that_pagerduty_dropped(world):
    number, incident_id = world.pair()
    world.stackflow.set_state(number, "resolved")
    alert, = world.pagerduty.alerts(incident_id)
    found = world.pagerduty.account.open_alerts.pop((alert.routing_key, alert.alert_key))
    world.act("resolve_incident", incident_id=number, incident=world.stackflow.incident(number))
    world.run(2)
    world.pagerduty.account.open_alerts[(alert.routing_key, alert.alert_key)] = found
    assert world.pagerduty.incident(incident_id).open
    return expect(world, number, incident_id, "resolved", "resolved")


@drift("trigger", costs=4)
def reopened(world):
    number, incident_id = world.settled(*world.pair(), "resolved")
    world.stackflow.reopen(number)

    def check():
        assert states(world, number, incident_id) == ("in_progress", "resolved")
        assert world.incident_of(number, 1).status == "triggered"
    return check


@drift("trigger", costs=4)
def reopened_under_the_threshold(world):
    number, _ = world.settled(*world.pair(), "resolved")
    world.stackflow.set_priority(number, "P4")
    world.stackflow.reopen(number)

    def check():
        assert world.incident_of(number, 1).status == "triggered"
    return check


# From PagerDuty.

@drift("create", costs=7)
def opened_in_pagerduty(world):
    incident_id = world.born()

    def check():
        record, = world.records_of(incident_id)
        assert states(world, record["number"], incident_id) == ("new", "triggered")
        assert record["assignment_group"] == GROUP
    return check


@drift("create", "in_progress", costs=8)
def opened_and_acknowledged_in_pagerduty(world):
    incident_id = world.born()
    world.pagerduty.acknowledge(incident_id, world.casey)

    def check():
        record, = world.records_of(incident_id)
        assert states(world, record["number"], incident_id) == ("in_progress", "acknowledged")
    return check


@drift("in_progress", costs=3)
def acknowledged_in_pagerduty(world):
    number, incident_id = world.pair()
    world.pagerduty.acknowledge(incident_id, world.casey)
    return expect(world, number, incident_id, "in_progress", "acknowledged")


@drift(costs=0)
def acknowledged_in_pagerduty_beside_a_pending_record(world):
    number, incident_id = world.pair()
    world.stackflow.set_state(number, "pending_customer")
    world.pagerduty.acknowledge(incident_id, world.casey)
    return expect(world, number, incident_id, "pending_customer", "acknowledged")


@drift(costs=3)
def unacknowledged_in_pagerduty(world):
    number, incident_id = world.pair(person=CASEY)
    world.pagerduty.unacknowledge(incident_id, world.casey)
    return expect(world, number, incident_id, "new", "triggered")


def resolved_from(state):
    def happen(world):
        number, incident_id = world.pair()
        if state != "new":
            world.stackflow.set_state(number, state)
        world.pagerduty.resolve(incident_id, world.casey)
        return expect(world, number, incident_id, "resolved", "resolved")
    happen.__name__ = "resolved_in_pagerduty_beside_" + state
    return happen


for one in ("new", "in_progress", "on_hold", "pending_vendor"):
    drift("resolved", costs=3)(resolved_from(one))


@drift("resolved", costs=3)
def born_and_resolved_in_pagerduty(world):
    number, incident_id = world.born_pair()
    world.pagerduty.resolve(incident_id, world.casey)
    return expect(world, number, incident_id, "resolved", "resolved")


@drift("in_progress", costs=3)
def reopened_in_pagerduty(world):
    number, incident_id = world.settled(*world.born_pair(), "resolved")
    world.pagerduty.reopen(incident_id, world.casey)
    return expect(world, number, incident_id, "in_progress", "triggered")


@drift("replace", costs=6)
def reopened_in_pagerduty_beside_a_closed_record(world):
    number, incident_id = world.settled(*world.born_pair(), "resolved")
    world.stackflow.close(number)
    world.pagerduty.reopen(incident_id, world.casey)

    def check():
        old, new = world.records_of(incident_id)
        assert (old["number"], old["state"], new["state"]) == (number, "closed", "new")
        assert "carried on in " + new["number"] in world.stackflow.notes(number)[-1]["note"]
    return check


@drift(costs=2)
def moved_to_a_service_that_nobody_mapped(world):
    number, incident_id = world.pair()
    world.pagerduty.move(incident_id, world.other, world.casey)
    return expect(world, number, incident_id, "new", "triggered")


@drift("resolved", costs=3)
def moved_to_a_service_that_nobody_mapped_and_resolved(world):
    number, incident_id = world.pair()
    world.pagerduty.move(incident_id, world.other, world.casey)
    world.pagerduty.resolve(incident_id, world.casey)
    return expect(world, number, incident_id, "resolved", "resolved")


@drift(costs=2)
def merged_into_another_pair(world):
    first, target = world.pair()
    second, source = world.pair()
    world.pagerduty.merge(target, [source], world.casey)

    def check():
        assert states(world, first, target) == ("new", "triggered")
        assert states(world, second, source) == ("new", "resolved")
    return check


@drift("resolved", "resolved", costs=6)
def merged_into_another_pair_and_resolved(world):
    first, target = world.pair()
    second, source = world.pair()
    world.pagerduty.merge(target, [source], world.casey)
    world.pagerduty.resolve(target, world.casey)

    def check():
        assert states(world, first, target) == ("resolved", "resolved")
        assert states(world, second, source) == ("resolved", "resolved")
    return check


# Handed to another team.

DATABASE = "Database Reliability"


@drift("move", costs=8)
def handed_over(world):
    number, incident_id = world.pair()
    world.stackflow.assign(number, group=DATABASE)

    def check():
        assert world.pagerduty.incident(incident_id).service_id == world.database
        assert states(world, number, incident_id) == ("new", "triggered")
    return check


@drift("move", costs=8)
def handed_over_to_a_person_of_another_group(world):
    number, incident_id = world.pair()
    world.stackflow.assign(number, CASEY, group=DATABASE)

    def check():
        assert world.pagerduty.incident(incident_id).service_id == world.database
        assert states(world, number, incident_id) == ("new", "triggered")
    return check


@drift("regroup", costs=3)
def handed_over_in_pagerduty(world):
    number, incident_id = world.pair()
    world.pagerduty.move(incident_id, world.database, world.casey)

    def check():
        record = world.stackflow.incident(number)
        assert (record["assignment_group"], record["category"]) == (DATABASE, "database")
        assert states(world, number, incident_id) == ("new", "triggered")
    return check


@drift("regroup", "in_progress", costs=3)
def handed_over_and_acknowledged_in_pagerduty(world):
    number, incident_id = world.pair()
    world.pagerduty.move(incident_id, world.database, world.casey)
    world.pagerduty.acknowledge(incident_id, world.casey)

    def check():
        assert world.stackflow.incident(number)["assignment_group"] == DATABASE
        assert states(world, number, incident_id) == ("in_progress", "acknowledged")
    return check


# On both sides.

@drift("resolve", costs=4)
def resolved_beside_an_acknowledgement_in_pagerduty(world):
    number, incident_id = world.pair()
    world.pagerduty.acknowledge(incident_id, world.casey)
    world.stackflow.set_state(number, "resolved")
    return expect(world, number, incident_id, "resolved", "resolved")


@drift("resolved", costs=3)
def assigned_beside_a_resolve_in_pagerduty(world):
    number, incident_id = world.pair()
    world.stackflow.assign(number, CASEY)
    world.pagerduty.resolve(incident_id, world.casey)
    return expect(world, number, incident_id, "resolved", "resolved")


@drift(costs=2)
def resolved_on_both_sides(world):
    number, incident_id = world.pair()
    world.pagerduty.resolve(incident_id, world.casey)
    world.stackflow.set_state(number, "resolved")
    return expect(world, number, incident_id, "resolved", "resolved")


@drift(costs=2)
def deleted(world):
    number, incident_id = world.pair()
    world.stackflow.desk.delete(number)

    def check():
        assert world.pagerduty.incident(incident_id).status == "triggered"
    return check


# With the memory of it lost.

@drift(costs=4)
def forgotten(world):
    number, incident_id = world.pair()
    world.forget(number, incident_id)
    return expect(world, number, incident_id, "new", "triggered")


@drift("resolved", costs=5)
def forgotten_and_resolved_in_pagerduty(world):
    number, incident_id = world.pair()
    world.forget(number, incident_id)
    world.pagerduty.resolve(incident_id, world.casey)
    return expect(world, number, incident_id, "resolved", "resolved")


@drift("resolve", costs=8)
def forgotten_and_resolved(world):
    number, incident_id = world.pair()
    world.forget(number, incident_id)
    world.stackflow.set_state(number, "resolved")
    return expect(world, number, incident_id, "resolved", "resolved")


@drift(costs=5)
def born_in_pagerduty_and_forgotten(world):
    number, incident_id = world.born_pair()
    world.forget(number, incident_id)
    return expect(world, number, incident_id, "new", "triggered")


@drift("resolved", costs=6)
def born_in_pagerduty_forgotten_and_resolved_there(world):
    number, incident_id = world.born_pair()
    world.forget(number, incident_id)
    world.pagerduty.resolve(incident_id, world.casey)
    return expect(world, number, incident_id, "resolved", "resolved")


@drift("resolved", costs=6)
def born_in_pagerduty_of_low_urgency_forgotten_and_resolved_there(world):
    number, incident_id = world.born_pair(urgency="low")
    world.forget(number, incident_id)
    world.pagerduty.resolve(incident_id, world.casey)
    return expect(world, number, incident_id, "resolved", "resolved")


@drift("resolve", costs=8)
def born_in_pagerduty_forgotten_and_resolved(world):
    number, incident_id = world.born_pair()
    world.forget(number, incident_id)
    world.stackflow.set_state(number, "resolved")
    return expect(world, number, incident_id, "resolved", "resolved")
