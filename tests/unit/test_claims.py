"""Two webhook listeners on one datastore: an event that both receive is dispatched once, and never
lost, whatever happens to one of them.
"""

import hashlib
import hmac
import http.client
import json
import logging
import threading
import time

import pytest
import requests
from world import MemoryStore

from config_samples import changed
from dev.simulators.base import VirtualClock
from dev.site import free_port
from pagerduty_stackflow import stores
from pagerduty_stackflow.clock import Clock
from webhook_sensor import WebhookSensor

SECRET = "not a secret" * 4
PREFIX = "pagerduty_stackflow."


class Listener:
    """A webhook sensor with a port of its own, and StackStorm's service that it reaches the others
    by.
    """

    def __init__(self, site):
        self.site, self.broker = site, True
        self.dispatched, self.calls = [], []
        self.port = free_port()
        self.sensor = WebhookSensor(self, changed(
            ("webhook_listener.port", self.port), ("pagerduty.webhook_secrets", [SECRET]),
            ("stackflow.webhook_secrets", [SECRET])))
        self.sensor.setup()
        threading.Thread(target=self.sensor._listener.serve_forever, daemon=True).start()
        deadline = time.monotonic() + 10
        while not self.sensor._listener.address:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.sensor.refresh()

    def get_logger(self, name):
        return logging.getLogger(name)

    def get_value(self, name, local=True, scope="", decrypt=False):
        return self.site.store.get_value(name, local, scope, decrypt)

    def list_values(self, local=True, prefix=None, limit=None, offset=0):
        self._called("list " + prefix)
        return self.site.store.list_values(local, prefix, limit, offset)

    def set_value(self, name, value, ttl=None, local=True, scope="", encrypt=False):
        self._called("set " + name)
        return self.site.store.set_value(name, value, ttl, local, scope, encrypt)

    def dispatch(self, trigger, payload=None, trace_tag=None):
        if not self.broker:
            raise IOError("the broker is away")
        self.dispatched.append(payload["event_id"])

    def _called(self, call):
        call = call.replace(PREFIX, "")
        self.site.before_call(self, call)
        self.calls.append(call)

    def deliver(self, event_id="1", at="2026-01-05T10:00:00.000Z"):
        """Deliver an event as PagerDuty does; the status of the answer."""
        body = json.dumps({"event": {
            "id": event_id, "event_type": "incident.triggered", "occurred_at": at,
            "data": {"type": "incident", "id": "Q0INCIDENT0001"}}}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        connection.request("POST", "/webhooks/pagerduty", body,
                           {"X-PagerDuty-Signature": "v1=" + digest})
        status = connection.getresponse().status
        connection.close()
        return status


class Site:
    """A datastore, and the listeners on it."""

    def __init__(self):
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        self.before_call = lambda listener, call: None
        self.listeners = []

    def add(self):
        self.listeners.append(Listener(self))
        return self.listeners[-1]

    def dispatched(self):
        return sum((one.dispatched for one in self.listeners), [])

    def meet(self):
        for one in self.listeners:
            one.sensor.refresh()
            del one.calls[:]


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(stores, "CLAIM_PAUSE", 0.01)
    made = Site()
    yield made
    for one in made.listeners:
        one.sensor.cleanup()


@pytest.fixture
def two(site):
    site.add()
    site.add()
    site.meet()
    return site.listeners


def test_an_event_that_both_receive_is_dispatched_once_whatever_its_id(site, two):
    for at, order in enumerate([two, two[::-1]]):
        stamp = "2026-01-05T10:00:0%d.000Z" % at
        assert [one.deliver(str(number), stamp) for number, one in enumerate(order)] == [202, 202]
    assert [one.dispatched for one in two] == [["0"], ["0"]]


def test_each_of_two_events_is_dispatched(site, two):
    two[0].deliver(at="2026-01-05T10:00:00.001Z")
    two[1].deliver(at="2026-01-05T10:00:00.002Z")
    assert len(site.dispatched()) == 2


def test_a_listener_alone_claims_nothing(site):
    one = site.add()
    site.meet()
    one.deliver("1")
    one.deliver("2", "2026-01-05T10:00:01.000Z")
    assert one.calls[-1:] == ["list pagerduty.Q0INCIDENT0001"]
    assert [call for call in one.calls if "claim" in call] == []


def test_an_event_that_one_of_two_receives_costs_three_calls_more_and_no_wait(site, two):
    two[0].deliver("1")
    two[0].deliver("2", "2026-01-05T10:00:01.000Z")
    assert [call.split(".")[0] for call in two[0].calls[-4:]] == [
        "set claim", "list claim", "list pagerduty", "set claim"]


def test_a_listener_that_is_gone_is_forgotten_and_one_that_stays_is_not(site, two):
    site.clock.advance(stores.LISTENER_EXPIRY + 1)
    two[0].sensor.refresh()
    two[0].deliver()
    assert [call for call in two[0].calls if "claim" in call] == []
    two[1].sensor.refresh()
    site.meet()
    assert [one.deliver("2", "2026-01-05T10:00:01.000Z") for one in two] == [202, 202]
    assert len(site.dispatched()) == 2


@pytest.mark.parametrize("call, times, count", [
    ("set claim", 1, 1), ("list claim", 1, 1),
    # From here on the first one cannot be told from one that died.
    ("list pagerduty", 1, 2), ("set claim", 2, 2)])
def test_none_is_lost_wherever_the_other_listener_comes_between(site, two, call, times, count):
    seen = []

    def between(listener, made):
        if listener is two[0] and made.startswith(call):
            seen.append(made)
            if len(seen) == times:
                assert two[1].deliver() == 202

    site.before_call = between
    assert two[0].deliver() == 202
    assert len(seen) >= times and len(site.dispatched()) == count


def test_a_listener_that_dies_before_it_dispatches_loses_nothing(site, two):
    two[0].broker = False
    assert two[0].deliver() == 503
    assert two[1].deliver() == 202
    assert two[1].dispatched == ["1"]
    two[0].broker = True
    assert two[0].deliver() == 202
    assert two[0].dispatched == []


def test_a_redelivery_to_the_same_listener_passes_its_own_claim(site, two):
    assert [two[0].deliver(), two[0].deliver("2")] == [202, 202]
    assert two[0].dispatched == ["1", "2"]


@pytest.mark.parametrize("ahead", [0, 1])
def test_clocks_that_differ_lose_nothing(site, two, ahead):
    class Ahead(Clock):
        def now(self):
            return super().now().replace(year=2100)

    two[ahead].sensor._claims._clock = Ahead()
    assert [one.deliver() for one in two] == [202, 202]
    assert len(site.dispatched()) == 1
    two[0].broker = False
    assert [one.deliver("2", "2026-01-05T10:00:01.000Z") for one in two] == [503, 202]
    assert len(site.dispatched()) == 2


@pytest.mark.parametrize("verb", ["set", "list"])
def test_an_event_is_dispatched_where_the_claim_fails(site, two, verb):
    def away(listener, call):
        if call.startswith(verb + " claim"):
            raise requests.exceptions.ConnectionError("the API is away")

    site.before_call = away
    assert [one.deliver() for one in two] == [202, 202]
    assert len(site.dispatched()) == 2
