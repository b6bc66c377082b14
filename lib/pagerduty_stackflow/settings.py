"""The pack's config as typed settings, or one message with everything that is wrong with it.

``config_fields`` has the table of all keys; here is what they mean and what has to fit together.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple
from urllib.parse import urlsplit

from .config_fields import FIELDS, Field, Reader, Values
from .errors import ConfigError
from .incidents import STATES

REGION_URLS = {
    "us": ("https://events.pagerduty.com", "https://api.pagerduty.com"),
    "eu": ("https://events.eu.pagerduty.com", "https://api.eu.pagerduty.com"),
}
AUTH_NEEDS = {  # for each method, what it needs; of two names either one
    "client_credentials": (("token_url",), ("client_id",), ("client_secret", "secret")),
    "user_password": (("client_id",), ("username", "secret"), ("password", "secret")),
    "token": (("token", "secret"),),
}
HINT = ("Correct the config of the pack (configs/pagerduty_stackflow.yaml), register it with "
        "'st2ctl reload --register-configs' and restart the sensors, which read it at their start.")


class ServiceMapping(Values):
    """A PagerDuty service beside its StackFlow assignment group.

    Without a category it stands for all of the group's. ``previous_integration_keys`` may still
    acknowledge and resolve what they once opened.
    """

    service_id: str
    service_name: str
    assignment_group: str
    category: Optional[str]
    integration_key: str
    previous_integration_keys: Tuple[str, ...]


class EscalationMapping(Values):
    """The escalation policy that an SLA policy starts on ``sla_breach`` or ``sla_warning``."""

    sla_policy: str
    escalation_policy_id: str
    trigger_on: str


class SlaTarget(Values):
    """For the built-in clock: after how many ``minutes`` the ``first_response`` or ``resolution``
    of an incident of ``priority`` is late.
    """

    policy: str
    priority: str
    metric: str
    minutes: float


class PagerDutySettings(Values):
    """How to reach and to recognise PagerDuty; the URLs have no slash at their end."""

    subdomain: str
    from_email: str
    api_key_secret: str
    api_key: Optional[str]
    region: str
    webhook_secrets: Tuple[str, ...]
    events_url: str
    api_url: str

    @property
    def web_url(self) -> str:
        """Where people see the account (support.pagerduty.com, Log In to PagerDuty)."""
        region = "eu." if self.region == "eu" else ""
        return "https://%s.%spagerduty.com" % (self.subdomain, region)


class StackFlowAuth(Values):
    """How to get a StackFlow token.

    ``secret`` is the id of a secret in AWS Secrets Manager; the last four stand in its place.
    """

    method: str
    client_id: Optional[str]
    token_url: Optional[str]
    scope: Optional[str]
    token_field: str
    secret: Optional[str]
    client_secret: Optional[str]
    username: Optional[str]
    password: Optional[str]
    token: Optional[str]


class StackFlowSettings(Values):
    """How to reach and to recognise StackFlow.

    ``instance_url`` and ``api_path`` have no slash at their end. ``states`` maps each of the eight
    names to the API's spelling; ``resolve_fields`` maps further fields of a resolve to templates.
    """

    instance_url: str
    api_path: str
    auth: StackFlowAuth
    webhook_secrets: Tuple[str, ...]
    webhook_auth: str
    webhook_signature_header: str
    webhook_shared_secret_header: str
    states: Dict[str, str]
    resolve_fields: Dict[str, str]

    @property
    def host(self) -> str:
        """Host name of the instance in lower case, without its port."""
        return urlsplit(self.instance_url).hostname or ""

    @property
    def api_url(self) -> str:
        """Base URL of the API, without a slash at its end."""
        return self.instance_url + self.api_path


class Templates(Values):
    """The site's own texts; None stands for the shipped one."""

    summary: Optional[str]
    description: Optional[str]
    note: Optional[str]


class AwsSettings(Values):
    """Region of Secrets Manager and SQS, and an endpoint in place of the public one."""

    region: str
    endpoint_url: Optional[str]


class ListenerSettings(Values):
    """Where the webhook listener binds, and the base URL under which the other side reaches it."""

    host: str
    port: int
    public_url: Optional[str]


class SlaSettings(Values):
    """The ways in for SLA events that need a setting: an SQS queue and the built-in clock."""

    queue_url: Optional[str]
    targets: Tuple[SlaTarget, ...]


class EscalationSettings(Values):
    """How many minutes an escalation waits for an acknowledgement, how many levels it climbs."""

    acknowledge_timeout_minutes: float
    max_levels: int


class HttpSettings(Values):
    """Seconds for one request, and for one call with its retries."""

    timeout_seconds: float
    total_seconds: float


class Settings(Values):
    """The whole config, checked."""

    pagerduty: PagerDutySettings
    stackflow: StackFlowSettings
    service_mapping: Tuple[ServiceMapping, ...]
    default_service_id: Optional[str]
    escalation_mapping: Tuple[EscalationMapping, ...]
    bidirectional_sync: bool
    priority_threshold: str
    auto_acknowledge: bool
    sync_notes: bool
    severity_mapping: Dict[str, str]
    urgency_mapping: Dict[str, str]
    templates: Templates
    aws: AwsSettings
    listener: ListenerSettings
    sla: SlaSettings
    escalation: EscalationSettings
    http: HttpSettings


