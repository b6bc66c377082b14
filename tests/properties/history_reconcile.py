"""The reconcile that ends a history."""

from __future__ import annotations

from typing import Any, List

from pagerduty_stackflow import sync
from pagerduty_stackflow.errors import PackError
from pagerduty_stackflow.pack import Outcome, Pack
from pagerduty_stackflow.pairs import read_pair
from pagerduty_stackflow.writing import Words


def reconcile(pack: Pack) -> Outcome:
    """Settle every pair."""
    failures: List[str] = []

    def attempt(call: Any) -> None:
        try:
            call()
        except PackError as error:
            failures.append(error.message)

    for row in list(pack.stackflow.pages("/incidents")):
        attempt(lambda: settle(pack, str(row["number"])))
    opened = pack.rest.pages("/incidents", "incidents", (
        ("statuses[]", "triggered"), ("statuses[]", "acknowledged"), ("date_range", "all")))
    for incident in list(opened):
        attempt(lambda: sync.create_stackflow_incident(pack, str(incident["id"])))
    return Outcome("done", "; ".join(failures))


def settle(pack: Pack, number: str) -> None:
    pair = read_pair(pack, number)
    if pair.record is None or (not pair.link.joined and sync.before_start(pack, pair.record)):
        return
    sync.settle(pack, pair, Words(), may_trigger=True)
