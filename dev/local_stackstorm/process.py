"""The process of one action run or of one sensor: reads its job from stdin, loads the pack's class.

Stands for python_action_wrapper of contrib/runners/python_runner and for st2reactor/container/
sensor_wrapper. As in StackStorm the loaded module has no entry in sys.modules.
"""

import atexit
import importlib.util
import inspect
import json
import logging
import os
import sys
import sysconfig
import threading
import time


def load(path):
    """Execute a pack's file; its folder comes last on sys.path, so that installed packages win."""
    folder = os.path.dirname(os.path.realpath(path))
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_action(job):
    """Run the file's action and print its result between two marks."""
    sys.path[:0] = [sysconfig.get_path("platlib"),
                    os.path.join(job["pack_path"], "actions", "lib")]
    from st2common.runners.base_action import ActionService
    module = load(job["path"])
    # Of several classes with a run method the first by name is taken: hence one class per file.
    classes = [item for _, item in inspect.getmembers(module, inspect.isclass)
               if item.__module__ == module.__name__ and callable(getattr(item, "run", None))]
    service = ActionService(job["pack"], classes[0].__name__, job["log_level"])
    output = classes[0](config=job["config"], action_service=service).run(**job["parameters"])
    status, result = output if isinstance(output, tuple) and len(output) == 2 else (None, output)
    if not isinstance(status, (bool, type(None))):
        sys.exit("run() returned the status %r, neither True nor False" % (status,))
    try:
        text = json.dumps({"status": status, "result": result})
    except (TypeError, ValueError):
        text = json.dumps({"status": status, "result": str(result)})
    sys.stdout.write(job["mark"] + text + job["mark"])
    sys.stdout.flush()


def run_sensor(job):
    """Run the sensor until it ends, the platform ends it or the platform itself is gone."""
    from st2reactor.container.sensor_wrapper import SensorService
    from st2reactor.sensor import base
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
    base.sleep = lambda seconds: time.sleep(seconds * job["time_scale"])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    if job["config_error"]:
        raise ValueError(job["config_error"])
    cls = getattr(load(job["path"]), job["class_name"])
    options = {"sensor_service": SensorService(job["pack"], job["class_name"], job["time_scale"]),
               "config": job["config"]}
    if job["poll_interval"] and issubclass(cls, base.PollingSensor):
        options["poll_interval"] = job["poll_interval"]
    sensor = cls(**options)
    atexit.register(sensor.cleanup)  # after an exception and a normal end, not after SIGTERM
    sensor.setup()
    for trigger in job["triggers"]:
        sensor.add_trigger(trigger)
    sensor.run()


if __name__ == "__main__":
    sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "standin")
    received = json.loads(sys.stdin.readline())
    {"action": run_action, "sensor": run_sensor}[received["kind"]](received)
