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
        self._since = site.platform.datastore.get("pagerduty_stackflow.start")
        self.acts = {STACKFLOW: dict(self._switches(site.stackflow), **self._in_stackflow()),
                     PAGERDUTY: dict(self._switches(site.pagerduty), **self._in_pagerduty()),
                     PACK: self._as_operator()}
        self.diary: List[Told] = []

    def catalog(self) -> Dict[str, Any]:
        """For every side its acts by name: label, states and inputs."""
        return {side: {name: {"label": act.label, "states": act.states, "inputs": act.inputs}
                       for name, act in acts.items()} for side, acts in self.acts.items()}

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
        side = order["side"]
        given = {name: order.get(name) for name in act.inputs}
        for name, value in given.items():
            choices = [one for one, _ in act.inputs[name]]
            if not isinstance(value, str) or not value.strip() or len(value) > LONGEST or (
                    choices and value not in choices):
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

    @staticmethod
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
                "lose": Act("Lose webhook", (ON,), {}, "the next webhook will be lost",
                            outbox.lose),
                "double": Act("Double webhook", (ON,), {}, "the next webhook will come twice",
                              outbox.double)}

    def _in_stackflow(self) -> Dict[str, Act]:
        desk = self._site.stackflow
        categories = {one["stackflow_assignment_group"]: one["stackflow_category"]
                      for one in self._site.config()["service_mapping"]}
        groups = [(name, name if name in categories else name + " (not mapped)")
                  for name in desk.desk.groups]
        people = [(email, email.partition("@")[0].title() + (
            " (not in PagerDuty)" if email == OUTSIDER else "")) for email in desk.desk.users]
        priorities = [(name, name) for name in PRIORITIES]

        def create(title: str, priority: str, group: str, by: str) -> str:
            return desk.create_incident(title, priority, group=group,
                                        category=categories.get(group), by=by)

        def hand_over(id: str, by: str, group: str) -> None:
            desk.update(id, assignment_group=group, category=categories.get(group))

        acting: Dict[str, Choices] = {"id": (), "by": people}
        return {
            "open": Act("Open incident", (ON,), {"title": (), "priority": priorities,
                                                 "group": groups, "by": people},
                        "opens {done}, {priority}, for {group}", create),
            "assign": Act("Take it", OPEN_STATES, acting, "takes {id}",
                          desk.assign),
            "resolve": Act("Resolve", OPEN_STATES, acting, "resolves {id}",
                           lambda id, by: desk.set_state(id, "resolved")),
            "reopen": Act("Reopen", ("resolved",), acting, "reopens {id}",
                          lambda id, by: desk.reopen(id)),
            "close": Act("Close", ("resolved",), acting, "closes {id}",
                         lambda id, by: desk.close(id)),
            "breach": Act("Breach SLA", OPEN_STATES, {"id": ()}, "{id} is late for " + SLA,
                          lambda id: desk.breach_sla(id, SLA)),
            "cancel": Act("Cancel", OPEN_STATES, acting, "cancels {id}",
                          lambda id, by: desk.cancel(id)),
            "hand_over": Act("Hand over", OPEN_STATES, dict(acting, group=groups),
                             "hands {id} to {group}", hand_over),
            "priority": Act("Set priority", OPEN_STATES, dict(acting, priority=priorities),
                            "makes {id} a {priority}",
                            lambda id, by, priority: desk.set_priority(id, priority)),
            "note": Act("Add note", OPEN_STATES + FINISHED_STATES, dict(acting, text=()),
                        "writes a note on {id}",
                        lambda id, by, text: desk.add_note(id, text, by=by))}

    def _in_pagerduty(self) -> Dict[str, Act]:
        app = self._site.pagerduty
        people = [(user.id, user.name) for user in app.account.users.values()
                  if user.id != self._site.bot]
        mapped = {one["pagerduty_service_id"] for one in self._site.config()["service_mapping"]}
        services = [(one.id, one.name if one.id in mapped else one.name + " (not mapped)")
                    for one in app.account.services.values()]
        unresolved, acting = ("triggered", "acknowledged"), {"id": (), "by": people}

        def create(title: str, urgency: str, service: str, by: str) -> int:
            return app.incident(app.create_incident(service, title, by, urgency)).number

        return {
            "open": Act("Open incident", (ON,), {
                "title": (), "urgency": [("high", "High urgency"), ("low", "Low urgency")],
                "service": services, "by": people}, "opens #{done} on {service}", create),
            "acknowledge": Act("Acknowledge", ("triggered",), acting, "acknowledges #{id}",
                               app.acknowledge),
            "resolve": Act("Resolve", unresolved, acting, "resolves #{id}", app.resolve),
            "reopen": Act("Reopen", ("resolved",), acting, "reopens #{id}", app.reopen),
            "escalate": Act("Escalate", unresolved, acting, "escalates #{id}", app.escalate),
            "move": Act("Move", unresolved, {"id": (), "service": services, "by": people},
                        "moves #{id} to {service}", app.move),
            "note": Act("Add note", unresolved + ("resolved",), {"id": (), "text": (), "by": people},
                        "writes a note on #{id}", app.add_note)}

    def _as_operator(self) -> Dict[str, Act]:
        def reconcile(**how: Any) -> Any:
            # What is younger than two minutes is opened only where a time is named.
            return self._site.platform.start_action("pagerduty_stackflow.reconcile",
                                                    dict(how, since=self._since))

        return {"drift": Act("Look for drift", (), {}, "runs reconcile with dry_run=true",
                             lambda: reconcile(dry_run=True)),
                "reconcile": Act("Reconcile", (), {}, "runs reconcile", reconcile)}
