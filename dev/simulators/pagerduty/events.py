"""Events API v2: checks at the door, 202, and work done later [developer-docs, events-API-v2]."""

from __future__ import annotations

import string
from collections import deque
from datetime import datetime, timedelta
from typing import Any, Deque, Dict, List, Optional

from dev.simulators.base import Request, Response, Simulator
from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.lifecycle import Lifecycle
from dev.simulators.pagerduty.model import (
    ACKNOWLEDGED, HIGH, LOW, TRIGGERED, Agent, Alert, Integration, Refused, Service, Switches,
    Write)

LARGEST_EVENT = 512 * 1024
ROUTING_KEY_LENGTH = 32
LONGEST_DEDUP_KEY = 255
LONGEST_SUMMARY = 1024
# Least to most severe: a later trigger only ever raises it [support: dynamic-notifications].
SEVERITIES = ("info", "warning", "error", "critical")
ACTIONS = ("trigger", "acknowledge", "resolve")
ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)

Json = Dict[str, Any]


def problems_of(event: Json) -> List[str]:
    """The `errors` of a 400. Wording reported from the live service is marked so."""
    found = _key_problems(event.get("routing_key"))
    action = event.get("event_action")
    if action not in ACTIONS:
        found.append("'event_action' is missing or invalid")
    dedup_key = event.get("dedup_key")
    if dedup_key is not None and not isinstance(dedup_key, str):
        found.append("'dedup_key' must be a string")
    elif dedup_key is not None and len(dedup_key) > LONGEST_DEDUP_KEY:
        found.append("'dedup_key' is too long (maximum is 255 characters)")
    elif not dedup_key and action in ("acknowledge", "resolve"):
        found.append("'dedup_key' is missing or blank")
    if action == "trigger":
        found += _payload_problems(event.get("payload"))
        found += _attachment_problems(event)
    return found


def _key_problems(key: Any) -> List[str]:
    if not isinstance(key, str) or not key:
        return ["'routing_key' is missing or blank"]
    # Both texts: envato/pagerduty#70, blockpane/tenderduty#10.
    found = []
    if len(key) != ROUTING_KEY_LENGTH:
        found.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    if not set(key) <= ALPHANUMERIC:
        found.append("'routing_key' cannot contain non-alphanumeric characters.")
    return found


