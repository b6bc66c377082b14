"""The pack's metadata agree with its code, with each other and with its published interface."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import struct
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
REF = "pagerduty_stackflow"
RUNNER_PARAMETERS = {"debug", "content_version", "env", "timeout", "log_level"}

# The published names: what each action needs and may be given, ...
ACTIONS = {
    "trigger_incident": ({"incident_id"}, {"incident", "force"}),
    "acknowledge_incident": ({"incident_id"}, {"by"}),
    "resolve_incident": ({"incident_id"}, {"by", "resolution"}),
    "reroute_incident": ({"incident_id"}, {"assignment_group", "category"}),
    "escalate_incident": ({"incident_id"},
                          {"escalation_policy_id", "escalation_level", "reason"}),
    "follow_escalation": ({"incident_id", "sla_policy"}, {"breach"}),
    "create_stackflow_incident": ({"incident_id"}, {"incident"}),
    "set_stackflow_state": ({"incident_id", "state"}, {"note", "by"}),
    "update_stackflow_incident": ({"incident_id", "fields"}, set()),
    "add_note": ({"incident_id", "text"}, {"author", "side"}),
    "get_incident": ({"incident_id"}, set()),
    "list_incidents": (set(), {"status", "assignment_group"}),
    "list_oncall": (set(), {"assignment_group"}),
    "send_event": ({"event_action", "service"},
                   {"summary", "severity", "source", "dedup_key", "custom_details", "links"}),
    "send_test_event": ({"service"}, set()),
    "check_connection": (set(), set()),
    "sync_status": ({"incident_id"}, set()),
    "reconcile": (set(), {"incident_id", "dry_run", "since"}),
    "explain_verification": ({"failed_step", "pagerduty_incident_id"},
                             {"stackflow_id", "left_open"}),
    "explain_routing": (set(), {"incident_id", "assignment_group", "category", "priority"}),
    "manage_webhooks": ({"operation"}, {"service", "subscription_id"}),
    "escalate_sla_breach": ({"incident_id", "sla_policy"}, set()),
    "verify_integration": ({"service"}, set())}
# ... which event starts which action by which rule, ...
RULES = {
    "stackflow_created": ("stackflow_event", "incident.created", "trigger_incident"),
    "stackflow_priority_raised": ("stackflow_event", "incident.priority_changed",
                                  "trigger_incident"),
    "stackflow_reopened": ("stackflow_event", "incident.reopened", "trigger_incident"),
    "stackflow_assigned": ("stackflow_event", "incident.assigned", "acknowledge_incident"),
    "stackflow_regrouped": ("stackflow_event", "incident.regrouped", "reroute_incident"),
    "stackflow_state_changed": ("stackflow_event", "incident.state_changed", "trigger_incident"),
    "stackflow_updated": ("stackflow_event", "incident.updated", "reconcile"),
    "stackflow_resolved": ("stackflow_event", "incident.resolved", "resolve_incident"),
    "pagerduty_triggered": ("pagerduty_event", "incident.triggered", "create_stackflow_incident"),
    "pagerduty_acknowledged": ("pagerduty_event", "incident.acknowledged", "set_stackflow_state"),
    "pagerduty_resolved": ("pagerduty_event", "incident.resolved", "set_stackflow_state"),
    "pagerduty_reopened": ("pagerduty_event", "incident.reopened", "set_stackflow_state"),
    "pagerduty_rerouted": ("pagerduty_event", "incident.service_updated",
                           "update_stackflow_incident"),
    "pagerduty_updated": ("pagerduty_event", "incident.updated", "reconcile"),
    "sla_escalation": ("stackflow_sla_event", None, "escalate_sla_breach"),
    "stackflow_note": ("stackflow_event", "incident.comment_added", "add_note"),
    "pagerduty_note": ("pagerduty_event", "incident.annotated", "add_note"),
    "reconcile_every_5_minutes": (None, None, "reconcile")}
# ... which sensors run from the start.
SENSORS = {"WebhookSensor": True, "PagerDutyPollingSensor": False,
           "StackFlowPollingSensor": False, "SLAQueueSensor": False}
TRIGGERS = {"pagerduty_event", "stackflow_event", "stackflow_sla_event"}
# ... and which words in chat start which action.
ALIASES = {
    "trigger": ("pd trigger INC", "trigger_incident"),
    "ack": ("pd ack ID", "acknowledge_incident"),
    "resolve": ("pd resolve ID [because TEXT]", "resolve_incident"),
    "escalate": ("pd escalate ID [to POLICY]", "escalate_incident"),
    "status": ("pd status ID", "sync_status"),
    "note": ("pd note ID TEXT", "add_note"),
    "list": ("pd list", "list_incidents"),
    "oncall": ("pd oncall [GROUP]", "list_oncall"),
    "route": ("pd route GROUP [category CATEGORY] [priority P1]", "explain_routing"),
    "reconcile": ("pd reconcile", "reconcile"),
    "reconcile_dry_run": ("pd reconcile dry run", "reconcile"),
    "check": ("pd check", "check_connection"),
    "test": ("pd test SERVICE", "send_test_event")}
LINKS = {"actions/lib": "../lib", "actions/workflows": "../workflows",
         "sensors/pagerduty_stackflow": "../lib/pagerduty_stackflow"}


def load(kind):
    """All metadata files of a folder, by file name without its ending."""
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
            for path in sorted((ROOT / kind).glob("*.yaml"))}


ACTION_FILES, RULE_FILES = load("actions"), load("rules")
SENSOR_FILES, ALIAS_FILES = load("sensors"), load("aliases")
SCHEMAS = {"%s.%s" % (REF, trigger["name"]): trigger["payload_schema"]
           for sensor in SENSOR_FILES.values() for trigger in sensor["trigger_types"]}
PYTHON_ACTIONS = sorted(name for name, action in ACTION_FILES.items()
                        if action["runner_type"] == "python-script")


def own_action(ref):
    """The metadata of an action of this pack."""
    pack, _, name = ref.partition(".")
    assert pack == REF and name in ACTION_FILES, ref
    return ACTION_FILES[name]


def declared(schema, path):
    """Whether a payload schema names every step of a path."""
    for step in path:
        schema = schema.get("properties", {}).get(step)
        if schema is None:
            return False
    return True


def test_there_is_something_to_check():
    assert PYTHON_ACTIONS and RULE_FILES and SENSOR_FILES and ALIAS_FILES


@pytest.mark.parametrize("kind", ["actions", "rules", "aliases"])
def test_files_are_named_after_what_they_hold(kind):
    for stem, content in load(kind).items():
        assert content["name"].split(".")[0] == stem
        assert content["pack"] == REF
        assert content["enabled"] is True
        assert content["description"].endswith(".")


@pytest.mark.parametrize("name", PYTHON_ACTIONS)
def test_the_parameters_of_an_action_are_those_of_its_run_method(name):
    action = ACTION_FILES[name]
    assert action["entry_point"] == name + ".py"
    module = importlib.import_module(name)
    found = [item for _, item in inspect.getmembers(module, inspect.isclass)
             if item.__module__ == name and callable(getattr(item, "run", None))]
    assert len(found) == 1, "StackStorm takes the first class by name"
    signature = list(inspect.signature(found[0].run).parameters.values())[1:]
    parameters = action["parameters"]
    assert [one.name for one in signature] == list(parameters)
    assert not RUNNER_PARAMETERS.intersection(parameters)
    for one in signature:
        described = parameters[one.name]
        assert described["required"] is (one.default is one.empty), one.name
        assert described.get("default") == (None if one.default is one.empty else one.default)
        assert described["type"] and described["description"].endswith(".")


@pytest.mark.parametrize("name", sorted(ACTION_FILES))
def test_parameters_have_positions_that_st2_run_help_can_sort(name):
    # st2client 3.9.0 sorts required and optional parameters apart, each by its position or else by
    # its name, which compare with their like only; the runner's own are optional, without position.
    given = ACTION_FILES[name]["parameters"].values()
    assert [one["position"] for one in given if one.get("required")] == list(
        range(sum(one.get("required", False) for one in given)))
    assert not any("position" in one for one in given if not one.get("required"))


def test_each_action_and_sensor_has_the_test_file_that_the_exchange_looks_for():
    wanted = {"test_%s_%s.py" % (kind[:-1], path.stem) for kind in ("actions", "sensors")
              for path in (ROOT / kind).glob("*.py")}
    wanted.add("test_action_aliases.py")
    assert wanted <= {path.name for path in (ROOT / "tests" / "unit").iterdir()}


@pytest.mark.parametrize("name", sorted(ACTION_FILES))
def test_actions_are_those_of_the_published_interface(name):
    needed, optional = ACTIONS[name]
    parameters = ACTION_FILES[name]["parameters"]
    assert {key for key, each in parameters.items() if each.get("required")} == needed
    assert needed | optional <= set(parameters)


@pytest.mark.parametrize("name", sorted(RULE_FILES))
def test_rules_are_those_of_the_published_interface(name):
    trigger, event_type, action = RULES[name]
    rule = RULE_FILES[name]
    assert rule["action"]["ref"] == "%s.%s" % (REF, action)
    if trigger is not None:
        assert rule["trigger"]["type"] == "%s.%s" % (REF, trigger)
    if event_type is not None:
        wanted = {"type": "equals", "pattern": event_type}
        assert rule["criteria"]["trigger.event_type"] == wanted


@pytest.mark.parametrize("name", sorted(RULE_FILES))
def test_a_rule_gives_an_action_what_it_takes(name):
    action = RULE_FILES[name]["action"]
    parameters = own_action(action["ref"])["parameters"]
    given = set(action["parameters"])
    assert given <= set(parameters)
    assert {key for key, each in parameters.items() if each.get("required")} <= given


@pytest.mark.parametrize("name", sorted(ALIAS_FILES))
def test_an_alias_is_a_command_of_the_published_interface(name):
    alias = ALIAS_FILES[name]
    shown, action = ALIASES[name]
    text, = alias["formats"]
    assert (text if isinstance(text, str) else text["display"]) == shown
    assert alias["action_ref"] == "%s.%s" % (REF, action)


@pytest.mark.parametrize("name", sorted(ALIAS_FILES))
def test_an_alias_gives_its_action_what_it_takes(name):
    alias = ALIAS_FILES[name]
    parameters = own_action(alias["action_ref"])["parameters"]
    text, = alias["formats"]
    texts = [text] if isinstance(text, str) else text["representation"]
    given = set(re.findall(r"(?:\{\{ |\(\?P<)(\w+)", " ".join(texts)))
    given |= set(alias.get("immutable_parameters", {}))
    assert given <= set(parameters)
    assert {key for key, each in parameters.items() if each.get("required")} <= given


@pytest.mark.parametrize("name", sorted(RULE_FILES))
def test_a_rule_reads_only_what_its_trigger_declares(name):
    rule = RULE_FILES[name]
    if not rule["trigger"]["type"].startswith(REF + "."):
        pytest.skip("not on a trigger of the pack")
    schema = SCHEMAS[rule["trigger"]["type"]]
    texts = [value for value in rule["action"]["parameters"].values() if isinstance(value, str)]
    paths = list(rule["criteria"])
    paths += [path for text in texts for path in re.findall(r"\btrigger(?:\.\w+)+", text)]
    for path in paths:
        first, *steps = path.split(".")
        assert first == "trigger" and steps and declared(schema, steps), path
    assert all("trigger." in text for text in texts if "{{" in text)


@pytest.mark.parametrize("name", sorted(RULE_FILES))
def test_a_rule_on_a_trigger_of_the_pack_asks_whether_there_is_anything_to_do(name):
    rule = RULE_FILES[name]
    if rule["trigger"]["type"].startswith(REF + "."):
        assert rule["criteria"]["trigger.sync.apply"] == {"type": "equals", "pattern": True}


def test_sensors_and_triggers_are_those_of_the_published_interface():
    for stem, sensor in SENSOR_FILES.items():
        assert sensor["enabled"] is SENSORS[sensor["class_name"]]
        assert sensor["entry_point"] == stem + ".py"
        assert (ROOT / "sensors" / sensor["entry_point"]).is_file()
        assert sensor.get("poll_interval", 4) >= 4
    assert set(SCHEMAS) == {"%s.%s" % (REF, name) for name in TRIGGERS}


def test_links_within_the_pack_are_relative_and_lead_somewhere():
    found = {}
    for folder in ("actions", "sensors", "lib", "rules", "aliases", "workflows"):
        for path in (ROOT / folder).glob("**/*"):
            if path.is_symlink():
                found[path.relative_to(ROOT).as_posix()] = os.readlink(str(path))
    assert found == LINKS
    for name in LINKS:
        resolved = (ROOT / name).resolve()
        assert resolved.is_dir() and ROOT in resolved.parents


def test_pack_yaml_holds_what_the_exchange_asks_for():
    pack = yaml.safe_load((ROOT / "pack.yaml").read_text(encoding="utf-8"))
    assert (pack["ref"], pack["name"]) == (REF, REF)
    assert re.match(r"\d+\.\d+\.\d+\Z", pack["version"])
    assert pack["python_versions"] == ["3"]
    assert pack["stackstorm_version"] == ">=3.8.0"
    assert pack["description"] and pack["author"] and "@" in pack["email"]
    changes = (ROOT / "CHANGES.md").read_text(encoding="utf-8")
    assert re.search(r"(?m)^## %s\b" % re.escape(pack["version"]), changes)


def test_licence_icon_and_example_are_in_place():
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    for words in ("Apache License", "Version 2.0", "www.apache.org/licenses/LICENSE-2.0"):
        assert words in licence
    icon = (ROOT / "icon.png").read_bytes()
    assert icon[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", icon[16:24]) == (64, 64)
    assert [path.name for path in ROOT.glob("*.yaml.example")] == [REF + ".yaml.example"]
