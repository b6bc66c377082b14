"""A transport with a clock of its own and secrets that must not show."""

from datetime import datetime, timedelta, timezone

from requests.adapters import BaseAdapter
import requests

from pagerduty_stackflow.settings import HttpSettings
from pagerduty_stackflow.transport import Call, Transport

TOKEN = "token-" + "0123456789" * 2
QUERY = "jane.query@example.com"
BODY = "body-" + "0123456789"
PASSWORD = "password-" + "0123456789"
SECRETS = (TOKEN, QUERY, "jane.query", BODY, PASSWORD)
START = datetime(2026, 1, 5, 10, 0, tzinfo=timezone.utc)


class FakeClock:
    """Time moves by sleeping only."""

    def __init__(self):
        self.passed = 0.0
        self.naps = []

    def now(self):
        return START + timedelta(seconds=self.passed)

    def monotonic(self):
        return self.passed

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.passed += seconds


class Adapter(BaseAdapter):
    """Hands every request to a function, with the options that it was sent with."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def send(self, request, **options):
        return self._function(request, options)

    def close(self):
        pass


def transport(timeout=10.0, total=120.0, clock=None, function=None):
    """A transport, over a network or over a function in its place."""
    session = None
    if function is not None:
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter(function))
    return Transport(HttpSettings(timeout_seconds=timeout, total_seconds=total),
                     clock or FakeClock(), session)


def call(made, url, method="POST", repeatable=True, system="PagerDuty", **options):
    """A call that carries a secret in every place where one can be."""
    given = {"headers": {"Authorization": "Token token=" + TOKEN}, "params": [("query", QUERY)],
             "json": {"routing_key": BODY, "text": BODY}}
    given.update(options)
    return made.request(Call(system, method, url + "/path", repeatable=repeatable, **given))
