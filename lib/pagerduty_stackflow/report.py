"""What check_connection reports: named checks, each with its cause and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from .errors import PackError

OK = "ok"
FAILED = "failed"
SKIPPED = "skipped"

# Cause and fix of the four rows of StackFlow's "PagerDuty Integration" guide, Troubleshooting.
EVENTS_NOT_REACHING = (
    "Integration key invalid",
    "Re-copy the Integration Key from PagerDuty service -> Integrations")
UNAUTHORIZED = (
    "API key expired or revoked",
    "Generate a new API key in PagerDuty and update in Secrets Manager")
DUPLICATE_INCIDENTS = (
    "Both directions triggering simultaneously",
    "Enable dedup key in Integration Hub settings; check webhook filter conditions")
WRONG_GROUP = (
    "Service mapping misconfigured",
    "Review service mapping in Integration Hub; verify PagerDuty service IDs")


class Finding(NamedTuple):
    """What a check found where it is not simply in order.

    ``blocks``: the checks that need this one wait; ``errors``: what other checks run into as well,
    and is reported here.
    """

    status: str
    cause: str
    fix: str
    blocks: bool = True
    errors: Tuple[PackError, ...] = ()


@dataclass(frozen=True)
class Check:
    """A named check; ``status`` is OK, FAILED or SKIPPED, ``cause`` and ``fix`` are empty where it
    is in order.
    """

    name: str
    status: str
    cause: str = ""
    fix: str = ""


class ChecksFailedError(PackError):
    """Checks of check_connection failed."""

    kind = "check_failed"


@dataclass(frozen=True)
class Report:
    """All checks of one run, in order; ``reason`` is an error to fail with in place of our own."""

    checks: Tuple[Check, ...]
    reason: Optional[PackError] = None

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not any(check.status == FAILED for check in self.checks)

    @property
    def error(self) -> PackError:
        """What the run fails with where it is not ok."""
        failed = [check for check in self.checks if check.status == FAILED]
        return self.reason or ChecksFailedError(
            "%d of %d checks failed: %s" % (len(failed), len(self.checks), "; ".join(
                "%s: %s" % (check.name, check.cause) for check in failed)),
            "; ".join(dict.fromkeys(check.fix for check in failed)))

    def as_result(self) -> Dict[str, Any]:
        """The object `{ok, checks: [{name, status, cause, fix}]}`."""
        return {"ok": self.ok, "checks": [dict(vars(check)) for check in self.checks]}


def failed(cause: str, fix: str, *errors: PackError) -> Finding:
    """The check failed."""
    return Finding(FAILED, cause, fix, errors=errors)


def skipped(cause: str, fix: str, blocks: bool = True) -> Finding:
    """The check cannot be made; ``fix`` says where a person looks."""
    return Finding(SKIPPED, cause, fix, blocks)


def conclude(problems: Sequence[str], row: Tuple[str, str],
             left_out: Sequence[str] = ()) -> Optional[Finding]:
    """Failed where there is a problem, skipped where something could not be looked at, else None.

    ``row`` is a cause, "" for none before the problems, and a fix.
    """
    if problems:
        cause = "; ".join(problems)
        return failed("%s: %s" % (row[0], cause) if row[0] else cause, row[1])
    if left_out:
        return skipped("not looked at: %s" % "; ".join(left_out),
                       "see the checks named there; compare in PagerDuty what no API shows",
                       blocks=False)
    return None
