"""Ask the filter about an event, remember whose alert it is, and dispatch it."""

from __future__ import annotations

import logging
from typing import Any, Dict, Optional, Protocol

from . import prefilter
from .clock import Clock
from .datastore import PREFIX, Datastore, Store
from .incidents import STACKFLOW_NUMBER
from .links import Links
from .routing import mapping_of
from .settings import Settings
from .stores import Escalations, Start


class SensorService(Store, Protocol):
    """What the pack uses of StackStorm's `sensor_service`."""

    def dispatch(self, trigger: str, payload: Any = None, trace_tag: Any = None) -> Any:
        """Hand in a trigger. A payload that does not fit the schema is dropped without an exception;
        with the broker away it raises, after 20 seconds.
        """


class Dispatcher:
    """Dispatches events of both sides as triggers of the pack."""

    def __init__(self, service: SensorService, settings: Settings, clock: Clock) -> None:
        self._service, self._settings, self._clock = service, settings, clock
        self._datastore = Datastore(service)
        self._links = Links(self._datastore)
        self._start: Optional[str] = None

    def dispatch(self, trigger: str, payload: Dict[str, Any]) -> None:
        """Judge an event and dispatch it; ``trigger`` is named without the pack.

        Raises DatastoreError, or whatever StackStorm's own dispatch raises; the sender has to
        repeat the event then.
        """
        if self._start is None:
            self._start = Start(self._datastore).ensure(self._clock)
        verdict = prefilter.judge(trigger, payload, self._settings, self._links, self._start)
        if verdict.join is not None:
            self._links.join(*verdict.join)
        if payload["event_type"].startswith("sla."):
            self._note_sla(payload)
        payload["sync"] = {"apply": verdict.apply, "reason": verdict.reason}
        self._service.dispatch(trigger=PREFIX + trigger, payload=payload,
                               trace_tag=payload["event_id"])

    def _note_sla(self, payload: Dict[str, Any]) -> None:
        """Note a recovery, after which the same SLA may be breached, and escalated, once more."""
        policy = (payload.get("sla") or {}).get("policy")
        number, kind = str((payload.get("incident") or {}).get("number")), payload["event_type"]
        if mapping_of(self._settings, policy) is None:
            logging.getLogger(__name__).warning(
                "%s of %s: escalation_mapping names no policy for SLA %r", kind, number, policy)
        elif kind == "sla.recovery" and STACKFLOW_NUMBER.match(number):
            Escalations(self._datastore).recover(
                number, str(policy), str(payload.get("occurred_at")))
