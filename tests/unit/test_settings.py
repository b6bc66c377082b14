"""What a config means once it is loaded."""

import copy
from typing import get_type_hints

import pytest

from config_samples import (BASE, EVERYTHING, GUIDE_ESCALATIONS, GUIDE_SERVICES, changed, replaced,
                            secrets_of)
from pagerduty_stackflow.config_fields import Values
from pagerduty_stackflow.errors import ConfigError
from pagerduty_stackflow.settings import (CONFIG, AwsSettings, EscalationMapping, HttpSettings,
                                          ServiceMapping, SlaSettings, Templates, load)


def parts(values):
    """Settings, and the settings that they hold."""
    yield values
    for value in vars(values).values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Values):
                yield from parts(one)


def test_settings_hold_what_their_classes_name_and_no_more():
    found = list(parts(load(dict(EVERYTHING, **GUIDE_ESCALATIONS))))
    assert {type(one) for one in found} >= set(Values.__subclasses__())
    for one in found:
        assert set(get_type_hints(type(one))) == set(vars(one)), type(one)


def test_settings_do_not_change_and_are_equal_by_their_values():
    one = load(EVERYTHING)
    with pytest.raises(AttributeError, match="region"):
        one.pagerduty.region = "eu"
    assert one == load(EVERYTHING)
    assert one != replaced(one, bidirectional_sync=not one.bidirectional_sync)


def test_no_repr_holds_a_secret():
    settings = load(EVERYTHING)
    for part in parts(settings):
        for secret in secrets_of(EVERYTHING):
            assert secret not in repr(part)
    assert len(secrets_of(EVERYTHING)) == 9


@pytest.mark.parametrize("url", ["http://localhost:8080", "http://127.0.0.1:1/", "http://[::1]:9"])
def test_plain_http_is_fine_on_loopback(url):
    assert load(changed(("stackflow.instance_url", url))).stackflow.instance_url == url.rstrip("/")


def test_the_tables_of_the_guide_load_as_printed():
    settings = load(dict(BASE, **GUIDE_SERVICES, **GUIDE_ESCALATIONS))
    assert settings.service_mapping == (
        ServiceMapping(service_id="P1234AB", service_name="Production API",
                       assignment_group="Platform Engineering", category="api",
                       integration_key="abc123def456...", previous_integration_keys=()),
        ServiceMapping(service_id="P5678CD", service_name="Database Service",
                       assignment_group="Database Reliability", category="database",
                       integration_key="xyz789...", previous_integration_keys=()))
    assert settings.escalation_mapping == (
        EscalationMapping(sla_policy="P1-Response-SLA", escalation_policy_id="PXXXXXX",
                          trigger_on="sla_breach"),)


def test_defaults_are_those_of_the_interface():
    settings = load(BASE)
    assert settings.pagerduty.api_key_secret == "stackflow/integrations/pagerduty/api-key"
    assert settings.stackflow.api_url == "https://acme.stackflow-tech.com/prod/api"
    assert settings.stackflow.states["pending_vendor"] == "pending_vendor"
    assert (settings.bidirectional_sync, settings.auto_acknowledge, settings.sync_notes) == (
        True, True, False)
    assert settings.severity_mapping == {
        "P1": "critical", "P2": "error", "P3": "warning", "P4": "info"}
    assert settings.urgency_mapping == {"high": "P2", "low": "P4"}
    assert (settings.priority_threshold, settings.default_service_id) == ("P2", None)
    assert settings.aws == AwsSettings(region="us-east-1", endpoint_url=None)
    assert (settings.listener.host, settings.listener.port) == ("127.0.0.1", 8091)
    assert settings.http == HttpSettings(timeout_seconds=10, total_seconds=120)
    assert settings.escalation.unanswered_after_minutes == 30
    assert settings.templates == Templates(summary=None, description=None, note=None)
    assert settings.sla == SlaSettings(queue_url=None)
    assert settings.warnings == ()


@pytest.mark.parametrize("region, host", [("us", "pagerduty.com"), ("eu", "eu.pagerduty.com")])
def test_the_region_gives_the_urls_and_an_explicit_one_wins(region, host):
    found = load(changed(("pagerduty.region", region))).pagerduty
    assert (found.events_url, found.api_url) == ("https://events." + host, "https://api." + host)
    assert found.web_url == "https://acme." + host
    found = load(changed(("pagerduty.region", region),
                         ("pagerduty.api_url", "https://proxy.example/"))).pagerduty
    assert (found.events_url, found.api_url) == ("https://events." + host, "https://proxy.example")


def test_null_means_absent_everywhere():
    def nulls(fields):
        return {name: nulls(each.fields) if each.fields else None for name, each in fields.items()}

    config = nulls(CONFIG.fields)
    for part, given in BASE.items():
        config[part] = dict(config[part], **given) if isinstance(given, dict) else given
    config["stackflow"]["resolve_fields"] = {"close_code": None}
    config["sla"]["targets"] = None
    assert load(config) == load(BASE)
    assert load({name: BASE.get(name) for name in CONFIG.fields}) == load(BASE)


