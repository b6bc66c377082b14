"""Executions on the local platform: parameters, process, result, time-out and policies."""

import os

import pytest
from local_stackstorm_samples import changed, wait_for, write_pack

from dev.local_stackstorm import LocalStackStorm

MARK = "fake-" + "9876543210" * 2


@pytest.fixture
def st2(tmp_path):
    config = {"url": "http://configured", "token": "{{ st2kv.system.key }}"}
    with LocalStackStorm(write_pack(tmp_path), tmp_path, config=config,
                         secret_keys={"key": MARK}) as platform:
        yield platform


def with_policy(tmp_path, text, **options):
    policy = "{name: p, resource_ref: demo.code, %s}" % text
    return LocalStackStorm(write_pack(tmp_path, {"policies/p.yaml": policy}), tmp_path, **options)


def test_an_action_gets_config_parameters_and_defaults_rendered_from_the_config(st2):
    execution = st2.run_action("demo.echo", {"text": "hello", "number": "5"})
    assert execution.status == "succeeded" and execution.exit_code == 0
    assert execution.result["parameters"] == {"text": "hello", "number": 5, "data": None,
                                              "hidden": None, "url": "http://configured"}
    assert execution.result["config"]["token"] == MARK
    assert "a line of the log" in execution.stderr
    assert execution.stdout == "a line of the output\n"


def test_neither_parameters_nor_secrets_are_in_the_arguments_of_the_process_or_in_the_log(st2):
    execution = st2.run_action("demo.echo", {"hidden": MARK, "text": "hello"})
    assert execution.result["parameters"]["hidden"] == MARK
    assert execution.parameters == {"hidden": "********", "text": "hello",
                                    "url": "http://configured"}
    arguments = execution.result["arguments"]
    assert MARK not in arguments and "hello" not in arguments
    with open(st2.log_path) as log:
        assert MARK not in log.read()


def test_the_environment_names_the_pack_the_execution_and_the_api(st2):
    execution = st2.run_action("demo.echo")
    assert {"ST2_ACTION_API_URL", "ST2_ACTION_AUTH_TOKEN", "ST2_ACTION_PACK_NAME",
            "ST2_ACTION_EXECUTION_ID"} <= set(execution.result["environ"])
    code = "import os\nresult = os.environ['ST2_ACTION_EXECUTION_ID']"
    execution = st2.run_action("demo.code", {"code": code})
    assert execution.result == execution.id


def test_actions_lib_is_on_the_path_and_the_repository_is_not(st2):
    path = st2.run_action("demo.echo").result["path"]
    assert os.path.join(st2.pack.path, "actions", "lib") in path
    assert os.getcwd() not in path and "" not in path


@pytest.mark.parametrize("words, parameters", [
    ("txet", {"txet": "misspelt"}),
    ("does not fit", {"number": "five"}),
    ("does not fit", {"text": {"an": "object"}}),
    ("cannot be rendered", {"text": "{{ config_context.nothing }}"}),
    ("refers to itself, or to nothing", {"text": "{{ triger.id }}"}),
])
def test_a_parameter_that_does_not_fit_fails_the_execution_before_a_process_starts(
        st2, words, parameters):
    execution = st2.run_action("demo.echo", parameters)
    assert execution.status == "failed" and words in execution.error
    assert execution.exit_code is None


def test_a_missing_required_parameter_and_an_immutable_one_fail_the_execution(tmp_path):
    files = changed("actions/echo.yaml", "number: {type: integer}",
                    "number: {type: integer, immutable: true, default: 3}")
    with LocalStackStorm(write_pack(tmp_path, files), tmp_path) as st2:
        assert "'code' is a required" in st2.run_action("demo.code").error
        assert "immutable" in st2.run_action("demo.echo", {"number": 4}).error
        assert st2.run_action("demo.echo").result["parameters"]["number"] == 3


def test_an_action_or_pack_that_does_not_exist_raises(st2):
    for ref in ("demo.nothing", "other.echo"):
        with pytest.raises(ValueError):
            st2.run_action(ref)


@pytest.mark.parametrize("code, status, result", [
    ("status, result = False, {'error': 'no'}", "failed", {"error": "no"}),
    ("result = [1, None, 'x']", "succeeded", [1, None, "x"]),
    ("result = {1, }", "succeeded", "{1}"),
    ("raise RuntimeError('no')", "failed", "None"),
    ("import os\nos._exit(3)", "failed", "None"),
    ("status = 'yes'", "failed", "None"),
    ("result = self.config['missing']", "failed", "None"),
    ("result = self.config.get('missing')", "succeeded", None),
])
def test_status_and_result_are_what_the_action_returned(st2, code, status, result):
    execution = st2.run_action("demo.code", {"code": code})
    assert (execution.status, execution.result) == (status, result)


def test_an_action_that_does_not_end_is_killed_at_its_time_out(st2):
    execution = st2.run_action("demo.code", {"code": "import time\ntime.sleep(60)", "timeout": 1})
    assert execution.status == "timeout"


def test_stopping_the_platform_ends_what_runs_and_what_waits(tmp_path):
    with LocalStackStorm(write_pack(tmp_path), tmp_path, max_parallel=1) as st2:
        st2.start_action("demo.code", {"code": "import time\ntime.sleep(60)"})
        wait_for(lambda: st2.executions()[0].status == "running")
        with pytest.raises(TimeoutError):
            st2.run_action("demo.code", {"code": "import time\ntime.sleep(60)"}, timeout=0.2)
    assert [item.status for item in st2.executions()] == ["failed", "canceled"]


def test_a_disabled_action_does_not_run(tmp_path):
    overrides = {"actions": {"echo": {"enabled": False}}}
    with LocalStackStorm(write_pack(tmp_path), tmp_path, overrides=overrides) as st2:
        assert "disabled" in st2.run_action("demo.echo").error


def overlap(st2, first, second):
    """Start two runs, one after the other, that each last until a key exists; what the second was
    meanwhile, and both executions.
    """
    code = ("import time\nwhile service.get_value('go', local=False) is None:\n"
            "    time.sleep(0.02)")
    one = st2.start_action("demo.code", {"code": code, "who": first})
    wait_for(lambda: one.status == "running")
    other = st2.start_action("demo.code", {"code": code, "who": second})
    wait_for(lambda: other.delays or other.status in ("running", "canceled"))
    seen = other.status
    st2.datastore.set("go", 1)
    st2.wait_idle()
    return seen, [one, other]


def test_a_policy_by_attribute_delays_runs_with_the_same_value_only(tmp_path):
    text = ("policy_type: action.concurrency.attr, "
            "parameters: {threshold: 1, attributes: [who], action: delay}")
    with with_policy(tmp_path, text, time_scale=0.05) as st2:
        seen, runs = overlap(st2, "ann", "ann")
        assert seen != "running" and runs[1].delays >= 1
        assert [item.status for item in runs] == ["succeeded", "succeeded"]
    with with_policy(tmp_path, text, time_scale=0.05) as st2:
        seen, runs = overlap(st2, "ann", "bob")
        assert seen == "running" and not runs[1].delays


def test_a_policy_cancels_what_is_too_much(tmp_path):
    text = "policy_type: action.concurrency, parameters: {threshold: 1, action: cancel}"
    with with_policy(tmp_path, text) as st2:
        _, runs = overlap(st2, "ann", "bob")
        assert [item.status for item in runs] == ["succeeded", "canceled"]
