"""Turn the pack's config into typed settings, or into one message that lists every problem.

The classes declare every key; ``config.schema.yaml`` describes what each means.
"""

from __future__ import annotations

import math
import os
from typing import Any, Dict, Optional, Tuple
from urllib.parse import urlsplit

from .config_fields import Field, Reader, Values, describe, key, section
from .errors import ConfigError
from .incidents import PRIORITIES, STATES

SCHEMA = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../config.schema.yaml")
SEVERITIES = ("critical", "error", "warning", "info")
REGION_HOSTS = {"us": "pagerduty.com", "eu": "eu.pagerduty.com"}
AUTH_NEEDS = {  # for each method, what it needs; of two names either one
    "client_credentials": (("token_url",), ("client_id",), ("client_secret", "secret")),
    "user_password": (("client_id",), ("username", "secret"), ("password", "secret")),
    "token": (("token", "secret"),),
}
RETIRED = {
    "sla.targets": "remove it; SLA events come by StackFlow's webhooks or by the SLAQueueSensor",
    "escalation.acknowledge_timeout_minutes": "set escalation.unanswered_after_minutes instead",
    "escalation.max_levels": "remove it; PagerDuty climbs the escalation policy by itself",
}
HINT = ("Correct the config of the pack (configs/pagerduty_stackflow.yaml), register it with "
        "'st2ctl reload --register-configs' and restart the sensors, which read it at their start.")
_URL = {  # plain http would send secrets in clear, except on loopback
    "form": r"(?i:https://([\w.-]+|\[[\da-f:.]+\])|http://(localhost|127(\.\d+){3}|\[::1\]))"
            r"(:[1-9][0-9]{0,4})?(/[^\s?#]*)?",
    "wrong": "is not an https URL without user name, query and fragment"}
_HEADER = {"form": "[A-Za-z0-9-]+", "wrong": "is not the name of a header"}
_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_PRIORITY = "|".join(PRIORITIES)


class ServiceMapping(Values):
    """A PagerDuty service beside its StackFlow assignment group."""

    service_id: str = key(key="pagerduty_service_id", required=True)
    service_name: str = key(key="pagerduty_service_name", required=True)
    assignment_group: str = key(key="stackflow_assignment_group", required=True)
    category: Optional[str] = key(key="stackflow_category")
    integration_key: str = key(required=True, secret=True)
    previous_integration_keys: Tuple[str, ...] = key((), each=key(secret=True))


class EscalationMapping(Values):
    """The escalation policy that an SLA policy starts."""

    sla_policy: str = key(key="stackflow_sla_policy", required=True)
    escalation_policy_id: str = key(key="pagerduty_escalation_policy_id", required=True)
    trigger_on: str = key(form="sla_breach|sla_warning", required=True)


class PagerDutySettings(Values):
    """How to reach and to recognise PagerDuty; the URLs have no slash at their end."""

    subdomain: str = key(form="[A-Za-z0-9-]+", wrong="is not a subdomain", required=True)
    from_email: str = key(form=r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", wrong="is not an e-mail address",
                          required=True)
    api_key_secret: str = key("stackflow/integrations/pagerduty/api-key")
    api_key: Optional[str] = key(secret=True)
    region: str = key("us", form="us|eu")
    webhook_secrets: Tuple[str, ...] = key((), each=key(secret=True))
    events_url: str = key(end="/", **_URL)
    api_url: str = key(end="/", **_URL)

    @property
    def web_url(self) -> str:
        """Where people see the account (support.pagerduty.com, Log In to PagerDuty)."""
        return "https://%s.%s" % (self.subdomain, REGION_HOSTS[self.region])


class StackFlowAuth(Values):
    """How to get a StackFlow token."""

    method: str = key("client_credentials", form="|".join(AUTH_NEEDS))
    client_id: Optional[str] = key()
    token_url: Optional[str] = key(**_URL)
    scope: Optional[str] = key()
    token_field: str = key("access_token", form="access_token|id_token")
    secret: Optional[str] = key()
    client_secret: Optional[str] = key(secret=True)
    username: Optional[str] = key(secret=True)
    password: Optional[str] = key(secret=True)
    token: Optional[str] = key(secret=True)


class StackFlowSettings(Values):
    """How to reach and to recognise StackFlow; the URLs have no slash at their end."""

    instance_url: str = key(end="/", required=True, **_URL)
    api_path: str = key("/prod/api", end="/", form=r"/[^\s?#]*", wrong="is not a path")
    auth: StackFlowAuth = section(StackFlowAuth)
    webhook_secrets: Tuple[str, ...] = key((), each=key(secret=True))
    webhook_auth: str = key("signature", form="signature|shared_secret")
    webhook_signature_header: str = key("X-StackFlow-Signature", **_HEADER)
    webhook_shared_secret_header: str = key("X-StackFlow-Secret", **_HEADER)
    states: Dict[str, str] = key({}, fields={name: key(name) for name in STATES})
    resolve_fields: Dict[str, str] = key({}, each=key(template=True))

    @property
    def host(self) -> str:
        """Host name of the instance in lower case, without its port."""
        return urlsplit(self.instance_url).hostname or ""

    @property
    def api_url(self) -> str:
        """Base URL of the API."""
        return self.instance_url + self.api_path


class Templates(Values):
    """The site's own texts; None stands for the shipped one."""

    summary: Optional[str] = key(template=True)
    description: Optional[str] = key(template=True)
    note: Optional[str] = key(template=True)


