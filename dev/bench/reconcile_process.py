"""The process of one run: ``python -m dev.bench.reconcile_process pack|lists|json`` reads its job
from stdin and writes the seconds that it took, by the clock and of the processor.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import datetime
from typing import Any, Dict

import requests
from st2common.services.datastore import DatastoreService, call

from dev import bench  # noqa: F401  finds lib
from pagerduty_stackflow import reconcile
from pagerduty_stackflow.clock import Clock
from pagerduty_stackflow.decide import DONE_STATES
from pagerduty_stackflow.incidents import OPEN_STATES
from pagerduty_stackflow.pack import Pack
from pagerduty_stackflow.reconcile import Lists
from pagerduty_stackflow.settings import load


class StoppedClock(Clock):
    """Shows the time at which the answers were recorded."""

    def __init__(self, now: str) -> None:
        self._now = datetime.fromisoformat(now)

    def now(self) -> datetime:
        return self._now


def made(job: Dict[str, Any]) -> Pack:
    """What an action would have."""
    store = DatastoreService(logging.getLogger("bench"), "pagerduty_stackflow", "bench")
    return Pack(load(job["config"]), store, StoppedClock(job["now"]))


def pack(job: Dict[str, Any]) -> None:
    """The reconcile."""
    found = reconcile.reconcile(made(job))
    if found.in_step != job["pairs"] or found.repairs or not found.ok:
        raise AssertionError(found.as_result())


def lists(job: Dict[str, Any]) -> None:
    """The two lists and the links, read by the pack's clients and not compared."""
    one = made(job)
    Lists(one, lambda: None)
    for state in DONE_STATES:
        list(one.stackflow.changed_since(state, one.clock.now() - reconcile.DAY))
    for state in OPEN_STATES:
        list(one.stackflow.in_state(state))


def json_alone(job: Dict[str, Any]) -> None:
    """The same answers, got and parsed as JSON."""
    session = requests.Session()
    for path in job["paths"]:
        if path.startswith("/v1"):
            call("GET", path[len("/v1"):])
        else:
            json.loads(session.get(job["url"] + path, timeout=10).content)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    began, used = time.perf_counter(), time.process_time()
    {"pack": pack, "lists": lists, "json": json_alone}[sys.argv[1]](given)
    print(json.dumps([time.perf_counter() - began, time.process_time() - used]))
