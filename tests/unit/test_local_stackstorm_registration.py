"""What the local platform registers, and what it refuses."""

import pytest
from local_stackstorm_samples import changed, write_pack

from dev.local_stackstorm import LocalStackStorm, RegistrationError


def register(tmp_path, files=None, overrides=None):
    return LocalStackStorm(write_pack(tmp_path, files), tmp_path, overrides=overrides).pack


def refuse(tmp_path, words, files):
    with pytest.raises(RegistrationError) as caught:
        register(tmp_path, files)
    assert words in str(caught.value)


def test_the_sample_pack_registers_with_defaults_filled_in(tmp_path):
    pack = register(tmp_path)
    assert pack.ref == "demo"
    assert sorted(pack.triggers) == ["demo.said"]
    assert pack.actions["echo"]["enabled"] and not pack.sensors["Talker"]["enabled"]


def test_a_rule_that_does_not_say_enabled_is_disabled(tmp_path):
    files = changed("rules/on_said.yaml", "enabled: true\n", "")
    assert not register(tmp_path, files).rules["on_said"]["enabled"]


def test_an_override_enables_a_sensor_and_can_do_nothing_else(tmp_path):
    on = {"sensors": {"Talker": {"enabled": True}}}
    assert register(tmp_path, overrides=on).sensors["Talker"]["enabled"]
    for bad in ({"Talker": {"poll_interval": 9}}, {"Walker": {"enabled": True}}):
        with pytest.raises(RegistrationError):
            register(tmp_path, overrides={"sensors": bad})


@pytest.mark.parametrize("words, name, old, new", [
    ("Additional properties", "rules/on_said.yaml", "criteria:", "filter:"),
    ("trigger demo.sung does not exist", "rules/on_said.yaml", "demo.said", "demo.sung"),
    ("core.st2.CronTimer does not exist", "rules/on_said.yaml", "demo.said", "core.st2.CronTimer"),
    ("action demo.ohce does not exist", "rules/on_said.yaml", "demo.echo", "demo.ohce"),
    ("unknown operator", "rules/on_said.yaml", "equals", "startswith"),
    ("no null", "rules/on_said.yaml", 'pattern: "say"', "pattern: null"),
    ("names such as trigger.a.b", "rules/on_said.yaml", "trigger.id:", '"trigger.ids[0]":'),
    ("patterns are not rendered", "rules/on_said.yaml", '"say"', '"{{ trigger.id }}"'),
    ("filter jsonpath_query", "rules/on_said.yaml", "trigger.id }}", "trigger|jsonpath_query }}"),
    ("outside", "actions/echo.yaml", "echo.py", "../sensors/talker.py"),
    ("missing", "actions/echo.yaml", "echo.py", "nothing.py"),
    ("runner_type http-request is not", "actions/echo.yaml", "python-script", "http-request"),
    ("unknown attributes ['requierd']", "actions/echo.yaml", "{type: string}",
     "{type: string, requierd: true}"),
    ("not of type 'boolean'", "actions/echo.yaml", "{type: string}",
     "{type: string, required: [text]}"),
    ("list of types", "actions/echo.yaml", "{type: string}", "{type: [string, 'null']}"),
    ("immutable and has no default", "actions/echo.yaml", "{type: string}",
     "{type: string, immutable: true}"),
    ("not unique and contiguous", "actions/echo.yaml", "text: {type: string}",
     "text: {type: string, position: 0}\n  other: {type: string, position: 2}"),
    ("smallest poll_interval", "sensors/talker.yaml", "poll_interval: 4", "poll_interval: 3"),
    ("not of type 'boolean'", "sensors/talker.yaml", "{type: string, required: true}",
     "{type: object, required: [name]}"),
    ("list of types", "config.schema.yaml", "{type: string, secret: true}",
     "{type: [string, 'null']}"),
    ("version", "pack.yaml", "0.1.0", "first"),
    ("'author' is a required property", "pack.yaml", ", author: me", ""),
    ("'email' is a required property", "pack.yaml", ", email: me@st2.org", ""),
    ("another pack", "actions/echo.yaml", "name: echo", "name: echo\npack: other"),
])
def test_what_stackstorm_or_the_local_platform_does_not_know_is_refused(
        tmp_path, words, name, old, new):
    refuse(tmp_path, words, changed(name, old, new))


@pytest.mark.parametrize("words, text", [
    ("not known here", "policy_type: action.retry, parameters: {}"),
    ("'threshold' is a required", "policy_type: action.concurrency"),
    ("not one of",
     "policy_type: action.concurrency, parameters: {threshold: 1, action: drop}"),
    ("no parameter of demo.echo",
     "policy_type: action.concurrency.attr, parameters: {threshold: 1, attributes: [txet]}"),
])
def test_a_policy_that_is_not_known_is_refused(tmp_path, words, text):
    text = "{name: p, resource_ref: demo.echo, %s}" % text
    refuse(tmp_path, words, {"policies/p.yaml": text})


def test_an_alias_must_name_an_action_and_parameters_of_it(tmp_path):
    good = "{name: say, action_ref: demo.echo, formats: ['say {{ text }}']}"
    assert list(register(tmp_path, {"aliases/a.yaml": good}).aliases) == ["say"]
    for words, text in (("does not exist", good.replace("demo.echo", "demo.nobody")),
                        ("no parameter", good.replace("{{ text", "{{ txet")),
                        ("formats", "{name: say, action_ref: demo.echo}")):
        refuse(tmp_path, words, {"aliases/a.yaml": text})


def test_a_folder_of_triggers_is_refused(tmp_path):
    refuse(tmp_path, "triggers/", {"triggers/t.yaml": "{name: t}"})
