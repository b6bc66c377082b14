"""Every problem that a config may have, and the exact line that it gives."""

import datetime

import pytest

from config_samples import ABSENT, BASE, EVERYTHING, GUIDE_ESCALATIONS, changed
from pagerduty_stackflow.errors import ConfigError
from pagerduty_stackflow.settings import load

SERVICE = "service_mapping[0]."
NAMED = "service_mapping[0] (Production API)."
URL = "is not an https URL without user name, query and fragment: give the https "
INSTANCE = "URL without a path, such as https://acme.stackflow-tech.com"
TOKEN = ("URL of the OAuth2 token endpoint, for client_credentials; for user_password one in place "
         "of Cognito's own")
REST = "base URL of the REST API, by default that of the region"
QUEUE = "URL of the SQS queue that is subscribed to the SNS topics of SLA alerts"
DATASTORE = 'give the plain value, or "{{ st2kv.system.name }}" with a datastore key that holds it'
OWN = "give each state a spelling of its own"
UNKNOWN = "is none of the known values: give the "
TYPE = "is of the wrong type: write "
STORE = "came back empty: store a value under its datastore key"
PRIORITY = "lowest priority that opens a PagerDuty incident, P1 to P4"
SECOND = "service_mapping[1] (Database Service)"


def problems(config):
    with pytest.raises(ConfigError) as caught:
        load(config)
    assert caught.value.kind == "config" and "reload --register-configs" in caught.value.hint
    return caught.value.message.split("\n")


