"""Stored links as version 0.1.0 wrote them: what both sides had agreed on, no observations."""

from __future__ import annotations

import json
from typing import Any, Dict, Optional

from history_diary import DONE, PACK, Diary

from pagerduty_stackflow.fields import PAGERDUTY, STACKFLOW
from pagerduty_stackflow.incidents import format_time, parse_time
from pagerduty_stackflow.links import Link, decode

PREFIX = "pagerduty_stackflow.link."
STATUSES = {"triggered": "open", "acknowledged": "acknowledged", "resolved": "resolved", None: ""}


def go_back(world: Any, diary: Diary) -> int:
    """Rewrite every link as version 0.1.0 would have stored it; returns how many."""
    count = 0
    for name, (text, ttl) in list(world.store.values.items()):
        number = name[len(PREFIX):]
        if name.startswith(PREFIX) and "." not in number:
            link = decode(number, text)
            assert link is not None
            old = old_link(link, world.pagerduty.account, diary)
            world.store.values[name] = (json.dumps(old, sort_keys=True), ttl)
            count += 1
    return count


def old_link(link: Link, account: Any, diary: Diary) -> Dict[str, Any]:
    """What version 0.1.0 stored once it had written what this link says."""
    here, there, expected = link.here, link.there, link.expected(PAGERDUTY)
    stackflow, pagerduty = "", STATUSES[there.get("state")]
    if here:
        taken = here.get("acknowledgement") or here.get("state") != "new"
        stackflow = "resolved" if here.get("state") in DONE else "acknowledged" if taken else "open"
    if expected.get("state") == "resolved" and stackflow == "resolved" or (
            expected.get("state") == "acknowledged" and here.get("acknowledgement")):
        pagerduty = STATUSES[expected["state"]]
    writing = link.expected(STACKFLOW)
    old = {"number": link.number, "pagerduty_id": link.incident_id, "dedup_key": link.dedup_key,
           "service_id": there.get("place"), "key_fingerprint": link.key_fingerprint,
           "stackflow": stackflow, "pagerduty": pagerduty, "group": here.get("place"),
           "assignee": here.get("acknowledgement"), "rest_only": link.key_fingerprint is None,
           "moving": expected.get("place"), "seen": link.pagerduty_id is not None,
           "unseen": link.unseen, "shared": link.target is not None, "stackflow_at": here.get("at"),
           "reopened_at": _reopened_at(link, account), "sent_at": _sent_at(link, diary),
           "writing": writing.get("state") or writing.get("place"),
           "replaced_by": link.successor}
    return {name: value for name, value in old.items() if value}


def _reopened_at(link: Link, account: Any) -> Optional[str]:
    """When PagerDuty opened the incident again that the record was open beside."""
    incident = account.incidents.get(link.incident_id)
    at = incident.reopened_at if incident else None
    seen = parse_time(link.there.get("at"))
    return format_time(at) if at and seen and at <= seen else None


def _sent_at(link: Link, diary: Diary) -> Optional[str]:
    """When the last event was sent."""
    sent = [entry.at for entry in diary.incidents.get(link.incident_id or "", ())
            if entry.by == PACK and entry.what in ("trigger", "acknowledge", "resolve")]
    return link.expects.at if link.expects else format_time(sent[-1]) if sent else None
