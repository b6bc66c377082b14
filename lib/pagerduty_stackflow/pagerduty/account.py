"""What surrounds incidents in a PagerDuty account: services, policies, on-calls, extensions.

PagerDuty REST API (https://developer.pagerduty.com/api-reference): Services, Escalation Policies,
On-Calls, Abilities, Extensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import quote, urlsplit

from ..deliveries import as_object
from .rest import RestClient, no_answer

EVENTS_V2 = "events_api_v2_inbound_integration"
"""Type of the integrations whose key is a routing key of the Events API v2."""
SILENT = ("disabled", "maintenance")
"""Statuses of a service that opens no incidents (REST API, Service, `status`)."""


@dataclass(frozen=True)
class Integration:
    """An integration of a service; ``key`` is None where PagerDuty does not show it."""

    type: str
    key: Optional[str] = field(repr=False)


@dataclass(frozen=True)
class Service:
    """A service; ``status`` is active, warning, critical, maintenance or disabled."""

    id: str
    name: str
    status: str
    policy_id: Optional[str]
    policy_name: Optional[str]
    integrations: Tuple[Integration, ...]


@dataclass(frozen=True)
class OnCall:
    """Who is on call now at a level of an escalation policy, counted from 1; ``until`` is null
    where it does not end.
    """

    policy_id: str
    level: int
    user_id: str
    name: str
    html_url: Optional[str]
    schedule: Optional[str]
    until: Optional[str]


@dataclass(frozen=True)
class Extension:
    """An extension of services, such as a legacy V2 webhook."""

    id: str
    url: str = field(repr=False)
    service_ids: Tuple[str, ...]


class Account:
    """Reads of the account of ``rest``; every method raises ApiError or CredentialsError."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def abilities(self) -> List[str]:
        """What the account's plan has (List abilities)."""
        found = self._rest.call("GET", "/abilities").get("abilities")
        if not isinstance(found, list):
            raise no_answer("abilities")
        return [one for one in found if isinstance(one, str)]

    def host(self) -> Optional[str]:
        """The account's web host, such as acme.pagerduty.com, from its first service; None where
        none shows it.
        """
        body = self._rest.call("GET", "/services", params=(("limit", "1"),))
        if not isinstance(body.get("services"), list):
            raise no_answer("services")
        return next(filter(None, map(_host, body["services"])), None)

    def service(self, service_id: str) -> Service:
        """A service with its integrations; NotFoundError where there is none."""
        data = self._rest.call("GET", "/services/" + quote(service_id, safe=""),
                               params=(("include[]", "integrations"),)).get("service")
        if not isinstance(data, dict):
            raise no_answer("service")
        policy = as_object(data.get("escalation_policy"))
        return Service(
            str(data.get("id") or service_id), str(data.get("name") or data.get("summary") or ""),
            str(data.get("status") or ""), _text(policy.get("id")), _text(policy.get("summary")),
            tuple(map(_integration, _rows(data.get("integrations")))))

    def policy_name(self, policy_id: str) -> str:
        """The name of an escalation policy; NotFoundError where there is none."""
        body = self._rest.call("GET", "/escalation_policies/" + quote(policy_id, safe=""))
        if not isinstance(body.get("escalation_policy"), dict):
            raise no_answer("escalation policy")
        return str(body["escalation_policy"].get("name") or policy_id)

    def on_calls(self, policy_ids: Sequence[str]) -> List[OnCall]:
        """Who is on call now for these policies, in one list: it has a rate limit of its own."""
        if not policy_ids:
            return []
        found = self._rest.pages("/oncalls", "oncalls",
                                 tuple(("escalation_policy_ids[]", one) for one in policy_ids))
        return sorted((_on_call(row) for row in found),
                      key=lambda one: (one.policy_id, one.level, one.name))

    def extensions(self) -> List[Extension]:
        """All extensions, among them legacy V2 webhooks."""
        return [Extension(str(row.get("id") or ""), str(row.get("endpoint_url") or ""),
                          tuple(_ids(row.get("extension_objects"))))
                for row in self._rest.pages("/extensions", "extensions", ())]


def _integration(data: Mapping[str, Any]) -> Integration:
    return Integration(str(data.get("type") or ""), _text(data.get("integration_key")))


def _on_call(data: Mapping[str, Any]) -> OnCall:
    user, schedule = as_object(data.get("user")), as_object(data.get("schedule"))
    level = data.get("escalation_level")
    return OnCall(
        str(as_object(data.get("escalation_policy")).get("id") or ""),
        level if isinstance(level, int) else 0, str(user.get("id") or ""),
        str(user.get("name") or user.get("summary") or user.get("id") or ""),
        _text(user.get("html_url")), _text(schedule.get("summary")), _text(data.get("end")))


def _host(data: Any) -> Optional[str]:
    try:
        return urlsplit(str(as_object(data).get("html_url") or "")).hostname
    except ValueError:
        return None


def _ids(value: Any) -> List[str]:
    return [str(row.get("id")) for row in _rows(value) if row.get("id")]


def _rows(value: Any) -> List[Dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None