ONE_CHANGE = [
    # required
    ("pagerduty.subdomain", ABSENT,
     "is missing: give the part before .pagerduty.com, such as acme"),
    ("pagerduty.from_email", None, "is missing: give the e-mail address of the PagerDuty user that "
     "REST writes are made as"),
    ("stackflow.instance_url", ABSENT, "is missing: give the https " + INSTANCE),
    ("service_mapping", ABSENT, "is missing: give at least one entry, which says which PagerDuty "
     "service stands for which StackFlow assignment group"),
    ("service_mapping", [], "is missing: give at least one entry, which says which PagerDuty "
     "service stands for which StackFlow assignment group"),
    (SERVICE + "pagerduty_service_id", ABSENT,
     NAMED + "pagerduty_service_id: is missing: give the id of the PagerDuty service, as in its "
     "URL"),
    (SERVICE + "pagerduty_service_name", ABSENT,
     "is missing: give the name of the PagerDuty service"),
    (SERVICE + "stackflow_assignment_group", ABSENT, NAMED + "stackflow_assignment_group: is "
     "missing: give the name of the StackFlow assignment group"),
    (SERVICE + "integration_key", None, NAMED + "integration_key: is missing or its datastore key "
     "is empty: give the Integration Key (Events API v2) of the PagerDuty service"),
    ("escalation_mapping", [{"stackflow_sla_policy": "S", "pagerduty_escalation_policy_id": "P"}],
     "[0] (S).trigger_on: is missing: give the event that starts it, sla_breach or sla_warning"),
    # wrong types
    ("pagerduty", "acme", TYPE + "a mapping of keys to values"),
    ("pagerduty.subdomain", 7, TYPE + "text in quotes"),
    ("pagerduty.subdomain", False, TYPE + "text in quotes"),
    ("pagerduty.webhook_secrets", "whsec", TYPE + "a list"),
    ("pagerduty.webhook_secrets", [{}], "[0]: " + TYPE + "text in quotes"),
    ("service_mapping", {"a": 1}, TYPE + "a list"),
    ("service_mapping[1]", ["a"], TYPE + "a mapping of keys to values"),
    ("bidirectional_sync", "ja", "is not true or false: give true to write states and records to "
     "StackFlow"),
    ("auto_acknowledge", 1, TYPE + "true or false"),
    ("sync_notes", [], TYPE + "true or false"),
    ("webhook_listener.port", "eighty", "is not a port: give the port to bind, from 1 to 65535"),
    ("webhook_listener.port", "08091", "is not a port: give the port to bind, from 1 to 65535"),
    ("webhook_listener.port", 8091.5, TYPE + "a whole number"),
    ("webhook_listener.port", "[1-9][0-9]{0,3}",
     "is not a port: give the port to bind, from 1 to 65535"),
    ("webhook_listener.port", True, "is not a port: give the port to bind, from 1 to 65535"),
    ("http.timeout_seconds", "ten",
     "is not a number above 0: give the seconds for one request"),
    ("http.timeout_seconds", [10], TYPE + "a number"),
    ("templates.summary", 3, TYPE + "text in quotes"),
    ("stackflow.resolve_fields.close_code", 3, TYPE + "text in quotes"),
    ("service_mapping[0].stackflow_category", datetime.date(2026, 1, 5),
     NAMED + "stackflow_category: " + TYPE + "text in quotes"),
    # misspelt
    ("priorty_threshold", "P1", "is not a known key: did you mean priority_threshold?"),
    ("pagerduty.api_keys", "x", "is not a known key: did you mean api_key?"),
    ("stackflow.auth.tokenfield", "x", "is not a known key: did you mean token_field?"),
    (SERVICE + "integration_keys", "x",
     NAMED + "integration_keys: is not a known key: did you mean integration_key?"),
    ("severity_mapping.p1", "error", "is not a known key: did you mean P1?"),
    ("urgency_mapping.medium", "P3", "is not a known key: known are high, low"),
    ("stackflow.states.waiting", "x", "is not a known key: known are new, in_progress, on_hold, "
     "pending_customer, pending_vendor, resolved, closed, cancelled"),
    # allowed values
    ("pagerduty.region", "de", UNKNOWN + "service region, us or eu"),
    ("stackflow.auth.method", "oauth", UNKNOWN + "method, client_credentials (OAuth2), "
     "user_password (Cognito) or token"),
    ("stackflow.auth.token_field", "jwt", UNKNOWN + "field of the answer that is sent as bearer "
     "token, access_token or id_token"),
    ("stackflow.webhook_auth", "none", UNKNOWN + "form, signature (HMAC-SHA256 of the body) or "
     "shared_secret (the secret in a header)"),
    ("priority_threshold", "p2", UNKNOWN + PRIORITY),
    ("priority_threshold", "P1|P2", UNKNOWN + PRIORITY),
    ("severity_mapping.P1", "high", UNKNOWN + "PagerDuty severity (critical, error, warning or "
     "info) of each StackFlow priority"),
    ("urgency_mapping.low", "P5", UNKNOWN + "priority of a record born in PagerDuty whose incident "
     "has no priority named P1 to P4, by urgency"),
    # forms
    ("pagerduty.subdomain", "acme.pagerduty.com",
     "is not a subdomain: give the part before .pagerduty.com, such as acme"),
    ("pagerduty.from_email", "pack@example", "is not an e-mail address: give the e-mail address of "
     "the PagerDuty user that REST writes are made as"),
    ("stackflow.instance_url", "acme.stackflow-tech.com", URL + INSTANCE),
    ("stackflow.instance_url", "https://acme.example/prod/api",
     "holds a path: set it as stackflow.api_path"),
    ("stackflow.instance_url", "http://acme.example", URL + INSTANCE),
    ("stackflow.instance_url", "https://[broken", URL + INSTANCE),
    ("stackflow.instance_url", "https://acme.example:0", URL + INSTANCE),
    ("stackflow.api_path", "prod/api",
     "is not a path: give the path of the API on the instance, which starts with /"),
    ("stackflow.auth.token_url", "ftp://acme.example", URL + TOKEN),
    ("pagerduty.events_url", "https://user:pass@proxy.example",
     URL + REST.replace("REST", "Events")),
    ("pagerduty.events_url", "https://user@proxy.example", URL + REST.replace("REST", "Events")),
    ("pagerduty.api_url", "http://proxy.example", URL + REST),
    ("pagerduty.api_url", "https://proxy.example/?a", URL + REST),
    ("pagerduty.api_url", "https://proxy.example/#a", URL + REST),
    ("aws.endpoint_url", "http://127.0.0.1.example.com",
     URL + "URL of an endpoint in place of the public ones"),
    ("aws.endpoint_url", "http://localhost@example.com",
     URL + "URL of an endpoint in place of the public ones"),
    ("aws.region", "US East", "is not the name of a region: give the AWS region; a secret given as "
     "an ARN is read in its own"),
    ("webhook_listener.public_url", "https://hooks.example:port",
     URL + "base URL that the other side calls; /webhooks/... is appended"),
    ("sla.queue_url", "https://sqs.example/a b", URL + QUEUE),
    ("stackflow.webhook_signature_header", "X Signature", "is not the name of a header: give the "
     "header that carries the signature, of letters, digits and hyphens"),
    # numbers
    ("webhook_listener.port", 0, "is not a port: give the port to bind, from 1 to 65535"),
    ("webhook_listener.port", 65536, "is not a port: give the port to bind, from 1 to 65535"),
    ("escalation.unanswered_after_minutes", 0, "is not a number above 0: give the minutes after "
     "which a started policy counts as unanswered and the last-resort alert is sent; may be a "
     "fraction"),
    ("http.timeout_seconds", -1, "is not a number above 0: give the seconds for one request"),
    ("http.timeout_seconds", "0e-1", "is not a number above 0: give the seconds for one request"),
    ("http.timeout_seconds", "0.0", "is not a number above 0: give the seconds for one request"),
    ("http.timeout_seconds", float("nan"),
     "is not a number above 0: give the seconds for one request"),
    ("http.total_seconds", float("inf"),
     "is not a number above 0: give the seconds for one call with its retries"),
    # empty, and not rendered
    ("aws.region", "", "is empty: leave it out, or give the AWS region; a secret given as an ARN "
     "is read in its own"),
    (SERVICE + "pagerduty_service_name", " ", "is empty: give the name of the PagerDuty service"),
    (SERVICE + "integration_key", "", NAMED + "integration_key: " + STORE),
    ("pagerduty.api_key", "\n", STORE),
    ("pagerduty.webhook_secrets", ["a", ""], "[1]: " + STORE),
    ("stackflow.webhook_secrets", [None], "[0]: " + STORE),
    (SERVICE + "previous_integration_keys", ["a", None],
     NAMED + "previous_integration_keys[1]: " + STORE),
    ("stackflow.auth.token", "one\ntwo",
     "holds a line break or a control character: store it as one line"),
    (SERVICE + "integration_key", "{{ st2kv.system.x }}",
     NAMED + "integration_key: still holds {{ or {%: " + DATASTORE),
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
     "[2] (Database Service): stands for the same as " + SECOND + ": keep one of the two"),
    ("service_mapping", BASE["service_mapping"] + [
        dict(BASE["service_mapping"][1], stackflow_assignment_group=BASE["service_mapping"][1][
            "stackflow_assignment_group"].upper(), pagerduty_service_name="Third")],
     "[2] (Third): stands for the same as " + SECOND + ": keep one of the two"),
    ("escalation_mapping", GUIDE_ESCALATIONS["escalation_mapping"] * 2,
     "[1] (P1-Response-SLA): stands for the same as escalation_mapping[0] (P1-Response-SLA): keep "
     "one of the two"),
    ("http.total_seconds", 9.5, "is less than http.timeout_seconds: give at least 10"),
    ("stackflow.states.on_hold", "closed",
     "is spelt like the state closed: " + OWN),
]


