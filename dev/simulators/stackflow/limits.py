"""Requests per user and minute (api/rate-limits-errors.html)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Callable, Dict, List, Optional, Tuple

from dev.simulators.stackflow.switches import Switches

WINDOW_SECONDS = 60
SERVICE_ACCOUNT_FACTOR = 10


@dataclass
class Window:
    """Requests counted since a moment."""

    start: datetime
    count: int = 0


@dataclass
class Verdict:
    """Whether a request may pass, and the headers that every answer carries."""

    passed: bool
    headers: Dict[str, str]


class RateLimiter:
    """Fixed windows that begin with a user's first request; how the vendor's begin is not said.

    A write counts as a request too. What is refused is not counted.
    """

    def __init__(self, now: Callable[[], datetime], switches: Switches) -> None:
        self._now = now
        self._switches = switches
        self._windows: Dict[Tuple[str, str], Window] = {}

    def judge(self, user: Optional[str], role: str, kind: str) -> Verdict:
        """Count a request of a user (None: nobody signed in, not counted).

        `kind` is "read", "write" or "search".
        """
        now = self._now()
        factor = SERVICE_ACCOUNT_FACTOR if role == "service_account" else 1
        counted = [(limit * factor, self._window(user, name, now))
                   for name, limit in self._limits(kind)]
        passed = all(window.count < limit for limit, window in counted)
        passed = passed or not self._switches.rate_limits
        if passed and user is not None:
            for _, window in counted:
                window.count += 1
        # The headers speak of the limit that is nearest.
        limit, window = min(counted, key=lambda pair: pair[0] - pair[1].count)
        reset = window.start + timedelta(seconds=WINDOW_SECONDS)
        headers = {"X-RateLimit-Limit": str(limit),
                   "X-RateLimit-Remaining": str(max(0, limit - window.count)),
                   "X-RateLimit-Reset": str(math.ceil(reset.timestamp())),
                   "X-RateLimit-Window": str(WINDOW_SECONDS)}
        if not passed:
            headers["Retry-After"] = str(max(1, math.ceil((reset - now).total_seconds())))
        return Verdict(passed, headers)

    def _limits(self, kind: str) -> List[Tuple[str, int]]:
        limits = [("all", self._switches.requests_per_minute)]
        if kind == "write":
            limits.append(("write", self._switches.writes_per_minute))
        if kind == "search":
            limits.append(("search", self._switches.searches_per_minute))
        return limits

    def _window(self, user: Optional[str], name: str, now: datetime) -> Window:
        if user is None:
            return Window(now)
        window = self._windows.get((user, name))
        if window is None or now >= window.start + timedelta(seconds=WINDOW_SECONDS):
            window = self._windows[(user, name)] = Window(now)
        return window
