"""Configs that the tests of settings share."""

import copy
import json
import re

from pagerduty_stackflow.settings import CONFIG

# The two tables of StackFlow's guide "PagerDuty Integration", as printed there.
GUIDE_SERVICES = json.loads("""{
  "service_mapping": [
    {
      "pagerduty_service_id": "P1234AB",
      "pagerduty_service_name": "Production API",
      "stackflow_assignment_group": "Platform Engineering",
      "stackflow_category": "api",
      "integration_key": "abc123def456..."
    },
    {
      "pagerduty_service_id": "P5678CD",
      "pagerduty_service_name": "Database Service",
      "stackflow_assignment_group": "Database Reliability",
      "stackflow_category": "database",
      "integration_key": "xyz789..."
    }
  ]
}""")
GUIDE_ESCALATIONS = json.loads("""{
  "escalation_mapping": [
    {
      "stackflow_sla_policy": "P1-Response-SLA",
      "pagerduty_escalation_policy_id": "PXXXXXX",
      "trigger_on": "sla_breach"
    }
  ]
}""")
BASE = {
    "pagerduty": {"subdomain": "acme", "from_email": "pack@example.com"},
    "stackflow": {"instance_url": "https://acme.stackflow-tech.com",
                  "auth": {"method": "token", "secret": "stackflow/token"}},
    "service_mapping": GUIDE_SERVICES["service_mapping"],
}
ABSENT = ...
"""Has the same name in every process of a run, which sorts its tests by their names."""


def changed(*changes):
    """BASE with each (path, value) of the changes put in; a path is written as in the messages."""
    config = copy.deepcopy(BASE)
    for path, value in changes:
        keys = [int(key) if key.isdigit() else key for key in re.findall(r"[^.\[\]]+", path)]
        at = config
        for key in keys[:-1]:
            at = at[key] if isinstance(at, list) else at.setdefault(key, {})
        if value is ABSENT:
            del at[keys[-1]]
        else:
            at[keys[-1]] = value
    return config


def replaced(values, **others):
    """A copy of some settings with other values for those that are named."""
    return type(values)(**dict(vars(values), **others))


EVERYTHING = changed(
    ("pagerduty.api_key", "rest-api-key"),
    ("pagerduty.webhook_secrets", ["first-webhook-secret", "second-webhook-secret"]),
    ("stackflow.instance_url", "https://Acme.stackflow-tech.com:8443/"),
    ("stackflow.api_path", "/api/"),
    ("stackflow.auth", {"method": "token", "token": "stackflow-token",
                        "username": "stackflow-username", "password": "stackflow-password",
                        "client_secret": "stackflow-client-secret"}),
    ("stackflow.states.on_hold", "awaiting"),
    ("stackflow.resolve_fields.close_code", "[[ incident.title ]]\n"),
    ("service_mapping", [dict(BASE["service_mapping"][0], stackflow_category=None,
                              previous_integration_keys=["previous-integration-key"])]),
    ("templates.description", "[% if pagerduty %]\n[[ pagerduty.title ]][% endif %]"),
    ("default_pagerduty_service_id", "P1234AB"),
    ("severity_mapping.P4", "warning"),
    ("escalation.unanswered_after_minutes", 0.05))


def secrets_of(config):
    """Every value of the config that its settings declare as a secret."""
    def walk(value, known):
        if value is None:
            return []
        if known.type == "object":
            children = known.fields or dict.fromkeys(value, known.each)
            return [found for name, each in value.items() for found in walk(each, children[name])]
        if known.type == "array":
            return [found for each in value for found in walk(each, known.each)]
        return [value] if known.secret else []

    return walk(config, CONFIG)