@pytest.mark.parametrize("path, value, message", ONE_CHANGE,
                         ids=["{}={!r}"[:60].format(path, value) for path, value, _ in ONE_CHANGE])
def test_one_mistake_gives_one_line(path, value, message):
    found = problems(changed((path, value)))
    if not message.startswith(NAMED):
        message = path + (message if message[0] in ".[" else ": " + message)
    assert found == [message]


AUTH = "stackflow.auth"
EITHER = "; is its datastore key set?"


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
        "secret: is empty: leave it out, or give the AWS Secrets Manager id of a JSON object with "
        "client_secret, or username and password, or token"]),
    ({"method": "token", "token": ""}, ["token: " + STORE]),
])
def test_an_auth_method_names_the_fields_it_lacks(auth, missing):
    assert problems(changed((AUTH, auth))) == [AUTH + "." + line for line in missing]


def test_every_problem_is_listed_at_once():
    config = changed(("pagerduty.subdomain", ABSENT), ("pagerduty.subdomian", "acme"),
                     ("sync_notes", "nein"), ("http.total_seconds", 1),
                     ("stackflow.states", {"resolved": "done", "closed": "done"}))
    assert problems(config) == [
        "pagerduty.subdomian: is not a known key: did you mean subdomain?",
        "pagerduty.subdomain: is missing: give the part before .pagerduty.com, such as acme",
        "sync_notes: is not true or false: give true to copy work notes and PagerDuty notes across",
        "stackflow.states.resolved: is spelt like the state closed: " + OWN,
        "stackflow.states.closed: is spelt like the state resolved: " + OWN,
        "http.total_seconds: is less than http.timeout_seconds: give at least 10"]


