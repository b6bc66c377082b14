"""Workflows on the local platform: what Orquesta does, and what StackStorm does around it."""

import json
import textwrap

import pytest
from local_stackstorm_samples import wait_for, write_pack

from dev.local_stackstorm import LocalStackStorm, RegistrationError

ACTION = """
    name: flow
    runner_type: orquesta
    entry_point: workflows/flow.yaml
    parameters:
      text: {type: string, default: "nothing"}
      count: {type: integer, default: 2}
      url: {type: string, default: "{{ config_context.url }}"}
    """
FLOW = """
    version: 1.0
    input: [text, count, url]
    vars:
      - seen: null
      - tries: 0
    output:
      - seen: <% ctx().seen %>
      - url: "{{ ctx().url }}"
      - tries: <% ctx().tries %>
    tasks:
      first:
        action: demo.echo
        input:
          text: <% ctx().text %>
          number: <% ctx().count %>
        next:
          - when: <% succeeded() %>
            publish:
              - seen: <% result().result.parameters.text %>
            do: look
          - when: <% failed() %>
            do: fail
      look:
        action: demo.code
        delay: 1
        input:
          code: "result = {'go_on': True}"
        next:
          - when: <% succeeded() and ctx().tries < ctx().count and result().result.go_on %>
            publish: tries=<% ctx().tries + 1 %>
            do: look
    """


def platform(tmp_path, flow=FLOW, **options):
    files = {"actions/flow.yaml": ACTION, "actions/workflows/flow.yaml": textwrap.dedent(flow)}
    options.setdefault("config", {"url": "http://configured"})
    return LocalStackStorm(write_pack(tmp_path, files), tmp_path, time_scale=0.05, **options)


def one_task(code, *more):
    """A workflow of one task that runs this code; what follows in it, line by line."""
    return "\n".join(["version: 1.0", "input: [text, count, url]", "tasks:", "  only:",
                      "    action: demo.code", "    input:", "      code: " + json.dumps(code)] +
                     list(more))


def run(st2, parameters=None):
    execution = st2.run_action("demo.flow", parameters)
    return execution, st2.executions("code")


def tasks(st2):
    return [item.task["task_id"] for item in st2.executions() if item.task]


def test_tasks_results_published_values_a_loop_and_the_output(tmp_path):
    with platform(tmp_path) as st2:
        execution, _ = run(st2, {"text": "hello", "count": 3})
        assert execution.status == "succeeded", execution.result
        assert execution.result == {"output": {"seen": "hello", "url": "http://configured",
                                               "tries": 3}}
        assert tasks(st2) == ["first"] + ["look"] * 4
        assert {item.parent.id for item in st2.executions() if item.task} == {execution.id}


def test_the_engine_can_be_killed_between_two_tasks_and_goes_on_where_it_was(tmp_path):
    with platform(tmp_path) as st2:
        execution = st2.start_action("demo.flow", {"text": "hello"})
        for count in (1, 2, 3):
            wait_for(lambda: len(tasks(st2)) == count)
            st2.engine.stop()
            wait_for(lambda: {item.status for item in st2.executions() if item.task} ==
                     {"succeeded"})
            assert len(tasks(st2)) == count and execution.status == "running"
            st2.engine.start()
        st2.wait_idle()
        assert execution.result["output"]["tries"] == 2


@pytest.mark.parametrize("words, old, new", [
    ('"sene" is referenced before assignment', "output:",
     "output:\n      - x: <% ctx().sene %>"),
    ("does not exist", "demo.echo", "demo.ohce"),
    ("does not take ['txet']", "text: <% ctx().text %>", "txet: <% ctx().text %>"),
    ("lacks ['code']", "code: \"result", "who: \"result"),
    ("Additional properties", "delay: 1", "dealy: 1"),
    ('"lok" is not defined', "do: look", "do: lok"),
    ("Parse error", "<% failed() %>", "<% failed( %>"),
    ("are not known", "action: demo.echo", "with: <% ctx().text %>\n        action: demo.echo"),
])
def test_a_workflow_that_could_not_run_is_refused(tmp_path, words, old, new):
    assert old in FLOW
    with pytest.raises(RegistrationError) as caught:
        platform(tmp_path, FLOW.replace(old, new))
    assert words in str(caught.value)


