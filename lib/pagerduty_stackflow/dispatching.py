"""What every sensor does with an event: say beside it whether there is anything to do, and dispatch
it.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Protocol

from . import prefilter
from .clock import Clock
from .links import PREFIX, Links, Store
from .settings import Settings


class SensorService(Store, Protocol):
    """What the pack uses of StackStorm's `sensor_service`."""

    def dispatch(self, trigger: str, payload: Any = None, trace_tag: Any = None) -> Any:
        """Hand in a trigger. What does not fit its schema is dropped without an exception; with the
        broker away it raises, after 20 seconds.
        """


class Dispatcher:
    """Dispatches events of both sides as triggers of the pack."""

    def __init__(self, service: SensorService, settings: Settings, clock: Clock) -> None:
        self._service = service
        self._settings = settings
        self._clock = clock
        self._links = Links(service)
        self._start: Optional[str] = None

    def dispatch(self, trigger: str, payload: Dict[str, Any]) -> None:
        """Judge an event and dispatch it; ``trigger`` is named without the pack.

        Raises DatastoreError, or whatever StackStorm's own dispatch raises; the event is to be
        brought again then.
        """
        if self._start is None:
            self._start = self._links.ensure_start(self._clock)
        apply, reason = prefilter.judge(trigger, payload, self._settings, self._links, self._start)
        payload["sync"] = {"apply": apply, "reason": reason}
        self._service.dispatch(trigger=PREFIX + trigger, payload=payload,
                               trace_tag=payload["event_id"])
