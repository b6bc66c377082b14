"""Whatever a genuine delivery holds, its payload fits the trigger's schema: StackStorm drops others
silently.
"""

import json
import os

import yaml
from hypothesis import given, settings, strategies as st

from dev.local_stackstorm.schemas import validate
from pagerduty_stackflow.deliveries import BadDelivery
from pagerduty_stackflow.pagerduty import webhooks as pagerduty
from pagerduty_stackflow.settings import load
from pagerduty_stackflow.stackflow import webhooks as stackflow
from pagerduty_stackflow.stackflow.records import TEXTS, TIMES

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "sensors", "webhook_sensor.yaml"), encoding="utf-8") as metadata:
    SCHEMAS = {kind["name"]: kind["payload_schema"]
               for kind in yaml.safe_load(metadata)["trigger_types"]}
SETTINGS = load({
    "pagerduty": {"subdomain": "acme", "from_email": "pack@example.com"},
    "stackflow": {"instance_url": "https://acme.stackflow-tech.com", "states": {"new": "Open"},
                  "auth": {"method": "token", "secret": "stackflow/token"}},
    "service_mapping": [{
        "pagerduty_service_id": "P1234AB", "pagerduty_service_name": "Production API",
        "stackflow_assignment_group": "Ops", "integration_key": "abc123def456..."}],
}).stackflow
AT = "2026-01-05T10:00:00Z"
INCIDENT = {
    "id": "Q0INCIDENT0001", "type": "incident", "number": 7, "status": "triggered",
    "title": "Disk full", "html_url": "https://acme.pagerduty.com/incidents/Q0INCIDENT0001",
    "urgency": "high", "created_at": AT,
    "resolve_reason": {"type": "merge_resolve_reason", "incident": {"id": "Q0TARGET"}},
    "priority": {"id": "P1PRIO1", "summary": "P2"},
    "service": {"id": "P1234AB", "summary": "Production API"}}
RECORD = {"id": "INC0001234", "number": "INC0001234", "priority": "P2", "state": "in_progress",
          "assignment_group": "Ops", "assigned_to": "jane@example.com", "created_at": AT,
          "updated_at": AT}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (st.lists(inner, max_size=3) |
                   st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8)
keys = st.sampled_from(TEXTS + TIMES + (
    "event", "event_type", "detail-type", "incident", "data", "detail", "timestamp", "sla",
    "previous", "note", "comment", "policy", "elapsed_percent", "text", "author"))
names = st.sampled_from(stackflow.CHANGES + (
    "incident.created", "sla.breach", "sla.warning", "nonsense"))
documents = st.recursive(
    anything | names | st.sampled_from(("new", "resolved", "INC0001234", AT)),
    lambda inner: st.dictionaries(keys, inner, max_size=4), max_leaves=10)


def check(trigger, payload):
    """The payload fits the schema and can be stored, and StackStorm's checks leave it as it is."""
    assert validate(payload, SCHEMAS[trigger]) == payload
    json.dumps(payload, allow_nan=False, ensure_ascii=False).encode("utf-8")


def replaced(value, path, other):
    """A copy of the value with something else at the path."""
    if path and isinstance(value, dict) and value:
        key = sorted(value)[path[0] % len(value)]
        return dict(value, **{key: replaced(value[key], path[1:], other)})
    return other


@settings(deadline=None, max_examples=300)
@given(path=st.lists(st.integers(0, 20), min_size=1, max_size=5), other=anything,
       kind=st.sampled_from(["incident", "incident_note", "ping", "incident_reference", None]))
def test_a_mutated_delivery_of_pagerduty(path, other, kind):
    event = {"id": "1", "event_type": "incident.triggered", "occurred_at": AT,
             "agent": {"id": "PUSER01"}, "client": {"name": "x"},
             "data": dict(INCIDENT, type=kind, content="x", trimmed=False, incident=dict(INCIDENT))}
    body = json.dumps(replaced({"event": event}, path, other)).encode()
    try:
        check(pagerduty.EVENT, pagerduty.parse(body))
    except BadDelivery:
        assert not isinstance(json.loads(body), dict)


@settings(deadline=None, max_examples=200)
@given(body=st.binary(max_size=40) | anything.map(lambda value: json.dumps(value).encode()))
def test_any_body_at_all(body):
    for parse in (lambda: (pagerduty.EVENT, pagerduty.parse(body)),
                  lambda: stackflow.parse(body, SETTINGS)):
        try:
            check(*parse())
        except BadDelivery:
            pass


@settings(deadline=None, max_examples=200)
@given(document=st.dictionaries(keys, documents, max_size=5), name=names | anything)
def test_any_object_as_a_delivery_of_stackflow(document, name):
    check(*stackflow.parse(json.dumps(dict(document, event=name)).encode(), SETTINGS))


@settings(deadline=None, max_examples=200)
@given(name=names, key=keys, other=anything, in_record=st.booleans())
def test_a_mutated_delivery_of_stackflow(name, key, other, in_record):
    document = {"event": name, "timestamp": AT, "id": "evt-1", "incident": dict(RECORD),
                "previous": {"state": "new"}, "sla": {"policy": "P1"}, "note": {"text": "x"}}
    (document["incident"] if in_record else document)[key] = other
    check(*stackflow.parse(json.dumps(document).encode(), SETTINGS))
