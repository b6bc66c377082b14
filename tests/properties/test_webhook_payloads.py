"""Whatever a genuine delivery holds, its payload fits the trigger's schema: StackStorm drops others
silently.
"""

import json
import os

import pytest
import yaml
from hypothesis import given, strategies as st

from dev.local_stackstorm.schemas import validate
from hostile import AT, anything, documents, keys, names, replaced
from pagerduty_stackflow.deliveries import BadDelivery
from pagerduty_stackflow.pagerduty import webhooks as pagerduty
from pagerduty_stackflow.settings import load
from pagerduty_stackflow.stackflow import webhooks as stackflow

pytestmark = pytest.mark.fuzz
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


def check(trigger, payload):
    """The payload fits the schema and can be stored, and StackStorm's checks leave it as it is."""
    assert validate(payload, SCHEMAS[trigger]) == payload
    json.dumps(payload, allow_nan=False, ensure_ascii=False).encode("utf-8")


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


@given(body=st.binary(max_size=40) | anything.map(lambda value: json.dumps(value).encode()))
def test_any_body_at_all(body):
    for parse in (lambda: (pagerduty.EVENT, pagerduty.parse(body)),
                  lambda: stackflow.parse(body, SETTINGS)):
        try:
            check(*parse())
        except BadDelivery:
            pass


@given(document=st.dictionaries(keys, documents, max_size=5), name=names | anything)
def test_any_object_as_a_delivery_of_stackflow(document, name):
    check(*stackflow.parse(json.dumps(dict(document, event=name)).encode(), SETTINGS))


@given(name=names, key=keys, other=anything, in_record=st.booleans())
def test_a_mutated_delivery_of_stackflow(name, key, other, in_record):
    document = {"event": name, "timestamp": AT, "id": "evt-1", "incident": dict(RECORD),
                "previous": {"state": "new"}, "sla": {"policy": "P1"}, "note": {"text": "x"}}
    (document["incident"] if in_record else document)[key] = other
    check(*stackflow.parse(json.dumps(document).encode(), SETTINGS))
