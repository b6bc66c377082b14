"""Every method of the clients that makes a call, each with the situation that it is called in.

A method that is added to a client needs a row in SITES: `test_fault_matrix` fails until it has one.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from world import SF_HOST, PackClock, World

from pagerduty_stackflow import pagerduty, settings, stackflow
from pagerduty_stackflow.answers import PAGERDUTY, STACKFLOW
from pagerduty_stackflow.credentials import Secrets
from pagerduty_stackflow.incidents import dedup_key
from pagerduty_stackflow.pagerduty.account import Account
from pagerduty_stackflow.stackflow.auth import TokenSource

BUDGET, TIMEOUT = 20.0, 5.0
"""`http.total_seconds` and `http.timeout_seconds` of every call here."""
KEY = dedup_key("acme.stackflow.example", "INC0007777")
WORDS = "Disk replaced"
AUTH = {"method": "client_credentials", "client_id": "the-client", "client_secret": "its-secret",
        "token_url": SF_HOST + "/oauth2/token"}


class Scene:
    """An incident on each side, one open under KEY, a subscription; and a client of each kind.

    ``answered`` has method, path and status of all that a simulator carried out.
    """

    def __init__(self) -> None:
        self.world = world = World(http={"timeout_seconds": TIMEOUT, "total_seconds": BUDGET})
        world.pagerduty.switches.event_delay = 0
        world.listening = False
        self.number = world.stackflow.create_incident("Disk full", "P1")
        world.stackflow.add_client("the-client", "its-secret")
        pack = self.pack = world.pack()
        pack.events.trigger(world.api_key, KEY, "Disk full", "acme", "error")
        world.run(1)
        self.id = world.pagerduty.incidents(KEY)[0].id
        self.account = Account(pack.rest)
        self.subscription = self.account.subscriptions()[0]
        signing_in = settings.load(dict(world.config, stackflow=dict(
            world.config["stackflow"], auth=AUTH)))
        clock = PackClock(world)
        self.tokens = TokenSource(signing_in, world.transport(),
                                  Secrets(signing_in, world.store, clock))
        self.answered: List[Tuple[str, str, int]] = []
        for simulator in (world.pagerduty, world.stackflow):
            setattr(simulator, "answer", self._noting(simulator.answer))

    def _noting(self, answer: Callable[..., Any]) -> Callable[..., Any]:
        def answer_and_note(request: Any) -> Any:
            response = answer(request)
            self.answered.append((request.method, request.path, response.status))
            return response
        return answer_and_note

    def times(self, site: Site) -> Optional[int]:
        """How often a site's write was carried out; for events, how many incidents there are."""
        if site.path == ENQUEUE:
            self.world.run(1)
            return len(self.world.pagerduty.incidents(KEY))
        return None if site.repeats else len([one for one in self.answered if one[:2] == (
            site.method, site.path_in(self)) and one[2] < 300])


class Site(NamedTuple):
    """A call: its own request, and what is true of it.

    ``repeats``: it may be made twice without harm. ``found``: it may not, but what it did can be
    found, so it is looked for first. ``needs``: an answer of the wrong shape is none. ``names``: so
    many names of its field are tried where it is refused as malformed.
    """

    method: str
    path: str
    call: Callable[[Scene], Any]
    repeats: bool = True
    found: bool = False
    needs: bool = False
    names: int = 1

    def path_in(self, scene: Scene) -> str:
        """The path of its request in a scene."""
        return self.path.format(id=scene.id, number=scene.number, sub=scene.subscription.id,
                                api=scene.world.api, policy=scene.world.policy)


def read(path: str, call: Callable[[Scene], Any], needs: bool = True) -> Site:
    """A call that only reads."""
    return Site("GET", path, call, needs=needs)


def write(method: str, path: str, call: Callable[[Scene], Any], **more: Any) -> Site:
    """A call that changes something, and may do so twice where it is made twice."""
    return Site(method, path, call, repeats=False, **more)


def event(call: Callable[[Scene], Any]) -> Site:
    """An event: it carries a dedup key, so it may be repeated."""
    return Site("POST", ENQUEUE, call)


