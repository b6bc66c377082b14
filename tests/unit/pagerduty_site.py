"""An account on the PagerDuty simulator, with people, services and a receiver of webhooks."""

from __future__ import annotations

import json

from dev.simulators.base import Request, VirtualClock, run
from dev.simulators.pagerduty import PagerDuty

ACCOUNT_KEY = "account-key-for-tests"
RECEIVER = "http://receiver.test/hook"


class Site:
    """An account with two services, each with its people, and a receiver of webhooks."""

    def __init__(self, **switches):
        self.answers = []
        self.received = []
        self.pd = PagerDuty(VirtualClock(), self.receive, **switches)
        pd = self.pd
        self.ann, self.bob, self.cy = [pd.add_user(name) for name in ("Ann A", "Bob B", "Cy C")]
        self.bot = pd.add_user("Bot", "bot@example.com")
        self.policy = pd.add_escalation_policy("Web", [(5, [self.ann]), (10, [self.bob])])
        self.other_policy = pd.add_escalation_policy("Net", [(5, [self.cy])])
        self.service = pd.add_service("Web", self.policy, acknowledgement_timeout=1800)
        self.other_service = pd.add_service("Net", self.other_policy)
        self.integration, self.key = pd.add_integration(self.service)
        self.second_key = pd.add_integration(self.service)[1]
        pd.add_api_key(ACCOUNT_KEY)

    def receive(self, url, headers, body):
        self.received.append((headers, json.loads(body.decode()), body))
        answer = self.answers.pop(0) if self.answers else 202
        if answer is None:
            raise OSError("no answer")
        return answer

    def names(self):
        return [event["event"]["event_type"] for _, event, _ in self.received]

    def event(self, action, dedup_key="k1", key=None, **fields):
        event = {"routing_key": key or self.key, "event_action": action, "dedup_key": dedup_key}
        if action == "trigger":
            event["payload"] = {"summary": "Disk full", "source": "db1", "severity": "critical"}
        event.update(fields)
        response = self.pd.handle(Request.build("POST", "/v2/enqueue", {}, event))
        run([self.pd], 1)
        return response

    def rest(self, method, path, body=None, key=ACCOUNT_KEY, **headers):
        named = {"Authorization": "Token token=" + key, "From": "bot@example.com",
                 "Accept": "application/vnd.pagerduty+json;version=2", **headers}
        request = Request.build(method, path, named, b"" if body is None else body)
        response = self.pd.handle(request)
        self.pd.tick()
        return response

    def put(self, incident, **fields):
        body = {"incident": {"type": "incident_reference", **fields}}
        return self.rest("PUT", "/incidents/" + incident.id, body)

    def opened(self, dedup_key="k1"):
        self.event("trigger", dedup_key)
        return self.pd.incidents(dedup_key)[-1]

    def pages(self, user):
        return [page.reason for page in self.pd.notifications[user]]


def reference(identity, kind="service"):
    return {"id": identity, "type": kind + "_reference"}


def code(response):
    return response.status, response.json()["error"]["code"]
