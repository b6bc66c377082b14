"""Every call of every client beside everything that can go wrong with it: what comes of it, how
often it was tried, for how long, and that nothing was done twice.

The outcome of a cell follows from the fault's kind and from whether the call may be repeated:

FINAL   the server refused: one try, and the error of its meaning
UNDONE  surely not carried out: tried again whatever it is
OPEN    perhaps carried out: tried again where that does no harm, or once more where it was looked
        for and not found; otherwise OutcomeUnknownError after one try
ODD     a success without what was asked for: an error where something was needed
PAGE    a refusal with an HTML page: one try, and an error that says that no API sent it
"""

from __future__ import annotations

import socket
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import pytest
from call_sites import BUDGET, SITES, TIMEOUT, Scene, methods, system_of
from leaks import assert_leaks_no_secret
from requests.adapters import HTTPAdapter
from scripted_server import ScriptedServer, answer, silent, trickle
from urllib3.util.timeout import Timeout

from pagerduty_stackflow.answers import PAGERDUTY, STACKFLOW
from pagerduty_stackflow.errors import (ApiError, ConflictError, CredentialsError, NotFoundError,
                                        PackError)
from pagerduty_stackflow.transport import OutcomeUnknownError

FINAL, UNDONE, OPEN, ODD, PAGE = "final", "undone", "open", "odd", "page"
ALWAYS = 99
BAD = "The server's own words"


class Fault(NamedTuple):
    """``order`` is what a simulator is asked for, or the name of a real server that takes its
    place; ``done``: the call is carried out before its answer is lost; ``cost``: seconds that a try
    takes; ``pause``: seconds that the server asks to wait; ``of``: the system whose shape it is;
    ``meaning``: the status that its error stands for.
    """

    kind: str
    order: Any
    done: bool = False
    cost: float = 0.0
    pause: Optional[float] = None
    of: str = ""
    meaning: int = 0


def status(number: int, kind: str, body: Any = None, **more: Any) -> Fault:
    return Fault(kind, {"kind": "status", "status": number, "body": body}, meaning=number, **more)


def limited(headers: Dict[str, str], pause: Optional[float] = None) -> Fault:
    return Fault(UNDONE, {"kind": "status", "status": 429, "headers": headers}, pause=pause,
                 meaning=429)


def shape(system: str, body: Any, meaning: int = 400) -> Fault:
    return status(400, FINAL, body, of=system)._replace(meaning=meaning)


FAULTS: Dict[str, Fault] = {
    "refused": Fault(UNDONE, "nobody"),
    "reset before the write": Fault(OPEN, {"kind": "reset"}),
    "reset after the write": Fault(OPEN, {"kind": "drop_answer"}, done=True),
    "slow first byte": Fault(OPEN, "silent", done=True, cost=TIMEOUT),
    "slow body": Fault(OPEN, "trickle", done=True, cost=TIMEOUT),
    "half a body": Fault(OPEN, "half", done=True),
    "wrong content type": Fault(OPEN, {"kind": "not_json", "status": 200}, done=True),
    "an HTML page of a gateway": Fault(OPEN, {"kind": "not_json", "status": 502}, meaning=502),
    "429 with Retry-After": limited({"Retry-After": "3"}, 3),
    "429 with Retry-After as a date": limited({"Retry-After": "DATE"}, 3),
    "429 with ratelimit-reset": limited({"ratelimit-reset": "3"}, 3),
    "429 with X-RateLimit-Reset": limited({"X-RateLimit-Reset": "EPOCH"}, 3),
    "429 without a header": limited({}),
    "429 with a pause beyond the budget": limited({"Retry-After": "3600"}, 3600),
    "an empty success": status(204, ODD),
    "a success of another shape": status(200, ODD, {"state": "fine"}),
    "PagerDuty: moved already": shape(PAGERDUTY, {"error": {"message": BAD, "code": 1001}}, 409),
    "PagerDuty: unknown": shape(PAGERDUTY, {"error": {"message": BAD, "code": 2100}}, 404),
    "PagerDuty: all fields": shape(PAGERDUTY, {"error": {
        "message": BAD, "code": 2001, "errors": ["Title is missing"]}}),
    "PagerDuty: errors as text": shape(PAGERDUTY, {"error": {"code": 2001, "errors": BAD}}),
    "PagerDuty: errors by field": shape(PAGERDUTY, {"error": {"errors": {"title": [BAD]}}}),
    "PagerDuty: a list": shape(PAGERDUTY, {"error": [BAD]}),
    "PagerDuty: a text": shape(PAGERDUTY, {"error": BAD}),
    "PagerDuty: of the Events API": shape(PAGERDUTY, {
        "status": "invalid event", "message": "Event object is invalid", "errors": [BAD]}),
    "StackFlow: flat": shape(STACKFLOW, {"error": BAD, "code": "BAD_REQUEST", "requestId": "1"}),
    "StackFlow: nested": shape(STACKFLOW, {"error": {
        "code": "BAD_REQUEST", "message": BAD, "request_id": "1", "timestamp": "now"}}),
    "a refusal that is an HTML page": Fault(PAGE, {"kind": "not_json", "status": 400})}
