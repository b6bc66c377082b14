"""What the page shows: both systems' incidents, and what became of every event between them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any, Dict, Iterator, List, Tuple

from dev.local_stackstorm.executions import FINAL
from dev.playground.acts import NAMES, PAGERDUTY, STACKFLOW, Hands
from dev.site import LocalSite

LINK, OTHER = "pagerduty_stackflow.link.", "pagerduty_stackflow.pagerduty."
INCIDENTS, EVENTS = 30, 80
"""The latest ones are shown."""
GOOD, BAD, QUIET, BUSY = "good", "bad", "quiet", "busy"
DONE = "done"
"""The outcome of an action that wrote something."""
Shown = Dict[str, Any]


def snapshot(site: LocalSite, hands: Hands) -> Shown:
    """Everything that changes on the page, for JSON; the newest comes first."""
    stored = site.platform.datastore
    links = {name[len(LINK):]: json.loads(value) for name, value in stored.list(LINK).items()
             if "." not in name[len(LINK):]}
    numbers = {name[len(OTHER):]: value for name, value in stored.list(OTHER).items()
               if "." not in name[len(OTHER):]}
    return {STACKFLOW: dict(_side(site.stackflow, hands.state(STACKFLOW)),
                            incidents=_records(site, links, numbers)),
            PAGERDUTY: dict(_side(site.pagerduty, hands.state(PAGERDUTY)),
                            incidents=_incidents(site, numbers)),
            "stream": _stream(site, hands)}


def _side(simulator: Any, state: str) -> Shown:
    return {"state": state, "to_lose": simulator.outbox.to_lose,
            "to_double": simulator.outbox.to_double}


def _records(site: LocalSite, links: Shown, numbers: Shown) -> List[Shown]:
    """The cards of StackFlow."""
    paired = {number: site.pagerduty.incident(one).number for one, number in numbers.items()}
    cards = []
    for record in site.stackflow.incidents()[:-INCIDENTS - 1:-1]:
        number, link = record["number"], links.get(record["number"])
        cards.append({
            "id": number, "name": number, "title": record["short_description"],
            "state": record["state"], "rank": record["priority"],
            "facts": {"Group": record["assignment_group"], "Assigned to": record["assigned_to"],
                      "Last agreed": link and "%(stackflow)s here, %(pagerduty)s there" % link},
            "pair": _text(paired.get(number)),
            "notes": [[note["author"], note["note"]] for note in site.stackflow.notes(number)]})
    return cards


def _incidents(site: LocalSite, numbers: Shown) -> List[Shown]:
    """The cards of PagerDuty."""
    account, cards = site.pagerduty.account, []
    people = {user.id: user.name for user in account.users.values()}
    pages: Dict[str, List[str]] = defaultdict(list)
    for user, rows in site.pagerduty.notifications.items():
        for page in rows:
            pages[page.incident_id].append(people[user])
    with site.pagerduty.lock:
        for one in site.pagerduty.incidents()[:-INCIDENTS - 1:-1]:
            paged = Counter(pages[one.id])
            cards.append({
                "id": str(one.number), "name": "#%d" % one.number, "title": one.title,
                "state": one.status, "rank": one.urgency,
                "facts": {"Service": account.services[one.service_id].name,
                          "Policy": account.policies[one.policy_id].name,
                          "Assigned to": ", ".join(people[user] for user in one.assignees),
                          "Paged": _pages(paged)},
                "pair": numbers.get(one.id),
                "notes": [[people.get(_text(note.user_id), "automation"), note.content]
                          for note in one.notes]})
    return cards


def _pages(paged: Counter[str]) -> str:
    count = sum(paged.values())
    return "%d %s: %s" % (count, "time" if count == 1 else "times", ", ".join(
        "%s ×%d" % pair if pair[1] > 1 else pair[0] for pair in paged.items())) if count else ""


def _stream(site: LocalSite, hands: Hands) -> List[Shown]:
    """People's acts, webhooks and pages, each with what became of it."""
    children: Dict[str, List[Any]] = defaultdict(list)
    for execution in site.platform.executions():
        if execution.parent:
            children[execution.parent.id].append(execution)
    entries = [_entry("act-%d" % number, told.at, told.side, told.who, told.words,
                      _ran(told.execution, children) if told.execution else [], person=True)
               for number, told in enumerate(hands.diary)]
    entries += _webhooks(site, children) + _notifications(site)
    return sorted(entries, key=lambda entry: entry["at"], reverse=True)[:EVENTS]


def _entry(key: str, at: datetime, side: str, who: str, what: str, steps: List[Shown],
           person: bool = False) -> Shown:
    return {"key": key, "at": at.isoformat(), "side": side, "who": who, "what": what,
            "steps": steps, "person": person}


def _step(label: str, words: str, tone: str = "") -> Shown:
    return {"label": label, "words": words, "tone": tone}


