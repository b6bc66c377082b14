"""Guards of the pack taken out one at a time: the histories notice every one of them.

docs/testing.md says how many histories that took.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict

import pytest
import test_histories
from history_machine import Histories, Wrong

from pagerduty_stackflow import incidents, merge, pairs, reconcile, repair, sync, writing
from pagerduty_stackflow.links import Links
from pagerduty_stackflow.stackflow.client import StackFlowClient

PATIENCE = 400
"""Histories until a bug counts as overlooked."""


def always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def resolved_by_both(decide: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Whatever a side says, the other one's resolve is taken for its own."""
    return lambda now: decide(replace(now, reopened=None))


def acknowledged_again(decide: Callable[[Any], Any]) -> Callable[[Any], Any]:
    another = {merge.CARRIED: merge.ANOTHER}
    return lambda now: decide(replace(now, assignee=another.get(now.assignee, now.assignee)))


def handed_to_nobody(decide: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda now: decide(replace(now, handed=None))


def create_twice(create: Callable[..., Any]) -> Callable[..., Any]:
    """A POST whose answer was lost is sent again."""
    def created(self: Any, fields: Any) -> Any:
        try:
            return create(self, fields)
        except pairs_error():
            return create(self, fields)
    return created


def pairs_error() -> Any:
    from pagerduty_stackflow.transport import OutcomeUnknownError
    return OutcomeUnknownError


def no_suffix(_: Any) -> Callable[..., Any]:
    """The same dedup key after a reopening."""
    return lambda pack, pair: (pair.link.dedup_key or incidents.dedup_key(
        pack.settings.stackflow.host, pair.link.number), None)


BUGS: Dict[str, Any] = {
    "a person's reopening is taken for an unfinished resolve": (merge, "decide", resolved_by_both),
    "an assignment acknowledges again and again": (merge, "decide", acknowledged_again),
    "a changed group or service is nobody's change": (merge, "decide", handed_to_nobody),
    "a merge in PagerDuty is taken for a fix": (incidents, "merge_target", lambda _: always(None)),
    "a reopening in PagerDuty is not looked for": (
        pairs, "_opened_again", lambda _: always(False)),
    "the status is not read before a REST write": (
        writing, "_check_unchanged", lambda _: always(None)),
    "the mark is not searched before a record is created": (
        writing, "owner_of_mark", lambda _: always(None)),
    "a POST without an answer is repeated": (StackFlowClient, "create", create_twice),
    "the dedup key stays the same after a reopening": (writing, "_next_key", no_suffix),
    "what is older than the pack is paged by an event": (
        sync, "before_start", lambda _: always(False)),
    "what is older than the pack is opened by the reconcile": (
        reconcile.Walk, "_may_open", lambda _: always(True)),
    "an incident without a link is not looked for": (
        repair.Repair, "incident", lambda _: always(None)),
    "an event is taken at its word however late it comes": (
        sync, "FRESH", lambda fresh: 1000 * fresh),
    "the link is not written": (Links, "write", lambda _: always(None)),
    "a place that was agreed on is not remembered": (
        sync, "place", lambda _: always((None, None))),
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