class AwsSettings(Values):
    """Region of Secrets Manager and SQS, and an endpoint in place of the public one."""

    region: str = key("us-east-1", form="[a-z0-9-]+", wrong="is not the name of a region")
    endpoint_url: Optional[str] = key(end="/", **_URL)


class ListenerSettings(Values):
    """Where the webhook listener binds, and the base URL under which the other side reaches it."""

    host: str = key("127.0.0.1")
    port: int = key(8091, form=_PORT, wrong="is not a port")
    public_url: Optional[str] = key(end="/", **_URL)


class SlaSettings(Values):
    """Where SLA events come from beside webhooks."""

    queue_url: Optional[str] = key(**_URL)


class EscalationSettings(Values):
    """When a started escalation policy counts as unanswered."""

    unanswered_after_minutes: float = key(30.0)


class HttpSettings(Values):
    """Seconds for one request, and for one call with its retries."""

    timeout_seconds: float = key(10.0)
    total_seconds: float = key(120.0)


class Settings(Values):
    """The whole config, checked; ``warnings`` name keys that are ignored."""

    warnings: Tuple[str, ...]
    pagerduty: PagerDutySettings = section(PagerDutySettings)
    stackflow: StackFlowSettings = section(StackFlowSettings)
    service_mapping: Tuple[ServiceMapping, ...] = key(
        (), each=section(ServiceMapping), label="pagerduty_service_name", required=True,
        unique=("assignment_group", "category"))
    default_service_id: Optional[str] = key(key="default_pagerduty_service_id")
    escalation_mapping: Tuple[EscalationMapping, ...] = key(
        (), each=section(EscalationMapping), label="stackflow_sla_policy",
        unique=("sla_policy", "trigger_on"))
    bidirectional_sync: bool = key(True)
    priority_threshold: str = key("P2", form=_PRIORITY)
    auto_acknowledge: bool = key(True)
    sync_notes: bool = key(False)
    severity_mapping: Dict[str, str] = key({}, fields={
        priority: key(severity, form="|".join(SEVERITIES))
        for priority, severity in zip(PRIORITIES, SEVERITIES)})
    urgency_mapping: Dict[str, str] = key({}, fields={
        "high": key("P2", form=_PRIORITY), "low": key("P4", form=_PRIORITY)})
    templates: Templates = section(Templates)
    aws: AwsSettings = section(AwsSettings)
    listener: ListenerSettings = section(ListenerSettings, key="webhook_listener")
    sla: SlaSettings = section(SlaSettings)
    escalation: EscalationSettings = section(EscalationSettings)
    http: HttpSettings = section(HttpSettings)


CONFIG: Field = section(Settings)


def load(config: Any) -> Settings:
    """Check a pack config, as StackStorm hands it over, and turn it into settings.

    Null means absent. Raises ConfigError with one line ``path: what is wrong: what to do`` for each
    problem. Of the values it quotes only names of list entries and ids of services.
    """
    reader, settings = _read(config)
    if reader.problems:
        if not CONFIG.want:
            import yaml  # only a wrong config pays for it
            with open(SCHEMA, encoding="utf-8") as schema:
                describe(CONFIG, {"properties": yaml.safe_load(schema)})
        raise ConfigError("\n".join(_read(config)[0].problems), HINT)
    pagerduty = settings.pagerduty
    for name, host in (("events_url", "https://events."), ("api_url", "https://api.")):
        vars(pagerduty)[name] = getattr(pagerduty, name) or host + REGION_HOSTS[pagerduty.region]
    vars(settings)["warnings"] = tuple(reader.warnings)
    return settings


def _read(config: Any) -> Tuple[Reader, Settings]:
    reader = Reader(RETIRED)
    settings: Settings = reader.read("", config, CONFIG)
    if settings is not None:
        _check(settings, reader)
    return reader, settings


def _check(settings: Settings, reader: Reader) -> None:
    """Report what does not fit together; each part that is wrong by itself is None."""
    default, http = settings.default_service_id, settings.http
    ids = [entry.service_id if entry else "" for entry in settings.service_mapping or ()]
    if default and ids and all(ids) and default not in ids:
        reader.problem("default_pagerduty_service_id", "is the id of no entry of service_mapping",
                       "give one of " + ", ".join(ids))
    if settings.stackflow:
        _check_stackflow(settings.stackflow, reader)
    if http and (http.total_seconds or math.inf) < (http.timeout_seconds or 0):
        reader.problem("http.total_seconds", "is less than http.timeout_seconds",
                       "give at least %g" % http.timeout_seconds)


def _check_stackflow(stackflow: StackFlowSettings, reader: Reader) -> None:
    if urlsplit(stackflow.instance_url or "").path:
        reader.problem("stackflow.instance_url", "holds a path", "set it as stackflow.api_path")
    auth, states = stackflow.auth, stackflow.states or {}
    for names in AUTH_NEEDS.get(auth.method, ()) if auth else ():
        paths = tuple("stackflow.auth.%s: " % name for name in names)
        given = any(getattr(auth, name) for name in names)
        if not given and not any(line.startswith(paths) for line in reader.problems):
            reader.problem(paths[0][:-2], "is missing", "method %s needs it%s" % (
                auth.method, ", or %s; is its datastore key set?" % names[1] if names[1:] else ""))
    for name, spelling in states.items():
        same = [other for other in STATES if other != name and states[other] == spelling]
        if spelling and spelling != name and same:
            reader.problem("stackflow.states." + name, "is spelt like the state " + same[0],
                           "give each state a spelling of its own")