FAULTS.update(("%d with an HTML page" % number, Fault(PAGE, {"kind": "not_json", "status": number}))
              for number in (401, 403, 404, 409, 422))
FAULTS.update(("%d" % number, status(number, FINAL)) for number in (
    302, 400, 401, 402, 403, 404, 409, 410, 413, 418, 422))
FAULTS.update(("%d" % number, status(number, OPEN)) for number in (408, 500, 501, 503, 504, 599))
CELLS = [(name, fault) for name in SITES for fault in FAULTS
         if FAULTS[fault].of in ("", system_of(name))]


class Expected(NamedTuple):
    """``error`` None: it succeeds. ``tries`` 0: several, as headers give a time and no length."""

    tries: int
    error: Optional[type] = None


def expected(name: str, fault: Fault, always: bool) -> Expected:
    """The outcome of a cell, where the fault comes once or always."""
    site = SITES[name]
    if fault.kind == PAGE:
        return Expected(1, ApiError)
    if fault.kind == FINAL:
        tries = site.names if fault.meaning in (400, 422) else 1
        return Expected(tries, error_of(name, fault.meaning))
    if fault.kind == ODD:
        return Expected(1, ODD_ERRORS.get(name, ApiError) if site.needs else None)
    if fault.kind == OPEN and site.found:
        if fault.done:
            return Expected(1)
        return Expected(2, OutcomeUnknownError if always else None)
    if fault.kind == OPEN and not site.repeats:
        return Expected(1, OutcomeUnknownError)
    if fault.pause and fault.pause >= BUDGET:
        return Expected(1, ApiError)
    return Expected(tries_within_budget(fault), ApiError) if always else Expected(2)


ODD_ERRORS = {"StackFlowClient.create": OutcomeUnknownError, "TokenSource.token": CredentialsError}
"""A record may have been made; and nobody signed in."""


def error_of(name: str, meaning: int) -> type:
    """What a refusal is to the caller: one that concerns the credentials says so, where there are
    any, and nothing that the sign-in is refused looks like an answer of the API.
    """
    if name == "TokenSource.token":
        return CredentialsError
    if meaning == 401 and not name.startswith("EventsClient") and name != "StackFlowClient.health":
        return CredentialsError
    return {404: NotFoundError, 409: ConflictError}.get(meaning, ApiError)


def tries_within_budget(fault: Fault) -> int:
    """A pause is begun only if it ends before the budget does; without one named they double."""
    if fault.order in (limited({"Retry-After": "DATE"}).order,
                       limited({"X-RateLimit-Reset": "EPOCH"}).order):
        return 0
    at, tries = 0.0, 0
    while at < BUDGET:
        tries += 1
        at = min(at + fault.cost, BUDGET) + (fault.pause or 2.0 ** tries)
    return tries


class Road(HTTPAdapter):
    """The way to both systems: counts the tries of a call, and leads so many of them to a real
    server in trouble.
    """

    def __init__(self, scene: Scene, name: str, inner: Any) -> None:
        super().__init__()
        self._scene, self._site, self._inner = scene, SITES[name], inner
        self._astray: Tuple[str, Fault] = ("", FAULTS["refused"])
        self._left = self.tries = 0

    def lead_astray(self, url: str, fault: Fault, times: int) -> None:
        self._astray, self._left = (url, fault), times

    def send(self, request: Any, **options: Any) -> Any:
        line = request.method, request.path_url.partition("?")[0]
        if line != (self._site.method, self._site.path_in(self._scene)):
            return self._inner.send(request, **options)
        self.tries += 1
        if not self._left:
            return self._inner.send(request, **options)
        self._left -= 1
        url, fault = self._astray
        if fault.done:
            self._inner.send(request)
        if fault.cost:  # waited for by the virtual clock, and hardly by the real one
            self._scene.world.clock.advance(options["timeout"].total)
            options["timeout"] = Timeout(total=0.05)
        request = request.copy()
        request.url = url + request.path_url
        return super().send(request, **dict(options, proxies={}))


