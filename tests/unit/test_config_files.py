"""The schema that StackStorm validates a config against and the example agree with the settings."""

import os
import re

import jsonschema
import pytest
import yaml

from config_samples import secrets_of
from pagerduty_stackflow.config_fields import FIELDS
from pagerduty_stackflow.settings import load

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def in_the_pack(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as source:
        return source.read()


def test_schema_and_settings_know_the_same_keys_types_secrets_and_defaults():
    def of_schema(schema):
        found = {"type": schema["type"], "secret": schema.get("secret", False),
                 "default": schema.get("default")}
        for name, each in schema.get("properties", {}).items():
            found[name + "."] = of_schema(each)
        if "items" in schema:
            found["[]"] = of_schema(schema["items"])
        return found

    def of_field(known):
        found = {"type": known.type, "secret": known.secret, "default": known.default}
        for name, each in (known.fields or {}).items():
            found[name + "."] = of_field(each)
        if known.type == "array":
            found["[]"] = of_field(known.each)
        return found

    schema = yaml.safe_load(in_the_pack("config.schema.yaml"))
    assert {name: of_schema(each) for name, each in schema.items()} == {
        name: of_field(each) for name, each in FIELDS.items()}


def test_the_schema_leaves_to_the_settings_what_is_theirs():
    def keywords(schema):
        yield from schema
        for each in list(schema.get("properties", {}).values()):
            yield from keywords(each)
        if "items" in schema:
            yield from keywords(schema["items"])

    schema = yaml.safe_load(in_the_pack("config.schema.yaml"))
    assert {word for each in schema.values() for word in keywords(each)} == {
        "type", "description", "default", "secret", "properties", "items"}


def uncommented(text):
    """The example with its optional settings switched on as well."""
    return re.sub(r"(?m)^( *)# ( *)((?:- )?[a-zA-Z0-9_-]+:(?: .*)?|- \".*)$", r"\1\2\3", text)


@pytest.mark.parametrize("variant", [str, uncommented])
def test_the_example_is_valid_against_the_schema_and_loads(variant):
    text = variant(in_the_pack("pagerduty_stackflow.yaml.example"))
    schema = {"type": "object", "properties": yaml.safe_load(in_the_pack("config.schema.yaml"))}
    jsonschema.Draft4Validator(schema).validate(yaml.safe_load(text))
    config = yaml.safe_load(re.sub(r"\{\{ st2kv\.system\.(\w+) \}\}", r"plain-\1", text))
    assert all(value.startswith("plain-") for value in secrets_of(config))
    assert load(config).service_mapping[1].integration_key == "plain-pagerduty_key_database_service"


def test_the_example_shows_every_key():
    config = yaml.safe_load(uncommented(in_the_pack("pagerduty_stackflow.yaml.example")))

    def unseen(value, fields, path):
        for name, known in fields.items():
            here = value.get(name) if isinstance(value, dict) else None
            if here is None:
                yield path + name
            elif known.fields:
                yield from unseen(here, known.fields, path + name + ".")
            elif known.type == "array" and known.each.fields:
                yield from unseen(here[0], known.each.fields, path + name + "[0].")

    missing = set(unseen(config, FIELDS, ""))
    assert {path for path in missing if not path.startswith("stackflow.states.")} == set()
