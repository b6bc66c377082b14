"""A reconcile of many pairs that are in step, from answers that were recorded once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any, Callable, Dict, List
from urllib.parse import urlencode

from crowd import Crowd, QuickStore
from dev.bench import ROOT
from dev.bench.measure import Measure, Scale, Took, interleaved, ratio
from dev.simulators.in_process import InProcess
from world import EVENTS_HOST, PD_HOST, SF_HOST

Answers = Dict[str, str]
"""What was asked, as path and query, and the body that came."""


class RecordingStore(QuickStore):
    """A datastore that notes what it answers."""

    answers: Answers = {}

    def list_values(self, local: bool = True, prefix: Any = None, limit: Any = None,
                    offset: int = 0) -> List[Any]:
        rows: List[Any] = super().list_values(local, prefix, limit, offset)
        query = {"limit": limit or 100, "offset": offset, "prefix": prefix}
        # A lease is of one run; the next one takes its own.
        kept = [one._asdict() for one in rows if ".lease." not in one.name]
        self.answers["/v1/keys?" + urlencode(query)] = json.dumps(kept)
        return rows


class Recording(InProcess):
    """A network that notes what is answered."""

    def __init__(self, simulator: Any, answers: Answers) -> None:
        super().__init__(simulator)
        self._answers = answers

    def send(self, request: Any, **options: Any) -> Any:
        response = super().send(request, **options)
        self._answers[request.path_url] = response.text
        return response


def recorded(pairs: int) -> Dict[str, Any]:
    """A job for ``reconcile_process``: config, time, and all that a reconcile reads."""
    crowd, answers = Crowd(pairs), {}  # type: Any, Answers
    crowd.stackflow.add_token("stackflow-token", role="itsm_manager")
    for host, simulator in ((PD_HOST, crowd.pagerduty), (EVENTS_HOST, crowd.pagerduty),
                            (SF_HOST, crowd.stackflow)):
        crowd.session.mount(host, Recording(simulator, answers))
    crowd.store.__class__, crowd.store.answers = RecordingStore, answers
    crowd.run(300)
    now = crowd.clock.now().isoformat()
    result = crowd.reconcile()
    if result["in_step"] != pairs or result["done"] or result["failures"]:
        raise AssertionError(result)
    return {"config": crowd.config, "now": now, "answers": answers, "pairs": pairs}


class Replay:
    """The recorded answers behind a server of their own, and the processes that ask it."""

    def __init__(self, job: Dict[str, Any]) -> None:
        self._file = tempfile.NamedTemporaryFile("w", suffix=".json")
        json.dump(job["answers"], self._file)
        self._file.flush()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "dev.bench.replay", self._file.name], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._server.stdout is not None
        url = "http://127.0.0.1:%s" % self._server.stdout.readline().strip()
        config = json.loads(json.dumps(job["config"]))
        config["pagerduty"].update(api_url=url, events_url=url)
        config["stackflow"].update(instance_url=url)
        self._job = {"config": config, "now": job["now"], "url": url, "pairs": job["pairs"],
                     "paths": list(job["answers"])}

    def close(self) -> None:
        """End the server."""
        self._server.communicate()
        self._file.close()

    def side(self, kind: str) -> Callable[[], Took]:
        """A run of ``reconcile_process``."""
        def run() -> Took:
            environ = dict(os.environ, ST2_API_URL=self._job["url"] + "/v1", ST2_AUTH_TOKEN="bench")
            done = subprocess.run(
                [sys.executable, "-m", "dev.bench.reconcile_process", kind], cwd=ROOT, env=environ,
                input=json.dumps(self._job), stdout=subprocess.PIPE, text=True, check=True)
            return Took(*json.loads(done.stdout))

        return run


def measure(scale: Scale) -> List[Measure]:
    """A run over all pairs against reading what it reads."""
    replay = Replay(recorded(scale.pairs))
    try:
        rounds: List[Any] = interleaved(scale.rounds, *map(replay.side, ("pack", "lists", "json")))
    finally:
        replay.close()
    return [ratio("reconcile of %d pairs in step" % scale.pairs,
                  "reading the two lists and the links by the same clients",
                  [row[:2] for row in rounds], "at most", 1.5),
            ratio("reconcile beside JSON alone", "reading and parsing them as JSON alone",
                  [(row[0], row[2]) for row in rounds], "at most", 1.5)]
