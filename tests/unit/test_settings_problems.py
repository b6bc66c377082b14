"""Every problem that a config may have, and the exact line that it gives."""

import pytest

from config_samples import ABSENT, BASE, EVERYTHING, GUIDE_ESCALATIONS, changed
from pagerduty_stackflow.errors import ConfigError
from pagerduty_stackflow.settings import load

SERVICE = "service_mapping[0]."
TARGET = {"priority": "P1", "metric": "resolution", "minutes": 60}
HTTPS = "give an https URL (plain http for loopback only) "
INSTANCE = ("give the https URL of the instance (plain http for loopback only) without a path, "
            "such as https://acme.stackflow-tech.com")
DATASTORE = 'give the plain value, or "{{ st2kv.system.name }}" with a datastore key that holds it'
OWN = "give each state a spelling of its own"
LISTED = "give one of P1, P2, P3, P4"


def problems(config):
    with pytest.raises(ConfigError) as caught:
        load(config)
    assert caught.value.kind == "config" and "reload --register-configs" in caught.value.hint
    return caught.value.message.split("\n")


ONE_CHANGE = [
    # required
    ("pagerduty.subdomain", ABSENT,
     "is missing: give the part before .pagerduty.com, such as acme"),
    ("pagerduty.from_email", None,
     "is missing: give the e-mail address of the PagerDuty user that writes are made as"),
    ("stackflow.instance_url", ABSENT, "is missing: " + INSTANCE),
    ("service_mapping", ABSENT, "is missing: give one entry at least"),
    ("service_mapping", [], "is missing: give one entry at least"),
    (SERVICE + "pagerduty_service_id", ABSENT, "is missing: give the id of the PagerDuty service"),
    (SERVICE + "pagerduty_service_name", ABSENT,
     "is missing: give the name of the PagerDuty service"),
    (SERVICE + "stackflow_assignment_group", ABSENT,
     "is missing: give the name of the StackFlow assignment group"),
    (SERVICE + "integration_key", None, "is missing or came back empty: give the Integration Key "
     "of the PagerDuty service (Events API v2); is the datastore key set?"),
    # wrong types
    ("pagerduty", "acme", "is text: write a mapping of keys to values"),
    ("pagerduty.subdomain", 7, "is a number: write text in quotes"),
    ("pagerduty.webhook_secrets", "whsec", "is text: write a list"),
    ("pagerduty.webhook_secrets", [{}], "[0]: is a mapping: write text in quotes"),
    ("service_mapping", {"a": 1}, "is a mapping: write a list"),
    ("service_mapping[1]", ["a"], "is a list: write a mapping of keys to values"),
    ("bidirectional_sync", "true", "is text: write true or false without quotes"),
    ("auto_acknowledge", 1, "is a number: write true or false without quotes"),
    ("sync_notes", [], "is a list: write true or false without quotes"),
    ("webhook_listener.port", "8091", "is text: write a whole number without quotes"),
    ("webhook_listener.port", 8091.5, "is a number: write a whole number without quotes"),
    ("escalation.max_levels", True, "is true or false: write a whole number without quotes"),
    ("http.timeout_seconds", "10", "is text: write a number without quotes"),
    ("templates.summary", 3, "is a number: write text in quotes"),
    ("stackflow.resolve_fields.close_code", 3, "is a number: write text in quotes"),
    ("sla.targets", [], "is a list: write a mapping of keys to values"),
    ("sla.targets.P1-Response-SLA", 15, "is a number: write a mapping of keys to values"),
    ("aws.region", {1, 2}, "is of another type: write text in quotes"),
    ("escalation_mapping", [{"stackflow_sla_policy": "S", "pagerduty_escalation_policy_id": "P"}],
     "[0].trigger_on: is missing: give one of sla_breach, sla_warning"),
    # misspelt
    ("priorty_threshold", "P1", "is not a known key: did you mean priority_threshold?"),
    ("pagerduty.api_keys", "x", "is not a known key: did you mean api_key?"),
    ("stackflow.auth.tokenfield", "x", "is not a known key: did you mean token_field?"),
    (SERVICE + "integration_keys", "x", "is not a known key: did you mean integration_key?"),
    ("severity_mapping.p1", "error", "is not a known key: did you mean P1?"),
    ("urgency_mapping.medium", "P3", "is not a known key: known are high, low"),
    ("stackflow.states.waiting", "x", "is not a known key: known are new, in_progress, on_hold, "
     "pending_customer, pending_vendor, resolved, closed, cancelled"),
    # allowed values
    ("pagerduty.region", "de", "is none of the known values: give one of us, eu"),
    ("stackflow.auth.method", "oauth", "is none of the known values: give one of "
     "client_credentials, user_password, token"),
    ("stackflow.auth.token_field", "jwt",
     "is none of the known values: give one of access_token, id_token"),
    ("stackflow.webhook_auth", "none",
     "is none of the known values: give one of signature, shared_secret"),
    ("priority_threshold", "p2", "is none of the known values: " + LISTED),
    ("severity_mapping.P1", "high", "is none of the known values: give one of critical, error, "
     "warning, info"),
    ("urgency_mapping.low", "P5", "is none of the known values: " + LISTED),
    # forms
    ("pagerduty.subdomain", "acme.pagerduty.com",
     "is not a subdomain: give the part before .pagerduty.com, such as acme"),
    ("pagerduty.from_email", "pack@example", "is not an e-mail address: give the e-mail address of "
     "the PagerDuty user that writes are made as"),
    ("stackflow.instance_url", "acme.stackflow-tech.com",
     "is not a URL of http or https: " + INSTANCE),
    ("stackflow.instance_url", "https://acme.example/prod/api", "holds a path: " + INSTANCE),
    ("stackflow.instance_url", "http://acme.example", "would send secrets in clear: " + INSTANCE),
    ("stackflow.instance_url", "https://[broken", "is not a URL of http or https: " + INSTANCE),
    ("stackflow.api_path", "prod/api", "is not a path: give a path that starts with /"),
    ("stackflow.auth.token_url", "ftp://acme.example", "is not a URL of http or https: " + HTTPS +
     "of the OAuth2 token endpoint"),
    ("pagerduty.events_url", "https://user:pass@proxy.example", "carries a user name, a query or a "
     "fragment: " + HTTPS + "to which the paths of the API are appended"),
    ("pagerduty.api_url", "http://proxy.example", "would send secrets in clear: " + HTTPS +
     "to which the paths of the API are appended"),
    ("aws.endpoint_url", "http://127.0.0.1.example.com", "would send secrets in clear: " + HTTPS +
     "that stands for the public AWS endpoints"),
    ("aws.region", "US East", "is not the name of a region: give the name of an AWS region"),
    ("webhook_listener.public_url", "https://hooks.example:port",
     "is not a URL of http or https: " + HTTPS + "to which /webhooks/... is appended"),
    ("sla.queue_url", "https://sqs.example/a b", "is not a URL of http or https: " + HTTPS +
     "of the SQS queue"),
    ("stackflow.webhook_signature_header", "X Signature",
     "is not the name of a header: give letters, digits and hyphens"),
    # numbers
    ("webhook_listener.port", 0, "is out of range: give a port from 1 to 65535"),
    ("webhook_listener.port", 65536, "is out of range: give a port from 1 to 65535"),
    ("escalation.acknowledge_timeout_minutes", 0, "is out of range: give a number above 0"),
    ("escalation.max_levels", -1, "is out of range: give a whole number above 0"),
    ("http.timeout_seconds", float("nan"), "is out of range: give a number above 0"),
    ("http.total_seconds", float("inf"), "is out of range: give a number above 0"),
    ("sla.targets.S", dict(TARGET, minutes=0), ".minutes: is out of range: give a number above 0"),
    # shape of a target
    ("sla.targets.S", dict(TARGET, minutes=None), ".minutes: is missing: give a number above 0"),
    ("sla.targets.S", dict(TARGET, priority=1), ".priority: is a number: write text in quotes"),
    ("sla.targets.S", dict(TARGET, metric="reaction"),
     ".metric: is none of the known values: give one of first_response, resolution"),
    # empty, and not rendered
    ("aws.region", "", "is empty: give the name of an AWS region or leave the key out"),
    (SERVICE + "pagerduty_service_name", " ", "is empty: give the name of the PagerDuty service"),
    (SERVICE + "integration_key", "", "came back empty: is the datastore key set?"),
    ("pagerduty.api_key", "\n", "came back empty: is the datastore key set?"),
    ("pagerduty.webhook_secrets", ["a", ""], "[1]: came back empty: is the datastore key set?"),
    ("stackflow.webhook_secrets", [None], "[0]: came back empty: is the datastore key set?"),
    (SERVICE + "previous_integration_keys", ["a", None],
     "[1]: came back empty: is the datastore key set?"),
    ("stackflow.auth.token", "one\ntwo",
     "holds a line break or a control character: store it as one line"),
    (SERVICE + "integration_key", "{{ st2kv.system.x }}", "still holds {{ or {%: " + DATASTORE),
    ("pagerduty.webhook_secrets", ["{{st2kv.system.x}}"],
     "[0]: still holds {{ or {%: " + DATASTORE),
    ("sync_notes", "{{ st2kv.system.x }}", "still holds {{ or {%: " + DATASTORE),
    ("templates.note", "{% if text %}x{% endif %}",
     "still holds {{ or {%: write [[ value ]] and [% statement %]"),
    ("stackflow.resolve_fields.close_notes", "{{ incident.title }}",
     "still holds {{ or {%: write [[ value ]] and [% statement %]"),
    # what has to fit together
    ("default_pagerduty_service_id", "P0000XX",
     "is the id of no entry of service_mapping: give one of P1234AB, P5678CD"),
    ("service_mapping", BASE["service_mapping"] + BASE["service_mapping"][1:],
     "[2]: has the stackflow_assignment_group and stackflow_category of service_mapping[1]: keep "
     "one of the two"),
    ("service_mapping", BASE["service_mapping"] + [
        dict(BASE["service_mapping"][1], stackflow_assignment_group=BASE["service_mapping"][1][
            "stackflow_assignment_group"].upper())],
     "[2]: has the stackflow_assignment_group and stackflow_category of service_mapping[1]: keep "
     "one of the two"),
    ("escalation_mapping", GUIDE_ESCALATIONS["escalation_mapping"] * 2,
     "[1]: has the stackflow_sla_policy and trigger_on of escalation_mapping[0]: keep one of the "
     "two"),
    ("http.total_seconds", 9.5, "is less than http.timeout_seconds: give at least 10"),
    ("stackflow.states.on_hold", "closed",
     "is spelt like the state closed: " + OWN),
]


