"""The simulator itself: what a test, the demo or the playground holds in its hands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Dict, List, Optional, Sequence

from dev.simulators.base import Request, Response, Simulator, serialised
from dev.simulators.outbox import Delivery, Sender
from dev.simulators.stackflow import webhooks
from dev.simulators.stackflow.api import BASE, WRITE_METHODS, Api
from dev.simulators.stackflow.desk import Desk
from dev.simulators.stackflow.identity import Account, Client, Identity
from dev.simulators.stackflow.limits import RateLimiter
from dev.simulators.stackflow.records import Incident, Note, iso
from dev.simulators.stackflow.sla import STANDARD_TARGETS, SlaChecker
from dev.simulators.stackflow.switches import Switches
from dev.simulators.stackflow.webhooks import EVENTS, Event, FewRetries, Subscription

SOMEBODY = "somebody@example.com"
# notifications/sla-alerts.html, itsm/major-incidents.html; a breach has a topic of its own.
TOPICS = {"sla.warning": "stackflow-sla-alerts", "sla.breach": "stackflow-breach-notifications",
          "major_incident.declared": "stackflow-major-incident-alerts"}
TOPIC_ARN = "arn:aws:sns:us-east-1:000000000000:{}"


@dataclass
class Write:
    """A request that was to change something; `number` is the incident's, if it names one."""

    at: datetime
    method: str
    path: str
    number: Optional[str]
    body: Any
    status: int