def test_values_reach_their_settings():
    settings = load(EVERYTHING)
    assert settings.stackflow.host == "acme.stackflow-tech.com"
    assert settings.stackflow.api_url == "https://Acme.stackflow-tech.com:8443/api"
    assert settings.stackflow.states["on_hold"] == "awaiting"
    assert settings.stackflow.resolve_fields == {"close_code": "[[ incident.title ]]\n"}
    assert settings.templates.description == (
        "[% if pagerduty %]\n[[ pagerduty.title ]][% endif %]")
    assert settings.pagerduty.webhook_secrets == ("first-webhook-secret", "second-webhook-secret")
    assert settings.service_mapping[0].category is None
    assert settings.service_mapping[0].previous_integration_keys == ("previous-integration-key",)
    assert settings.escalation.unanswered_after_minutes == 0.05
    assert settings.severity_mapping == {
        "P1": "critical", "P2": "error", "P3": "warning", "P4": "warning"}


@pytest.mark.parametrize("path, value, expected", [
    ("sync_notes", "yes", True), ("sync_notes", " On", True), ("sync_notes", "TRUE\n", True),
    ("auto_acknowledge", "no", False), ("auto_acknowledge", "Off", False),
    ("bidirectional_sync", "false", False),
    ("http.timeout_seconds", "30", 30.0), ("http.timeout_seconds", "0.5 ", 0.5),
    ("http.total_seconds", 600, 600.0), ("escalation.unanswered_after_minutes", 1 / 3, 1 / 3),
    ("escalation.unanswered_after_minutes", 1e-9, 1e-9),
    ("webhook_listener.port", "8443", 8443), ("webhook_listener.port", 65535, 65535),
])
def test_a_text_that_spells_a_boolean_or_a_number_is_taken_for_one(path, value, expected):
    found = load(changed((path, value)))
    for name in path.replace("webhook_listener", "listener").split("."):
        found = getattr(found, name)
    assert found == expected and type(found) is type(expected)


RETIRED = {"sla.targets": {"P1-Response-SLA": {"priority": "P1", "metric": "x", "minutes": "?"}},
           "escalation.acknowledge_timeout_minutes": 7.5, "escalation.max_levels": 2}


@pytest.mark.parametrize("path", sorted(RETIRED))
def test_a_retired_key_is_accepted_with_a_warning(path):
    warning, = load(changed((path, RETIRED[path]))).warnings
    assert warning.startswith(path + ": is no longer used: ")


def test_the_sla_targets_of_earlier_versions_change_nothing():
    path = "sla.targets"
    for targets in (RETIRED[path], {}, [], "x", 5, "{{ x }}"):
        assert vars(load(changed((path, targets)))) == dict(
            vars(load(BASE)), warnings=("sla.targets: is no longer used: remove it; SLA events "
                                        "come by StackFlow's webhooks or by the SLAQueueSensor",))


def test_a_retired_key_is_no_problem():
    with pytest.raises(ConfigError) as caught:
        load(changed(("escalation.max_levels", 2), ("sync_notes", "nein")))
    assert caught.value.message.split(": ")[0] == "sync_notes"


def test_a_line_break_behind_a_stored_secret_is_dropped():
    settings = load(changed(("service_mapping[0].integration_key", "key\n")))
    assert settings.service_mapping[0].integration_key == "key"


def test_a_group_may_appear_once_with_and_once_without_a_category():
    row = BASE["service_mapping"][0]
    settings = load(dict(BASE, service_mapping=[row, dict(row, stackflow_category=None)]))
    assert [entry.category for entry in settings.service_mapping] == ["api", None]


def test_config_objects_whose_subscript_raises_load():
    class Strict(dict):
        def __getitem__(self, key):
            raise ValueError("Config is missing a key")

    assert load(Strict(BASE)) == load(BASE)


def test_loading_leaves_the_config_as_it_was():
    config = copy.deepcopy(EVERYTHING)
    load(config)
    assert config == EVERYTHING


@pytest.mark.parametrize("auth", [
    {"token_url": "https://t.example/token", "client_id": "c", "client_secret": "s"},
    {"token_url": "https://t.example/token", "client_id": "c", "secret": "s"},
    {"method": "user_password", "client_id": "c", "secret": "s"},
    {"method": "user_password", "client_id": "c", "username": "u", "password": "p"},
    {"method": "token", "token": "t"},
    {"method": "token", "secret": "s"},
])
def test_an_auth_method_with_its_fields_loads(auth):
    found = load(changed(("stackflow.auth", auth))).stackflow.auth
    assert {name: getattr(found, name) for name in auth} == auth