@pytest.mark.parametrize("path, value, message", ONE_CHANGE,
                         ids=["{}={!r}"[:60].format(path, value) for path, value, _ in ONE_CHANGE])
def test_one_mistake_gives_one_line(path, value, message):
    found = problems(changed((path, value)))
    assert found == [path + (message if message[0] in ".[" else ": " + message)]


AUTH = "stackflow.auth"
EITHER = "; is the datastore key set?"


@pytest.mark.parametrize("auth, missing", [
    (None, ["token_url: is missing: method client_credentials needs it",
            "client_id: is missing: method client_credentials needs it",
            "client_secret: is missing: method client_credentials needs it, or secret" + EITHER]),
    ({"method": "user_password"}, [
        "client_id: is missing: method user_password needs it",
        "username: is missing: method user_password needs it, or secret" + EITHER,
        "password: is missing: method user_password needs it, or secret" + EITHER]),
    ({"method": "user_password", "client_id": "c", "username": "u"}, [
        "password: is missing: method user_password needs it, or secret" + EITHER]),
    ({"method": "token", "token": None}, [
        "token: is missing: method token needs it, or secret" + EITHER]),
    ({"method": "token", "secret": ""}, [
        "secret: is empty: give the Secrets Manager id of the credentials or leave the key out"]),
    ({"method": "token", "token": ""}, ["token: came back empty: is the datastore key set?"]),
])
def test_an_auth_method_names_the_fields_it_lacks(auth, missing):
    assert problems(changed((AUTH, auth))) == [AUTH + "." + line for line in missing]


