"""One action run in a process of its own: reads a job from stdin, writes what it did to stdout.

The job has ``path`` (of sys.path), ``action``, ``config``, ``parameters`` and ``store``, the
datastore as a dict. The answer has ``status``, ``result``, ``store``, ``calls`` (of the datastore,
in order) and ``modules`` (all that were imported).
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
        return [SimpleNamespace(name=name, value=value) for name, value in self.values.items()
                if name.startswith(prefix)]

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


def main():
    job = json.load(sys.stdin)
    sys.path[:0] = job["path"]
    module = importlib.import_module(job["action"])
    action_cls, = [getattr(module, name) for name in module.__all__]
    store = CountingStore(job["store"])
    action = action_cls(config=job["config"], action_service=store)
    status, result = action.run(**job["parameters"])
    json.dump({"status": status, "result": result, "store": store.values, "calls": store.calls,
               "modules": sorted(sys.modules)}, sys.stdout)


if __name__ == "__main__":
    main()
