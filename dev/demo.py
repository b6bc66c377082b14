"""``python -m dev.demo``: the pack at work between simulated systems, a row for all that it does.

Every row goes through real webhooks with real signatures, the pack's own rules and one process per
action. Ends with 0 when all rows hold.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from dev.site import API, CASEY, DATABASE, PLATFORM, SLA, STORE, LocalSite, wait_for

PATIENCE = 10.0
"""Seconds until a row counts as failed; each takes well under one on an idle machine."""
ESCALATION_PATIENCE = 30.0
"""The same for an escalation, which gives people time to answer."""
ANSWER_SECONDS = 1.2
"""The time they have here."""
RIGHT, LEFT, STILL = "->", "<-", "  "
LINE = "{:<26} {:<38} {:<2} {:<46} {:>6}"
TIMER = "core.st2.IntervalTimer"


class Row(NamedTuple):
    """One row: ``play`` gets the stage and returns what was seen in StackFlow, which way it went,
    and what was seen in PagerDuty.
    """

    name: str
    play: Callable[[Stage], Tuple[str, str, str]]


ROWS: List[Row] = []


def row(name: str) -> Callable[[Any], Any]:
    """Add a function to the demo under this name."""
    def add(play: Any) -> Any:
        ROWS.append(Row(name, play))
        return play
    return add


class Stage:
    """What rows act on, and how they wait. ``milliseconds`` is what the last row took."""

    def __init__(self, site: LocalSite) -> None:
        self.site, self.stackflow, self.pagerduty = site, site.stackflow, site.pagerduty
        self.milliseconds = 0
        self._since = 0.0
        self._first = (0, 0, 0, 0)
        self._expected: Optional[Tuple[Callable[[], Any], str]] = None

    def prepare(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for something that comes before the row; it is not timed."""
        return wait_for(condition, PATIENCE, lambda: what)

    def pair(self, title: str, priority: str = "P1") -> Tuple[str, Any]:
        """A StackFlow incident that was paged, and its PagerDuty incident."""
        number = self.stackflow.create_incident(title, priority, group=PLATFORM, category="api")
        incident = self.prepare(lambda: self.site.paged(number), "PagerDuty to have %s" % number)
        self.settle()
        return number, incident

    def born_in_pagerduty(self, title: str) -> Tuple[Any, str]:
        """A PagerDuty incident that somebody opened there, and the number of its record."""
        incident = self.pagerduty.incident(
            self.pagerduty.create_incident(self.site.api, title, by=self.site.casey))
        records = self.prepare(lambda: self.site.records_of(incident.id), "the StackFlow record")
        self.settle()
        return incident, str(records[0]["number"])

    def settle(self) -> None:
        """Wait until nothing is on its way any more."""
        self.site.settle(self.site.idle, PATIENCE)

    def start(self) -> None:
        """From here on it is timed; the person's act follows."""
        self._since = time.monotonic()

    def expect(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Wait for what the row shows; it has to hold still when everything has become quiet."""
        found = wait_for(condition, seconds, lambda: what)
        self._took()
        self._expected = condition, what
        return found

    def expect_nothing(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until it is quiet; then the condition has to hold."""
        self.settle()
        self._took()
        self._expected = condition, what

    def play(self, one: Row) -> Tuple[str, str, str]:
        """Run a row to its end. Raises AssertionError where it does not hold."""
        self._first, self._expected = self._counts(), None
        shown = one.play(self)
        self.settle()
        if self._expected is not None and not self._expected[0]():
            raise AssertionError("it did not stay so: %s" % self._expected[1])
        failed = [item for item in self._rows()[2] if item.status != "succeeded"]
        dropped = [item.reason for item in self._rows()[3] if item.status == "dropped"]
        if failed or dropped:
            raise AssertionError("failed executions: %s; dropped payloads: %s" % (failed, dropped))
        return shown

    def seen(self) -> str:
        """What the row that is being played has left on both sides and on the platform."""
        records, incidents, executions, _ = self._rows()
        words = ["%s %s" % (record["number"], record["state"]) for record in records]
        words += ["PagerDuty #%d %s" % (incident.number, incident.status) for incident in incidents]
        words += ["%s %s: %s" % (item.action.partition(".")[2], item.status,
                                 item.error or item.result) for item in executions]
        return "; ".join(words) or "nothing"

    def _rows(self) -> Tuple[List[Any], ...]:
        platform, first = self.site.platform, self._first
        return (self.stackflow.incidents()[first[0]:], self.pagerduty.incidents()[first[1]:],
                platform.executions()[first[2]:], platform.trigger_instances()[first[3]:])

    def _counts(self) -> Tuple[int, int, int, int]:
        platform = self.site.platform
        return (len(self.stackflow.incidents()), len(self.pagerduty.incidents()),
                len(platform.executions()), len(platform.trigger_instances()))

    def state(self, number: str) -> str:
        """State of a StackFlow record."""
        return str(self.stackflow.incident(number)["state"])

    def status(self, number: str, reopened: int = 0) -> str:
        """Status of a record's PagerDuty incident; "none" without one."""
        found = self.site.paged(number, reopened)
        return found.status if found else "none"

    def paged_people(self, incident: Any) -> str:
        """Who was notified of an incident."""
        account = self.pagerduty.account
        names = [account.users[user].name for user, pages in self.pagerduty.notifications.items()
                 if any(page.incident_id == incident.id for page in pages)]
        return ", ".join(names) or "nobody"

    def _took(self) -> None:
        self.milliseconds = round(1000 * (time.monotonic() - self._since))


@row("created")
def created(stage: Stage) -> Tuple[str, str, str]:
    stage.start()
    number = stage.stackflow.create_incident("Checkout is down", "P1", group=PLATFORM,
                                             category="api")
    incident = stage.expect(lambda: stage.site.paged(number), "PagerDuty to have %s" % number)
    return ("%s opened, P1" % number, RIGHT,
            "triggered on %s, %s paged" % (API, stage.paged_people(incident)))


@row("created, under threshold")
def created_below(stage: Stage) -> Tuple[str, str, str]:
    stage.start()
    number = stage.stackflow.create_incident("Slow report", "P3", group=PLATFORM)
    stage.expect_nothing(lambda: stage.site.paged(number) is None, "nobody paged for a P3")
    return "%s opened, P3" % number, STILL, "stays silent"


@row("priority raised")
def raised(stage: Stage) -> Tuple[str, str, str]:
    number = stage.stackflow.create_incident("Slow checkout", "P3", group=PLATFORM)
    stage.settle()
    stage.start()
    stage.stackflow.set_priority(number, "P2")
    stage.expect(lambda: stage.status(number) == "triggered", "an incident for %s" % number)
    return "%s raised from P3 to P2" % number, RIGHT, "triggered on %s" % API


@row("assigned to a person")
def assigned(stage: Stage) -> Tuple[str, str, str]:
    number, _ = stage.pair("Login fails")
    stage.start()
    stage.stackflow.assign(number, CASEY)
    stage.expect(lambda: stage.status(number) == "acknowledged", "an acknowledgement")
    return "%s assigned to Casey" % number, RIGHT, "acknowledged"


@row("handed to another group")
def handed_over(stage: Stage) -> Tuple[str, str, str]:
    number, incident = stage.pair("Queue is full")
    stage.start()
    stage.stackflow.assign(number, group=DATABASE)
    stage.expect(lambda: (incident.service_id, incident.status) == (
        stage.site.database, "triggered"), "the incident on %s" % STORE)
    return ("%s to %s" % (number, DATABASE), RIGHT,
            "moved to %s, %s paged" % (STORE, stage.paged_people(incident)))


@row("resolved")
def resolved(stage: Stage) -> Tuple[str, str, str]:
    number, _ = stage.pair("Certificate expired")
    stage.start()
    stage.stackflow.set_state(number, "resolved")
    stage.expect(lambda: stage.status(number) == "resolved", "a resolved incident")
    return "%s resolved" % number, RIGHT, "resolved"


@row("closed")
def closed(stage: Stage) -> Tuple[str, str, str]:
    number, incident = stage.pair("Disk is full")
    stage.stackflow.set_state(number, "resolved")
    stage.prepare(lambda: incident.status == "resolved", "a resolved incident")
    stage.settle()
    stage.start()
    stage.stackflow.close(number)
    stage.expect_nothing(lambda: incident.status == "resolved", "it stays resolved")
    return "%s closed after that" % number, STILL, "stays resolved"


@row("cancelled")
def cancelled(stage: Stage) -> Tuple[str, str, str]:
    number, _ = stage.pair("False alarm")
    stage.start()
    stage.stackflow.cancel(number)
    stage.expect(lambda: stage.status(number) == "resolved", "a resolved incident")
    return "%s cancelled" % number, RIGHT, "resolved"


@row("reopened in StackFlow")
def reopened_in_stackflow(stage: Stage) -> Tuple[str, str, str]:
    number, first = stage.pair("Cache is cold")
    stage.stackflow.set_state(number, "resolved")
    stage.prepare(lambda: first.status == "resolved", "a resolved incident")
    stage.settle()
    stage.site.next_second()
    stage.start()
    stage.stackflow.reopen(number)
    stage.expect(lambda: stage.status(number, 1) == "triggered" and first.status == "resolved",
                 "a second incident for %s" % number)
    return "%s opened again" % number, RIGHT, "a new alert, its dedup key ends in :1"


@row("reopened in PagerDuty")
def reopened_in_pagerduty(stage: Stage) -> Tuple[str, str, str]:
    number, incident = stage.pair("Search is slow")
    stage.pagerduty.resolve(incident.id, by=stage.site.casey)
    stage.prepare(lambda: stage.state(number) == "resolved", "a resolved record")
    stage.settle()
    stage.site.next_second()
    stage.start()
    stage.pagerduty.reopen(incident.id, by=stage.site.casey)
    stage.expect(lambda: stage.state(number) == "in_progress", "%s in progress" % number)
    return "%s in_progress" % number, LEFT, "reopened by Casey"


@row("moved in PagerDuty")
def moved_in_pagerduty(stage: Stage) -> Tuple[str, str, str]:
    number, incident = stage.pair("Replica lags")
    stage.start()
    stage.pagerduty.move(incident.id, stage.site.database, by=stage.site.casey)
    stage.expect(lambda: stage.stackflow.incident(number)["assignment_group"] == DATABASE,
                 "%s with %s" % (number, DATABASE))
    return "%s handed to %s" % (number, DATABASE), LEFT, "moved to %s by Casey" % STORE


@row("triggered in PagerDuty")
def triggered_in_pagerduty(stage: Stage) -> Tuple[str, str, str]:
    stage.start()
    incident = stage.pagerduty.incident(
        stage.pagerduty.create_incident(stage.site.database, "Replica lags", by=stage.site.dana))
    record = stage.expect(lambda: stage.site.records_of(incident.id), "a record for it")[0]
    return ("%s made, %s" % (record["number"], record["assignment_group"]), LEFT,
            "#%d opened on Database Service" % incident.number)


@row("acknowledged in PagerDuty")
def acknowledged_in_pagerduty(stage: Stage) -> Tuple[str, str, str]:
    incident, number = stage.born_in_pagerduty("Node is gone")
    stage.start()
    stage.pagerduty.acknowledge(incident.id, by=stage.site.casey)
    stage.expect(lambda: stage.state(number) == "in_progress", "%s in progress" % number)
    return "%s in_progress" % number, LEFT, "#%d acknowledged by Casey" % incident.number


@row("resolved in PagerDuty")
def resolved_in_pagerduty(stage: Stage) -> Tuple[str, str, str]:
    incident, number = stage.born_in_pagerduty("Node is gone again")
    stage.start()
    stage.pagerduty.resolve(incident.id, by=stage.site.casey)
    stage.expect(lambda: stage.state(number) == "resolved", "%s resolved" % number)
    return "%s resolved" % number, LEFT, "#%d resolved by Casey" % incident.number


@row("not mapped in PagerDuty")
def unmapped_in_pagerduty(stage: Stage) -> Tuple[str, str, str]:
    stage.start()
    incident = stage.pagerduty.incident(
        stage.pagerduty.create_incident(stage.site.unmapped, "Wi-Fi is slow", by=stage.site.casey))
    stage.expect_nothing(lambda: not stage.site.records_of(incident.id), "no record")
    return "no record", STILL, "#%d opened on a service nobody mapped" % incident.number


@row("StackFlow webhook doubled")
def doubled_from_stackflow(stage: Stage) -> Tuple[str, str, str]:
    stage.stackflow.outbox.double()
    stage.start()
    number = stage.stackflow.create_incident("Checkout is down twice", "P2", group=DATABASE)
    stage.expect(lambda: stage.status(number) == "triggered", "one incident for %s" % number)
    return "%s opened, told twice" % number, RIGHT, "triggered once"


@row("PagerDuty webhook doubled")
def doubled_from_pagerduty(stage: Stage) -> Tuple[str, str, str]:
    stage.pagerduty.outbox.double()
    stage.start()
    incident = stage.pagerduty.incident(
        stage.pagerduty.create_incident(stage.site.api, "Told twice", by=stage.site.casey))
    stage.expect(lambda: len(stage.site.records_of(incident.id)) == 1, "one record")
    number = stage.site.records_of(incident.id)[0]["number"]
    return "%s made, once" % number, LEFT, "#%d opened, told twice" % incident.number


@row("SLA breached, answered")
def sla_answered(stage: Stage) -> Tuple[str, str, str]:
    number, incident = stage.pair("Payments fail")
    site = stage.site
    stage.start()
    stage.stackflow.breach_sla(number, SLA)
    stage.expect(lambda: incident.assignees == [site.kim], "the policy to be started")
    stage.pagerduty.acknowledge(incident.id, by=site.kim)
    stage.expect(lambda: (incident.status, site.last_resort(number)) == ("acknowledged", None),
                 "an end of the escalation")
    return "%s late for %s" % (number, SLA), RIGHT, "policy started, Kim paged, who acknowledges"


@row("SLA breached, no answer")
def sla_unanswered(stage: Stage) -> Tuple[str, str, str]:
    number, incident = stage.pair("Payments fail again")
    site = stage.site
    stage.start()
    stage.stackflow.breach_sla(number, SLA)
    stage.expect(lambda: incident.assignees == [site.kim], "the policy to be started")
    last = stage.expect(lambda: site.last_resort(number), "a last resort", ESCALATION_PATIENCE)
    stage.stackflow.set_state(number, "resolved")
    stage.expect(lambda: incident.status == last.status == "resolved", "both alerts resolved")
    return ("%s late for %s, then resolved" % (number, SLA), RIGHT,
            "Kim, at last Casey again; both resolved")


@row("webhooks lost, reconciled")
def reconciled(stage: Stage) -> Tuple[str, str, str]:
    number, incident = stage.pair("Backup failed")
    stage.stackflow.outbox.lose()
    stage.stackflow.set_state(number, "resolved")
    stage.start()
    execution = stage.site.platform.run_action("pagerduty_stackflow.reconcile", {}, 60)
    if execution.status != "succeeded":
        raise AssertionError(execution.result)
    stage.expect(lambda: incident.status == "resolved", "a resolved incident")
    return "%s resolved, nobody told" % number, RIGHT, "resolved: %d of %d pairs repaired" % (
        execution.result["repaired"], execution.result["pairs"])


@row("note in StackFlow")
def note_here(stage: Stage) -> Tuple[str, str, str]:
    number, incident = stage.pair("Mail is late")
    stage.start()
    stage.stackflow.add_note(number, "Looking at the relay")
    stage.expect(lambda: any("relay" in note.content for note in incident.notes), "a note there")
    return "%s gets a note" % number, RIGHT, "the same note, once"


@row("note in PagerDuty")
def note_there(stage: Stage) -> Tuple[str, str, str]:
    number, incident = stage.pair("Mail is lost")
    stage.start()
    stage.pagerduty.add_note(incident.id, "The relay is back", by=stage.site.casey)
    stage.expect(lambda: any("relay" in note["note"] for note in stage.stackflow.notes(number)),
                 "a note here")
    return "%s gets the same note, once" % number, LEFT, "Casey writes a note"


@row("integration verified")
def integration_verified(stage: Stage) -> Tuple[str, str, str]:
    stage.start()
    execution = stage.site.platform.run_action("pagerduty_stackflow.verify_integration",
                                               {"service": API}, 60)
    if execution.status != "succeeded":
        raise AssertionError(execution.result)
    found = execution.result["output"]
    incident = stage.pagerduty.incident(found["pagerduty_incident_id"])
    stage.expect(lambda: (incident.status, stage.state(found["stackflow_id"])) ==
                 ("resolved", "resolved"), "both sides resolved")
    return ("%s made, in_progress, resolved" % found["stackflow_id"], LEFT,
            "#%d test event, acknowledged, resolved" % incident.number)


def untouched_rules(site: LocalSite) -> List[str]:
    """Rules of the pack for webhooks that no row has fired; polls have rules of their own."""
    fired = {execution.rule for execution in site.platform.executions()}
    return [rule["ref"] for rule in site.platform.pack.rules.values()
            if rule["enabled"] and rule["trigger"]["type"] != TIMER and rule["ref"] not in fired and
            not rule["ref"].endswith(("_updated", "_state_changed"))]


def main() -> int:
    """Play all rows; 0 when they hold and every rule was fired."""
    began = time.monotonic()
    failures: List[str] = []
    made = LocalSite()
    made.platform_config.update(made.escalating(ANSWER_SECONDS), sync_notes=True)
    with made as site:
        print("Simulated PagerDuty on %s and StackFlow on %s; the pack on the local platform with\n"
              "%d rules, its webhook listener on %s. Up in %.1f s.\n" % (
                  site.pagerduty_url, site.stackflow_url, len(site.platform.pack.rules),
                  site.listener_url, time.monotonic() - began))
        print(LINE.format("", "StackFlow", "", "PagerDuty", "ms"))
        stage = Stage(site)
        for one in ROWS:
            try:
                left, way, right = stage.play(one)
                print(LINE.format(one.name, left, way, right, stage.milliseconds), flush=True)
            except Exception as error:
                failures.append(one.name)
                print("{:<26} FAILED: {}: {}\n{:<26} seen: {}".format(
                    one.name, type(error).__name__, error, "", stage.seen()))
        missed = untouched_rules(site)
        executions = len(site.platform.executions())
    for rule in missed:
        print("FAILED: no row has fired the rule %s" % rule)
    print("\n%d of %d rows hold%s. %d executions in %.0f s." % (
        len(ROWS) - len(failures), len(ROWS),
        "; FAILED: " + ", ".join(failures) if failures else "", executions,
        time.monotonic() - began))
    return 1 if failures or missed else 0


if __name__ == "__main__":
    sys.exit(main())