def test_a_problem_of_a_late_entry_names_the_entry():
    entries = [dict(BASE["service_mapping"][0], pagerduty_service_name="Service %d" % at,
                    stackflow_assignment_group="Group %d" % at) for at in range(4)]
    entries[3]["integration_key"] = ""
    assert problems(changed(("service_mapping", entries))) == [
        "service_mapping[3] (Service 3).integration_key: " + STORE]


@pytest.mark.parametrize("name", ["", " ", "one\ntwo", 5, None, ["x"]])
def test_an_entry_without_a_usable_name_is_told_by_its_index(name):
    found = problems(changed((SERVICE + "pagerduty_service_name", name),
                             (SERVICE + "integration_key", "")))
    assert SERVICE + "integration_key: " + STORE in found


def test_a_long_name_of_an_entry_is_cut():
    found = problems(changed((SERVICE + "pagerduty_service_name", "x" * 5000),
                             (SERVICE + "integration_key", "")))
    assert found == ["service_mapping[0] (%s).integration_key: %s" % ("x" * 60, STORE)]


def test_a_default_service_is_not_blamed_for_an_entry_without_an_id():
    config = changed((SERVICE + "pagerduty_service_id", None),
                     ("default_pagerduty_service_id", "P1"))
    assert problems(config) == [
        NAMED + "pagerduty_service_id: is missing: give the id of the PagerDuty service, as in its "
        "URL"]


@pytest.mark.parametrize("config", [None, {}, {"pagerduty": None, "stackflow": {"auth": None}}])
def test_an_empty_config_names_all_that_is_required(config):
    assert [line.split(": ")[0] for line in problems(config)] == [
        "pagerduty.subdomain", "pagerduty.from_email", "stackflow.instance_url", "service_mapping",
        "stackflow.auth.token_url", "stackflow.auth.client_id", "stackflow.auth.client_secret"]


def test_a_config_that_is_no_mapping_is_a_problem_too():
    assert problems("x") == ["config: " + TYPE + "a mapping of keys to values"]


def test_no_message_holds_a_value_but_the_name_of_an_entry():
    sentinel, names = "s3cr3t-sentinel", ("pagerduty_service_name", "stackflow_sla_policy")

    def spoil(value):
        if isinstance(value, dict):
            return {key: "Name" if key in names else spoil(each) for key, each in value.items()}
        if isinstance(value, list):
            return [spoil(each) for each in value]
        return sentinel + "{{" if isinstance(value, str) else sentinel

    for bad in (sentinel, sentinel + "\n" + sentinel, [sentinel], {"x": sentinel}):
        for path in {path for path, _, _ in ONE_CHANGE if not path.endswith(names)}:
            try:
                load(changed((path, bad)))
            except ConfigError as error:
                assert sentinel not in str(error) + error.hint
    assert sentinel not in "\n".join(problems(spoil(EVERYTHING)))
