"""What one event costs: the requests and the calls of the datastore for each row of the sync table.

docs/performance.md says why each of them is needed. The sensor's look at the links comes on top:
one for each event, and a second one for an event of PagerDuty that belongs to a known pair.
"""

from __future__ import annotations

import re
from typing import Any, Callable, List, NamedTuple, Tuple

from world import World

GROUP, ANOTHER = "Platform Engineering", "Database Reliability"
START = "list start"
"""The sensor reads it once in its life; here every delivery has a sensor of its own."""


class Row(NamedTuple):
    """``prepare`` gets a world and returns what a person does then."""

    name: str
    prepare: Callable[[Any], Callable[[], Any]]
    requests: Tuple[str, ...]
    calls: Tuple[str, ...]
    sensor: Tuple[str, ...] = ("list link",)


def created(world: Any, priority: str = "P1") -> str:
    return str(world.stackflow.create_incident("Database timeout", priority, group=GROUP,
                                               category="api"))


def quiet(world: Any) -> None:
    world.settle()
    world.run(5)


def pair(world: Any) -> Tuple[str, str]:
    """A record that was paged: number and PagerDuty id."""
    number = created(world)
    quiet(world)
    return number, world.pagerduty.incidents()[0].id


def raised(world: Any) -> Callable[[], Any]:
    number = created(world, "P4")
    quiet(world)
    return lambda: world.stackflow.set_priority(number, "P1")


def reopened(world: Any) -> Callable[[], Any]:
    number, _ = pair(world)
    world.stackflow.set_state(number, "resolved")
    quiet(world)
    return lambda: world.stackflow.set_state(number, "in_progress")


def reopened_there(world: Any) -> Callable[[], Any]:
    _, incident = pair(world)
    world.pagerduty.resolve(incident, world.casey)
    quiet(world)
    world.run(600)
    return lambda: world.pagerduty.reopen(incident, world.casey)


def with_pair(act: Callable[[Any, str, str], Any]) -> Callable[[Any], Callable[[], Any]]:
    """A row that begins with a pair."""
    def prepare(world: Any) -> Callable[[], Any]:
        number, incident = pair(world)
        return lambda: act(world, number, incident)

    return prepare


LOOK, LINK, WROTE = "list link", "set link", "list link"
NUMBERS = "list pagerduty"
ENQUEUE = "POST /v2/enqueue"
INCIDENT, BY_KEY = "GET /incidents/PD", "GET /incidents"
RECORD, RECORDS = "GET /prod/api/incidents/INC", "GET /prod/api/incidents"
ALERTS, PUT = "GET /incidents/PD/alerts", "PUT /incidents/PD"
PATCH, POST = "PATCH /prod/api/incidents/INC", "POST /prod/api/incidents"
SIDES = (BY_KEY, RECORD)
"""Both sides, the incident by its key where no run has seen it before."""
FROM_PAGERDUTY = (NUMBERS, LOOK, LOOK, LINK, LINK, WROTE)
OF_A_PAIR = (NUMBERS, LOOK)
"""What the sensor asks about an event of PagerDuty that belongs to a known pair."""

ROWS = (
    Row("created", lambda world: lambda: created(world), (ENQUEUE,), (LOOK, START, LINK, WROTE)),
    Row("priority raised", raised, (ENQUEUE,), (LOOK, START, LINK, WROTE)),
    Row("person assigned", with_pair(lambda world, number, _: world.stackflow.assign(
        number, person="jane@example.com")), (ENQUEUE,), (LOOK, LINK, WROTE)),
    Row("resolved", with_pair(lambda world, number, _: world.stackflow.set_state(
        number, "resolved")), (ENQUEUE,), (LOOK, LINK, WROTE)),
    Row("opened again", reopened, SIDES + (BY_KEY, ENQUEUE), (LOOK, NUMBERS, LOOK, LINK, WROTE)),
    Row("handed to another group", with_pair(lambda world, number, _: world.stackflow.assign(
        number, group=ANOTHER)),
        SIDES + ("GET /services/PD", INCIDENT, PUT, INCIDENT, PUT, INCIDENT),
        (LOOK, NUMBERS, LOOK, LINK, LINK, WROTE)),
    Row("triggered in PagerDuty", lambda world: lambda: world.pagerduty.create_incident(
        world.api, "Disk full", world.casey),
        (RECORDS, ALERTS, INCIDENT, POST, RECORDS, INCIDENT, RECORD),
        (NUMBERS, START, "set pagerduty", "set pagerduty", LOOK, LINK, LOOK, LOOK), (NUMBERS,)),
    Row("acknowledged in PagerDuty", with_pair(lambda world, _, incident: (
        world.pagerduty.acknowledge(incident, world.casey))), SIDES + (PATCH,),
        FROM_PAGERDUTY, OF_A_PAIR),
    Row("resolved in PagerDuty", with_pair(lambda world, _, incident: (
        world.pagerduty.resolve(incident, world.casey))), SIDES + (PATCH,),
        FROM_PAGERDUTY[:-1] + ("set pagerduty", WROTE), OF_A_PAIR),
    Row("reopened in PagerDuty", reopened_there, (INCIDENT, RECORD, PATCH),
        FROM_PAGERDUTY, OF_A_PAIR),
    Row("moved in PagerDuty", with_pair(lambda world, _, incident: (
        world.pagerduty.move(incident, world.database, world.casey))), SIDES + (PATCH,),
        FROM_PAGERDUTY, OF_A_PAIR),
)


class Spent(NamedTuple):
    """What an event cost: of the sensor's calls, and of its action requests and calls."""

    sensor: List[str]
    requests: List[str]
    calls: List[str]


def spent(row: Row) -> Spent:
    """Play a row."""
    world = World()
    act = row.prepare(world)
    seen = _watched(world)
    act()
    world.run(2)
    sensor = [call for call in seen if call.startswith(("list", "set")) and call != START]
    del seen[:]
    world.run_queue()
    return Spent(sensor, [one for one in seen if one[:1].isupper()],
                 [one for one in seen if one[:1].islower()])


def _watched(world: Any) -> List[str]:
    """Notes every request and call of the datastore from now on, in words without ids."""
    seen: List[str] = []
    store = world.store
    list_values, set_value = store.list_values, store.set_value

    def listed(local: bool = True, prefix: str = "", **options: Any) -> Any:
        seen.append("list " + prefix.split(".")[1])
        return list_values(local, prefix, **options)

    def stored(name: str, *values: Any, **options: Any) -> Any:
        seen.append("set " + name.split(".")[1])
        return set_value(name, *values, **options)

    def asked(what: str) -> None:
        if " " in what:
            path = re.sub(r"\?.*", "", what)
            path = re.sub(r"/INC\d+", "/INC", path)
            seen.append(re.sub(r"/[PQ][0-9A-Z]{6,}", "/PD", path))

    store.list_values, store.set_value, world.before_call = listed, stored, asked
    return seen
