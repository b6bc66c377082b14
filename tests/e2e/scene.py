"""The words that scenarios are told in, and what has to be true at the end of each."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Dict, Iterator, List, Set, Tuple

from target import WAIT_SECONDS, Execution, Target, TriggerInstance

from dev.site import PLATFORM, Site, wait_for

STATE_WRITES = ("trigger", "acknowledge", "resolve", "triggered", "acknowledged", "resolved")


class Change:
    """What the pack wrote on account of what happened within the block: see ``Scene.change``.

    ``to_pagerduty`` holds trigger, acknowledge and resolve (Events API) and the statuses of REST
    writes; ``to_stackflow`` holds created, and the states of writes to records; neither has notes.
    """

    def __init__(self) -> None:
        self.to_pagerduty: List[str] = []
        self.to_stackflow: List[str] = []
        self.executions: List[Execution] = []


class Scene:
    """One scenario on a site that others have used before it; everything counts from its start."""

    def __init__(self, site: Site, target: Target) -> None:
        self.site, self.target = site, target
        self.stackflow, self.pagerduty = site.stackflow, site.pagerduty
        self._first = self._counts()
        self._logged = len(target.log())
        self._secrets = set(site.keys.values())
        self._allowed: Set[str] = set()
        self._configured = False
        self._turned: List[Tuple[Any, str, Any]] = []

    # What people and operators do.

    def opened(self, priority: str = "P1", group: Any = PLATFORM, category: Any = "api",
               **fields: Any) -> str:
        """Somebody opens a StackFlow incident; its number."""
        return self.stackflow.create_incident("Checkout is down", priority, group=group,
                                              category=category, **fields)

    def pair(self, **fields: Any) -> Tuple[str, Any]:
        """A StackFlow incident that was paged, and its PagerDuty incident; all is quiet."""
        number = self.opened(**fields)
        incident = wait_for(lambda: self.site.paged(number), WAIT_SECONDS,
                            lambda: "%s to be paged" % number)
        self.settle()
        return number, incident

    def pair_born_in_pagerduty(self, **fields: Any) -> Tuple[str, Any]:
        """An incident that somebody opened in PagerDuty, behind the number of its record."""
        incident = self.pagerduty.incident(self.pagerduty.create_incident(
            self.site.api, "Node is gone", self.site.casey, **fields))
        self.settle()
        return self.record_of(incident)["number"], incident

    def configure(self, status: str = "ok", **changes: Any) -> None:
        """An operator changes top-level keys of the config, and restarts the sensor."""
        self._configured = True
        self.target.configure(self.site.config(**changes), status)

    def turn(self, switches: Any, **values: Any) -> None:
        """Turn switches of a simulator until the end of the scenario."""
        for name, value in values.items():
            self._turned.append((switches, name, getattr(switches, name)))
            setattr(switches, name, value)

    def also_secret(self, value: str) -> str:
        """One more text that must not be seen anywhere; returns it."""
        self._secrets.add(value)
        return value

    # What is seen.

    def settle(self) -> None:
        """Wait until nothing is on its way any more."""
        self.site.settle(self.target.idle, WAIT_SECONDS)

    def wait(self, condition: Any, what: str) -> Any:
        """The first true value of ``condition()``."""
        return wait_for(condition, WAIT_SECONDS, lambda: what)

    def state(self, number: str) -> str:
        """State of a StackFlow record."""
        return str(self.stackflow.incident(number)["state"])

    def status(self, number: str, reopened: int = 0) -> str:
        """Status of a record's PagerDuty incident, "none" without one."""
        found = self.site.paged(number, reopened)
        return str(found.status) if found else "none"

    def record_of(self, incident: Any) -> Dict[str, Any]:
        """The one StackFlow record that was made for a PagerDuty incident."""
        found = self.site.records_of(incident.id)
        assert len(found) == 1, "records of %s: %s" % (incident.id, found)
        return found[0]

    def pages(self, incident: Any) -> int:
        """How many notifications people got of it. Others may climb their policies meanwhile."""
        return sum(row.incident_id == incident.id
                   for rows in self.pagerduty.notifications.values() for row in rows)

    def executions(self) -> List[Execution]:
        """The executions of this scenario, oldest first."""
        return self.target.executions()[self._first[0]:]

    def triggers(self, event_type: str = "") -> List[TriggerInstance]:
        """This scenario's events; those of one type where it is named."""
        return [one for one in self.target.trigger_instances()[self._first[1]:]
                if event_type in ("", one.payload["event_type"])]

    def payloads(self, event_type: str = "") -> List[Dict[str, Any]]:
        """What ``triggers`` carry."""
        return [one.payload for one in self.triggers(event_type)]

    @contextlib.contextmanager
    def change(self) -> Iterator[Change]:
        """What comes of the acts within the block, complete when the block has ended."""
        before, change = self._counts(), Change()
        yield change
        self.settle()
        change.executions = self.target.executions()[before[0]:]
        for write in self.pagerduty.writes[before[2]:]:
            sent = write.document.get("event_action") or write.document.get(
                "incident", {}).get("status")
            if sent in STATE_WRITES:
                change.to_pagerduty.append(sent)
        for write in self.stackflow.writes[before[3]:]:
            if write.method == "POST" and write.path.endswith("/incidents"):
                change.to_stackflow.append("created")
            elif write.method == "PATCH" and "state" in write.body:
                change.to_stackflow.append(write.body["state"])

    def failure(self, execution: Execution) -> Dict[str, Any]:
        """The error of an execution that was to fail."""
        assert execution.status == "failed", execution
        self._allowed.add(execution.id)
        return dict(execution.result["error"])

    def allow(self, execution: Execution) -> None:
        """An execution need not have succeeded."""
        self._allowed.add(execution.id)

    # The end.

    def reset(self) -> None:
        """Leave the site as it was found."""
        for switches, name, value in reversed(self._turned):
            setattr(switches, name, value)
        for simulator in (self.stackflow, self.pagerduty):
            simulator.faults.clear()
            simulator.outbox.release()
            simulator.outbox.reorder(False)
        if self._configured:
            self.target.configure(self.site.config())

    def check(self) -> None:
        """All is quiet, no payload was dropped, nothing failed that was not to, no secret shows."""
        self.settle()
        assert self.target.dropped() == []
        failed = [one for one in self.executions()
                  if one.status != "succeeded" and one.id not in self._allowed]
        assert failed == []
        self._check_secrets()

    def _check_secrets(self) -> None:
        places = {"the log": self.target.log()[self._logged:], "payloads": json.dumps(
            self.payloads())}
        for one in self.executions():
            places["execution %s of %s" % (one.id, one.action)] = "%s %s %s" % (
                json.dumps(one.parameters), json.dumps(one.result), one.output)
        for simulator in (self.stackflow, self.pagerduty):
            places["URLs of %s" % type(simulator).__name__] = "\n".join(
                "%s %s" % (one.path, one.query) for one in simulator.requests)
        seen = [place for place, text in places.items()
                if any(secret in text for secret in self._secrets)]
        assert seen == []

    def _counts(self) -> Tuple[int, int, int, int]:
        return (len(self.target.executions()), len(self.target.trigger_instances()),
                len(self.pagerduty.writes), len(self.stackflow.writes))


def played(scene: Scene) -> Iterator[Scene]:
    """The body of a fixture: a scene, which is cleared up and looked through after its test."""
    try:
        yield scene
    finally:
        scene.reset()
    scene.check()