@pytest.fixture(scope="module")
def servers():
    """Real servers in trouble, by name; at the port of "nobody" nobody listens."""
    half = answer(200, b'{"incident": ', length=4000, keep=False)
    with socket.socket() as nobody, ScriptedServer(silent) as one, ScriptedServer(
            trickle) as two, ScriptedServer(half) as three:
        nobody.bind(("127.0.0.1", 0))
        yield {"nobody": "http://127.0.0.1:%d" % nobody.getsockname()[1], "silent": one.url,
               "trickle": two.url, "half": three.url}


@pytest.fixture
def play(servers, monkeypatch):
    """Plays a cell: the scene at its end, the tries, the seconds it took, and what was raised."""
    monkeypatch.setattr("pagerduty_stackflow.transport.random.uniform", lambda low, high: high)

    def play_cell(name: str, fault: Fault, times: int) -> Tuple[Scene, int, float, Any]:
        scene = Scene()
        world, site = scene.world, SITES[name]
        start = world.clock.now()
        inner = world.session.get_adapter(world.settings.pagerduty.api_url if
                                          system_of(name) == PAGERDUTY else
                                          world.settings.stackflow.api_url)
        road = Road(scene, name, inner)
        world.session.adapters.clear()
        world.session.mount("https://", road)
        if isinstance(fault.order, str):
            road.lead_astray(servers[fault.order], fault, times)
        else:
            simulator = world.pagerduty if system_of(name) == PAGERDUTY else world.stackflow
            order = dict(fault.order, headers=headers_of(fault, start))
            simulator.faults.add("%s %s" % (site.method, site.path_in(scene)), times=times, **order)
        raised = None
        try:
            site.call(scene)
        except PackError as error:
            raised = error
        return scene, road.tries, (world.clock.now() - start).total_seconds(), raised

    return play_cell


def headers_of(fault: Fault, now: Any) -> Dict[str, str]:
    then = now + timedelta(seconds=fault.pause or 0)
    texts: Dict[str, Callable[[], str]] = {
        "DATE": lambda: format_datetime(then, usegmt=True),
        "EPOCH": lambda: "%d" % then.timestamp()}
    return {name: texts.get(value, lambda value=value: value)()
            for name, value in fault.order.get("headers", {}).items()}


def test_every_method_of_a_client_has_a_row():
    assert methods() == sorted(SITES), "add a row to SITES in call_sites.py"


def test_the_matrix_is_complete():
    for name in SITES:
        own = {fault for site, fault in CELLS if site == name}
        assert {FAULTS[fault].kind for fault in own} == {FINAL, UNDONE, OPEN, ODD, PAGE}
        assert len(own) >= 34


@pytest.mark.parametrize("name, fault", CELLS, ids=lambda value: value.replace(" ", "_"))
def test_a_cell(play, name, fault):
    trouble = FAULTS[fault]
    for times in (1, ALWAYS) if trouble.kind in (OPEN, UNDONE) else (1,):
        wanted = expected(name, trouble, times == ALWAYS)
        scene, tries, seconds, raised = play(name, trouble, times)
        assert tries == wanted.tries or (wanted.tries == 0 and tries > 1)
        assert seconds <= BUDGET
        if times == 1 and trouble.pause and not raised:
            assert seconds == trouble.pause
        check_error(name, trouble, scene, wanted.error, raised)
        done = scene.times(SITES[name])
        if done is not None:
            assert done == 1 or (raised and done == 0) or trouble.kind == ODD


def check_error(name: str, trouble: Fault, scene: Scene, kind: Optional[type],
                raised: Any) -> None:
    """It is of that very class, says what to do and whether waiting helps, and holds no secret."""
    assert type(raised) is (kind or type(None)), raised
    if raised is None:
        return
    assert raised.hint and raised.retryable is (trouble.kind not in (FINAL, PAGE) and
                                                kind is not CredentialsError)
    if isinstance(raised, ApiError):
        assert raised.system == system_of(name)
        if trouble.meaning and trouble.kind != ODD:
            assert raised.status == trouble.order["status"]
    if trouble.kind == PAGE:
        assert raised.status is None and "did not come from the API" in raised.message
    if trouble.of:
        assert BAD in raised.message
    assert_leaks_no_secret(raised, "rest-key-0123456789x", "stackflow-token", "its-secret",
                           scene.world.api_key)
