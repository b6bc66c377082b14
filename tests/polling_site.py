"""The two pollers over the World, as their sensors run them; each can be killed and restarted."""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, List

from world import Crash, PackClock, World

from pagerduty_stackflow.dispatching import Dispatcher
from pagerduty_stackflow.pack import Pack
from pagerduty_stackflow.polling_pagerduty import PagerDutyPoller
from pagerduty_stackflow.polling_stackflow import StackFlowPoller

CURSOR = "pagerduty_stackflow.cursor."
SIDES = {"pagerduty": PagerDutyPoller, "stackflow": StackFlowPoller}
INTERVAL = 30.0
LOGGER = logging.getLogger("polling")


class Pollers:
    """Both sensors; their machine's clock may be ``ahead`` of the simulators'."""

    def __init__(self, world: World, ahead: float = 0.0) -> None:
        self.world = world
        self._clock = PackClock(world, ahead)
        self.start()

    def start(self, *sides: str) -> None:
        """New processes of both sensors, or of one."""
        world = self.world
        for side in sides or SIDES:
            pack = Pack(world.settings, world.store, self._clock, world.session)
            dispatcher = Dispatcher(world.service, world.settings, self._clock)
            setattr(self, side, SIDES[side](pack, dispatcher, LOGGER))

    def poll(self, *sides: str) -> None:
        """One poll of both sides, or of one; what it dispatches waits in the world's queue."""
        for side in sides or SIDES:
            getattr(self, side).poll()

    def settle(self, rounds: int = 4) -> None:
        """Poll at their usual pace and run every action, until nothing is to be done any more."""
        for _ in range(rounds):
            self.world.run(INTERVAL)
            self.poll()
            self.world.run_queue()

    def poll_and_crash(self, side: str, step: int) -> bool:
        """Kill a sensor before the n-th call of its poll, counted from 0, and start it again; False
        where it makes fewer calls.
        """
        calls = iter(range(step, -1, -1))
        before = self.world.before_call

        def count(what: str) -> None:
            if next(calls) == 0:
                raise Crash(what)

        self.world.before_call = count
        try:
            self.poll(side)
            return False
        except Crash:
            return True
        finally:
            self.world.before_call = before
            self.start(side)

    def requests(self, act: Callable[[], Any]) -> Dict[str, int]:
        """How many requests each system gets while ``act`` runs."""
        systems = {"pagerduty": self.world.pagerduty, "stackflow": self.world.stackflow}
        before = {name: len(system.requests) for name, system in systems.items()}
        act()
        return {name: len(system.requests) - before[name] for name, system in systems.items()}

    def events(self, since: int = 0) -> List[str]:
        """Types of the events that were dispatched, those that are to be acted upon with a `!`."""
        return ["%s%s" % (payload["event_type"], "!" if payload["sync"]["apply"] else "")
                for _, payload in self.world.payloads[since:]]
