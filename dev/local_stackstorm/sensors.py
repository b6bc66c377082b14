"""The sensor container: one process per sensor (st2reactor/container/process_container)."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import Any, Callable

from .runners import spawn

RESPAWNS = 2  # after so many the container gives a sensor up
RESPAWN_DELAY = 2.5  # seconds, times the number of the respawn
STEADY = 10.0  # seconds of life after which the count starts anew,
START_UP = 3.0  # but never less than this, which no time_scale makes shorter
EXIT_TIMEOUT = 5.0  # seconds between SIGTERM and SIGKILL


class Sensor:
    """One sensor: ``start``, ``stop`` (as when disabled: no cleanup) and ``kill`` (as when it crashes).

    ``state`` is stopped, running, waiting (to be started again), exited (with code 0, for good) or
    given_up; ``starts`` counts its processes, ``pid`` is the one of the present or last.
    """

    def __init__(self, job: Callable[[], tuple], log_path: str, time_scale: float) -> None:
        self.state, self.starts, self.respawns, self.pid = "stopped", 0, 0, 0
        self._job, self._log_path, self._scale = job, log_path, time_scale
        self._process: Any = None
        self._lock = threading.RLock()

    def start(self) -> None:
        """Run it, whatever its metadata say."""
        with self._lock:
            if self.state not in ("running", "waiting"):
                self.respawns = 0
                self._spawn()

    def stop(self) -> None:
        """End it, and leave it ended."""
        with self._lock:
            self.state, process = "stopped", self._process
        if process:
            process.terminate()
            try:
                process.wait(EXIT_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
            process.stdin.close()

    def kill(self) -> None:
        """SIGKILL; the container notices."""
        self._process.kill()

    def _spawn(self) -> None:
        job, environ = self._job()
        with open(self._log_path, "ab") as log:
            self._process = process = spawn(environ, log.fileno(), log.fileno())
        # stdin stays open: should the platform die, the sensor reads its end and leaves as well.
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        self.state, self.pid, self.starts = "running", process.pid, self.starts + 1
        threading.Thread(target=self._watch, args=(process,), daemon=True).start()

    def _watch(self, process: Any) -> None:
        since = time.monotonic()
        code = process.wait()
        with self._lock:
            if self._process is not process or self.state != "running":
                return
            if time.monotonic() - since >= max(STEADY * self._scale, START_UP):
                self.respawns = 0
            if code == 0 or self.respawns >= RESPAWNS:
                self.state = "given_up" if code else "exited"
                return
            self.state, self.respawns = "waiting", self.respawns + 1
        time.sleep(RESPAWN_DELAY * self.respawns * self._scale)
        with self._lock:
            if self._process is process and self.state == "waiting":
                self._spawn()
