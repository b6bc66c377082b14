"""The tables of an account, with the look-ups that several parts need."""

from __future__ import annotations

import random
import string
import uuid
from typing import Dict, List, Optional, Set, Tuple, TypeVar

from dev.simulators.pagerduty.model import (
    TRIGGERED, Alert, ApiKey, Extension, Incident, Integration, LogEntry, Notification, Policy,
    Priority, Refused, Service, Subscription, Team, User, Write)

ALPHABET = string.ascii_uppercase + string.digits
Row = TypeVar("Row")
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Account:
    """Everything stored. Ids and keys come from a seeded generator: a run can be repeated."""

    def __init__(self, subdomain: str = "example", seed: int = 0) -> None:
        self.subdomain = subdomain
        self._random = random.Random(seed)
        self.abilities: Set[str] = {"teams", "urgencies", "priorities", "advanced_reports"}
        self.users: Dict[str, User] = {}
        self.teams: Dict[str, Team] = {}
        self.priorities: Dict[str, Priority] = {}
        self.policies: Dict[str, Policy] = {}
        self.services: Dict[str, Service] = {}
        self.integrations: Dict[str, Integration] = {}
        self.extensions: Dict[str, Extension] = {}
        self.api_keys: Dict[str, ApiKey] = {}
        self.subscriptions: Dict[str, Subscription] = {}
        self.incidents: Dict[str, Incident] = {}
        self.alerts: Dict[str, Alert] = {}
        self.alerts_by_key: Dict[str, List[Alert]] = {}
        # Dedup is per routing key and dedup key [developer-docs, events-API-v2/02].
        self.open_alerts: Dict[Tuple[str, str], Alert] = {}
        self.log: List[LogEntry] = []
        self.notifications: Dict[str, List[Notification]] = {}
        self.writes: List[Write] = []

    def new_id(self, prefix: str = "P", length: int = 6) -> str:
        return prefix + "".join(self._random.choice(ALPHABET) for _ in range(length))

    def new_hex(self) -> str:
        """32 hexadecimal digits."""
        return "{:032x}".format(self._random.getrandbits(128))

    def new_uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def new_event_id(self) -> str:
        """26 characters that look like a ULID."""
        return "01" + "".join(self._random.choice(CROCKFORD) for _ in range(24))

    def new_secret(self) -> str:
        """64 characters, as webhook secrets have."""
        letters = string.ascii_letters + string.digits + "+/"
        return "".join(self._random.choice(letters) for _ in range(64))

    def found(self, table: Dict[str, Row], identity: str) -> Row:
        """The row with that id. Raises Refused 404 [developer-docs, REST-API: Errors]."""
        if identity not in table:
            raise Refused(2100, "Not Found", status=404)
        return table[identity]

    def incident(self, identity: str) -> Incident:
        """By id or by incident number [api-schema, GET /incidents/{id}]."""
        if identity.isdigit():
            for incident in self.incidents.values():
                if incident.number == int(identity):
                    return incident
        return self.found(self.incidents, identity)

    def user_by_email(self, email: str) -> Optional[User]:
        wanted = email.strip().lower()
        return next((user for user in self.users.values() if user.email.lower() == wanted), None)

    def integration_by_key(self, key: str) -> Optional[Integration]:
        return next((one for one in self.integrations.values() if one.key == key), None)

    def alerts_of(self, incident: Incident) -> List[Alert]:
        return [self.alerts[alert_id] for alert_id in incident.alert_ids]

    def incidents_with_key(self, key: str) -> List[Incident]:
        """Own key, or the key of one of its alerts [api-schema, parameter incident_key]."""
        holders = {alert.incident_id for alert in self.alerts_by_key.get(key, [])}
        return [incident for incident in self.incidents.values()
                if incident.id in holders or incident.incident_key == key]

    def team_of(self, incident: Incident) -> Optional[Team]:
        team_id = self.policies[incident.policy_id].team_id
        return self.teams[team_id] if team_id else None

    def service_status(self, service: Service) -> str:
        """[api-schema, Service.status]"""
        if service.disabled:
            return "disabled"
        if service.maintenance:
            return "maintenance"
        states = {incident.status for incident in self.incidents.values()
                  if incident.service_id == service.id and incident.open}
        if not states:
            return "active"
        return "critical" if TRIGGERED in states else "warning"
