"""The stand-ins for ``st2tests`` and friends behave as StackStorm's own test bases do."""

import json
import os
import subprocess
import sys

import pytest
from local_stackstorm_samples import write_pack

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

TESTS = '''
import sys
sys.path[:0] = [%(root)r, %(pack)r + "/actions", %(pack)r + "/sensors"]
sys.path.append(%(root)r + "/dev/local_stackstorm/standin")

from st2tests.base import BaseActionAliasTestCase, BaseActionTestCase, BaseSensorTestCase
from code import Code
from talker import Talker


class CodeTest(BaseActionTestCase):
    action_cls = Code

    def test_action(self):
        action = self.get_action_instance(config={"a": 1})
        code = "service.set_value('k', 5, ttl=9)\\nresult = [k.name for k in service.list_values()]"
        self.assertEqual(action.run(code=code, who=None), (True, ["tests.Code:k"]))
        self.assertEqual(self.action_service.get_value("k"), 5)
        self.assertIsNone(self.action_service.get_value("k", local=False))
        self.assertEqual(action.config["a"], 1)
        self.assertRaises(ValueError, lambda: action.config["b"])
        self.assertEqual(self.get_fixture_content("f.json"), "{}")


class TalkerTest(BaseSensorTestCase):
    sensor_cls = Talker

    def test_sensor(self):
        sensor = self.get_sensor_instance(config={"a": 1}, poll_interval=9)
        sensor.setup()
        code = "service.dispatch(trigger='demo.said', payload={'id': 1}, trace_tag='t')"
        self.sensor_service.set_value("code", code, local=False)
        sensor.poll()
        self.assertTriggerDispatched(trigger="demo.said", payload={"id": 1})
        self.assertTriggerDispatched(trigger="demo.said")
        self.assertRaises(AssertionError, self.assertTriggerDispatched, trigger="demo.said",
                          payload={"id": 2})
        self.assertEqual(self.get_dispatched_triggers()[0]["trace_context"].trace_tag, "t")
        self.assertEqual((sensor.config, sensor.get_poll_interval()), ({"a": 1}, 9))


class SayTest(BaseActionAliasTestCase):
    action_alias_name = "say"

    def test_alias(self):
        formats = self.action_alias_db.get_format_strings()
        self.assertEqual(len(formats), 2)
        self.assertCommandMatchesExactlyOneFormatString(formats, "say hello to all")
        self.assertExtractedParametersMatch(formats[0], 'say "hello"', {"text": "hello"})
        self.assertRaises(AssertionError, self.assertExtractedParametersMatch, formats[0],
                          "say hello", {"text": "bye"})
        self.assertRaises(AssertionError, self.assertCommandMatchesExactlyOneFormatString, formats,
                          "sing hello")
'''


@pytest.mark.skipif(bool(os.environ.get("ST2_VENV")), reason="StackStorm's own bases are in use")
def test_the_unit_tests_of_a_pack_run_on_the_stand_ins(tmp_path):
    alias = ("{name: say, action_ref: demo.echo, formats: ['say {{ text }}', "
             "{display: count, representation: ['count {{ number=3 }}']}]}")
    pack = write_pack(tmp_path, {"aliases/say.yaml": alias, "tests/fixtures/f.json": "{}"})
    path = os.path.join(pack, "tests", "test_sample.py")
    with open(path, "w") as file:
        file.write(TESTS % {"root": ROOT, "pack": pack})
    done = subprocess.run([sys.executable, "-m", "unittest", "-v", path], cwd=str(tmp_path),
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    assert "Ran 3 tests" in done.stderr


@pytest.mark.parametrize("text, command, parameters", [
    ("ack {{ id }}", "ack INC1", {"id": "INC1"}),
    ("ack {{ id }}", "ack INC1  ", {"id": "INC1"}),
    ("resolve {{ id }}( because {{ text }})?", "resolve INC1 because it is over",
     {"id": "INC1", "text": "it is over"}),
    ("resolve {{ id }}( because {{ text }})?", "resolve INC1", {"id": "INC1", "text": None}),
    ("list {{ status=open }}", "list", {"status": "open"}),
    ("list {{ status=open }}", "list closed", {"status": "closed"}),
    ("route {{ group }}", "route 'Platform Engineering'", {"group": "Platform Engineering"}),
    ("note {{ id }} {{ text }}", "note INC1 set size=5",
     {"id": "INC1", "text": "set", "size": "5"}),
    ("note {{ id }} {{ text }}", 'note INC1 text to="a b"',
     {"id": "INC1", "text": "text", "to": "a b"}),
    ("ack {{ id }}", "acknowledge INC1", None),
])
def test_commands_give_parameters_as_stackstorm_extracts_them(text, command, parameters):
    folder = os.path.join(ROOT, "dev", "local_stackstorm", "standin")
    code = ("import sys, json; sys.path.insert(0, %r)\n"
            "from st2common.models.utils.action_alias_utils import *\n"
            "try:\n    print(json.dumps(extract_parameters(*sys.argv[1:])))\n"
            "except ParseException:\n    print('null')")
    done = subprocess.run([sys.executable, "-c", code % folder, text, command],
                          stdout=subprocess.PIPE, universal_newlines=True)
    assert done.stdout == (json.dumps(parameters) + "\n")
