"""Playing a history again, and making a failing one as short and plain as it can be.

Hypothesis's own shrinking knows nothing of steps: it needs minutes where this needs seconds.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

Step = Tuple[str, Dict[str, Any]]
PLAIN = {"pace": "the pack keeps up", "end": "lost", "old": False, "which": 0, "other": 0,
         "into": 0, "taken": None, "backwards": False, "at": 1, "times": 1, "priority": "P1",
         "group": "Platform Engineering", "service": "api", "seconds": 5,
         "moves": "", "person": None, "upgraded": False}


def play(machine: Any, steps: List[Step]) -> Optional[Any]:
    """Take these steps; what was wrong at the end, or None."""
    one = machine()
    try:
        for name, values in steps:
            getattr(one, name)(**values)
        one.teardown()
    except AssertionError as wrong:
        return wrong
    return None


class Shortening:
    """Tries histories with fewer steps, then with plainer values, as long as they are wrong in the
    same way.
    """

    def __init__(self, machine: Any, steps: List[Step], wrong: Any, tries: int) -> None:
        self._machine = machine
        self._tries = tries
        self._steps = steps
        self.wrong = wrong

    def go(self) -> Any:
        """The wrong of the shortest history found."""
        before = None
        while before != self._steps and self._tries > 0:
            before = list(self._steps)
            size = max(1, len(self._steps) // 2)
            while size:
                self._leave_out(size)
                size //= 2
            self._simplify()
        return self.wrong

    def _leave_out(self, size: int) -> None:
        start = len(self._steps) - size
        while start > 0:  # from the end: what comes later depends on what came before
            self._is_enough(self._steps[:start] + self._steps[start + size:])
            start = min(start - size, len(self._steps) - size)

    def _simplify(self) -> None:
        for number in range(len(self._steps)):
            for key, plain in PLAIN.items():
                name, values = self._steps[number]
                if values.get(key, plain) != plain:
                    self._is_enough(self._steps[:number] + [(name, dict(values, **{key: plain}))] +
                                    self._steps[number + 1:])

    def _is_enough(self, steps: List[Step]) -> None:
        self._tries -= 1
        found = play(self._machine, steps) if self._tries > 0 else None
        if found is not None and kind_of(found) == kind_of(self.wrong):
            self._steps, self.wrong = steps, found


def shortest(machine: Any, steps: List[Step], wrong: Any, tries: int = 1000) -> Any:
    """The same wrong in a history that is as short and plain as it can be made."""
    return Shortening(machine, steps, wrong, tries).go()


def kind_of(wrong: Any) -> str:
    """The invariant that was broken first."""
    return str(wrong).partition(":")[0]
