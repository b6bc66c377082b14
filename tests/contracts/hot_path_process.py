"""One action run in a process of its own: reads a job from stdin, writes what it did to stdout.

The job has ``path`` (of sys.path), ``action``, ``config``, ``parameters`` and ``store``, the
datastore as a dict. The answer has ``status``, ``result``, ``store``, ``calls`` (of the datastore,
in order), ``modules`` (all that were imported) and ``resident``, the most memory it had, in MiB.
"""

import importlib
import json
import sys
from types import SimpleNamespace


class CountingStore:
    """The datastore as an action sees it, with a list of its calls."""

    def __init__(self, values):
        self.values = values
        self.calls = []

    def list_values(self, local=True, prefix=None, limit=None, offset=None):
        self.calls.append("list " + prefix)
        names = [name for name in self.values if name.startswith(prefix)]
        return [SimpleNamespace(name=name, value=self.values[name])
                for name in names[offset or 0:][:limit or 100]]

    def get_value(self, name, local=True, scope="system", decrypt=False):
        self.calls.append("get " + name)
        return self.values.get(name)

    def set_value(self, name, value, ttl=None, local=True, scope="system", encrypt=False):
        self.calls.append("set " + name)
        self.values[name] = value
        return True

    def delete_value(self, name, local=True, scope="system"):
        self.calls.append("delete " + name)
        return self.values.pop(name, None) is not None


def resident():
    """The most memory that this process had; `getrusage` would count its parent's too."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def main():
    job = json.load(sys.stdin)
    sys.path[:0] = job["path"]
    module = importlib.import_module(job["action"])
    action_cls, = [getattr(module, name) for name in module.__all__]
    store = CountingStore(job["store"])
    action = action_cls(config=job["config"], action_service=store)
    status, result = action.run(**job["parameters"])
    json.dump({"status": status, "result": result, "store": store.values, "calls": store.calls,
               "modules": sorted(sys.modules), "resident": resident()}, sys.stdout)


if __name__ == "__main__":
    main()
