"""Histories of at least thirty steps, and what must hold in each of them."""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest
from history_machine import Histories, HttpHistories, Wrong
from history_replay import shortest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

HISTORIES = int(os.environ.get("HISTORIES", "300"))
HTTP_HISTORIES = 200
SEED = int(os.environ.get("SEED") or int.from_bytes(os.urandom(3), "big"))
"""A fresh one in every run, which the summary and a failure name."""
STEPS = 36
BATCH = 10
"""Within so many, hypothesis draws each example afresh; later it varies the ones before, which for
histories means five in six that are hardly new.
"""


def batch(seed: int, machine: Any) -> None:
    """Some histories; raises Wrong for the first that breaks an invariant."""
    @hypothesis.seed(seed)
    def factory() -> Any:
        return machine()

    run_state_machine_as_test(factory, settings=settings(
        max_examples=BATCH, stateful_step_count=STEPS, deadline=None, database=None,
        phases=(Phase.generate,), suppress_health_check=list(HealthCheck)))


def run(seed: int, machine: Any) -> None:
    """A batch; what breaks an invariant is told in as few steps as can be."""
    try:
        batch(seed, machine)
    except Wrong as wrong:
        found = wrong
    else:
        return
    pytest.fail("SEED=%d HISTORIES=%d\n%s" % (
        seed, BATCH, shortest(machine, found.steps, found)), pytrace=False)


def run_all(machine: Any, count: int) -> Any:
    """So many histories of at least thirty steps; returns what was counted over them."""
    machine.seen.clear()
    number = 0
    while machine.seen["long"] < count:
        run(SEED + number, machine)
        number += 1
    assert machine.seen["crash"] >= count / 3
    return machine.seen


@pytest.mark.fuzz
def test_whatever_happens_every_invariant_holds(record_property):
    record_property("is the seed of these histories", SEED)
    seen = run_all(Histories, HISTORIES)
    record_property("histories of at least 30 steps", seen["long"])
    record_property("histories with a crash", seen["crash"])
    record_property("histories with an upgrade from version 0.1.0", seen["upgrade"])
    record_property("acts of people in histories", seen["acts"])


@pytest.mark.soak
def test_over_http_too(record_property):
    record_property("histories over HTTP", run_all(HttpHistories, HTTP_HISTORIES)["long"])
