"""Runners: how an execution is carried out. ``RUNNERS`` has one for every known ``runner_type``.

A runner has ``parameters`` of its own beside the action's, and ``run(job, values, environ,
children)``, which returns the outcome: status, result, stdout, stderr, exit_code and the platform's
own error. That of a workflow is taken by the ``Engine``, which conducts it.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys

_PROCESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "process.py")


def spawn(environ: dict, stdout: int, stderr: int) -> subprocess.Popen:
    """Start ``process.py``, which reads its job from stdin: arguments never hold a secret."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen([sys.executable, "-u", _PROCESS], env=dict(inherited, **environ),
                            stdin=subprocess.PIPE, stdout=stdout, stderr=stderr)


class PythonRunner:
    """``python-script``: one new process per run (contrib/runners/python_runner)."""

    parameters = {
        "debug": {"type": "boolean", "default": False}, "content_version": {"type": "string"},
        "env": {"type": "object"}, "timeout": {"type": "integer", "default": 600},
        "log_level": {"type": "string", "default": "DEBUG",
                      "enum": ["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"]},
    }

    @classmethod
    def run(cls, job: dict, values: dict, environ: dict, children: set) -> dict:
        """Run the action to its end, or kill it after its ``timeout``, in seconds."""
        own = {name: values.pop(name) for name in cls.parameters}
        child = spawn(dict(own["env"] or {}, **environ), subprocess.PIPE, subprocess.PIPE)
        children.add(child)
        mark, error = secrets.token_hex(16), None
        message = dict(job, kind="action", parameters=values, mark=mark, log_level=own["log_level"])
        try:
            output = child.communicate(json.dumps(message).encode() + b"\n", own["timeout"])
        except subprocess.TimeoutExpired:
            error = "it did not end within %s seconds" % own["timeout"]
            child.kill()
            output = child.communicate()
        finally:
            children.discard(child)
        before, _, rest = output[0].decode("utf-8", "replace").partition(mark)
        text, _, after = rest.partition(mark)
        # The text "None" is what StackStorm makes of no result.
        answer = json.loads(text) if text else {"result": "None", "status": None}
        fine = child.returncode == 0 and answer["status"] is not False
        return {"status": "timeout" if error else "succeeded" if fine else "failed", "error": error,
                "result": answer["result"], "exit_code": child.returncode,
                "stdout": before + after, "stderr": output[1].decode("utf-8", "replace")}


class OrquestaRunner:
    """``orquesta``: a workflow, which occupies no worker (contrib/runners/orquesta_runner)."""

    parameters = {"notify": {"type": "array", "default": []}}


RUNNERS: dict = {"python-script": PythonRunner, "orquesta": OrquestaRunner}