def _notifications(site: LocalSite) -> List[Shown]:
    """Who was paged."""
    account = site.pagerduty.account
    return [_entry("page-%s-%d" % (user, number), page.at, PAGERDUTY, "PagerDuty pages",
                   "%s for #%d, %s" % (account.users[user].name,
                                       account.incidents[page.incident_id].number, page.reason),
                   []) for user, rows in site.pagerduty.notifications.items()
            for number, page in enumerate(rows)]


def _webhooks(site: LocalSite, children: Dict[str, List[Any]]) -> List[Shown]:
    """Every delivery, with the trigger that a sensor made of it, and what that started."""
    instances: Dict[str, List[Any]] = defaultdict(list)
    for instance in site.platform.trigger_instances():
        instances[str(instance.payload.get("event_id"))].append(instance)
    rules: Dict[str, List[Any]] = defaultdict(list)
    for enforcement in site.platform.enforcements():
        rules[enforcement.trigger_instance].append(enforcement)
    entries = []
    for side, simulator in ((STACKFLOW, site.stackflow), (PAGERDUTY, site.pagerduty)):
        seen: Counter[str] = Counter()
        last = Counter(delivery.id for delivery in simulator.deliveries)
        for delivery in list(simulator.deliveries):
            event_id, kind, about = _event(side, json.loads(delivery.body), site)
            seen[delivery.id] += 1
            copy = seen[delivery.id] - 1
            # A delivery that was answered too late comes again: the last copy has the rest.
            end = copy + 1 if seen[delivery.id] < last[delivery.id] else None
            steps = [_sent(delivery, copy)]
            for instance in instances[event_id][copy:end]:
                steps += _judged(instance, rules[instance.id], children)
            entries.append(_entry("%s-%s-%d" % (side, delivery.id, copy), delivery.created_at, side,
                                  "%s webhook" % NAMES[side], "%s %s" % (kind, about), steps))
    return entries


def _event(side: str, body: Any, site: LocalSite) -> Tuple[str, str, str]:
    """Id, type and incident of a webhook."""
    if side == STACKFLOW:
        return body["id"], body["event"], body["incident"]["number"]
    event = body["event"]
    incident = event["data"].get("incident") or event["data"]
    return event["id"], event["event_type"], "#%d" % site.pagerduty.incident(incident["id"]).number


def _sent(delivery: Any, copy: int) -> Shown:
    answers = ", then ".join(str(status or "no answer") for _, status in delivery.attempts)
    words, tone = {"lost": ("lost on its way", BAD), "dropped": ("given up after " + answers, BAD),
                   "delivered": ("the listener answers " + answers, GOOD)}.get(
        delivery.state, ("answered %s, comes again" % answers, BAD) if answers else
        ("on its way", BUSY))
    return _step("sent again" if copy else "sent", words, tone)


def _judged(instance: Any, enforcements: List[Any], children: Any) -> Iterator[Shown]:
    """What the pre-filter made of an event, and which rules asked for it."""
    verdict = instance.payload.get("sync") or {}
    if instance.status == "dropped":
        yield _step("dropped", str(instance.reason), BAD)
        return
    words = "to be acted on" if verdict.get("apply") else "nothing to do"
    yield _step("pre-filter", ": ".join(filter(None, (words, verdict.get("reason")))),
                "" if verdict.get("apply") else QUIET)
    for enforcement in enforcements:
        yield _step("rule", enforcement.rule.partition(".")[2])
        if enforcement.execution:
            yield from _ran(enforcement.execution, children)
        elif enforcement.failure:
            yield _step("failed", enforcement.failure, BAD)
    if verdict.get("apply") and instance.status == "processed" and not enforcements:
        yield _step("rule", "none of the pack's asks for it", QUIET)


def _ran(execution: Any, children: Any) -> List[Shown]:
    """An execution with the reasons that it gives, and those of a workflow's tasks."""
    steps = [_step("action", execution.action.partition(".")[2])]
    if execution.status in FINAL:
        result = execution.result if isinstance(execution.result, dict) else {}
        error = result.get("error") or {"message": execution.error}
        tone = GOOD if result.get("outcome") == DONE else QUIET
        steps += [_step(label, words, kind) for label, words, kind in [
            (result.get("outcome"), result.get("reason"), tone),
            (execution.status, error.get("message"), BAD), ("hint", error.get("hint"), "")] +
            [("warning", words, BAD) for words in result.get("warnings") or []] if words]
        for label in ("done", "would", "failures"):
            steps += [_pair(label, one) for one in result.get(label) or []]
    else:
        steps.append(_step(execution.status, "looks again later" if execution.task else "", BUSY))
    for child in children[execution.id]:
        steps += _ran(child, children)
    return steps


def _pair(label: str, one: Shown) -> Shown:
    """One pair of a reconcile's result."""
    words = (one.get("stackflow_id") or one.get("pagerduty_incident_id") or one.get("incident_id"),
             ", ".join(one.get("writes") or []), one.get("reason"), one.get("message"),
             one.get("hint"))
    return _step({"done": "repaired", "would": "would", "failures": "failed"}[label],
                 ": ".join(filter(None, words)), BAD if label == "failures" else GOOD)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
