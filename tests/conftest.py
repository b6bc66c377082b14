"""Paths as StackStorm's own test runner sets them, for a plain pytest."""

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

for folder in ("actions", "sensors", "lib", ""):
    sys.path.insert(0, os.path.join(ROOT, folder) if folder else ROOT)
if importlib.util.find_spec("st2common") is None:
    sys.path.append(os.path.join(ROOT, "dev", "local_stackstorm", "standin"))
else:
    import st2tests.base  # noqa: F401  patches the process, which has to come before other imports

import pytest  # noqa: E402
import request_oracle  # noqa: E402
from dev.simulators.pagerduty import PagerDuty  # noqa: E402


CHECKED = []


@pytest.fixture(autouse=True)
def requests_conform(monkeypatch):
    """What the pack sent to PagerDuty's simulator during a test conforms to the published API."""
    if not request_oracle.available():
        yield
        return
    seen = []
    monkeypatch.setattr(PagerDuty, "handle", request_oracle.recording(PagerDuty.handle, seen))
    yield
    wrong = {"%s %s" % (request.method, request.path): found for request in seen
             for found in [request_oracle.deviations(request)] if found}
    CHECKED.append(len(seen))
    assert not wrong


def pytest_terminal_summary(terminalreporter):
    """Say how many requests were held against the published API, or that none were."""
    words = ("%d requests to PagerDuty checked against its published API" % sum(CHECKED)
             if request_oracle.available() else
             "PagerDuty's published API is not at hand: no request was checked against it")
    terminalreporter.write_line(words)
