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
    # Nothing stands in for StackStorm here; how it reads commands is compared in ..._standin.py.
    collect_ignore_glob = ["unit/test_local_stackstorm_[!s]*", "unit/test_local_stackstorm_se*"]

import pytest  # noqa: E402

if importlib.util.find_spec("hypothesis") is not None:
    from hypothesis import settings
    settings.register_profile("short", max_examples=200, deadline=None, derandomize=True)
    settings.register_profile("soak", max_examples=5000, deadline=None)
    settings.load_profile("short")

import request_oracle  # noqa: E402
from dev.simulators.pagerduty import PagerDuty  # noqa: E402


REQUESTS = "requests to PagerDuty checked against its published API"


@pytest.fixture(autouse=True)
def requests_conform(request, monkeypatch):
    """What the pack sent to PagerDuty's simulator during a test conforms to the published API."""
    if not request_oracle.available():
        yield
        return
    seen = []
    monkeypatch.setattr(PagerDuty, "handle", request_oracle.recording(PagerDuty.handle, seen))
    yield
    wrong = {"%s %s" % (one.method, one.path): found for one in seen
             for found in [request_oracle.deviations(one)] if found}
    request.node.user_properties.append((REQUESTS, len(seen)))
    assert not wrong


def pytest_terminal_summary(terminalreporter):
    """Print what tests counted with `record_property`, summed over all of them and their workers.
    """
    sums = {REQUESTS: 0} if request_oracle.available() else {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for name, count in report.user_properties:
                    sums[name] = sums.get(name, 0) + count
    lines = ["%d %s" % (count, name) for name, count in sums.items()]
    if REQUESTS not in sums:
        lines.append("no " + REQUESTS + ", which is not at hand")
    for line in lines:
        terminalreporter.write_line(line)
