"""The webhook listener, on a processor of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from itertools import islice
from typing import Any, Dict, List, Sequence

from dev.bench import ROOT
from dev.bench.deliveries import deliver, deliveries
from dev.bench.measure import Measure, Scale, Took, interleaved, ratio

CLIENTS = 4
PACE = 50
"""Deliveries a second."""


class Server:
    """A process of ``listener_server``, on one processor where the system lets us choose."""

    def __init__(self, kind: str) -> None:
        cores = sorted(getattr(os, "sched_getaffinity", lambda _: [])(0))

        def settle() -> None:
            if len(cores) > 1:
                os.sched_setaffinity(0, cores[-1:])

        self._process = subprocess.Popen(
            [sys.executable, "-m", "dev.bench.listener_server", kind], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=settle)
        self.port = int(self._line())

    def cpu(self) -> float:
        """Processor seconds that it has used."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def as_fast_as_it_goes(server: Server, requests: List[bytes]) -> Took:
    """Seconds for one of these deliveries while others wait."""
    def work(mine: List[bytes]) -> None:
        for request in mine:
            deliver(server.port, request)

    threads = [threading.Thread(target=work, args=(requests[at::CLIENTS],))
               for at in range(CLIENTS)]
    cpu, began = server.cpu(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    return Took(took / len(requests), (server.cpu() - cpu) / len(requests))


def paced(servers: Dict[str, Server], requests: Sequence[bytes]) -> List[Took]:
    """The 99th percentile for each server, each with 50 deliveries a second, in turns.

    Counted from when a delivery was due, so that a late one does not hide behind the one before.
    """
    waits: Dict[str, List[float]] = {kind: [] for kind in servers}
    due = time.perf_counter()
    for request in requests:
        for kind, server in servers.items():
            due += 1 / PACE / len(servers)
            time.sleep(max(0.0, due - time.perf_counter()))
            deliver(server.port, request)
            waits[kind].append(time.perf_counter() - due)
    return [Took(statistics.quantiles(one, n=100, method="inclusive")[98])
            for one in waits.values()]


def measure(scale: Scale) -> List[Measure]:
    """Rate and delay against the same server that only checks signatures."""
    requests = deliveries()
    servers = {kind: Server(kind) for kind in ("pack", "bare")}
    try:
        fast: List[Any] = interleaved(scale.rounds, *(
            lambda one=one: as_fast_as_it_goes(one, list(islice(requests, scale.deliveries)))
            for one in servers.values()))
        slow: List[Any] = [paced(servers, list(islice(requests, scale.paced)))
                           for _ in range(scale.rounds)]
    finally:
        for one in servers.values():
            one.close()
    against = "the same server, checking signatures alone"
    return [ratio("listener, deliveries per second on one core", against, fast, "at least", 0.75,
                  "/s"),
            ratio("listener, p99 at 50 deliveries a second", against, slow, "at most", 1.5)]