ENQUEUE = "/v2/enqueue"
SUBSCRIPTIONS, INCIDENTS = "/webhook_subscriptions", "/prod/api/incidents"
FIELDS = {"short_description": "Node is gone", "priority": "P1"}
SITES: Dict[str, Site] = {
    "EventsClient.trigger": event(lambda on: on.pack.events.trigger(
        on.world.api_key, KEY, "Disk full", "acme", "error")),
    "EventsClient.acknowledge": event(lambda on: on.pack.events.acknowledge(
        on.world.api_key, KEY)),
    "EventsClient.resolve": event(lambda on: on.pack.events.resolve(on.world.api_key, KEY)),
    "RestClient.incident": read("/incidents/{id}", lambda on: on.pack.rest.incident(on.id)),
    "RestClient.incidents_of_key": read(
        "/incidents", lambda on: on.pack.rest.incidents_of_key(KEY)),
    "RestClient.open_incidents": read(
        "/incidents", lambda on: list(on.pack.rest.open_incidents(
            [on.world.api], on.world.clock.now()))),
    "RestClient.alerts": read("/incidents/{id}/alerts", lambda on: on.pack.rest.alerts(on.id)),
    "RestClient.history": read(
        "/incidents/{id}/log_entries", lambda on: on.pack.rest.history(on.id)),
    "RestClient.user_email": read(
        "/users", lambda on: on.pack.rest.user_email("casey@example.com")),
    "RestClient.set_status": write(
        "PUT", "/incidents/{id}", lambda on: on.pack.rest.set_status(on.id, "acknowledged")),
    "RestClient.newest": read(
        "/incidents", lambda on: on.pack.rest.newest([on.world.api], ["triggered"], 3)),
    "RestClient.notes": read("/incidents/{id}/notes", lambda on: on.pack.rest.notes(on.id)),
    "RestClient.update": write(
        "PUT", "/incidents/{id}", lambda on: on.pack.rest.update(on.id, {"urgency": "low"})),
    "RestClient.add_note": write(
        "POST", "/incidents/{id}/notes", lambda on: on.pack.rest.add_note(on.id, WORDS),
        found=True),
    "RestClient.pages": read("/users", lambda on: list(on.pack.rest.pages("/users", "users", ()))),
    "RestClient.get": read(
        "/abilities", lambda on: on.pack.rest.get("/abilities", "abilities", list)),
    "RestClient.call": read("/abilities", lambda on: on.pack.rest.call("GET", "/abilities"), False),
    "Account.abilities": read("/abilities", lambda on: on.account.abilities()),
    "Account.host": read("/services", lambda on: on.account.host()),
    "Account.service": read("/services/{api}", lambda on: on.account.service(on.world.api)),
    "Account.policy_name": read("/escalation_policies/{policy}",
                                lambda on: on.account.policy_name(on.world.policy)),
    "Account.on_calls": read("/oncalls", lambda on: on.account.on_calls([on.world.policy])),
    "Account.extensions": read("/extensions", lambda on: on.account.extensions()),
    "Account.subscriptions": read(SUBSCRIPTIONS, lambda on: on.account.subscriptions()),
    "Account.subscription": read(SUBSCRIPTIONS + "/{sub}",
                                 lambda on: on.account.subscription(on.subscription.id)),
    "Account.subscribe": write("POST", SUBSCRIPTIONS, lambda on: on.account.subscribe(
        "https://st2.example/hook", ["incident.triggered"], on.world.api, "x"), needs=True),
    "Account.enable": write("POST", SUBSCRIPTIONS + "/{sub}/enable",
                            lambda on: on.account.enable(on.subscription)),
    "Account.ping": write("POST", SUBSCRIPTIONS + "/{sub}/ping",
                          lambda on: on.account.ping(on.subscription.id)),
    "Account.unsubscribe": write("DELETE", SUBSCRIPTIONS + "/{sub}",
                                 lambda on: on.account.unsubscribe(on.subscription.id)),
    "StackFlowClient.incident": read(
        INCIDENTS + "/{number}", lambda on: on.pack.stackflow.incident(on.number)),
    "StackFlowClient.created_for": read(
        INCIDENTS, lambda on: on.pack.stackflow.created_for("Q0ABCDEF")),
    "StackFlowClient.newest": read(
        INCIDENTS, lambda on: on.pack.stackflow.newest((("priority", "P1"),))),
    "StackFlowClient.notes": read(
        INCIDENTS + "/{number}/notes", lambda on: on.pack.stackflow.notes(on.number)),
    "StackFlowClient.in_state": read(
        INCIDENTS, lambda on: list(on.pack.stackflow.in_state("new"))),
    "StackFlowClient.changed_since": read(
        INCIDENTS, lambda on: list(on.pack.stackflow.changed_since(
            "resolved", on.world.clock.now()))),
    "StackFlowClient.create": write(
        "POST", INCIDENTS, lambda on: on.pack.stackflow.create(FIELDS), needs=True),
    "StackFlowClient.update": write(
        "PATCH", INCIDENTS + "/{number}",
        lambda on: on.pack.stackflow.update(on.number, {"priority": "P2"})),
    "StackFlowClient.add_note": write(
        "POST", INCIDENTS + "/{number}/notes",
        lambda on: on.pack.stackflow.add_note(on.number, WORDS), found=True, names=4),
    "StackFlowClient.pages": read(
        INCIDENTS, lambda on: list(on.pack.stackflow.pages("/incidents"))),
    "StackFlowClient.health": read(
        "/prod/api/health", lambda on: on.pack.stackflow.health(), False),
    "StackFlowClient.call": read(
        INCIDENTS, lambda on: on.pack.stackflow.call("GET", "/incidents"), False),
    "TokenSource.token": Site("POST", "/oauth2/token", lambda on: on.tokens.token(), needs=True),
}


def system_of(name: str) -> str:
    """The system that a client calls."""
    return STACKFLOW if name.startswith(("StackFlowClient", "TokenSource")) else PAGERDUTY


def clients() -> Iterator[type]:
    """The classes of both systems' packages that are given a transport, or another client."""
    for package in (pagerduty, stackflow):
        for module in pkgutil.iter_modules(package.__path__):
            loaded = importlib.import_module("%s.%s" % (package.__name__, module.name))
            for _, one in inspect.getmembers(loaded, inspect.isclass):
                if one.__module__ == loaded.__name__ and {"transport", "rest"}.intersection(
                        inspect.signature(one.__init__).parameters):
                    yield one


def methods() -> List[str]:
    """Every public method of the clients, as SITES names them."""
    return sorted("%s.%s" % (one.__name__, name) for one in clients()
                  for name, value in vars(one).items()
                  if inspect.isfunction(value) and not name.startswith("_"))
