"""What the page shows: both systems' incidents, and what became of every event between them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from dev.local_stackstorm.executions import FINAL
from dev.playground.acts import NAMES, PAGERDUTY, STACKFLOW, Hands
from dev.site import LocalSite

LINK, OTHER = "pagerduty_stackflow.link.", "pagerduty_stackflow.pagerduty."
INCIDENTS, EVENTS = 30, 80
"""The latest ones are shown."""
AGREED = "{stackflow} here, {pagerduty} there"
GOOD, BAD, QUIET, BUSY, PLAIN = "good", "bad", "quiet", "busy", ""
Shown = Dict[str, Any]
Step = Tuple[str, str, str]
"""What happened, the words for it, and their tone."""


def catalog(hands: Hands) -> Shown:
    """For every side its acts by name: label, states in which they are offered, and inputs."""
    return {side: {name: {"label": act.label, "states": act.states, "inputs": act.inputs}
                   for name, act in acts.items()} for side, acts in hands.acts.items()}


def snapshot(site: LocalSite, hands: Hands) -> Shown:
    """Everything that changes on the page; the newest comes first."""
    links, numbers = [{name[len(start):]: value
                       for name, value in site.platform.datastore.list(start).items()
                       if "." not in name[len(start):]} for start in (LINK, OTHER)]
    shown: Shown = {STACKFLOW: {"incidents": list(_records(site, links, numbers))},
                    PAGERDUTY: {"incidents": list(_incidents(site, numbers))},
                    "stream": _stream(site, hands)}
    for side, simulator in ((STACKFLOW, site.stackflow), (PAGERDUTY, site.pagerduty)):
        shown[side].update(state=hands.state(side), to_lose=simulator.outbox.to_lose,
                           to_double=simulator.outbox.to_double)
    return shown


def _records(site: LocalSite, links: Shown, numbers: Shown) -> Iterator[Shown]:
    """The cards of StackFlow."""
    # The link learns the id of what the pack triggered with the next event of the pair.
    paired = {number: one for one, number in numbers.items()}
    for record in site.stackflow.incidents()[:-INCIDENTS - 1:-1]:
        number = record["number"]
        link = json.loads(links.get(number, "{}"))
        other = link.get("pagerduty_id") or paired.get(number)
        yield {"id": number, "name": number, "title": record["short_description"],
               "state": record["state"], "rank": record["priority"],
               "pair": str(site.pagerduty.incident(other).number) if other else None,
               "facts": {"Group": record["assignment_group"], "Assigned to": record["assigned_to"],
                         "Last agreed": AGREED.format(**link) if link else None},
               "notes": [[note["author"], note["note"]] for note in site.stackflow.notes(number)]}


def _incidents(site: LocalSite, numbers: Shown) -> Iterator[Shown]:
    """The cards of PagerDuty."""
    account = site.pagerduty.account
    people = {user.id: user.name for user in account.users.values()}
    paged: Dict[str, Counter[str]] = defaultdict(Counter)
    for user, pages in site.pagerduty.notifications.items():
        for page in pages:
            paged[page.incident_id][people[user]] += 1
    for one in site.pagerduty.incidents()[:-INCIDENTS - 1:-1]:
        yield {"id": str(one.number), "name": "#%d" % one.number, "title": one.title,
               "state": one.status, "rank": one.urgency, "pair": numbers.get(one.id),
               "facts": {"Service": account.services[one.service_id].name,
                         "Policy": account.policies[one.policy_id].name,
                         "Assigned to": ", ".join(people[user] for user in one.assignees),
                         "Paged": ", ".join("%s ×%d" % who for who in paged[one.id].items())},
               "notes": [[people.get(str(note.user_id), "automation"), note.content]
                         for note in one.notes]}


def _stream(site: LocalSite, hands: Hands) -> List[Shown]:
    """People's acts, webhooks and pages, each with what became of it."""
    children: Dict[str, List[Any]] = defaultdict(list)
    for execution in site.platform.executions():
        if execution.parent:
            children[execution.parent.id].append(execution)
    entries = [_entry("act-%d" % number, told.at, told.side, told.who, told.words,
                      _ran(told.execution, children) if told.execution else (), person=True)
               for number, told in enumerate(hands.diary)]
    account = site.pagerduty.account
    entries += [_entry("page-%s-%d" % (user, number), page.at, PAGERDUTY, "PagerDuty pages",
                       "%s for #%d, %s" % (account.users[user].name,
                                           account.incidents[page.incident_id].number, page.reason))
                for user, pages in site.pagerduty.notifications.items()
                for number, page in enumerate(pages)]
    entries += _webhooks(site, children)
    return sorted(entries, key=lambda entry: entry["at"], reverse=True)[:EVENTS]


