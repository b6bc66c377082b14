"""Links that version 0.1.0 stored: read once, and written anew by the first run on the pair."""

from __future__ import annotations

from typing import Any, Dict, Optional

from .decide import ACKNOWLEDGED, RESOLVED, TRIGGERED
from .fields import NOBODY, PAGERDUTY, STACKFLOW
from .links import Expected, Link


def upgraded(number: str, data: Dict[str, Any]) -> Optional[Link]:
    """Return a link of version 0.1.0, which stored what the two sides had agreed on.

    What was agreed counts as seen, but that what was sent as an event is still expected.
    A merge had put all of its records on the target; whose the target is tells the index.
    """
    states = {"open": "new", "acknowledged": "new", "resolved": RESOLVED}
    statuses = {"open": TRIGGERED, "acknowledged": ACKNOWLEDGED, "resolved": RESOLVED}
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    here, there = {}, {}
    if texts.get("stackflow") in states:
        here = {"state": states[texts["stackflow"]], "place": texts.get("group", ""),
                "acknowledgement": texts.get("assignee", NOBODY),
                "at": texts.get("stackflow_at", "")}
    if texts.get("pagerduty") in statuses:
        there = {"state": statuses[texts["pagerduty"]], "place": texts.get("service_id", ""),
                 "at": texts.get("reopened_at", "")}
    by_event = not (data.get("rest_only") or data.get("moved"))
    expects = None
    if there.get("state") in (ACKNOWLEDGED, RESOLVED) and by_event and "sent_at" in texts:
        expects = Expected(PAGERDUTY, {"state": there["state"]}, texts["sent_at"])
        there["state"] = TRIGGERED
    elif "moving" in texts:
        expects = Expected(PAGERDUTY, {"place": texts["moving"]}, texts.get("sent_at", ""))
    elif "writing" in texts:
        name = "state" if texts["writing"] in (RESOLVED, "in_progress") else "place"
        expects = Expected(STACKFLOW, {name: texts["writing"]}, texts.get("sent_at", ""))
    if not here and not there and "pagerduty_id" not in texts:
        return None
    return Link(number, texts.get("pagerduty_id"), texts.get("dedup_key"),
                texts.get("key_fingerprint") if by_event else None,
                {name: value for name, value in here.items() if value or name == "acknowledgement"},
                {name: value for name, value in there.items() if value}, expects,
                texts.get("pagerduty_id") if data.get("shared") else None, texts.get("unseen"),
                texts.get("replaced_by"))
