"""What one reconcile did, or would do: counts, lists of bounded size, and what it fails with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence

from .errors import PackError
from .pack import ALREADY, DONE, SKIPPED

LISTED = 500
"""Entries of each list of a result; the counts beside it go on."""
QUOTED = 3
"""Failures that the error of a run quotes."""


class DriftError(PackError):
    """Pairs could not be brought in sync; they stay on the list."""

    kind = "out_of_step"


@dataclass
class ReconcileReport:
    """Counts of a run. ``repairs`` are what was written (in a dry run: would be), ``failures`` the
    pairs that could not be brought in sync, each with its error; ``error_of_run`` is what ended it
    early, ``complete`` whether it came to the end of all lists, ``reason`` what was found of the
    last pair.
    """

    dry_run: bool
    in_step: int = 0
    repaired: int = 0
    failed: int = 0
    requests: int = 0
    complete: bool = True
    repairs: List[Dict[str, Any]] = field(default_factory=list)
    failures: List[Dict[str, Any]] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)
    error_of_run: Optional[PackError] = None
    reason: str = ""

    def add_writes(self, number: Optional[str], incident_id: Optional[str], writes: Sequence[str],
                   reason: str) -> None:
        """Note a pair that was out of sync for this reason, and what is written."""
        self.repaired += 1
        if len(self.repairs) < LISTED:
            self.repairs.append({"stackflow_id": number, "pagerduty_incident_id": incident_id,
                                 "writes": list(writes), "reason": reason})

    def add_failure(self, incident_id: str, error: PackError) -> None:
        """Note a pair that could not be brought in sync, by an id of either side."""
        self.failed += 1
        if len(self.failures) < LISTED:
            self.failures.append(dict(error.as_result(), incident_id=incident_id))

    @property
    def pairs(self) -> int:
        """How many were looked at."""
        return self.in_step + self.repaired + self.failed

    @property
    def ok(self) -> bool:
        """Whether the run succeeded; one that was stopped by its time limit did."""
        return self.error_of_run is None and not self.failed

    @property
    def error(self) -> PackError:
        """What the run fails with where it is not ok."""
        if self.error_of_run is not None:
            return self.error_of_run
        quoted = ["%(incident_id)s: %(message)s" % one for one in self.failures[:QUOTED]]
        hints = dict.fromkeys(one["hint"] for one in self.failures if one["hint"])
        return DriftError(
            "%d of %d pairs could not be brought in sync, and stay on the list: %s" % (
                self.failed, self.pairs, "; ".join(quoted)), "; ".join(list(hints)[:QUOTED]),
            any(one["retryable"] for one in self.failures))

    def as_result(self) -> Dict[str, Any]:
        """Return the result of the action; ``would`` stands in place of ``done`` in a dry run."""
        name, words, outcome, repaired = (
            ("would", "would be repaired", SKIPPED, 0) if self.dry_run else
            ("done", "repaired", DONE, self.repaired))
        reason = "%d of %d pairs in sync, %d %s" % (self.in_step, self.pairs, self.repaired, words)
        reason += ", %d failed" % self.failed if self.failed else ""
        if self.error_of_run is not None:
            reason += "; ended by an error"
        elif not self.complete:
            reason += "; stopped at its time limit, the next run goes on"
        return {"outcome": outcome if self.repairs else ALREADY, "reason": reason,
                "stackflow_id": None, "pagerduty_incident_id": None, "dedup_key": None,
                "warnings": self.warnings, "pairs": self.pairs, "in_step": self.in_step,
                "repaired": repaired, "failed": self.failed, "requests": self.requests,
                "complete": self.complete, name: self.repairs, "failures": self.failures}
