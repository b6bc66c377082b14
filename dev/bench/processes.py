"""Whole processes, from their start to their exit, as the local platform starts them."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List

from dev.bench import ROOT
from dev.bench.measure import Measure, Scale, Took, interleaved, ratio
from dev.local_stackstorm.datastore import Api, Datastore
from dev.local_stackstorm.runners import PythonRunner
from dev.simulators.base import RunningClock
from dev.simulators.stackflow import StackFlow

GROUP = "Platform Engineering"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
REFERENCES = os.path.join(ROOT, "dev", "bench", "reference_pack")
LINK = "pagerduty_stackflow.link."


class Enqueue:
    """Answers every POST as PagerDuty answers an event; ``events`` are those that came, ``at`` when
    each was there (time.perf_counter).
    """

    def __init__(self) -> None:
        self.events: List[Any] = []
        self.at: List[float] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler) -> None:
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.at.append(time.perf_counter())
                self.events.append(json.loads(body))
                answer = json.dumps({"status": "success", "message": "Event processed",
                                     "dedup_key": self.events[-1]["dedup_key"]}).encode()
                handler.send_response(202)
                handler.send_header("Content-Length", str(len(answer)))
                handler.end_headers()
                handler.wfile.write(answer)

            def log_message(handler, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class Stage:
    """A datastore, an answering PagerDuty, and records that are new."""

    def __init__(self) -> None:
        self.pagerduty = Enqueue()
        self.stackflow = StackFlow(RunningClock())
        self.datastore = Datastore()
        self.datastore.set("pagerduty_stackflow.start", "2020-01-01T00:00:00Z")
        self.api = Api(self.datastore, lambda **_: (200, None))
        self.api.tokens["bench"] = "bench"

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: Any) -> None:
        self.pagerduty.close()
        self.api.close()

    def config(self) -> Dict[str, Any]:
        """A config without a REST key."""
        return {"pagerduty": {"subdomain": "acme", "from_email": "sync@example.com",
                              "events_url": self.pagerduty.url},
                "stackflow": {"instance_url": "https://acme.stackflow.example",
                              "auth": {"method": "token", "token": "not-a-token"}},
                "service_mapping": [
                    {"pagerduty_service_id": "P1234AB", "pagerduty_service_name": "Production API",
                     "stackflow_assignment_group": GROUP, "integration_key": ROUTING_KEY}]}

    def trigger(self) -> Took:
        """The pack's action with a record as an event carries it."""
        number = self.stackflow.create_incident("Database timeout", "P1", group=GROUP)
        return self._run(ROOT, "trigger_incident", self.config(), incident_id=number,
                         incident=self.stackflow.incident(number), force=False)

    def bare(self, action: str = "bare") -> Took:
        """One of the references, with what the pack sent last."""
        event = self.pagerduty.events[-1]
        key = LINK + self.stackflow.create_incident("x", "P1", group=GROUP)
        return self._run(REFERENCES, action, {}, url=self.pagerduty.url, key=key, event=event)

    def client(self) -> Took:
        """The reference with PagerDuty's own client."""
        return self.bare("client")

    def _run(self, pack: str, action: str, config: Any, **parameters: Any) -> Took:
        job = {"pack": os.path.basename(pack), "pack_path": pack, "config": config,
               "path": os.path.join(pack, "actions", action + ".py")}
        own = {name: item.get("default") for name, item in PythonRunner.parameters.items()}
        environ = {"ST2_API_URL": self.api.url, "ST2_AUTH_TOKEN": "bench"}
        sent, cpu, began = len(self.pagerduty.events), _cpu(), time.perf_counter()
        outcome = PythonRunner.run(job, dict(own, **parameters), environ, set())
        took = Took(time.perf_counter() - began, _cpu() - cpu)
        if outcome["status"] != "succeeded" or len(self.pagerduty.events) != sent + 1:
            raise AssertionError("%s: %s" % (action, outcome))
        return took


def measure(scale: Scale) -> List[Measure]:
    """The whole process against the least, and against the client library where it is installed."""
    has_client = importlib.util.find_spec("pagerduty") is not None
    with Stage() as stage:
        sides = (stage.trigger, stage.bare) + ((stage.client,) if has_client else ())
        rounds = interleaved(scale.rounds, *sides)
    found = [ratio("whole process of trigger_incident", "requests, one POST, same datastore calls",
                   [row[:2] for row in rounds], "at most", 1.10)]
    if has_client:
        found.append(ratio("whole process beside PagerDuty's client",
                           "the client library pagerduty, same datastore calls",
                           [(row[0], row[2]) for row in rounds], "at most", 0.80))
    return found


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
