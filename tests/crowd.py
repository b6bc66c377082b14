"""Many pairs in step, made without playing through how they came about."""

from __future__ import annotations

from collections import Counter

from drifts import CASEY, GROUP, Deaf
from world import KeyValue, MemoryStore

from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.links import Link, Links
from pagerduty_stackflow.pagerduty.events import fingerprint
from pagerduty_stackflow.stores import Start

SHARES = (("new", None, "triggered", 4), ("in_progress", None, "acknowledged", 2),
          ("in_progress", CASEY, "acknowledged", 2), ("on_hold", None, "triggered", 1),
          ("pending_vendor", CASEY, "triggered", 1))
"""State, person, PagerDuty's status, and how many in ten are so."""


class QuickStore(MemoryStore):
    """Sorts the names of a list once for all of its pages."""

    def list_values(self, local=True, prefix=None, limit=None, offset=0):
        self._called()
        if not offset:
            self._names = sorted(name for name in self.values if name.startswith(prefix))
        return [KeyValue(name, self.values[name][0]) for name in self._names[offset:][:limit]]


class Crowd(Deaf):
    """Pairs in step, put straight into both systems and the datastore, some seconds apart."""

    def __init__(self, count):
        super().__init__()
        self.store = QuickStore(self.clock)
        self.stackflow.subscriptions.clear()
        self.pagerduty.account.subscriptions.clear()
        quiet = self.pagerduty.add_escalation_policy("Quiet", [(5, [self.casey])])
        for service in (self.api, self.database):
            self.pagerduty.account.services[service].policy_id = quiet
        links = Links(Datastore(self.store))
        Start(Datastore(self.store)).ensure(self.pack().clock)
        kinds = [kind for *kind, share in SHARES for _ in range(share)]
        for at in range(count):
            self.clock.advance(6)
            self._add(links, *kinds[at % len(kinds)], born=at % 20 == 0)

    def _add(self, links, state, person, status, born):
        pagerduty, key = self.pagerduty, None
        number = self.stackflow.desk.create(
            {"short_description": "Database timeout", "priority": "P1", "assigned_to": person,
             "assignment_group": GROUP, "category": "api", "state": state}, CASEY).number
        if born:
            pagerduty.create_incident(self.api, "Disk full", self.casey)
        else:
            key = "stackflow:acme.stackflow.example:" + number
            pagerduty._events._process({
                "routing_key": self.api_key, "event_action": "trigger", "dedup_key": key,
                "payload": {"summary": number, "source": "x", "severity": "critical"}})
        incident = next(reversed(pagerduty.account.incidents.values()))
        if status == "acknowledged":
            pagerduty.acknowledge(incident.id, self.casey)
        links.write(Link(
            number, dedup_key=key, pagerduty_id=incident.id,
            key_fingerprint=None if born else fingerprint(self.api_key),
            here={"state": state, "place": GROUP, "acknowledgement": person or "",
                  "at": self.stackflow.incident(number)["updated_at"]},
            there={"state": status, "place": self.api}))
        links.join(incident.id, number)

    def requests(self):
        """What both systems were asked since the last time: lists, other reads, writes."""
        rows = self.pagerduty.requests + self.stackflow.requests
        assert 429 not in {one.status for one in rows}
        kinds = Counter("write" if one.method != "GET" else
                        "list" if one.one("statuses[]") or one.one("state") else "read"
                        for one in rows)
        del self.pagerduty.requests[:], self.stackflow.requests[:]
        return kinds
