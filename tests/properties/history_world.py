"""The world of the histories: calls without a network library, runs that are killed or overtaken
between any two of their calls, trouble of every kind, and an end to it.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from world import EVENTS_HOST, PD_HOST, SF_HOST, Crash, Run, World

from dev.simulators.base import Request, Simulator
from dev.simulators.server import Server
from pagerduty_stackflow.datastore import Datastore
from pagerduty_stackflow.errors import PackError
from pagerduty_stackflow.stores import Start

SIDES = ("StackFlow", "PagerDuty")
ACKNOWLEDGEMENT_TIMEOUT = 1800
"""Seconds, on the database service; the other one has none."""
VISIBLE = 130
"""Seconds after which nothing counts as on its way any more, and no incident as too young."""


class WireAnswer:
    """What the transport needs of an answer."""

    raw = None

    def __init__(self, status: int, headers: Dict[str, str], body: bytes) -> None:
        self.status_code = status
        self.headers = CaseInsensitiveDict(headers)
        self._body = body

    def iter_content(self, _: int) -> List[bytes]:
        return [self._body]

    def __enter__(self) -> WireAnswer:
        return self

    def __exit__(self, *_: Any) -> None:
        pass


class Wire:
    """Stands for a `requests.Session` whose requests go to simulators as objects: the histories
    make some hundred thousand calls, and requests takes three times as long as a simulator.
    """

    def __init__(self, hosts: Dict[str, Simulator], before_call: Callable[[str], None]) -> None:
        self._hosts = hosts
        self._before_call = before_call

    def request(self, method: str, url: str, headers: Dict[str, str],
                params: Sequence[Tuple[str, str]], json: Any, data: Any, **_: Any) -> WireAnswer:
        parts = urlsplit(url)
        self._before_call("%s %s" % (method, parts.path))
        sent = {name.lower(): value for name, value in headers.items()}
        body = b""
        if json is not None:
            sent["content-type"], body = "application/json", dumped(json)
        elif data is not None:
            sent["content-type"] = "application/x-www-form-urlencoded"
            body = urlencode(data).encode()
        asked = Request(method, parts.path, list(params), sent, body)
        try:
            answer = self._hosts["%s://%s" % parts[:2]].handle(asked)
        except ConnectionResetError as error:
            raise requests.exceptions.ConnectionError(error) from error
        if answer.half:
            raise requests.exceptions.ChunkedEncodingError("half a body")
        return WireAnswer(answer.status, answer.headers, answer.body)


class Relay(HTTPAdapter):
    """Sends what goes to a public host to a server on this machine instead."""

    def __init__(self, server: Server, before_call: Callable[[str], None]) -> None:
        super().__init__()
        self._server = server
        self._before_call = before_call

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        self._before_call("%s %s" % (request.method, urlsplit(request.url).path))
        request.url = self._server.url + request.path_url
        return super().send(request, *args, **options)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


class HistoryWorld(World):
    """A world with trouble. Runs wait in ``queue`` until somebody lets them run."""

    def __init__(self, switches: Dict[str, Any]) -> None:
        super().__init__(switches, start=False)
        self.listening = False
        self.pagerduty.account.services[self.database].acknowledgement_timeout = (
            ACKNOWLEDGEMENT_TIMEOUT)
        self.session = Wire({PD_HOST: self.pagerduty, EVENTS_HOST: self.pagerduty,
                             SF_HOST: self.stackflow}, lambda what: self.before_call(what))
        self.stackflow.add_user("jane@example.com", "Jane")
        self.stackflow.add_user("robin@example.com", "Robin")
        self.secrets = [self.api_key, self.database_key, self.webhook_secret, "stackflow-secret",
                        "stackflow-token", "rest-key-0123456789x"]
        self.rotated = False
        self._rest_keys = 0

    def close(self) -> None:
        """Nothing more is asked of this world."""

    def begin(self) -> None:
        """The pack is installed: what was opened before is none of its business."""
        self.run(5)
        self.forget_deliveries()
        Start(Datastore(self.store)).ensure(self.pack().clock)
        self.listening = True
        self.run(5)

    def simulator(self, side: str) -> Any:
        return self.stackflow if side == "StackFlow" else self.pagerduty

    # Runs.

    def carry_out(self, one: Callable[[], Any], at: Optional[int] = None,
                  then: Optional[Callable[[], None]] = None) -> Any:
        """Do it; right before its ``at``-th call ``then`` happens, or it is killed without one.

        Returns what it returned, the PackError that it raised, or the Crash.
        """
        calls = 0

        def before_call(what: str) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                self.before_call = lambda what: None
                if then is None:
                    raise Crash(what)
                then()

        if at is not None:
            self.before_call = before_call
        try:
            return one()
        except (PackError, Crash) as error:
            return error
        finally:
            self.before_call = lambda what: None

    # Trouble.

    def rotate_routing_key(self) -> None:
        """A new integration key for the first service; the old one stays known."""
        entries = [dict(entry) for entry in self.config["service_mapping"]]
        new = self.pagerduty.add_integration(self.api)[1]
        entries[0]["previous_integration_keys"] = (
            [entries[0]["integration_key"]] + entries[0].get("previous_integration_keys", []))
        entries[0]["integration_key"] = new
        self.secrets.append(new)
        self.rotated = True
        self.configure(service_mapping=entries)

    def forget_old_routing_keys(self) -> None:
        """They leave the config, and then PagerDuty."""
        entries = [dict(entry) for entry in self.config["service_mapping"]]
        entries[0]["previous_integration_keys"] = []
        self.configure(service_mapping=entries)
        for integration in self.pagerduty.account.integrations.values():
            if integration.service_id == self.api and (
                    integration.key != entries[0]["integration_key"]):
                integration.key = ""

    def revoke_rest_key(self) -> None:
        for key in list(self.pagerduty.account.api_keys):
            self.pagerduty.revoke_api_key(key)

    def renew_rest_key(self) -> None:
        self._rest_keys += 1
        key = "rest-key-%011d" % self._rest_keys
        self.secrets.append(key)
        self.pagerduty.add_api_key(key)
        self.configure(pagerduty=dict(self.config["pagerduty"], api_key=key))

    def end_of_trouble(self) -> None:
        """Both systems answer again, and the pack has keys that are valid."""
        for side in SIDES:
            simulator = self.simulator(side)
            simulator.faults.clear()
            simulator.outbox.release()
            simulator.outbox.reorder(False)
        self.listening = True
        if not self.pagerduty.account.api_keys:
            self.renew_rest_key()

    def forget_deliveries(self) -> None:
        """What is under way is lost."""
        self.queue = []
        for side in SIDES:
            outbox = self.simulator(side).outbox
            for delivery in outbox.pending():
                outbox.discard(delivery.scope)

    def held_back(self) -> List[Run]:
        """All that is under way comes as runs at last, which wait for somebody to start them."""
        self.run(4000)
        waiting, self.queue = self.queue, []
        return waiting

    def writes(self) -> Tuple[int, int]:
        """How many requests that change something both systems accepted from the pack."""
        return (len(self.pagerduty.writes),
                sum(write.status < 300 for write in self.stackflow.writes))


class HttpHistoryWorld(HistoryWorld):
    """The same with the pack's calls over HTTP, on sockets of this machine."""

    def __init__(self, switches: Dict[str, Any]) -> None:
        super().__init__(switches)
        self._servers = [Server(one, works=False) for one in (self.pagerduty, self.stackflow)]
        there, here = self._servers
        self.session = requests.Session()
        for host, server in ((PD_HOST, there), (EVENTS_HOST, there), (SF_HOST, here)):
            self.session.mount(host, Relay(server, lambda what: self.before_call(what)))

    def close(self) -> None:
        self.session.close()
        for server in self._servers:
            server.close()