class StackFlow(Simulator):
    """A StackFlow instance with one tenant.

    Hands and set-up methods raise `Refusal` where the API would refuse, and speak canonical states;
    what is read out is spelt as the API spells it.
    """

    def __init__(self, clock: Any = None, sender: Optional[Sender] = None,
                 switches: Optional[Switches] = None) -> None:
        self.switches = switches if switches is not None else Switches()
        super().__init__(clock, sender, FewRetries(self.switches))
        self.events: List[Event] = []
        self.sns_messages: List[Dict[str, Any]] = []
        self.subscriptions: List[Subscription] = []
        self.writes: List[Write] = []
        self.desk = Desk(self.now, self.switches, self._announce)
        self.identity = Identity(self.now, self.switches)
        self._sla = SlaChecker(self.now, self.switches, self.desk, self._announce)
        self._sla_scheduled = False
        self._api = Api(self.desk, self.identity, RateLimiter(self.now, self.switches),
                        self.switches, self.subscriptions, self.subscribe)

    def answer(self, request: Request) -> Response:
        """The API and the two token endpoints; in truth the latter have hosts of their own."""
        response = self._api.answer(request, str(iso(self.now(), "seconds")))
        if request.method in WRITE_METHODS and BASE.fullmatch(request.path):
            self.writes.append(self._as_write(request, response))
        return response

    # Set-up.

    @serialised
    def add_group(self, name: str) -> str:
        """Make an assignment group unless there is one of that name; returns its id."""
        return self.desk.add_group(name).id

    @serialised
    def add_user(self, email: str, name: str = "", role: str = "itsm_agent",
                 groups: Sequence[str] = (), password: Optional[str] = None) -> str:
        """Make a user, who can sign in if there is a password; returns the id."""
        if password is not None:
            self.identity.accounts[email] = Account(password, role)
        name = name or email.partition("@")[0]
        return self.desk.add_user(email, name, role, tuple(groups)).id

    @serialised
    def add_client(self, client_id: str, client_secret: str = "", role: str = "service_account",
                   user: Optional[str] = None) -> None:
        """Register an app client; only one with a secret may use client credentials."""
        self.identity.clients[client_id] = Client(client_secret, role, user or client_id)

    @serialised
    def add_token(self, token: str, role: str = "service_account", kind: str = "any",
                  user: Optional[str] = None, seconds: Optional[float] = None) -> None:
        """Make a bearer token valid, for so many seconds or for good.

        The kind is "id", "access" or "any"; the user counts for rate limits and for what is "own".
        """
        self.identity.add_token(token, kind, role, user or role + "@example.com", seconds)

    @serialised
    def revoke(self, token: str) -> None:
        """From now on the token gets a 401."""
        self.identity.tokens.pop(token, None)

    @serialised
    def subscribe(self, url: str, events: Sequence[str] = EVENTS, secret: Optional[str] = None,
                  name: str = "webhook", filters: Sequence[Dict[str, Any]] = ()) -> Subscription:
        """Make an outbound webhook; without a secret its deliveries carry no proof."""
        identifier = "wh_out_{:06d}".format(len(self.subscriptions) + 1)
        made = Subscription(identifier, name, url, tuple(events), self.now(), list(filters), secret)
        self.subscriptions.append(made)
        return made

    @serialised
    def add_sla_policy(self, name: str,
                       targets: Optional[Dict[str, Dict[str, float]]] = None) -> None:
        """Apply a policy to all incidents, with targets per priority as itsm/sla.html prints them.

        For example ``{"P1": {"first_response_minutes": 15, "resolution_hours": 4}}``; by default
        the page's own.
        """
        self._sla.policies[name] = dict(STANDARD_TARGETS if targets is None else targets)
        self._schedule_sla_check()

    # People's hands. Neither records nor events tell who changed something: most take no name.

    @serialised
    def create_incident(self, short_description: str, priority: str = "P2",
                        group: Optional[str] = None, person: Optional[str] = None,
                        category: Optional[str] = None, by: str = SOMEBODY, **fields: Any) -> str:
        """Open an incident; returns its number. Groups and people are made as needed."""
        self._know(person, group)
        values = dict(fields, short_description=short_description, priority=priority,
                      assignment_group=group, assigned_to=person, category=category)
        return self.desk.create(values, by).number

    @serialised
    def assign(self, number: str, person: Optional[str] = None,
               group: Optional[str] = None) -> None:
        """Assign to a person, a group or both; what is None stays."""
        self._know(person, group)
        given = {"assigned_to": person, "assignment_group": group}
        values = {name: value for name, value in given.items() if value is not None}
        self.desk.change(number, values)

    @serialised
    def unassign(self, number: str) -> None:
        """Take the person away."""
        self.desk.change(number, {"assigned_to": None})

    @serialised
    def set_state(self, number: str, state: str, **fields: Any) -> None:
        """Set a state, with the fields that a resolve may need."""
        self.desk.change(number, dict(fields, state=state))

    def close(self, number: str) -> None:
        """Confirm a resolved incident."""
        self.set_state(number, "closed")

    def cancel(self, number: str) -> None:
        """Declare it no valid incident."""
        self.set_state(number, "cancelled")

    def reopen(self, number: str) -> None:
        """Take a resolved incident back to work."""
        self.set_state(number, "in_progress")

    @serialised
    def set_priority(self, number: str, priority: str) -> None:
        """Set P1 to P4."""
        self.desk.change(number, {"priority": priority})

    @serialised
    def update(self, number: str, **fields: Any) -> None:
        """Write several fields in one act."""
        self._know(fields.get("assigned_to"), fields.get("assignment_group"))
        self.desk.change(number, fields)

    @serialised
    def add_note(self, number: str, text: str, visibility: str = "public",
                 by: str = SOMEBODY) -> str:
        """Write a note, "public" or "internal"; returns its id."""
        return self.desk.add_note(number, text, visibility, by).id

    @serialised
    def declare_major(self, number: str) -> None:
        """Declare a major incident."""
        self.desk.declare_major(number)

    @serialised
    def breach_sla(self, number: str, policy: str, metric: Optional[str] = None) -> None:
        """Report a breach at once, known policy or not.

        Without a metric it is first_response if the policy's name says response, else resolution.
        Its recovery is found by the next check after the timer is met.
        """
        self._sla.force("sla.breach", number, policy, metric)
        self._schedule_sla_check()

    @serialised
    def warn_sla(self, number: str, policy: str, metric: Optional[str] = None) -> None:
        """Report a warning at once."""
        self._sla.force("sla.warning", number, policy, metric)
        self._schedule_sla_check()

    @serialised
    def recover_sla(self, number: str, policy: str, metric: Optional[str] = None) -> None:
        """Report a recovery at once."""
        self._sla.force("sla.recovery", number, policy, metric)

    # Read-outs.

    @serialised
    def incident(self, number: str) -> Dict[str, Any]:
        """The record as a GET would show it."""
        return self.desk.incident(number).view(self.switches)

    @serialised
    def incidents(self, **fields: Any) -> List[Dict[str, Any]]:
        """All records, oldest first, whose fields have these values."""
        views = [incident.view(self.switches) for incident in self.desk.incidents.values()]
        return [view for view in views
                if all(view[name] == value for name, value in fields.items())]

    @serialised
    def notes(self, number: str) -> List[Dict[str, Any]]:
        """The notes of an incident, oldest first."""
        self.desk.incident(number)
        return [note.view(self.switches) for note in self.desk.notes[number]]

    def state_writes(self, number: str) -> List[Write]:
        """The API's writes to the state of an incident that were carried out."""
        return [write for write in self.writes
                if (write.method, write.number, write.status) == ("PATCH", number, 200) and
                "state" in write.body]

    # Within.

    def _know(self, person: Optional[str], group: Optional[str]) -> None:
        if group is not None:
            self.desk.add_group(group)
        if person is not None and person not in self.desk.users:
            self.add_user(person)

    def _announce(self, name: str, incident: Incident, note: Optional[Note] = None,
                  previous: Optional[Dict[str, Any]] = None,
                  sla: Optional[Dict[str, Any]] = None) -> None:
        extras: Dict[str, Any] = {}
        if previous is not None:
            extras["previous"] = dict(previous)
            if "state" in previous:
                extras["previous"]["state"] = self.switches.spelling(previous["state"])
        if note is not None:
            extras["note"] = {"id": note.id, "text": note.text, "author": note.author,
                              "visibility": note.visibility}
        if sla is not None:
            extras["sla"] = sla
        for each in self._names(name, incident):
            identifier = "evt_{:06d}".format(len(self.events) + 1)
            event = Event(identifier, each, self.now(), incident.view(self.switches), extras)
            self.events.append(event)
            self._publish(event)
            self._send(event)

    def _names(self, name: str, incident: Incident) -> List[str]:
        """Which of the two narrower names of a state's change are used, on no page, is a switch."""
        narrower = {"resolved": "incident.resolved", "in_progress": "incident.acknowledged"}
        special = narrower.get(incident.state) if name == "incident.state_changed" else None
        if special is None or self.switches.state_events == "changed":
            return [name]
        return [special] if self.switches.state_events == "only" else [name, special]

    def _send(self, event: Event) -> None:
        """Signed at the time of the event, so that retries send the same bytes."""
        body = json.dumps(webhooks.document(event, self.switches)).encode()
        for subscription in self.subscriptions:
            if subscription.wants(event):
                headers = {"Content-Type": "application/json"}
                headers.update(webhooks.proof(body, subscription.secret, self.switches))
                identifier = "dlv_{:06d}".format(len(self.deliveries) + 1)
                self.outbox.post(Delivery(identifier, subscription.id, None, subscription.url,
                                          headers, body, self.now(), self.now()))

    def _publish(self, event: Event) -> None:
        """In the envelope of SNS; the message is on no page, here it is a webhook's body."""
        topic = TOPICS.get(event.name)
        if event.name == "sla.recovery":
            topic = self.switches.sns_recovery_topic
        if topic is not None:
            self.sns_messages.append({
                "Type": "Notification", "MessageId": "message-{}".format(event.id),
                "TopicArn": TOPIC_ARN.format(topic), "Subject": event.name,
                "Message": json.dumps(webhooks.document(event, self.switches)),
                "Timestamp": iso(event.at, "milliseconds")})

    def _schedule_sla_check(self) -> None:
        """itsm/sla.html: a rule runs the checker every 5 minutes; here, while there is need."""
        if not self._sla_scheduled and not self._sla.idle:
            self._sla_scheduled = True
            self.after(self.switches.sla_check_seconds, self._check_sla)

    def _check_sla(self) -> None:
        self._sla_scheduled = False
        self._sla.check()
        self._schedule_sla_check()

    def _as_write(self, request: Request, response: Response) -> Write:
        try:
            body = request.json()
        except ValueError:
            body = None
        named = re.search("/incidents/([^/]+)", request.path)
        number = named.group(1) if named else None
        if request.path.endswith("/incidents") and response.status == 201:
            number = response.json()["number"]
        return Write(self.now(), request.method, request.path, number, body, response.status)
