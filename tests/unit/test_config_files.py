"""The schema that StackStorm validates a config against and the example agree with the settings."""

import os
import re

import jsonschema
import pytest
import yaml

from config_samples import secrets_of
from dev.local_stackstorm import config
from pagerduty_stackflow.errors import ConfigError
from pagerduty_stackflow.settings import CONFIG, RETIRED, load

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def in_the_pack(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as source:
        return source.read()


SCHEMA = yaml.safe_load(in_the_pack("config.schema.yaml"))


def types_of(schema):
    """Those that StackStorm lets pass, the one that the key should have first."""
    given = schema.get("type") or [one["type"] for one in schema["anyOf"]]
    return [given] if isinstance(given, str) else given


def declared(path, schema, field):
    """Path, schema and field of everything that either of the two knows, None where it does not."""
    yield path, schema, field
    inner = dict.fromkeys(list(schema.get("properties", {})) + list(field.fields if field else ()))
    for name in inner:
        here = (path + "." + name).lstrip(".")
        if here not in RETIRED:
            yield from declared(here, schema.get("properties", {}).get(name, {}),
                                field and field.fields.get(name))
    if "items" in schema:
        yield from declared(path + "[]", schema["items"], field and field.each)


KEYS = list(declared("", {"type": "object", "properties": SCHEMA, "default": {}}, CONFIG))[1:]


def test_schema_and_settings_agree_on_keys_types_secrets_and_defaults():
    assert len(KEYS) > 80
    for path, schema, field in KEYS:
        assert schema and field, path
        default = schema.get("default", {} if field.type == "object" else None)
        assert (types_of(schema)[0], schema.get("secret", False), default) == (
            field.type, field.secret,
            list(field.default) if field.type == "array" else field.default), path


def test_the_schema_describes_every_key_and_says_which_are_required():
    by_the_name = ("stackflow.states", "severity_mapping", "urgency_mapping")
    for path, schema, field in KEYS:
        text = schema.get("description", "")
        assert text or path.endswith("[]") or path.rpartition(".")[0] in by_the_name, path
        assert text.startswith("Required. ") == field.required, path


def test_the_schema_is_lenient_where_stackstorm_can_bear_it():
    """StackStorm masks secrets by their one type (st2common/util/secrets.py), and refuses a list of
    types at the top (action_params.json).
    """
    for path, schema, field in KEYS:
        single = field.secret or field.type in ("array", "object")
        wanted = {field.type} if single else {field.type, "string", "number", "boolean"}
        assert set(types_of(schema)) == wanted, path
        assert "." in path or path.endswith("[]") or isinstance(schema.get("type", ""), str), path


def test_the_schema_leaves_to_the_settings_what_is_theirs():
    assert {word for _, schema, _ in KEYS for word in schema} == {
        "type", "anyOf", "description", "default", "secret", "properties", "items"}


def test_what_yaml_makes_of_a_slip_of_the_pen_passes_stackstorm_and_is_told_by_the_pack():
    text = """
pagerduty: {subdomain: 12, from_email: no, region: true}
stackflow:
  instance_url: https://acme.stackflow-tech.com
  auth: {method: token, secret: stackflow/token, client_id: 0123, scope: 1.10}
service_mapping:
  - pagerduty_service_id: 8e5
    pagerduty_service_name: Production API
    stackflow_assignment_group: 42
    stackflow_category: off
    integration_key: key
bidirectional_sync: "yes"
auto_acknowledge: 1
sync_notes: "false"
priority_threshold: 2
http: {timeout_seconds: "20", total_seconds: "60 s"}
webhook_listener: {port: "8091", host: 0.5}
"""
    values = yaml.safe_load(text)
    config.check(SCHEMA, values)
    with pytest.raises(ConfigError) as caught:
        load(values)
    assert {line.split(": ")[0] for line in caught.value.message.split("\n")} == {
        "pagerduty.subdomain", "pagerduty.from_email", "pagerduty.region",
        "stackflow.auth.client_id", "stackflow.auth.scope",
        "service_mapping[0] (Production API).stackflow_assignment_group",
        "service_mapping[0] (Production API).stackflow_category", "auto_acknowledge",
        "priority_threshold", "http.total_seconds", "webhook_listener.host"}


def test_null_passes_stackstorm_where_it_means_absent():
    for path in [path for path, _, _ in KEYS if not path.endswith("[]")]:
        value = None
        for name in reversed(path.split(".")):
            value = {name.rstrip("[]"): [value] if name.endswith("[]") else value}
        config.check(SCHEMA, value)


def uncommented(text):
    """The example with its optional settings switched on as well."""
    return re.sub(r"(?m)^( *)# ( *)((?:- )?[a-zA-Z0-9_-]+:(?: .*)?|- \".*)$", r"\1\2\3", text)


@pytest.mark.parametrize("variant", [str, uncommented])
def test_the_example_is_valid_against_the_schema_and_loads(variant):
    text = variant(in_the_pack("pagerduty_stackflow.yaml.example"))
    jsonschema.Draft4Validator({"type": "object", "properties": SCHEMA}).validate(
        yaml.safe_load(text))
    values = yaml.safe_load(re.sub(r"\{\{ st2kv\.system\.(\w+) \}\}", r"plain-\1", text))
    assert all(value.startswith("plain-") for value in secrets_of(values))
    assert load(values).service_mapping[1].integration_key == "plain-pagerduty_key_database_service"


def test_the_example_shows_every_key():
    values = yaml.safe_load(uncommented(in_the_pack("pagerduty_stackflow.yaml.example")))

    def unseen(value, fields, path):
        for name, known in fields.items():
            here = value.get(name) if isinstance(value, dict) else None
            if here is None:
                yield path + name
            elif known.fields:
                yield from unseen(here, known.fields, path + name + ".")
            elif known.type == "array" and known.each.fields:
                yield from unseen(here[0], known.each.fields, path + name + "[0].")

    missing = set(unseen(values, CONFIG.fields, "")) - set(RETIRED)
    assert {path for path in missing if not path.startswith("stackflow.states.")} == set()
