"""What a person can do on the page: in StackFlow, in PagerDuty, and as the pack's operator."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

from dev.simulators.pagerduty import Refused
from dev.simulators.stackflow.records import FINISHED_STATES, OPEN_STATES, PRIORITIES
from dev.simulators.stackflow.refusals import Refusal
from dev.site import OUTSIDER, SLA, LocalSite

STACKFLOW, PAGERDUTY, PACK = "stackflow", "pagerduty", "pack"
NAMES = {STACKFLOW: "StackFlow", PAGERDUTY: "PagerDuty", PACK: "Operator"}
ON, OFF = "on", "off"
"""States of a whole side; an incident's are those of its system."""
UNRESOLVED = ("triggered", "acknowledged")
URGENCIES = [("high", "High"), ("low", "Low")]
LONGEST = 2000
"""Characters of a text that somebody writes."""

Choices = Sequence[Tuple[str, str]]
"""Values with the words that are shown for them; none: free text."""


class NotPossible(Exception):
    """The act cannot be done now; the words are for whoever asked."""


class Act(NamedTuple):
    """``states`` are those in which it is offered, ``words`` tell of it when it is done. Inputs go
    to ``carry_out`` in their order: `id` is the incident, `by` the person who acts.
    """

    label: str
    states: Sequence[str]
    inputs: Dict[str, Choices]
    words: str
    carry_out: Callable[..., Any]


class Told(NamedTuple):
    """An act that was done, by whom, and the execution that it started, if any."""

    at: datetime
    side: str
    who: str
    words: str
    execution: Any


class Hands:
    """Carries acts out on a site; ``acts`` by side and name, ``diary`` what was done, in order."""

    def __init__(self, site: LocalSite) -> None:
        self._site = site
        self.acts = {STACKFLOW: dict(_switches(site.stackflow), **_in_stackflow(site)),
                     PAGERDUTY: dict(_switches(site.pagerduty), **_in_pagerduty(site)),
                     PACK: _as_operator(site)}
        self.diary: List[Told] = []

    def state(self, side: str) -> str:
        """Whether a side is on or off."""
        return OFF if getattr(self._site, side).faults.waiting else ON

    def do(self, order: Dict[str, Any]) -> None:
        """Carry out {side, act, and its inputs}. Raises ValueError for what is no such act, and
        NotPossible.
        """
        act = self.acts.get(str(order.get("side")), {}).get(str(order.get("act")))
        if act is None:
            raise ValueError("there is no such act")
        side, given = order["side"], {name: order.get(name) for name in act.inputs}
        for name, value in given.items():
            fits = isinstance(value, str) and 0 < len(value.strip()) <= LONGEST
            if not fits or act.inputs[name] and value not in dict(act.inputs[name]):
                raise ValueError("%s does not fit" % name)
        if side != PACK and self.state(side) == OFF and OFF not in act.states:
            raise NotPossible("%s is switched off" % NAMES[side])
        at = self._site.clock.now()
        try:
            done = act.carry_out(*given.values())
        except (Refusal, Refused) as error:
            raise NotPossible("%s refuses: %s" % (NAMES[side], error)) from error
        shown = {name: dict(act.inputs[name]).get(value, value) for name, value in given.items()}
        who = "%s in %s" % (shown["by"], NAMES[side]) if "by" in shown else NAMES[side]
        self.diary.append(Told(at, side, who, act.words.format(done=done, **shown),
                               done if side == PACK else None))


def _switches(simulator: Any) -> Dict[str, Act]:
    outbox = simulator.outbox

    def off() -> None:
        simulator.faults.add("", status=503, times=sys.maxsize)
        outbox.hold()

    def on() -> None:
        simulator.faults.clear()
        outbox.release()

    return {"off": Act("Switch off", (ON,), {}, "switched off: it answers 503", off),
            "on": Act("Switch on", (OFF,), {}, "switched on again", on),
            "lose": Act("Lose webhook", (ON,), {}, "will lose its next webhook", outbox.lose),
            "double": Act("Double webhook", (ON,), {}, "will send its next webhook twice",
                          outbox.double)}