def _entry(key: str, at: datetime, side: str, who: str, what: str, steps: Sequence[Step] = (),
           person: bool = False) -> Shown:
    return {"key": key, "at": at.isoformat(), "side": side, "who": who, "what": what,
            "steps": steps, "person": person}


def _webhooks(site: LocalSite, children: Dict[str, List[Any]]) -> Iterator[Shown]:
    """Every delivery, with the trigger that a sensor made of it, and what that started."""
    instances: Dict[str, List[Any]] = defaultdict(list)
    for instance in site.platform.trigger_instances():
        instances[str(instance.payload.get("event_id"))].append(instance)
    rules: Dict[str, List[Any]] = defaultdict(list)
    for enforcement in site.platform.enforcements():
        rules[enforcement.trigger_instance].append(enforcement)
    for side, simulator in ((STACKFLOW, site.stackflow), (PAGERDUTY, site.pagerduty)):
        copies: Counter[str] = Counter()
        for delivery in simulator.deliveries[-EVENTS:]:
            event_id, kind, about = _event(side, json.loads(delivery.body), site)
            copy, steps = copies[event_id], [_sent(delivery, copies[event_id])]
            for instance in instances[event_id][copy:copy + 1]:
                steps += _judged(instance, rules[instance.id], children)
            copies[event_id] += 1
            yield _entry("%s-%s-%d" % (side, event_id, copy), delivery.created_at, side,
                         NAMES[side] + " webhook", "%s %s" % (kind, about), steps)


def _event(side: str, body: Any, site: LocalSite) -> Tuple[str, str, str]:
    """Id, type and incident of a webhook."""
    if side == STACKFLOW:
        return body["id"], body["event"], body["incident"]["number"]
    event = body["event"]
    incident = event["data"].get("incident") or event["data"]
    return event["id"], event["event_type"], "#%d" % site.pagerduty.incident(incident["id"]).number


def _sent(delivery: Any, copy: int) -> Step:
    answers = ", ".join(str(status or "no answer") for _, status in delivery.attempts)
    words, tone = {"lost": ("lost on its way", BAD), "dropped": ("given up after " + answers, BAD),
                   "delivered": ("the listener answers " + answers, GOOD)}.get(
        delivery.state, ("%s, comes again" % answers if answers else "on its way", BUSY))
    return "sent again" if copy else "sent", words, tone


def _judged(instance: Any, enforcements: List[Any], children: Any) -> Iterator[Step]:
    """What the pre-filter made of an event, and which rules asked for it."""
    if instance.status == "dropped":
        yield "dropped", str(instance.reason), BAD
        return
    verdict = instance.payload["sync"]
    words = "to be acted on" if verdict["apply"] else "nothing to do: %s" % verdict["reason"]
    yield "pre-filter", words, PLAIN if verdict["apply"] else QUIET
    for enforcement in enforcements:
        yield "rule", enforcement.rule.partition(".")[2], PLAIN
        if enforcement.execution:
            yield from _ran(enforcement.execution, children)
        else:
            yield "failed", enforcement.failure, BAD
    if verdict["apply"] and instance.status == "processed" and not enforcements:
        yield "rule", "none of the pack's asks for it", QUIET


def _ran(execution: Any, children: Any) -> List[Step]:
    """An execution with the reasons that it gives, and those of a workflow's tasks."""
    steps: List[Step] = [("action", execution.action.partition(".")[2], PLAIN)]
    if execution.status in FINAL:
        result = execution.result if isinstance(execution.result, dict) else {}
        error = result.get("error") or {"message": execution.error}
        outcome = result.get("outcome")
        steps += [step for step in (
            (outcome, result.get("reason"), GOOD if outcome == "done" else QUIET),
            (execution.status, error.get("message"), BAD), ("hint", error.get("hint"), PLAIN))
            if step[1]]
        steps += [("warning", words, BAD) for words in result.get("warnings") or ()]
        for name, label, tone in (("done", "repaired", GOOD), ("would", "would", GOOD),
                                  ("failures", "failed", BAD)):
            steps += [(label, _pair(one), tone) for one in result.get(name) or ()]
    else:
        steps.append((execution.status, "looks again later" if execution.task else "", BUSY))
    for child in children[execution.id]:
        told = _ran(child, children)
        if steps[-len(told):] != told:  # a workflow that waits looks again and again
            steps += told
    return steps


def _pair(one: Shown) -> str:
    """One pair of a reconcile's result."""
    name = one.get("stackflow_id") or one.get("pagerduty_incident_id") or one.get("incident_id")
    return ": ".join(filter(None, (name, ", ".join(one.get("writes") or ()), one.get("reason"),
                                   one.get("message"))))
