"""``python -m dev.bench [GROUP...]``: measures, prints a table, and writes bench.json and bench.svg
into the present folder.

Every ratio is the median over rounds in which the pack and its reference took turns; behind it
stand the quartiles, and the median of the same ratio of processor time.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib import import_module, metadata
from typing import Any, Dict, List

from dev.bench.measure import Measure, Scale

GROUPS = ("processes", "platform", "listener", "reconcile", "counts")
LINE = "{:<63} {:>9} {:>9}  {:>5}  {:<13} {:>5}  {:<14} {}"


def machine() -> Dict[str, Any]:
    """What the figures depend on."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            found = re.search(r"(?m)^model name\s*: (.*)$", file.read())
    except OSError:
        found = None
    versions = {}
    for name in ("requests", "urllib3", "pagerduty"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return {"processor": found.group(1) if found else platform.machine(),
            "cores": os.cpu_count(), "system": platform.system(),
            "python": platform.python_version(), "versions": versions}


def line(one: Measure) -> str:
    """A row of the table."""
    shown = one.as_json()
    spread = "%.2f to %.2f" % one.spread if len(one.values) > 1 else ""
    cpu = "%.2f" % shown["median_cpu"] if one.cpu else ""
    number = "%.1f %s" if one.unit else "%d%s"
    return LINE.format(one.name, number % (one.pack, one.unit), number % (one.reference, one.unit),
                       "%.2f" % one.median if one.unit or one.bound == "equal" else
                       "%+d" % one.median, spread, cpu,
                       "%s %g" % (one.bound, one.aim), "met" if one.met else "NOT MET")


def run(groups: List[str], scale: Scale, folder: str) -> List[Measure]:
    """Measure, print and write."""
    about, found = machine(), []  # type: Dict[str, Any], List[Measure]
    print("%(processor)s, %(cores)s cores, %(system)s, Python %(python)s" % about,
          *("%s %s" % pair for pair in about["versions"].items()), sep=", ")
    print("%d rounds, pack and reference in turns\n" % scale.rounds)
    print(LINE.format("measure", "pack", "reference", "ratio", "quartiles", "cpu", "aim", ""))
    for name in groups:
        for one in import_module("dev.bench." + name).measure(scale):
            print(line(one), "\n    against " + one.against, sep="", flush=True)
            found.append(one)
    with open(os.path.join(folder, "bench.json"), "w", encoding="utf-8") as file:
        json.dump(dict(about, measures=[one.as_json() for one in found]), file, indent=1)
    with open(os.path.join(folder, "bench.svg"), "w", encoding="utf-8") as file:
        file.write(import_module("dev.bench.plot").picture(found))
    return found


if __name__ == "__main__":
    # The pack's files are to be compiled once, as those of the libraries are.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    run(sys.argv[1:] or list(GROUPS), Scale(), os.curdir)
