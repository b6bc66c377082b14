"""A tiny pack for the tests of the local platform, and waiting for something with a deadline."""

import os
import textwrap
import time

FILES = {
    "pack.yaml": "{name: demo, description: a demo, version: 0.1.0, author: me, email: me@st2.org}",
    "config.schema.yaml": """
        url: {type: string, default: "http://default"}
        token: {type: string, secret: true}
        options:
          type: object
          properties: {size: {type: integer, default: 3}, colour: {type: string}}
        mapping:
          type: array
          items:
            type: object
            properties:
              name: {type: string, required: true}
              key: {type: string, secret: true}
              rank: {type: integer, default: 7}
        """,
    "actions/echo.yaml": """
        name: echo
        runner_type: python-script
        entry_point: echo.py
        parameters:
          text: {type: string}
          number: {type: integer}
          data: {type: object}
          hidden: {type: string, secret: true}
          url: {type: string, default: "{{ config_context.url }}"}
        """,
    "actions/echo.py": """
        import os
        import sys

        from st2common.runners.base_action import Action


        class Echo(Action):
            def run(self, **parameters):
                self.logger.info("a line of the log")
                print("a line of the output")
                with open("/proc/self/cmdline") as file:
                    arguments = file.read()
                return True, {"parameters": parameters, "config": self.config,
                              "arguments": arguments, "path": sys.path,
                              "environ": sorted(name for name in os.environ if "ST2_" in name)}
        """,
    "actions/code.yaml": """
        name: code
        runner_type: python-script
        entry_point: code.py
        parameters:
          code: {type: string, required: true}
          who: {type: string}
          timeout: {default: 20}
        """,
    "actions/code.py": """
        from st2common.runners.base_action import Action


        class Code(Action):
            def run(self, code, who):
                names = {"self": self, "service": self.action_service}
                exec(code, names)
                return names.get("status", True), names.get("result")
        """,
    "sensors/talker.yaml": """
        class_name: Talker
        entry_point: talker.py
        enabled: false
        poll_interval: 4
        trigger_types:
          - name: said
            payload_schema:
              type: object
              properties:
                id: {type: string, required: true}
                number: {type: integer}
                data: {type: object}
        """,
    "sensors/talker.py": """
        from st2reactor.sensor.base import PollingSensor


        class Talker(PollingSensor):
            def setup(self):
                self.polls = 0

            def poll(self):
                self.polls += 1
                code = self.sensor_service.get_value("code", local=False)
                if code:
                    exec(code, {"self": self, "service": self.sensor_service})

            def cleanup(self):
                self.sensor_service.set_value("cleaned", "yes", local=False)

            def add_trigger(self, trigger):
                self.sensor_service.set_value("trigger", trigger["ref"])

            update_trigger = remove_trigger = add_trigger
        """,
    "rules/on_said.yaml": """
        name: on_said
        enabled: true
        trigger: {type: demo.said}
        criteria:
          trigger.id: {type: equals, pattern: "say"}
        action:
          ref: demo.echo
          parameters:
            text: "{{ trigger.id }}"
            data: "{{ trigger.data }}"
        """,
}
FILES = {name: textwrap.dedent(text) for name, text in FILES.items()}


def changed(name, old, new):
    """One of ``FILES`` with something else in the place of ``old``."""
    assert old in FILES[name]
    return {name: FILES[name].replace(old, new)}


def write_pack(folder, files=None):
    """Write ``FILES`` and what differs below ``folder``; the path of the pack."""
    for name, text in dict(FILES, **(files or {})).items():
        path = os.path.join(str(folder), "pack", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(textwrap.dedent(text))
    return os.path.join(str(folder), "pack")


def wait_for(condition, seconds=20):
    """The first true value of ``condition()``; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("waited in vain for %s" % condition)
