"""Every key that the pack's config may hold in one table, and a walk along it.

StackStorm validates types against ``config.schema.yaml`` before any code of the pack runs and stops
at its first failure. So the schema is lenient; what is required, allowed or misspelt is said here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable, Dict, List, Optional, Set, Tuple
from urllib.parse import urlsplit

from .incidents import PRIORITIES, STATES

SEVERITIES = ("critical", "error", "warning", "info")


class Secret(str):
    """A text that does not show itself where whatever holds it is shown."""

    def __repr__(self) -> str:
        return "***"


class Values:
    """What a class annotates, given by name; it does not change.

    For classes that every action defines and of which few objects are made: a named tuple takes
    0.1 ms to define, a dataclass 0.3 (docs/performance.md).
    """

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("%s.%s does not change" % (type(self).__name__, name))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __repr__(self) -> str:
        return "%s(%r)" % (type(self).__name__, vars(self))


class Field(Values):
    """What one key may hold.

    ``want`` says what to give; ``check`` answers what is wrong with a value, or "". ``fields`` are
    the keys of an object; ``each`` describes every item of a list, or of an object with free keys.
    """

    type: str
    want: str
    default: Any
    required: bool = False
    secret: bool = False
    template: bool = False
    choices: Tuple[str, ...] = ()
    check: Optional[Callable[[Any], str]] = None
    fields: Optional[Dict[str, Field]] = None
    each: Optional[Field] = None

    def __init__(self, type: str, want: str = "", default: Any = None, **more: Any) -> None:
        super().__init__(type=type, want=want, default=default, **more)


def _matches(pattern: str, wrong: str) -> Callable[[str], str]:
    return lambda value: "" if re.match(pattern + r"\Z", value) else wrong


def _between(low: float, high: float) -> Callable[[float], str]:
    return lambda value: "" if low < value < high else "is out of range"


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"\s", value):
        return "is not a URL of http or https"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "carries a user name, a query or a fragment"
    if parts.scheme == "https" or re.match(r"(localhost|127(\.\d+){3}|::1)\Z",
                                           parts.hostname or ""):
        return ""
    return "would send secrets in clear"


def _origin(value: str) -> str:
    return _url(value) or ("holds a path" if urlsplit(value).path.strip("/") else "")


def _text(want: str, default: Optional[str] = None, **more: Any) -> Field:
    return Field("string", want, default, **more)


def _choice(choices: Tuple[str, ...], default: Optional[str] = None) -> Field:
    want = "one of " + ", ".join(choices)
    return Field("string", want, default, required=default is None, choices=choices)


def _number(default: Optional[float], want: str = "a number above 0",
            kind: str = "number") -> Field:
    above_zero = _between(0, float("inf"))
    return Field(kind, want, default, required=default is None, check=above_zero)


def _object(**fields: Field) -> Field:
    return Field("object", fields=fields)


def _list(each: Field) -> Field:
    return Field("array", default=[], each=each)


_HTTPS = "an https URL (plain http for loopback only) "
_BASE_URL = _text(_HTTPS + "to which the paths of the API are appended", check=_url)
_HEADER = _matches(r"[A-Za-z0-9-]+", "is not the name of a header")
_WEBHOOK_SECRETS = _list(_text("the secret that deliveries are signed with", secret=True))

FIELDS: Dict[str, Field] = {
    "pagerduty": _object(
        subdomain=_text("the part before .pagerduty.com, such as acme", required=True,
                        check=_matches(r"[A-Za-z0-9-]+", "is not a subdomain")),
        from_email=_text("the e-mail address of the PagerDuty user that writes are made as",
                         required=True, check=_matches(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+",
                                                       "is not an e-mail address")),
        api_key_secret=_text("the Secrets Manager id or ARN of the REST API key",
                             "stackflow/integrations/pagerduty/api-key"),
        api_key=_text("the REST API key", secret=True),
        region=_choice(("us", "eu"), "us"),
        webhook_secrets=_WEBHOOK_SECRETS,
        events_url=_BASE_URL,
        api_url=_BASE_URL),
    "stackflow": _object(
        instance_url=_text("the https URL of the instance (plain http for loopback only) without a "
                           "path, such as https://acme.stackflow-tech.com", required=True,
                           check=_origin),
        api_path=_text("a path that starts with /", "/prod/api",
                       check=_matches(r"/[^\s?#]*", "is not a path")),
        auth=_object(
            method=_choice(("client_credentials", "user_password", "token"), "client_credentials"),
            client_id=_text("the OAuth2 client id"),
            token_url=_text(_HTTPS + "of the OAuth2 token endpoint", check=_url),
            scope=_text("the scopes, separated by spaces"),
            token_field=_choice(("access_token", "id_token"), "access_token"),
            secret=_text("the Secrets Manager id of the credentials"),
            client_secret=_text("the OAuth2 client secret", secret=True),
            username=_text("the user name", secret=True),
            password=_text("the password", secret=True),
            token=_text("the token", secret=True)),
        webhook_secrets=_WEBHOOK_SECRETS,
        webhook_auth=_choice(("signature", "shared_secret"), "signature"),
        webhook_signature_header=_text("letters, digits and hyphens", "X-StackFlow-Signature",
                                       check=_HEADER),
        webhook_shared_secret_header=_text("letters, digits and hyphens", "X-StackFlow-Secret",
                                           check=_HEADER),
        states=_object(**{name: _text("the API's spelling of this state") for name in STATES}),
        resolve_fields=Field("object", default={}, each=_text("a template", template=True))),
    "service_mapping": Field("array", "one entry at least", [], required=True, each=_object(
        pagerduty_service_id=_text("the id of the PagerDuty service", required=True),
        pagerduty_service_name=_text("the name of the PagerDuty service", required=True),
        stackflow_assignment_group=_text("the name of the StackFlow assignment group",
                                         required=True),
        stackflow_category=_text("a StackFlow category"),
        integration_key=_text("the Integration Key of the PagerDuty service (Events API v2)",
                              required=True, secret=True),
        previous_integration_keys=_list(_text("an earlier Integration Key", secret=True)))),
    "default_pagerduty_service_id": _text("the pagerduty_service_id of a service_mapping entry"),
    "escalation_mapping": _list(_object(
        stackflow_sla_policy=_text("the name of the StackFlow SLA policy", required=True),
        pagerduty_escalation_policy_id=_text("the id of the PagerDuty escalation policy",
                                             required=True),
        trigger_on=_choice(("sla_breach", "sla_warning")))),
    "bidirectional_sync": Field("boolean", default=True),
    "priority_threshold": _choice(PRIORITIES, "P2"),
    "auto_acknowledge": Field("boolean", default=True),
    "sync_notes": Field("boolean", default=False),
    "severity_mapping": _object(**{priority: _choice(SEVERITIES, severity)
                                   for priority, severity in zip(PRIORITIES, SEVERITIES)}),
    "urgency_mapping": _object(high=_choice(PRIORITIES, "P2"), low=_choice(PRIORITIES, "P4")),
    "templates": _object(summary=_text("a template", template=True),
                         description=_text("a template", template=True),
                         note=_text("a template", template=True)),
    "aws": _object(
        region=_text("the name of an AWS region", "us-east-1",
                     check=_matches(r"[a-z0-9-]+", "is not the name of a region")),
        endpoint_url=_text(_HTTPS + "that stands for the public AWS endpoints", check=_url)),
    "webhook_listener": _object(
        host=_text("the address to bind", "127.0.0.1"),
        port=Field("integer", "a port from 1 to 65535", 8091, check=_between(0, 65536)),
        public_url=_text(_HTTPS + "to which /webhooks/... is appended", check=_url)),
    "sla": _object(
        queue_url=_text(_HTTPS + "of the SQS queue", check=_url),
        targets=Field("object", default={}, each=_object(
            priority=_choice(PRIORITIES), metric=_choice(("first_response", "resolution")),
            minutes=_number(None)))),
    "escalation": _object(acknowledge_timeout_minutes=_number(5),
                          max_levels=_number(3, "a whole number above 0", "integer")),
    "http": _object(timeout_seconds=_number(10), total_seconds=_number(120)),
}

_TYPES: Dict[str, Tuple[Any, str, str]] = {  # in Python, in words, how to write it in YAML
    "boolean": (bool, "true or false", "true or false without quotes"),
    "string": (str, "text", "text in quotes"),
    "integer": (int, "a number", "a whole number without quotes"),
    "number": ((int, float), "a number", "a number without quotes"),
    "array": ((list, tuple), "a list", "a list"),
    "object": (Mapping, "a mapping", "a mapping of keys to values"),
}


class Reader:
    """Collects problems on the way. It quotes keys only: any value may be a secret."""

    def __init__(self) -> None:
        self.problems: List[str] = []
        self.paths: Set[str] = set()

    def problem(self, path: str, wrong: str, remedy: str) -> None:
        """Note ``path: what is wrong: what to do``."""
        self.problems.append("{}: {}: {}".format(path, wrong, remedy))
        self.paths.add(path)

    def read(self, path: str, value: Any, known: Field) -> Any:
        """The value with defaults filled in; None when it is wrong, or absent without a default."""
        if value is None and known.type == "object":
            value = {}
        if value is None or (value == [] and known.required):
            if known.required:
                self._missing(path, known)
            return known.default
        wrong, remedy = _wrong(value, known)
        if wrong:
            self.problem(path, wrong, remedy)
            return None
        if known.type == "object":
            return self._read_object(path, value, known)
        if known.type == "array" and known.each:
            return [self._read_item("{}[{}]".format(path, at), item, known.each)
                    for at, item in enumerate(value)]
        # A line break behind a stored key would end up in a header.
        text = value.strip() if isinstance(value, str) and not known.template else value
        return Secret(text) if known.secret else text

    def _missing(self, path: str, known: Field) -> None:
        if known.secret:
            self.problem(path, "is missing or came back empty",
                         "give " + known.want + "; is the datastore key set?")
        else:
            self.problem(path, "is missing", "give " + known.want)

    def _read_item(self, path: str, item: Any, known: Field) -> Any:
        """An absent item of a list: StackStorm makes null of a datastore key that is not set."""
        return self.read(path, "" if item is None and known.type == "string" else item, known)

    def _read_object(self, path: str, value: Any, known: Field) -> Dict[str, Any]:
        prefix = "" if path == "config" else path + "."
        if known.each:
            return {str(key): self.read(prefix + str(key), item, known.each)
                    for key, item in value.items()}
        fields = known.fields or {}
        for key in value:
            if key not in fields:
                self.problem(prefix + str(key), "is not a known key", _nearest(str(key), fields))
        return {key: self.read(prefix + key, value.get(key), each) for key, each in fields.items()}


def _wrong(value: Any, known: Field) -> Tuple[str, str]:
    """What is wrong with a value that is there, and what to do; nothing: "" first."""
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        return "still holds {{ or {%", (
            "write [[ value ]] and [% statement %]" if known.template else
            'give the plain value, or "{{ st2kv.system.name }}" with a datastore key that holds it')
    kind, _, spelling = _TYPES[known.type]
    if not isinstance(value, kind) or (isinstance(value, bool) and known.type != "boolean"):
        words = [word for python, word, _ in _TYPES.values() if isinstance(value, python)]
        return "is " + (words[0] if words else "of another type"), "write " + spelling
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return _blank(known)
        if known.secret and not value.isprintable():
            return "holds a line break or a control character", "store it as one line"
        if known.choices and value not in known.choices:
            return "is none of the known values", "give " + known.want
    return (known.check(value) if known.check else ""), "give " + known.want


def _blank(known: Field) -> Tuple[str, str]:
    if known.secret:
        return "came back empty", "is the datastore key set?"
    return "is empty", "give " + known.want + ("" if known.required else " or leave the key out")


def _nearest(key: str, fields: Dict[str, Field]) -> str:
    import difflib  # only a wrong config pays for it
    names = {name.lower(): name for name in fields}
    near = difflib.get_close_matches(key.lower(), names, 1)
    return "did you mean {}?".format(names[near[0]]) if near else "known are " + ", ".join(fields)
