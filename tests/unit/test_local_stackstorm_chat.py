"""Chat on the local platform: commands, what the action gets, and the messages that come back."""

import pytest
from local_stackstorm_samples import write_pack

from dev.local_stackstorm import LocalStackStorm

ALIASES = {
    "aliases/say.yaml": """
        name: say
        action_ref: demo.echo
        formats:
          - display: "say TEXT [with NUMBER]"
            representation: ["say (?P<text>.+?)( with {{ number }})?"]
        immutable_parameters: {url: "http://{{ api_user or 'nobody' }}"}
        ack: {format: "saying {{ execution.parameters.text }}"}
        result:
          format: "{{ execution.status }}: {{ execution.result.result.parameters.text }}{{ nil }}"
        """,
    "aliases/count.yaml": """
        name: count
        action_ref: demo.echo
        formats: ["count {{ number }}", "{{ number }} please"]
        ack: {enabled: false, format: "never said"}
        result: {format: "{{ execution.result.result.parameters.number + 1 }}"}
        """,
    "aliases/fail.yaml": """
        name: fail
        action_ref: demo.code
        formats: ["fail"]
        immutable_parameters: {code: "result = 7; status = False"}
        result: {format: "{{ execution.status }} {{ execution.result.result }}"}
        """,
    "aliases/off.yaml": """
        name: retired
        action_ref: demo.echo
        enabled: false
        formats: ["count {{ number }}"]
        """}


@pytest.fixture
def st2(tmp_path):
    with LocalStackStorm(write_pack(tmp_path, ALIASES), tmp_path) as platform:
        yield platform


def test_a_command_starts_its_action_and_both_messages_come_back(st2):
    execution, messages = st2.chat("say hello", "casey")
    assert execution.status == "succeeded"
    assert messages == ["saying hello", "succeeded: hello"]
    assert execution.result["parameters"]["url"] == "http://casey"
    assert st2.chat("say hello")[0].result["parameters"]["url"] == "http://nobody"


@pytest.mark.parametrize("text", ["{{ st2kv.system.key }}", "{% raw %}", "{{", "\"quoted\""])
def test_what_is_said_is_never_rendered(st2, text):
    execution, messages = st2.chat("say " + text)
    assert execution.result["parameters"]["text"] == text
    assert messages == ["saying " + text, "succeeded: " + text]


def test_what_is_said_is_cast_and_what_is_left_out_is_absent(st2):
    given = st2.chat("say it with 7")[0].result["parameters"]
    assert (given["text"], given["number"]) == ("it", 7)
    assert st2.chat("say it")[0].result["parameters"]["number"] is None
    assert st2.chat("count 41")[1] == ["42"]


def test_a_failed_run_is_answered_too(st2):
    execution, messages = st2.chat("fail")
    assert (execution.status, messages) == ("failed", ["failed 7"])


@pytest.mark.parametrize("command, words", [
    ("nonsense", "fits 0 formats"), ("count 1 please", "fits 2 formats"),
    ("say it url=http://mine", "url cannot be given"), ("count many", "does not fit type integer"),
    ("say it colour=red", "Additional properties")])
def test_a_command_that_does_not_fit_starts_nothing(st2, command, words):
    with pytest.raises(ValueError, match=words):
        st2.chat(command)
    assert st2.executions() == []
