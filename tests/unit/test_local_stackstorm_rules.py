"""Triggers and rules on the local platform."""

import pytest
from local_stackstorm_samples import changed, wait_for, write_pack

from dev.local_stackstorm import LocalStackStorm, criteria, templates

RULE = "rules/on_said.yaml"


def run_rule(tmp_path, payload, parameters):
    """The execution that the rule starts with these parameters for this payload."""
    old = 'text: "{{ trigger.id }}"\n    data: "{{ trigger.data }}"\n'
    files = changed(RULE, old, "".join("%s\n    " % line for line in parameters))
    st2 = LocalStackStorm(write_pack(tmp_path, files), tmp_path, config={"url": "http://c"})
    with st2:
        st2.dispatch("demo.said", payload)
        st2.wait_idle()
    execution, = st2.executions()
    return execution


def test_a_trigger_starts_the_action_of_a_rule_that_matches(tmp_path):
    with LocalStackStorm(write_pack(tmp_path), tmp_path) as st2:
        answer = st2.dispatch("demo.said", {"id": "say", "data": {}}, "tag")
        assert answer == (200, {"dropped": None})
        st2.dispatch("demo.said", {"id": "do not"})
        st2.wait_idle()
        execution, = st2.executions()
        assert execution.rule == "demo.on_said" and execution.status == "succeeded"
        first, second = st2.trigger_instances()
        assert (first.id, first.trace_tag) == (execution.trigger_instance, "tag")
        assert (first.status, second.status) == ("processed", "processed")


def test_a_misfit_payload_is_dropped_with_its_reason(tmp_path):
    with LocalStackStorm(write_pack(tmp_path), tmp_path) as st2:
        for trigger, payload, words in (
                ("demo.said", {"number": 1}, "'id' is a required property"),
                ("demo.said", {"id": "say", "number": "one"}, "number: "),
                ("demo.sung", {"id": "say"}, "demo.sung"),
                ("demo.said", None, "not of type 'object'")):
            status, answer = st2.dispatch(trigger, payload)
            assert status == 200 and words in answer["dropped"]
        assert st2.dispatch("demo.said", {"id": "say", "number": None})[1] == {"dropped": None}
        st2.wait_idle()
        assert [item.status for item in st2.trigger_instances()] == ["dropped"] * 4 + ["processed"]


def test_an_object_stays_an_object_on_its_way_to_an_object_parameter(tmp_path):
    data = {"text": "it's \"quoted\" {{ not_rendered }}", "none": None, "list": [1, {"a": True}]}
    execution = run_rule(tmp_path, {"id": "say", "data": data}, ['data: "{{ trigger.data }}"'])
    assert execution.result["parameters"]["data"] == data


def test_null_becomes_the_word_none_in_text_and_null_with_use_none(tmp_path):
    payload = {"id": "say", "data": {"none": None}}
    execution = run_rule(tmp_path, payload, ['text: "{{ trigger.data.none }}"',
                                             'hidden: "{{ trigger.data.none | use_none }}"'])
    assert execution.result["parameters"]["text"] == "None"
    assert execution.result["parameters"]["hidden"] is None


def test_a_missing_attribute_fails_the_enforcement(tmp_path):
    for path in ("trigger.data", "trigger.data.none"):
        execution = run_rule(tmp_path, {"id": "say"}, ['text: "{{ %s }}"' % path])
        assert execution.status == "failed" and "cannot be rendered" in execution.error


def test_a_misspelt_parameter_in_a_rule_fails_the_enforcement(tmp_path):
    execution = run_rule(tmp_path, {"id": "say"}, ['txet: "{{ trigger.id }}"'])
    assert execution.status == "failed" and "txet" in execution.error


def test_config_context_is_the_config_of_the_actions_pack(tmp_path):
    execution = run_rule(tmp_path, {"id": "say"}, ['text: "{{ config_context.url }}"'])
    assert execution.result["parameters"]["text"] == "http://c"


def test_a_template_in_a_rule_loses_against_a_default_that_is_a_template(tmp_path):
    execution = run_rule(tmp_path, {"id": "say"}, ['url: "{{ trigger.id }}"'])
    assert execution.result["parameters"]["url"] == "http://c"
    execution = run_rule(tmp_path, {"id": "say"}, ["url: plain"])
    assert execution.result["parameters"]["url"] == "plain"


def test_text_with_quotes_breaks_a_template_inside_an_object(tmp_path):
    def run(text):
        return run_rule(tmp_path, {"id": "say", "data": {"text": text}},
                        ['data: {text: "{{ trigger.data.text }}"}'])

    assert run('"x"').status == "failed"
    assert run("x").result["parameters"]["data"] == {"text": "x"}


def test_equal_is_what_is_there_and_the_same():
    rule = {"trigger.record.field": {"type": "equals", "pattern": "A"}}
    criteria.check(rule)
    assert criteria.matches(rule, {"record": {"field": "A"}})
    for payload in ({"record": {"field": "a"}}, {"record": {"field": None}}, {"record": None}, {}):
        assert not criteria.matches(rule, payload)


def test_registering_again_sets_enabled_states_back(tmp_path):
    with LocalStackStorm(write_pack(tmp_path), tmp_path) as st2:
        st2.pack.rules["on_said"]["enabled"] = False
        st2.dispatch("demo.said", {"id": "say", "data": {}})
        st2.wait_idle()
        assert not st2.executions()
        st2.register()
        st2.dispatch("demo.said", {"id": "say", "data": {}})
        st2.wait_idle()
        assert len(st2.executions()) == 1


def test_a_timer_rule_runs_its_action_again_and_again(tmp_path):
    timer = """
        name: tick
        enabled: true
        trigger: {type: core.st2.IntervalTimer, parameters: {unit: minutes, delta: 5}}
        action: {ref: demo.code, parameters: {code: "result = 1"}}
        """
    files = {"rules/tick.yaml": timer}
    with LocalStackStorm(write_pack(tmp_path, files), tmp_path, time_scale=0.001) as st2:
        wait_for(lambda: len(st2.executions("code")) >= 2)
        assert {item.rule for item in st2.executions()} == {"demo.tick"}
        assert "executed_at" in st2.trigger_instances()[0].payload


@pytest.mark.parametrize("kind, value, result", [
    ("boolean", "true", True), ("boolean", "False", False),
    ("integer", "7", 7), ("number", "7", 7.0),
    ("array", "[1, 2]", [1, 2]), ("array", "['a', None]", ["a", None]), ("string", "x", "x"),
    ("object", "{'a': None}", {"a": None}), ("string", None, None),
])
def test_text_is_cast_to_the_type_of_the_parameter(kind, value, result):
    assert templates.cast("name", value, {"type": kind}) == result
