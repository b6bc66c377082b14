"""The JSON of resources and references, as the examples and schemas of api-schema show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, Iterable, List, Optional

from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.model import (
    RESOLVED, TRIGGERED, Agent, Alert, Extension, Incident, Integration, LogEntry,
    Note, Policy, Priority, Service, Subscription, User)

Json = Dict[str, Any]
API = "https://api.pagerduty.com"
INTEGRATION_TYPE = "events_api_v2_inbound_integration"


def stamp(moment: Optional[datetime]) -> Optional[str]:
    """ISO 8601 in UTC with whole seconds, as REST gives it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


class Shapes:
    def __init__(self, account: Account) -> None:
        self._account = account

    def reference(self, kind: str, identity: str, summary: str, path: str) -> Json:
        return {"id": identity, "type": kind + "_reference", "summary": summary,
                "self": "{}/{}".format(API, path), "html_url": self._page(path)}

    def _page(self, path: str) -> str:
        return "https://{}.pagerduty.com/{}".format(self._account.subdomain, path)

    def _resource(self, kind: str, identity: str, summary: str, path: str, **fields: Any) -> Json:
        return {**self.reference(kind, identity, summary, path), "type": kind, **fields}

    def user_reference(self, user_id: str) -> Json:
        return self.reference("user", user_id, self._account.users[user_id].name,
                              "users/" + user_id)

    def service_reference(self, service_id: str) -> Json:
        return self.reference("service", service_id, self._account.services[service_id].name,
                              "services/" + service_id)

    def policy_reference(self, policy_id: str) -> Json:
        return self.reference("escalation_policy", policy_id,
                              self._account.policies[policy_id].name,
                              "escalation_policies/" + policy_id)

    def integration_reference(self, integration_id: str, kind: str = INTEGRATION_TYPE) -> Json:
        integration = self._account.integrations[integration_id]
        path = "services/{}/integrations/{}".format(integration.service_id, integration_id)
        return self.reference(kind, integration_id, integration.name, path)

    def incident_reference(self, incident: Incident, numbered: bool = True) -> Json:
        """REST puts the number into the summary, webhooks do not."""
        summary = incident.title
        if numbered:
            summary = "[#{}] {}".format(incident.number, incident.title)
        return self.reference("incident", incident.id, summary, "incidents/" + incident.id)

    def agent(self, agent: Optional[Agent]) -> Optional[Json]:
        """Who did it, as webhooks say it."""
        if agent is None:
            return None
        if agent.kind == "user":
            return self.user_reference(agent.id)
        return self.integration_reference(agent.id, "inbound_integration")

    def rest_agent(self, agent: Optional[Agent], incident: Incident) -> Json:
        """REST names users and services; what no user did, the service did [AgentReference]."""
        if agent is not None and agent.kind == "user":
            return self.user_reference(agent.id)
        return self.service_reference(incident.service_id)

    def _teams(self, incident: Incident) -> List[Json]:
        team = self._account.team_of(incident)
        return [self.reference("team", team.id, team.name, "teams/" + team.id)] if team else []

    def _resolve_reason(self, incident: Incident, numbered: bool) -> Optional[Json]:
        if incident.merged_into is None:
            return None
        target = self._account.incidents[incident.merged_into]
        return {"type": "merge_resolve_reason",
                "incident": self.incident_reference(target, numbered)}

    def webhook_incident(self, incident: Incident) -> Json:
        """[developer-docs, webhooks/01]; an alert-born incident has incident_key null."""
        whole = self.incident_reference(incident)
        priority = self._account.priorities.get(incident.priority_id or "")
        return {
            "id": incident.id, "type": "incident", "self": whole["self"],
            "html_url": whole["html_url"], "number": incident.number, "status": incident.status,
            "incident_key": incident.incident_key, "created_at": stamp(incident.created_at),
            "reopened_at": stamp(incident.reopened_at), "title": incident.title,
            "service": self.service_reference(incident.service_id),
            "assignees": [self.user_reference(one) for one in incident.assignees],
            "escalation_policy": self.policy_reference(incident.policy_id),
            "teams": self._teams(incident),
            "priority": self.priority_reference(priority) if priority else None,
            "urgency": incident.urgency, "conference_bridge": None,
            "resolve_reason": self._resolve_reason(incident, numbered=False),
            "incident_type": {"name": "incident_default"}}

    def priority_reference(self, priority: Priority) -> Json:
        return self.reference("priority", priority.id, priority.name, "priorities/" + priority.id)

    def incident(self, incident: Incident, include: Iterable[str] = ()) -> Json:
        summary = "[#{}] {}".format(incident.number, incident.title)
        priority = self._account.priorities.get(incident.priority_id or "")
        return self._resource(
            "incident", incident.id, summary, "incidents/" + incident.id,
            incident_number=incident.number, title=incident.title, status=incident.status,
            incident_key=incident.incident_key, urgency=incident.urgency,
            created_at=stamp(incident.created_at), updated_at=stamp(incident.updated_at),
            resolved_at=stamp(incident.resolved_at), reopened_at=stamp(incident.reopened_at),
            last_status_change_at=stamp(incident.last_status_change_at),
            last_status_change_by=self.rest_agent(incident.status_changed_by, incident),
            service=self._service_of(incident, include),
            escalation_policy=self.policy_reference(incident.policy_id),
            teams=self._teams(incident), priority=self.priority(priority) if priority else None,
            assigned_via=incident.assigned_via, **self._people(incident, include),
            pending_actions=self._pending(incident),
            resolve_reason=self._resolve_reason(incident, numbered=True),
            first_trigger_log_entry=self._first_entry(incident, include),
            alert_counts=self._alert_counts(incident), is_mergeable=True,
            conference_bridge=None, incident_type={"name": "incident_default"})

    def _service_of(self, incident: Incident, include: Iterable[str]) -> Json:
        if "services" in include:
            return self.service(self._account.services[incident.service_id])
        return self.service_reference(incident.service_id)

    def _people(self, incident: Incident, include: Iterable[str]) -> Json:
        def person(agent: Agent, wanted: str) -> Json:
            if agent.kind == "user" and wanted in include:
                return self.user(self._account.users[agent.id])
            return self.rest_agent(agent, incident)
        return {
            "assignments": [{"at": stamp(at), "assignee": person(Agent("user", one), "assignees")}
                            for at, one in incident.assignments],
            "acknowledgements": [
                {"at": stamp(at), "acknowledger": person(agent, "acknowledgers")}
                for at, agent in incident.acknowledgements]}

    @staticmethod
    def _pending(incident: Incident) -> List[Json]:
        timers = [(timer.due, kind) for kind, timer in incident.timers.items()]
        return [{"type": kind, "at": stamp(due)} for due, kind in sorted(timers)]

    def _first_entry(self, incident: Incident, include: Iterable[str]) -> Json:
        entry = incident.log[0]
        if "first_trigger_log_entries" in include:
            return self.log_entry(entry, ())
        return self._entry_reference(entry)

    def _entry_reference(self, entry: LogEntry) -> Json:
        return self.reference(entry.type, entry.id, _summary(entry), "log_entries/" + entry.id)

    def _alert_counts(self, incident: Incident) -> Json:
        states = [alert.status for alert in self._account.alerts_of(incident)]
        return {"all": len(states), TRIGGERED: states.count(TRIGGERED),
                RESOLVED: states.count(RESOLVED)}

    def alert(self, alert: Alert) -> Json:
        incident = self._account.incidents[alert.incident_id]
        shape = self._resource("alert", alert.id, alert.summary, "alerts/" + alert.id)
        shape["self"] = "{}/incidents/{}/alerts/{}".format(API, incident.id, alert.id)
        return {**shape, "created_at": stamp(alert.created_at), "status": alert.status,
                "resolved_at": stamp(alert.resolved_at), "alert_key": alert.alert_key,
                "severity": alert.severity, "suppressed": False,
                "service": self.service_reference(alert.service_id),
                "integration": self.integration_reference(alert.integration_id),
                "incident": self.incident_reference(incident),
                "body": {"type": "alert_body", "details": alert.details,
                         "contexts": alert.contexts}}

    def note(self, note: Note) -> Json:
        author = self.user_reference(note.user_id) if note.user_id else None
        return {"id": note.id, "content": note.content, "created_at": stamp(note.created_at),
                "user": author, "channel": {"summary": "The PagerDuty website or APIs"}}

    def log_entry(self, entry: LogEntry, include: Iterable[str]) -> Json:
        """Without include[]=channels the channel shows its type only."""
        incident = self._account.incidents[entry.incident_id]
        channel = entry.channel
        if "channels" not in include:
            channel = {"type": channel["type"]}
        shown = self.incident_reference(incident)
        if "incidents" in include:
            shown = self.incident(incident)
        shape = {**self._entry_reference(entry), "type": entry.type, "channel": channel,
                 "created_at": stamp(entry.at), "agent": self.rest_agent(entry.agent, incident),
                 "incident": shown, "service": self.service_reference(incident.service_id),
                 "teams": self._teams(incident), "contexts": []}
        if entry.note is not None:
            shape["note"] = entry.note
        return shape

    def service(self, service: Service, include: Iterable[str] = ()) -> Json:
        """The key shows only with include[]=integrations; the live API gives it [go-pagerduty]."""
        own = [one for one in self._account.integrations.values() if one.service_id == service.id]
        if "integrations" in include:
            integrations = [self.integration(one) for one in own]
        else:
            integrations = [self.integration_reference(one.id) for one in own]
        rule = {"type": "constant", "urgency": service.urgency}
        return self._resource(
            "service", service.id, service.name, "services/" + service.id, name=service.name,
            description=None, created_at=stamp(service.created_at),
            status=self._account.service_status(service), integrations=integrations,
            escalation_policy=self.policy_reference(service.policy_id), teams=[],
            acknowledgement_timeout=service.acknowledgement_timeout,
            auto_resolve_timeout=service.auto_resolve_timeout, incident_urgency_rule=rule,
            support_hours=None, scheduled_actions=[], alert_creation="create_alerts_and_incidents")

    def integration(self, integration: Integration) -> Json:
        return {**self.integration_reference(integration.id), "type": INTEGRATION_TYPE,
                "name": integration.name, "created_at": stamp(integration.created_at),
                "service": self.service_reference(integration.service_id), "vendor": None,
                "integration_key": integration.key}

    def policy(self, policy: Policy) -> Json:
        rules = [{"id": "{}R{}".format(policy.id, number),
                  "escalation_delay_in_minutes": level.delay_minutes,
                  "targets": [self.user_reference(one) for one in level.user_ids]}
                 for number, level in enumerate(policy.levels, 1)]
        services = [self.service_reference(one.id) for one in self._account.services.values()
                    if one.policy_id == policy.id]
        return self._resource(
            "escalation_policy", policy.id, policy.name, "escalation_policies/" + policy.id,
            name=policy.name, num_loops=policy.num_loops, escalation_rules=rules,
            services=services, teams=[], description=None)

    def user(self, user: User) -> Json:
        return self._resource("user", user.id, user.name, "users/" + user.id, name=user.name,
                              email=user.email, role="user", time_zone="Etc/UTC", teams=[])

    def priority(self, priority: Priority) -> Json:
        return self._resource("priority", priority.id, priority.name, "priorities/" + priority.id,
                              name=priority.name, description="")

    def oncalls(self, policy: Policy, include: Iterable[str]) -> List[Json]:
        """Everybody is on call permanently: start and end are null [api-schema, Oncall]."""
        def person(user_id: str) -> Json:
            if "users" in include:
                return self.user(self._account.users[user_id])
            return self.user_reference(user_id)
        return [{"user": person(user_id), "schedule": None, "start": None, "end": None,
                 "escalation_policy": self.policy_reference(policy.id), "escalation_level": number}
                for number, level in enumerate(policy.levels, 1) for user_id in level.user_ids]

    def extension(self, extension: Extension) -> Json:
        """[api-schema, Extension]"""
        schema = self.reference("extension_schema", "PJFWPEP", "Generic V2 Webhook",
                                "extension_schemas/PJFWPEP")
        return self._resource(
            "extension", extension.id, extension.name, "extensions/" + extension.id,
            name=extension.name, endpoint_url=extension.url, extension_schema=schema,
            extension_objects=[self.service_reference(extension.service_id)],
            temporarily_disabled=False)

    @staticmethod
    def subscription(one: Subscription, disabled: bool, created: bool = False) -> Json:
        """The secret shows on creation only; header values are redacted [api-schema]."""
        headers = [{"name": name, "value": "<redacted>"} for name in one.headers]
        method = {"id": "DM" + one.id, "type": "http_delivery_method", "url": one.url,
                  "secret": one.secret if created else None, "custom_headers": headers,
                  "temporarily_disabled": disabled}
        scope = {"type": one.filter_type}
        if one.filter_id is not None:
            scope["id"] = one.filter_id
        return {"id": one.id, "type": "webhook_subscription", "active": one.active,
                "description": one.description, "events": one.events, "filter": scope,
                "delivery_method": method}


def _summary(entry: LogEntry) -> str:
    return entry.type.replace("_log_entry", "").replace("_", " ").capitalize()
