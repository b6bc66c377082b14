"""Guards of the pack taken out one at a time: the histories notice every one of them.

docs/testing.md says how many histories that took.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

import pytest
import test_histories
from history_machine import Histories, Wrong

from pagerduty_stackflow import decide, pairs, reconcile, sync
from pagerduty_stackflow.links import Links

PATIENCE = 400
"""Histories until a bug counts as overlooked."""


def always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def deciding(change: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """The decision of a look that saw something else."""
    return lambda right: lambda seen, now, policy: right(change(seen, now), now, policy)


def person_forgotten(seen: Any, now: Any) -> Any:
    return seen._replace(here=dict(seen.here, acknowledgement="nobody@example.com"))


def place_forgotten(seen_now: Callable[..., Any]) -> Callable[..., Any]:
    def spoiled(pair: Any, kept: Any = frozenset()) -> Any:
        return seen_now(pair, kept | {("stackflow", "place"), ("pagerduty", "place")})
    return spoiled


BUGS: Dict[str, Any] = {
    "a final record is set back to work": (decide, "FINAL_STATES", lambda _: ()),
    "what PagerDuty showed is forgotten": (sync, "decide", deciding(
        lambda seen, now: seen._replace(there={}))),
    "for whom was acknowledged is forgotten": (sync, "decide", deciding(person_forgotten)),
    "a changed group or service is nobody's change": (
        decide, "_place", lambda _: always(decide.Decision(decide.IN_SYNC, in_sync=True))),
    "a reopening in PagerDuty is overlooked": (
        pairs, "_status", lambda right: lambda *given: right(*given)[:2] + (False,)),
    "what is older than the pack is paged by an event": (
        sync, "before_install", lambda _: always("")),
    "what is older than the pack is opened by the reconcile": (
        reconcile.Run, "_objection", lambda _: always("")),
    "an incident without a link is not looked for": (
        reconcile.Run, "_settle", lambda right: lambda run, number, incident_id: (
            number == reconcile.NO_RECORD or right(run, number, incident_id))),
    "the link is not written": (Links, "write", lambda _: always(None)),
    "a place that was seen is not remembered": (sync, "seen_now", place_forgotten),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_noticed(name, monkeypatch, record_property):
    place, attribute, spoiled = BUGS[name]
    monkeypatch.setattr(place, attribute, spoiled(getattr(place, attribute)))
    Histories.seen.clear()
    number = 0
    while Histories.seen["histories"] < PATIENCE:
        try:
            test_histories.batch(number, Histories)
        except (Wrong, AssertionError):
            record_property("histories until: " + name, Histories.seen["histories"] + 1)
            return
        number += 1
    pytest.fail("not noticed in %d histories" % PATIENCE)