def test_every_problem_is_listed_at_once():
    config = changed(("pagerduty.subdomain", ABSENT), ("pagerduty.subdomian", "acme"),
                     ("sync_notes", "no"), ("http.total_seconds", 1),
                     ("stackflow.states", {"resolved": "done", "closed": "done"}))
    assert problems(config) == [
        "pagerduty.subdomian: is not a known key: did you mean subdomain?",
        "pagerduty.subdomain: is missing: give the part before .pagerduty.com, such as acme",
        "sync_notes: is text: write true or false without quotes",
        "stackflow.states.resolved: is spelt like the state closed: " + OWN,
        "stackflow.states.closed: is spelt like the state resolved: " + OWN,
        "http.total_seconds: is less than http.timeout_seconds: give at least 10"]


def test_a_default_service_is_not_blamed_for_an_entry_without_an_id():
    config = changed((SERVICE + "pagerduty_service_id", None),
                     ("default_pagerduty_service_id", "P1"))
    assert problems(config) == [
        SERVICE + "pagerduty_service_id: is missing: give the id of the PagerDuty service"]


@pytest.mark.parametrize("config", [None, {}, {"pagerduty": None, "stackflow": {"auth": None}}])
def test_an_empty_config_names_all_that_is_required(config):
    assert [line.split(": ")[0] for line in problems(config)] == [
        "pagerduty.subdomain", "pagerduty.from_email", "stackflow.instance_url", "service_mapping",
        "stackflow.auth.token_url", "stackflow.auth.client_id", "stackflow.auth.client_secret"]


def test_a_config_that_is_no_mapping_is_a_problem_too():
    assert problems("x") == ["config: is text: write a mapping of keys to values"]


def test_no_message_holds_a_value():
    sentinel = "s3cr3t-sentinel"

    def spoil(value):
        if isinstance(value, dict):
            return {key: spoil(each) for key, each in value.items()}
        if isinstance(value, list):
            return [spoil(each) for each in value]
        return sentinel + "{{" if isinstance(value, str) else sentinel

    for bad in (sentinel, sentinel + "\n" + sentinel, [sentinel], {"x": sentinel}):
        for path, _, _ in ONE_CHANGE:
            try:
                load(changed((path, bad)))
            except ConfigError as error:
                assert sentinel not in str(error) + error.hint
    assert sentinel not in "\n".join(problems(spoil(EVERYTHING)))
