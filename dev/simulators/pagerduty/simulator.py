"""The simulator itself: one object for the Events API, REST, webhooks and the people around."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Optional

from dev.simulators.base import Request, Response
from dev.simulators.outbox import Sender
from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.events import EventsApi
from dev.simulators.pagerduty.lifecycle import Lifecycle
from dev.simulators.pagerduty.model import Alert, Incident, Notification, Switches, Write
from dev.simulators.pagerduty.people import People
from dev.simulators.pagerduty.rest import RestApi
from dev.simulators.pagerduty.rest_account import AccountCalls
from dev.simulators.pagerduty.rest_incidents import IncidentCalls
from dev.simulators.pagerduty.setup import Setup
from dev.simulators.pagerduty.shapes import Shapes
from dev.simulators.pagerduty.webhooks import Webhooks, new_outbox

ENQUEUE = "/v2/enqueue"


class PagerDuty(Setup, People):
    """A PagerDuty account behind both of its hosts.

    Keyword arguments beyond `subdomain` and `seed` set `switches`, e.g. `event_delay=0`.
    """

    def __init__(self, clock: Any = None, sender: Optional[Sender] = None,
                 subdomain: str = "example", seed: int = 0, **switches: Any) -> None:
        super().__init__(clock, sender, new_outbox())
        self.switches = replace(Switches(), **switches)
        self.account = Account(subdomain, seed)
        shapes = Shapes(self.account)
        self.webhooks = Webhooks(self, self.account, shapes, self.switches)
        self.lifecycle = Lifecycle(self, self.account, self.webhooks, self.switches)
        self._events = EventsApi(self, self.account, self.lifecycle, self.switches)
        incidents = IncidentCalls(self.account, self.lifecycle, shapes)
        others = AccountCalls(self.account, self.webhooks, shapes, self.switches)
        self._rest = RestApi(self, self.account, self.switches,
                             incidents.routes() + others.routes())
        for name in ("P1", "P2", "P3", "P4"):
            self.add_priority(name)

    def answer(self, request: Request) -> Response:
        if request.path == ENQUEUE:
            if request.method != "POST":
                return Response.of(405)
            return self._events.answer(request)
        return self._rest.answer(request)

    def incident(self, identity: str) -> Incident:
        """By id or number, as it is now. Raises Refused when there is none."""
        with self.lock:
            return self.account.incident(str(identity))

    def incidents(self, dedup_key: Optional[str] = None,
                  status: Optional[str] = None) -> List[Incident]:
        """All, or those with that key (an alert's, or their own) and status, oldest first."""
        with self.lock:
            rows = list(self.account.incidents.values())
            if dedup_key is not None:
                rows = self.account.incidents_with_key(dedup_key)
            return [one for one in rows if status in (None, one.status)]

    def alerts(self, incident_id: Optional[str] = None,
               dedup_key: Optional[str] = None) -> List[Alert]:
        with self.lock:
            return [one for one in self.account.alerts.values()
                    if incident_id in (None, one.incident_id) and
                    dedup_key in (None, one.alert_key)]

    @property
    def notifications(self) -> Dict[str, List[Notification]]:
        """Pages of every person, by user id: (time, incident id, reason)."""
        with self.lock:
            return {user: list(self.account.notifications.get(user, []))
                    for user in self.account.users}

    @property
    def writes(self) -> List[Write]:
        """State-changing requests that were accepted, by Events API or REST, in order."""
        return self.account.writes
