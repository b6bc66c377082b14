"""What is counted and not timed: modules, requests, calls of the datastore."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Dict, List

from dev.bench import ROOT
from dev.bench.measure import Measure, Scale
from dev.bench.processes import GROUP, REFERENCES, Stage
from sync_costs import ROWS, spent


def modules(action: str, folder: str, config: Dict[str, Any], parameters: Dict[str, Any]) -> int:
    """How many modules a process has imported at the end of an action."""
    job = {"path": [os.path.join(folder, "actions"), os.path.join(ROOT, "lib"),
                    os.path.join(ROOT, "dev", "local_stackstorm", "standin")],
           "action": action, "config": config, "parameters": parameters, "store": {}}
    done = subprocess.run(
        [sys.executable, os.path.join(ROOT, "tests", "contracts", "hot_path_process.py")],
        input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True)
    return len(json.loads(done.stdout)["modules"])


def measure(scale: Scale) -> List[Measure]:
    """Modules of the hot path; requests and calls over all rows of the sync table."""
    with Stage() as stage:
        number = stage.stackflow.create_incident("Database timeout", "P1", group=GROUP)
        pack = modules("trigger_incident", ROOT, stage.config(), {
            "incident_id": number, "incident": stage.stackflow.incident(number)})
        bare = modules("bare", REFERENCES, {}, {
            "url": stage.pagerduty.url, "key": "x.y", "event": stage.pagerduty.events[-1]})
    costs = [(row, spent(row)) for row in ROWS]
    requests = sum(len(cost.requests) for _, cost in costs)
    calls = sum(len(cost.sensor) + len(cost.calls) for _, cost in costs)
    rows = "all %d rows of the sync table" % len(ROWS)
    return [
        _counted("modules imported for trigger_incident", "requests, one POST", pack, bare,
                 pack - bare, "at most", 60),
        _counted("requests for an event, " + rows, "the least the two APIs allow", requests,
                 sum(len(row.requests) for row in ROWS), None, "equal", 1),
        _counted("datastore calls for an event, " + rows, "the least the design needs", calls,
                 sum(len(row.sensor + row.calls) for row in ROWS), None, "equal", 1)]


def _counted(name: str, against: str, pack: int, reference: int, value: Any, bound: str,
             aim: float) -> Measure:
    return Measure(name, against, "", pack, reference,
                   [pack / reference if value is None else value], [], bound, aim)
