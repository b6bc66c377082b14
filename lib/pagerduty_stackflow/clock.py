"""Read the time in one place, so that a test can drive everything by a clock of its own."""

from __future__ import annotations

import time
from datetime import datetime, timezone


class Clock:
    """Wall clock in UTC, a monotonic counter and sleeping, both in seconds."""

    def now(self) -> datetime:
        """The present time, aware, in UTC."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Seconds that never jump; only differences have a meaning."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        time.sleep(seconds)