def _in_stackflow(site: LocalSite) -> Dict[str, Act]:
    desk = site.stackflow
    categories = {one["stackflow_assignment_group"]: one["stackflow_category"]
                  for one in site.config()["service_mapping"]}
    groups = [(name, _mapped(name, name in categories)) for name in desk.desk.groups]
    people = [(email, user.name.title() + (" (not in PagerDuty)" if email == OUTSIDER else ""))
              for email, user in desk.desk.users.items()]
    priorities = [(name, name) for name in PRIORITIES]
    acting: Dict[str, Choices] = {"id": (), "by": people}

    def create(title: str, priority: str, group: str, by: str) -> str:
        return desk.create_incident(title, priority, group, None, categories.get(group), by)

    def hand_over(id: str, by: str, group: str) -> None:
        desk.update(id, assignment_group=group, category=categories.get(group))

    def into(state: str) -> Callable[..., None]:
        return lambda id, by: desk.set_state(id, state)

    return {
        "open": Act("Open incident", (ON,), {"title": (), "priority": priorities, "group": groups,
                                             "by": people},
                    "opens {done}, {priority}, for {group}", create),
        "assign": Act("Take it", OPEN_STATES, acting, "takes {id}", desk.assign),
        "resolve": Act("Resolve", OPEN_STATES, acting, "resolves {id}", into("resolved")),
        "reopen": Act("Reopen", ("resolved",), acting, "reopens {id}", into("in_progress")),
        "close": Act("Close", ("resolved",), acting, "closes {id}", into("closed")),
        "breach": Act("Breach SLA", OPEN_STATES, {"id": ()}, "{id} is late for " + SLA,
                      lambda id: desk.breach_sla(id, SLA)),
        "cancel": Act("Cancel", OPEN_STATES, acting, "cancels {id}", into("cancelled")),
        "hand_over": Act("Hand over", OPEN_STATES, dict(acting, group=groups),
                         "hands {id} to {group}", hand_over),
        "priority": Act("Set priority", OPEN_STATES, dict(acting, priority=priorities),
                        "makes {id} a {priority}",
                        lambda id, by, priority: desk.set_priority(id, priority)),
        "note": Act("Add note", OPEN_STATES + FINISHED_STATES, dict(acting, text=()),
                    "writes a note on {id}",
                    lambda id, by, text: desk.add_note(id, text, by=by))}


def _in_pagerduty(site: LocalSite) -> Dict[str, Act]:
    app = site.pagerduty
    people = [(user.id, user.name) for user in app.account.users.values() if user.id != site.bot]
    mapped = [one["pagerduty_service_id"] for one in site.config()["service_mapping"]]
    services = [(one.id, _mapped(one.name, one.id in mapped))
                for one in app.account.services.values()]
    acting: Dict[str, Choices] = {"id": (), "by": people}

    def create(title: str, urgency: str, service: str, by: str) -> int:
        return app.incident(app.create_incident(service, title, by, urgency)).number

    return {
        "open": Act("Open incident", (ON,), {"title": (), "urgency": URGENCIES,
                                             "service": services, "by": people},
                    "opens #{done} on {service}", create),
        "acknowledge": Act("Acknowledge", ("triggered",), acting, "acknowledges #{id}",
                           app.acknowledge),
        "resolve": Act("Resolve", UNRESOLVED, acting, "resolves #{id}", app.resolve),
        "reopen": Act("Reopen", ("resolved",), acting, "reopens #{id}", app.reopen),
        "escalate": Act("Escalate", UNRESOLVED, acting, "escalates #{id}", app.escalate),
        "move": Act("Move", UNRESOLVED, {"id": (), "service": services, "by": people},
                    "moves #{id} to {service}", app.move),
        "note": Act("Add note", UNRESOLVED + ("resolved",), {"id": (), "text": (), "by": people},
                    "writes a note on #{id}", app.add_note)}


def _as_operator(site: LocalSite) -> Dict[str, Act]:
    # What is younger than two minutes is opened only where a time is named.
    since = site.platform.datastore.get("pagerduty_stackflow.start")

    def reconcile(**how: Any) -> Any:
        return site.platform.start_action("pagerduty_stackflow.reconcile", dict(how, since=since))

    return {"drift": Act("Look for drift", (), {}, "runs reconcile with dry_run=true",
                         lambda: reconcile(dry_run=True)),
            "reconcile": Act("Reconcile", (), {}, "runs reconcile", reconcile)}


def _mapped(name: str, known: bool) -> str:
    return name if known else name + " (not mapped)"
