"""Guards of the pack taken out one at a time: the histories notice every one of them.

docs/testing.md says how many histories that took.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

import pytest
import test_histories
from history_machine import Histories, Wrong

from pagerduty_stackflow import deciding, merge, reconcile, repair, sync
from pagerduty_stackflow.links import Links

PATIENCE = 400
"""Histories until a bug counts as overlooked."""


def always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def acknowledged_again(decide: Callable[[Any], Any]) -> Callable[[Any], Any]:
    another = {merge.CARRIED: merge.ANOTHER}
    return lambda now: decide(now._replace(assignee=another.get(now.assignee, now.assignee)))


def handed_to_nobody(decide: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda now: decide(now._replace(handed=None))


def final_is_resolved(decide: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda now: decide(now._replace(stackflow="resolved" if now.stackflow in (
        "closed", "cancelled") else now.stackflow))


def agreed_on_nothing(decide: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda now: decide(now._replace(agreed_pagerduty=merge.ABSENT))


def place_forgotten(agreed: Callable[..., Any]) -> Callable[..., Any]:
    return lambda pack, pair, decision: agreed(pack, pair, decision)._replace(
        group=pair.link.group, service_id=pair.link.service_id)


BUGS: Dict[str, Any] = {
    "a final record is set back to work": (merge, "decide", final_is_resolved),
    "what was agreed with PagerDuty is forgotten": (merge, "decide", agreed_on_nothing),
    "for whom was acknowledged is forgotten": (deciding, "_assignee", lambda _: always(None)),
    "an assignment acknowledges again and again": (merge, "decide", acknowledged_again),
    "a changed group or service is nobody's change": (merge, "decide", handed_to_nobody),
    "what is older than the pack is paged by an event": (
        sync, "before_start", lambda _: always(False)),
    "what is older than the pack is opened by the reconcile": (
        reconcile.Walk, "_objection", lambda _: always("")),
    "an incident without a link is not looked for": (
        repair.Repair, "incident", lambda _: always(None)),
    "the link is not written": (Links, "write", lambda _: always(None)),
    "a place that was agreed on is not remembered": (sync, "agreed", place_forgotten),
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
