"""Action runs at the same time, switched at every call to the datastore or the network, in an order
that a test chooses.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

PATIENCE = 30.0


class Interleaved:
    """Runs functions as threads of which exactly one moves at a time, up to its next call.

    ``order`` yields the number of the run to move next; numbers of finished runs are passed over,
    and when it ends the rest run one after the other. ``taken`` is the order in which the runs
    really moved.
    """

    def __init__(self, world: Any, runs: List[Callable[[], Any]]) -> None:
        self._world = world
        self._runs = runs
        self._turns: Dict[int, threading.Semaphore] = {
            number: threading.Semaphore(0) for number in range(len(runs))}
        self._back = threading.Semaphore(0)
        self._mine = threading.local()
        self._finished: List[int] = []
        self.results: List[Any] = [None] * len(runs)
        self.taken: List[int] = []

    def go(self, order: Iterable[int]) -> List[Any]:
        """Run all to the end; returns what each returned or raised."""
        threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                   for number in range(len(self._runs))]
        before = self._world.before_call
        self._world.before_call = self._pause
        try:
            for thread in threads:
                thread.start()
            for number in order:
                if len(self._finished) == len(self._runs):
                    break
                if number not in self._finished:
                    self._move(number)
            for number in range(len(self._runs)):
                while number not in self._finished:
                    self._move(number)
        finally:
            self._world.before_call = before
        return self.results

    def _move(self, number: int) -> None:
        self.taken.append(number)
        self._turns[number].release()
        assert self._back.acquire(timeout=PATIENCE), "run %d hangs" % number

    def _run(self, number: int) -> None:
        self._mine.number = number
        self._turns[number].acquire()
        try:
            self.results[number] = self._runs[number]()
        except Exception as error:
            self.results[number] = error
        self._finished.append(number)
        self._back.release()

    def _pause(self, what: str) -> None:
        number = getattr(self._mine, "number", None)
        if number is not None:
            self._back.release()
            assert self._turns[number].acquire(timeout=PATIENCE)


def orders(lengths: Tuple[int, int]) -> Iterator[List[int]]:
    """Every way in which two runs of so many steps can be mixed."""
    left, right = lengths
    if left == 0 or right == 0:
        yield [0] * left + [1] * right
        return
    for rest in orders((left - 1, right)):
        yield [0] + rest
    for rest in orders((left, right - 1)):
        yield [1] + rest