def load(config: Any) -> Settings:
    """Check a pack config, as StackStorm hands it over, and turn it into settings.

    Null means absent. Raises ConfigError whose message has one line ``path: what is wrong: what to
    do`` for every problem; it never holds a value of the config, only keys and ids of services.
    """
    reader = Reader()
    values = reader.read("config", config, Field("object", fields=FIELDS))
    if values is not None:
        _check_repeated("service_mapping", values["service_mapping"],
                        ("stackflow_assignment_group", "stackflow_category"), reader, _folded)
        _check_repeated("escalation_mapping", values["escalation_mapping"],
                        ("stackflow_sla_policy", "trigger_on"), reader)
        _check_default(values, reader)
        _check_stackflow(values["stackflow"] or {}, reader)
        _check_http(values["http"] or {}, reader)
    if reader.problems:
        raise ConfigError("\n".join(reader.problems), HINT)
    return _build(values)


def _folded(name: Optional[str]) -> str:
    """A group or category as routing compares it: case does not count."""
    return (name or "").casefold()


def _check_repeated(path: str, entries: Any, keys: Tuple[str, str], reader: Reader,
                    compared: Callable[[Any], Any] = lambda value: value) -> None:
    """An entry whose keys are those of an earlier one would never be chosen."""
    first: Dict[Any, int] = {}
    for at, entry in enumerate(entries or []):
        names = tuple(compared(entry[key]) for key in keys) if entry else (None,)
        if names[0] and first.setdefault(names, at) != at:
            reader.problem("{}[{}]".format(path, at), "has the {} and {} of {}[{}]".format(
                *keys, path, first[names]), "keep one of the two")


def _check_default(values: Dict[str, Any], reader: Reader) -> None:
    default = values["default_pagerduty_service_id"]
    ids = [entry and entry["pagerduty_service_id"] for entry in values["service_mapping"] or []]
    if default and ids and all(ids) and default not in ids:
        reader.problem("default_pagerduty_service_id", "is the id of no entry of service_mapping",
                       "give one of " + ", ".join(ids))


def _check_stackflow(values: Dict[str, Any], reader: Reader) -> None:
    auth = values.get("auth") or {}
    for names in AUTH_NEEDS.get(auth.get("method") or "", ()):
        paths = ["stackflow.auth." + name for name in names]
        if not any(auth[name] for name in names) and reader.paths.isdisjoint(paths):
            needs = "method {} needs it".format(auth["method"])
            if len(names) > 1:
                needs += ", or {}; is the datastore key set?".format(names[1])
            reader.problem(paths[0], "is missing", needs)
    given = values.get("states") or {}
    spelling = {name: given.get(name) or name for name in STATES}
    for name in STATES:
        same = [other for other in STATES if other != name and spelling[other] == spelling[name]]
        if given.get(name) and same:
            reader.problem("stackflow.states." + name, "is spelt like the state " + same[0],
                           "give each state a spelling of its own")


def _check_http(values: Dict[str, Any], reader: Reader) -> None:
    timeout, total = values.get("timeout_seconds"), values.get("total_seconds")
    if timeout and total and total < timeout:
        reader.problem("http.total_seconds", "is less than http.timeout_seconds",
                       "give at least {}".format(timeout))


def _build(values: Dict[str, Any]) -> Settings:
    pagerduty, stackflow, sla = values["pagerduty"], values["stackflow"], values["sla"]
    events_url, api_url = REGION_URLS[pagerduty["region"]]
    pagerduty.update(events_url=_base(pagerduty["events_url"] or events_url),
                     api_url=_base(pagerduty["api_url"] or api_url),
                     webhook_secrets=tuple(pagerduty["webhook_secrets"]))
    stackflow.update(instance_url=_base(stackflow["instance_url"]),
                     api_path=_base(stackflow["api_path"]),
                     auth=StackFlowAuth(**stackflow["auth"]),
                     webhook_secrets=tuple(stackflow["webhook_secrets"]),
                     states={name: stackflow["states"][name] or name for name in STATES},
                     resolve_fields={name: template for name, template in
                                     stackflow["resolve_fields"].items() if template})
    listener, aws = values["webhook_listener"], values["aws"]
    return Settings(
        pagerduty=PagerDutySettings(**pagerduty),
        stackflow=StackFlowSettings(**stackflow),
        service_mapping=tuple(map(_service_mapping, values["service_mapping"])),
        default_service_id=values["default_pagerduty_service_id"],
        escalation_mapping=tuple(map(_escalation_mapping, values["escalation_mapping"])),
        bidirectional_sync=values["bidirectional_sync"],
        priority_threshold=values["priority_threshold"],
        auto_acknowledge=values["auto_acknowledge"],
        sync_notes=values["sync_notes"],
        severity_mapping=values["severity_mapping"],
        urgency_mapping=values["urgency_mapping"],
        templates=Templates(**values["templates"]),
        aws=AwsSettings(region=aws["region"], endpoint_url=_base(aws["endpoint_url"])),
        listener=ListenerSettings(host=listener["host"], port=listener["port"],
                                  public_url=_base(listener["public_url"])),
        sla=SlaSettings(queue_url=sla["queue_url"],
                        targets=tuple(SlaTarget(policy=policy, **target)
                                      for policy, target in sla["targets"].items())),
        escalation=EscalationSettings(**values["escalation"]),
        http=HttpSettings(**values["http"]))


def _base(url: Any) -> Any:
    return url.rstrip("/") if url else url


def _service_mapping(entry: Dict[str, Any]) -> ServiceMapping:
    return ServiceMapping(
        service_id=entry["pagerduty_service_id"], service_name=entry["pagerduty_service_name"],
        assignment_group=entry["stackflow_assignment_group"], category=entry["stackflow_category"],
        integration_key=entry["integration_key"],
        previous_integration_keys=tuple(entry["previous_integration_keys"]))


def _escalation_mapping(entry: Dict[str, Any]) -> EscalationMapping:
    return EscalationMapping(sla_policy=entry["stackflow_sla_policy"],
                             escalation_policy_id=entry["pagerduty_escalation_policy_id"],
                             trigger_on=entry["trigger_on"])