def _payload_problems(payload: Any) -> List[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    found = []
    for name in ("summary", "source", "severity"):
        value = payload.get(name)
        if not isinstance(value, str) or not value.strip():
            found.append("'payload.{}' is missing or blank".format(name))
        elif name == "summary" and len(value) > LONGEST_SUMMARY:
            # livepeer/stream-tester#354
            found.append("'summary' is too long (maximum is 1024 characters)")
        elif name == "severity" and value not in SEVERITIES:
            # support: dynamic-notifications
            found.append("'payload.severity' is invalid (must be one of the following: "
                         "'critical', 'warning', 'error' or 'info')")
    for name in ("component", "group", "class", "timestamp"):
        if not isinstance(payload.get(name, ""), (str, type(None))):
            found.append("'payload.{}' must be a string".format(name))
    if not isinstance(payload.get("custom_details", {}), (dict, type(None))):
        found.append("'payload.custom_details' must be an object")
    return found


def _attachment_problems(event: Json) -> List[str]:
    found = []
    for image in event.get("images") or []:
        if not isinstance(image, dict) or not str(image.get("src", "")).startswith("https://"):
            found.append("'images.src' must be an https URL")
    for link in event.get("links") or []:
        if not isinstance(link, dict) or not link.get("href"):
            found.append("'links.href' is missing or blank")
    return found


class EventsApi:
    """`POST /v2/enqueue`. A 202 is no proof of an incident."""

    def __init__(self, simulator: Simulator, account: Account, lifecycle: Lifecycle,
                 switches: Switches) -> None:
        self._simulator = simulator
        self._account = account
        self._lifecycle = lifecycle
        self._switches = switches
        self._recent: Dict[str, Deque[datetime]] = {}

    def answer(self, request: Request) -> Response:
        if len(request.body) > LARGEST_EVENT:
            return _refusal(["Event object is too large"])
        try:
            event = request.json()
        except ValueError:
            return Response.of(400, {"status": "Unrecognized object",
                                     "message": "Event object format is unrecognized",
                                     "errors": ["JSON parse error"]})
        if not isinstance(event, dict):
            return _refusal(["Event object is invalid"])
        problems = problems_of(event)
        if problems:
            return _refusal(problems)
        return self._accept(request, event)

    def _accept(self, request: Request, event: Json) -> Response:
        key = event["routing_key"]
        if not self._within_limit(key):
            # Neither body nor headers of it are documented.
            return Response.of(429, {"status": "throttle exceeded",
                                     "message": "Requests for this service are arriving too "
                                                "quickly.  Please retry later."})
        if self._account.integration_by_key(key) is None:
            if self._switches.unknown_key_status != 202:
                return _refusal(["Invalid routing key"], self._switches.unknown_key_status)
        event.setdefault("dedup_key", self._account.new_hex())
        if not event["dedup_key"]:
            event["dedup_key"] = self._account.new_hex()
        self._account.writes.append(Write(
            self._simulator.now(), "events", request.method, request.path, event, key))
        self._simulator.after(self._switches.event_delay, lambda: self._process(event))
        return Response.of(202, {"status": "success", "message": "Event processed",
                                 "dedup_key": event["dedup_key"]})

    def _within_limit(self, key: str) -> bool:
        """About 120 per minute and key, in a sliding window [events-API-v2/05]."""
        limit = self._switches.events_limit
        if limit is None:
            return True
        now = self._simulator.now()
        recent = self._recent.setdefault(key, deque())
        while recent and recent[0] <= now - timedelta(seconds=60):
            recent.popleft()
        if len(recent) >= limit:
            return False
        recent.append(now)
        return True

    def _process(self, event: Json) -> None:
        integration = self._account.integration_by_key(event["routing_key"])
        if integration is None:
            return
        alert = self._account.open_alerts.get((event["routing_key"], event["dedup_key"]))
        agent = Agent("integration", integration.id)
        if event["event_action"] == "trigger":
            self._trigger(event, integration, alert, agent)
        elif alert is not None:
            # Without an open alert under this very key it is dropped [events-API-v2/02].
            self._change(event["event_action"], alert, agent)

    def _change(self, action: str, alert: Alert, agent: Agent) -> None:
        incident = self._account.incidents[alert.incident_id]
        if action == "acknowledge":
            if incident.status != ACKNOWLEDGED:
                self._lifecycle.acknowledge(incident, agent)
            return
        self._lifecycle.close_alert(alert)
        # The last alert takes the incident with it [support: alerts].
        others = [one for one in self._account.alerts_of(incident) if one.status == TRIGGERED]
        if incident.open and not others:
            self._lifecycle.resolve(incident, agent, channel={"type": "api"})

    def _trigger(self, event: Json, integration: Integration, alert: Optional[Alert],
                 agent: Agent) -> None:
        service = self._account.services[integration.service_id]
        channel = {"type": "api", "summary": event["payload"]["summary"], "event": _visible(event)}
        if alert is not None:
            incident = self._account.incidents[alert.incident_id]
            self._replace(alert, event, service)
            # One more log entry, no second incident and no page [events-API-v2/02].
            self._lifecycle.record(incident, "trigger", agent, channel)
            return
        if service.disabled or service.maintenance:
            # [support: why-incidents-fail-to-trigger]
            return
        client = _client(event)
        urgency = _urgency(service, event["payload"]["severity"])
        try:
            incident = self._lifecycle.open(service, event["payload"]["summary"], agent, urgency,
                                            client=client, channel=channel)
        except Refused:
            # Nobody on call: nothing is made [support: why-incidents-fail-to-trigger].
            return
        payload = event["payload"]
        made = Alert(self._account.new_id("Q", 13), event["dedup_key"], integration.id,
                     event["routing_key"], incident.id, service.id, self._simulator.now(),
                     payload["summary"], payload["source"], payload["severity"], client=client,
                     details=payload.get("custom_details"), contexts=_contexts(event))
        self._account.alerts[made.id] = made
        self._account.alerts_by_key.setdefault(made.alert_key, []).append(made)
        self._account.open_alerts[(made.routing_key, made.alert_key)] = made
        incident.alert_ids.append(made.id)

    def _replace(self, alert: Alert, event: Json, service: Service) -> None:
        """The later event shows from now on [pdpyras#45; support: dynamic-notifications]."""
        payload = event["payload"]
        alert.summary, alert.source = payload["summary"], payload["source"]
        alert.details, alert.contexts = payload.get("custom_details"), _contexts(event)
        alert.client = _client(event) or alert.client
        alert.severity = max(alert.severity, payload["severity"], key=SEVERITIES.index)
        incident = self._account.incidents[alert.incident_id]
        if _urgency(service, alert.severity) == HIGH and service.urgency == "severity_based":
            self._lifecycle.set_urgency(incident, HIGH, None)


def _urgency(service: Service, severity: str) -> str:
    """critical and error are high, warning and info low [support: dynamic-notifications]."""
    if service.urgency != "severity_based":
        return service.urgency
    return HIGH if severity in ("critical", "error") else LOW


def _client(event: Json) -> Optional[Json]:
    if not event.get("client"):
        return None
    client = {"name": event["client"]}
    if event.get("client_url"):
        client["url"] = event["client_url"]
    return client


def _contexts(event: Json) -> List[Json]:
    links = [{"type": "link", **link} for link in event.get("links") or []]
    return links + [{"type": "image", **image} for image in event.get("images") or []]


def _visible(event: Json) -> Json:
    return {name: value for name, value in event.items() if name != "routing_key"}


def _refusal(errors: List[str], status: int = 400) -> Response:
    return Response.of(status, {"status": "invalid event", "message": "Event object is invalid",
                                "errors": errors})