def test_a_text_that_is_no_workflow_is_refused(tmp_path):
    with pytest.raises(RegistrationError, match="not a workflow"):
        platform(tmp_path, "- 1")


def test_a_task_that_fails_is_tried_again_and_its_result_says_why(tmp_path):
    flow = one_task("status, result = False, {'error': {'kind': 'api'}}",
                    "    retry: {count: 2, delay: 1}",
                    "    next:",
                    "      - when: <% failed() and result().result.error.kind = 'api' %>",
                    "        do: fail")
    with platform(tmp_path, flow) as st2:
        execution, runs = run(st2)
        assert [item.status for item in runs] == ["failed"] * 3
        assert execution.status == "failed"
        assert execution.result["errors"][0]["task_id"] == "only"


def test_a_failure_that_a_task_remedies_does_not_fail_the_workflow(tmp_path):
    flow = one_task("raise RuntimeError('no')",
                    "    next:",
                    "      - when: <% failed() %>",
                    "        do: rescue",
                    "  rescue:",
                    "    action: demo.code code=\"result = 7\" timeout=20",
                    "    next: [{publish: [{number: <% result().result %>}]}]",
                    "output:",
                    "  - number: <% ctx().number %>")
    with platform(tmp_path, flow) as st2:
        execution, _ = run(st2)
        assert (execution.status, execution.result) == ("succeeded", {"output": {"number": 7}})


@pytest.mark.parametrize("words, more", [
    ("not type of integer", "    delay: <% 1 / 2.0 %>"),
    ("'mile'", "    next: [{publish: [{x: '<% result().result.mile %>'}]}]"),
])
def test_what_an_expression_gives_has_to_fit(tmp_path, words, more):
    with platform(tmp_path, one_task("result = {'inch': 1}", more)) as st2:
        execution, _ = run(st2)
        assert execution.status == "failed"
        assert words in str(execution.result["errors"])


def test_a_task_whose_input_does_not_fit_the_action_fails_the_workflow(tmp_path):
    flow = FLOW.replace("number: <% ctx().count %>", "number: <% ctx().text %>")
    with platform(tmp_path, flow) as st2:
        execution, runs = run(st2, {"text": "seven"})
        assert execution.status == "failed" and not runs
        assert "does not fit type integer" in str(execution.result["errors"])


def test_a_text_with_expressions_is_rendered_again_on_its_way(tmp_path):
    with platform(tmp_path, keys={"word": "{{ 6 * 7 }} <% 6 * 7 %>"}) as st2:
        execution, _ = run(st2, {"text": "{{ st2kv.system.word }}", "count": 0})
        assert execution.result["output"]["seen"] == "42 42"


def test_a_delayed_task_is_asked_for_and_waits(tmp_path):
    with platform(tmp_path, one_task("result = 1", "    delay: 3600")) as st2:
        execution = st2.start_action("demo.flow")
        (waiting,) = wait_for(lambda: st2.executions("code"))
        assert st2.run_action("demo.echo").status == "succeeded"
        assert (waiting.status, execution.status) == ("requested", "running")


def test_a_task_without_an_action_succeeds_at_once_whatever_its_delay(tmp_path):
    flow = """
        version: 1.0
        tasks:
          nothing:
            delay: 3600
            next: [{publish: [{x: 1}]}]
        output: [{x: <% ctx().x %>}]
        """
    with platform(tmp_path, flow) as st2:
        assert run(st2)[0].result == {"output": {"x": 1}}


def test_a_workflow_occupies_no_worker_and_ends_with_the_platform(tmp_path):
    flow = one_task("import time\ntime.sleep(60)")
    with platform(tmp_path, flow, max_parallel=1) as st2:
        execution = st2.start_action("demo.flow")
        wait_for(lambda: any(item.status == "running" for item in st2.executions("code")))
        assert execution.status == "running"
    assert execution.status == "canceled"
