"""Made-up messages of a queue, configs and templates: each is read, or refused in the pack's own
words.
"""

import copy
import json
import os

import pytest
import yaml
from hypothesis import given, strategies as st

from config_samples import EVERYTHING, secrets_of
from dev.local_stackstorm.schemas import validate
from hostile import AT, anything, documents, keys, names, replaced
from pagerduty_stackflow.deliveries import BadDelivery
from pagerduty_stackflow.errors import ConfigError
from pagerduty_stackflow.settings import Settings, load
from pagerduty_stackflow.sla_queue import TOPICS, read
from pagerduty_stackflow.templates import OUTPUT_LIMIT, render

pytestmark = pytest.mark.fuzz
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "sensors", "webhook_sensor.yaml"), encoding="utf-8") as metadata:
    SCHEMAS = {kind["name"]: kind["payload_schema"]
               for kind in yaml.safe_load(metadata)["trigger_types"]}
SETTINGS = load(EVERYTHING)

alerts = (st.dictionaries(keys | st.sampled_from(["incident_id", "sla_policy", "alert_type"]),
                          documents | st.sampled_from(["INC0001234", "breach", "P1"]), max_size=5) |
          st.builds(lambda inner, name: dict(inner, event=name),
                    st.dictionaries(keys, documents, max_size=4), names))
messages = st.text(max_size=20) | anything.map(json.dumps) | alerts.map(json.dumps)
envelopes = st.fixed_dictionaries({"TopicArn": st.sampled_from(list(TOPICS)) | anything}, optional={
    "Type": st.just("Notification") | anything, "Message": messages | anything,
    "MessageId": st.just("sns-1") | anything, "Timestamp": st.just(AT) | anything}).map(json.dumps)


@given(body=messages | envelopes, sent_at=st.none() | st.integers(-10 ** 20, 10 ** 20))
def test_a_message_of_the_queue_becomes_a_payload_that_fits_or_stays(body, sent_at):
    try:
        trigger, payload = read({"MessageId": "id", "Body": body, "Attributes": {
            "SentTimestamp": str(sent_at)}}, SETTINGS.stackflow)
    except BadDelivery as error:
        assert error.message
        return
    assert validate(payload, SCHEMAS[trigger]) == payload
    json.dumps(payload, allow_nan=False, ensure_ascii=False).encode("utf-8")
    assert payload["received_by"] == "queue" and payload["event_id"]
    assert (payload["incident"] or {}).get("number") or not payload["event_type"].startswith("sla.")


values = anything | st.sampled_from([
    "{{ st2kv.system.x }}", "https://", "https://[", "http://a.example", "https://a:b@x.com", "a@b",
    "\n", "P1", float("nan"), float("inf"), 10 ** 400, -1, 0, True, [None], {"": {}}])


@given(changes=st.lists(st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=5), values),
                        max_size=4))
def test_a_config_becomes_settings_or_one_message_without_a_secret(changes):
    config = copy.deepcopy(EVERYTHING)
    for path, value in changes:
        config = replaced(config, path, value)
    try:
        assert isinstance(load(config), Settings)
    except ConfigError as error:
        assert error.message and error.hint
        assert not [one for one in secrets_of(EVERYTHING) if one in error.message + error.hint]


PARTS = st.sampled_from([
    "[[", "]]", "[%", "%]", "[#", "#]", " incident", ".number", ".tags", "|length", "|join(', ')",
    "|first", "|tojson", " for one in ", "incident", " endfor ", " if ", " endif ", "pagerduty",
    ".title", "mapping", " set x = ", "x", "range(", "99999", ")", "(", "[", "]", "'", "\"", " + ",
    " ~ ", " * ", " ** ", ".__class__", ".__globals__", ".items()", "|attr('__init__')", "\0",
    "self", "loop", " macro m() ", " endmacro ", "|default('none')", "1", " / 0", "\u2028", "{{"])


@given(source=st.lists(PARTS, max_size=12).map("".join), title=st.text(max_size=10) | PARTS)
def test_a_template_gives_a_bounded_text_or_the_shipped_one_with_a_warning(source, title):
    given_values = {"incident": {"number": title, "tags": [title, 1]}, "pagerduty": None,
                    "mapping": {"pagerduty_service_name": title}}
    before = repr(given_values)
    text, warnings = render(source, "shipped", "templates.summary", given_values)
    assert isinstance(text, str) and len(text) <= max(OUTPUT_LIMIT, len(source))
    assert (text == "shipped" and len(warnings) == 1) or not warnings
    assert repr(given_values) == before
