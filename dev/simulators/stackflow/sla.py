"""SLA timers: they start with the incident, pause in some states, are read every 5 minutes.

itsm/sla.html for policies, metrics, pauses and the schedule; notifications/sla-alerts.html for the
three alerts. Business hours, maintenance windows and suppression are left out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, Dict, List, Optional, Tuple

from dev.simulators.stackflow.desk import Desk
from dev.simulators.stackflow.records import FINISHED_STATES, Incident, iso
from dev.simulators.stackflow.switches import Switches

METRICS = ("first_response", "resolution")
WARNED, BREACHED = "warned", "breached"

# The example policy of itsm/sla.html.
STANDARD_TARGETS: Dict[str, Dict[str, float]] = {
    "P1": {"first_response_minutes": 15, "resolution_hours": 4},
    "P2": {"first_response_minutes": 30, "resolution_hours": 8},
    "P3": {"first_response_hours": 2, "resolution_hours": 24},
    "P4": {"first_response_hours": 8, "resolution_hours": 72},
}

Key = Tuple[str, str, str]  # number, policy, metric


class SlaChecker:
    """The scheduled check: it finds what has run out since the last one."""

    def __init__(self, now: Callable[[], datetime], switches: Switches, desk: Desk,
                 announce: Callable[..., None]) -> None:
        self._now = now
        self._switches = switches
        self._desk = desk
        self._announce = announce
        self._reported: Dict[Key, str] = {}  # timers whose warning or breach has been reported
        self.policies: Dict[str, Dict[str, Dict[str, float]]] = {}

    @property
    def idle(self) -> bool:
        """Nothing could be found, however long one looked."""
        return not self.policies and not self._reported

    def check(self) -> None:
        """Report every recovery, breach and warning since the last check, each once."""
        for key in list(self._reported):
            self._check_recovery(key)
        for incident in list(self._desk.incidents.values()):
            for policy, targets in self.policies.items():
                for metric in METRICS:
                    minutes = target_minutes(targets.get(incident.fields["priority"], {}), metric)
                    if minutes is not None and not is_met(incident, metric):
                        self._check_timer(incident, (incident.number, policy, metric), minutes)

    def force(self, event: str, number: str, policy: str, metric: Optional[str]) -> None:
        """Report a warning, breach or recovery now, whatever the timers say."""
        incident = self._desk.incident(number)
        if metric is None:
            metric = "first_response" if "response" in policy.lower() else "resolution"
        key = (number, policy, metric)
        if event == "sla.recovery":
            self._reported.pop(key, None)
        else:
            self._reported[key] = BREACHED if event == "sla.breach" else WARNED
        percent = self._switches.sla_warning_percent if event == "sla.warning" else 100.0
        self._report(event, incident, key, percent)

    def _check_recovery(self, key: Key) -> None:
        """Recovery: a breached SLA is resolved. A warning that came to nothing ends in silence."""
        incident = self._desk.incidents.get(key[0])
        if incident is not None and not is_met(incident, key[2]):
            return
        status = self._reported.pop(key)
        if incident is not None and status == BREACHED:
            self._report("sla.recovery", incident, key, 100.0)

    def _check_timer(self, incident: Incident, key: Key, minutes: float) -> None:
        """Warning at 75 %, breach at 100 %; if both came since the last check, the breach alone."""
        seconds = running_seconds(incident, self._now(), self._switches.sla_paused_states)
        percent = 100.0 * seconds / (minutes * 60.0)
        status = self._reported.get(key)
        if percent >= 100.0 and status != BREACHED:
            self._reported[key] = BREACHED
            self._report("sla.breach", incident, key, percent)
        elif percent >= self._switches.sla_warning_percent and status is None:
            self._reported[key] = WARNED
            self._report("sla.warning", incident, key, percent)

    def _report(self, event: str, incident: Incident, key: Key, percent: float) -> None:
        """No page shows the facts of an alert; these are what the list of alerts implies."""
        facts: Dict[str, Any] = {"policy": key[1], "metric": key[2],
                                 "elapsed_percent": round(percent, 1)}
        if event == "sla.breach":
            facts["breached_at"] = iso(self._now(), self._switches.time_precision)
        self._announce(event, incident, sla=facts)


def target_minutes(targets: Dict[str, float], metric: str) -> Optional[float]:
    """A target in minutes; itsm/sla.html prints minutes for some and hours for others."""
    if metric + "_minutes" in targets:
        return targets[metric + "_minutes"]
    if metric + "_hours" in targets:
        return targets[metric + "_hours"] * 60.0
    return None


def is_met(incident: Incident, metric: str) -> bool:
    """First response: the incident has left `new` (what else would be one is not said)."""
    if metric == "first_response":
        return any(state != "new" for _, state in incident.history)
    return incident.state in FINISHED_STATES


def running_seconds(incident: Incident, until: datetime, paused: Tuple[str, ...]) -> float:
    """How long the timer has run: all the time but in paused and finished states."""
    ends: List[datetime] = [start for start, _ in incident.history[1:]] + [until]
    stopped = FINISHED_STATES + tuple(paused)
    return sum((end - start).total_seconds() for (start, state), end in zip(incident.history, ends)
               if state not in stopped)
