"""From a webhook at the listener to the write at the other side, on the local platform."""

from __future__ import annotations

import json
import os
import tempfile
import time
from typing import Any, Callable, Dict, List

from dev.bench import ROOT
from dev.bench.deliveries import deliver, signed
from dev.bench.measure import Measure, Scale, Took, interleaved, ratio
from dev.bench.processes import GROUP, LINK, REFERENCES, Stage
from dev.local_stackstorm import LocalStackStorm
from dev.site import WITHOUT_TIMER, free_port, wait_for

SECRET = "not a secret of this listener either"
SECONDS = 60.0
"""Patience with one run."""


class Platforms(Stage):
    """The pack on a platform with its listener, and the references on another."""

    def __init__(self) -> None:
        super().__init__()
        self._home = tempfile.TemporaryDirectory()
        self._port = free_port()
        self._pack = LocalStackStorm(ROOT, os.path.join(self._home.name, "pack"), self.config(),
                                     overrides=WITHOUT_TIMER)
        self._bare = LocalStackStorm(REFERENCES, os.path.join(self._home.name, "bare"))

    def __enter__(self) -> Platforms:
        self._pack.start()
        self._bare.start()
        wait_for(lambda: self._pack.datastore.get("pagerduty_stackflow.start"), SECONDS,
                 lambda: "the sensor")
        return self

    def __exit__(self, *error: Any) -> None:
        self._pack.stop()
        self._bare.stop()
        self._home.cleanup()
        super().__exit__(*error)

    def config(self) -> Dict[str, Any]:
        """Also with a listener and a secret."""
        config = super().config()
        config["stackflow"]["webhook_secrets"] = [SECRET]
        return dict(config, webhook_listener={"port": self._port})

    def webhook(self) -> Took:
        """A record was created."""
        number = self.stackflow.create_incident("Database timeout", "P1", group=GROUP)
        record = self.stackflow.incident(number)
        body = json.dumps({"event": "incident.created", "id": "evt-" + number, "incident": record,
                           "timestamp": record["created_at"]}).encode()
        request = signed("/webhooks/stackflow", "X-StackFlow-Signature: ", SECRET, body)
        return self._until_write(self._pack, lambda: deliver(self._port, request))

    def action(self) -> Took:
        """The reference is started, by a rule as well."""
        key = LINK + self.stackflow.create_incident("x", "P1", group=GROUP)
        given = {"url": self.pagerduty.url, "key": key, "event": self.pagerduty.events[-1],
                 "apply": True}
        return self._until_write(self._bare, lambda: self._bare.dispatch("bench.start", given))

    def _until_write(self, platform: LocalStackStorm, start: Callable[[], Any]) -> Took:
        sent, began = len(self.pagerduty.at), time.perf_counter()
        start()
        wait_for(lambda: len(self.pagerduty.at) > sent, SECONDS, lambda: "the write")
        platform.wait_idle(SECONDS)
        return Took(self.pagerduty.at[sent] - began)


def measure(scale: Scale) -> List[Measure]:
    """A webhook against an action that is started at once."""
    with Platforms() as stage:
        rounds: List[Any] = interleaved(scale.rounds, stage.webhook, stage.action)
    return [ratio("webhook at the listener until the write at the other side",
                  "a rule that starts an action with requests", rounds, "at most", 1.15)]
