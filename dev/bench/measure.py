"""What a measure is, and how two sides are measured beside each other."""

from __future__ import annotations

import statistics
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple


class Scale(NamedTuple):
    """How much is measured: ``rounds`` of every comparison; and in each round ``deliveries`` as fast
    as they go, ``paced`` ones at 50 a second, ``pairs`` for the reconcile.
    """

    rounds: int = 15
    deliveries: int = 400
    paced: int = 250
    pairs: int = 10000


class Took(NamedTuple):
    """Seconds by the clock and of the processor, None where they cannot be told apart."""

    wall: float
    cpu: Optional[float] = None


class Measure(NamedTuple):
    """One row of the table.

    ``pack`` and ``reference`` are medians in ``unit``; ``values`` are compared with ``aim``: one
    ratio for each round, or one count. ``cpu`` are the same ratios of processor time.
    """

    name: str
    against: str
    unit: str
    pack: float
    reference: float
    values: List[float]
    cpu: List[float]
    bound: str
    aim: float

    @property
    def median(self) -> float:
        """What counts."""
        return statistics.median(self.values)

    @property
    def spread(self) -> Tuple[float, float]:
        """The quartiles."""
        return quartiles(self.values)

    @property
    def met(self) -> bool:
        """Whether the aim is reached."""
        if self.bound == "equal":
            return self.median == self.aim
        return self.median <= self.aim if self.bound == "at most" else self.median >= self.aim

    def as_json(self) -> Dict[str, Any]:
        """All of it, with what follows from it."""
        return dict(self._asdict(), median=self.median, spread=self.spread, met=self.met,
                    median_cpu=statistics.median(self.cpu) if self.cpu else None)


def interleaved(rounds: int, *sides: Callable[[], Took]) -> List[Tuple[Took, ...]]:
    """Measure A B A B ...: a row for each round, after one that does not count."""
    return [tuple(side() for side in sides) for _ in range(rounds + 1)][1:]


def ratio(name: str, against: str, rounds: Sequence[Tuple[Took, Took]], bound: str,
          aim: float, unit: str = "ms") -> Measure:
    """A measure from what pack and reference took in each round; ``unit`` is ms, or /s for what
    each of them did in a second.
    """
    if unit == "/s":
        rounds = [(Took(1 / one.wall, one.cpu and 1 / one.cpu),
                   Took(1 / other.wall, other.cpu and 1 / other.cpu)) for one, other in rounds]
    factor = 1000 if unit == "ms" else 1
    return Measure(
        name, against, unit,
        *(factor * statistics.median(side.wall for side in sides) for sides in zip(*rounds)),
        [one.wall / other.wall for one, other in rounds],
        [one.cpu / other.cpu for one, other in rounds if one.cpu and other.cpu], bound, aim)


def quartiles(values: Sequence[float]) -> Tuple[float, float]:
    """The first and the third; of one value itself."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third
