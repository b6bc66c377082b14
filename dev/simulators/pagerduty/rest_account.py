"""REST calls on what surrounds incidents: services, policies, people, webhook subscriptions."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from dev.simulators.base import Response
from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.call import Call, Route, invalid
from dev.simulators.pagerduty.model import Agent, Refused, Subscription, Switches
from dev.simulators.pagerduty.shapes import Shapes
from dev.simulators.pagerduty.webhooks import EVENT_TYPES, FILTERS, Webhooks

# [python-pagerduty tests, 2025-11-14]: here `error` is a plain string.
NO_CURRENT_USER = ("Because this request was made using an account-level access token, there is "
                   "no current user.")


class AccountCalls:
    def __init__(self, account: Account, hooks: Webhooks, shapes: Shapes,
                 switches: Switches) -> None:
        self._account = account
        self._hooks = hooks
        self._shapes = shapes
        self._switches = switches

    def routes(self) -> List[Route]:
        return [
            Route("GET", "/services", self.services),
            Route("GET", "/services/{id}", self.service),
            Route("GET", "/services/{id}/integrations/{id}", self.integration),
            Route("GET", "/escalation_policies", self.policies),
            Route("GET", "/escalation_policies/{id}", self.policy),
            Route("GET", "/oncalls", self.oncalls),
            Route("GET", "/users", self.users),
            Route("GET", "/users/me", self.current_user),
            Route("GET", "/users/{id}", self.user),
            Route("GET", "/abilities", self.abilities),
            Route("GET", "/abilities/{id}", self.ability),
            Route("GET", "/priorities", self.priorities),
            Route("GET", "/extensions", self.extensions),
            Route("GET", "/webhook_subscriptions", self.subscriptions),
            Route("POST", "/webhook_subscriptions", self.subscribe),
            Route("GET", "/webhook_subscriptions/{id}", self.subscription),
            Route("PUT", "/webhook_subscriptions/{id}", self.change_subscription),
            Route("DELETE", "/webhook_subscriptions/{id}", self.unsubscribe),
            Route("POST", "/webhook_subscriptions/{id}/enable", self.enable),
            Route("POST", "/webhook_subscriptions/{id}/ping", self.ping)]

    def _list(self, call: Call, name: str, table: Dict[str, Any],
              shape: Callable[[Any], Any]) -> Response:
        """`query` looks into names, and of users into e-mail addresses too."""
        wanted = (call.request.one("query") or "").lower()
        rows = [row for row in table.values()
                if wanted in row.name.lower() or wanted in getattr(row, "email", "").lower()]
        return call.page(name, rows, shape)

    def services(self, call: Call) -> Response:
        return self._list(call, "services", self._account.services,
                          lambda one: self._shapes.service(one, call.include))

    def service(self, call: Call) -> Response:
        service = self._account.found(self._account.services, call.ids[0])
        return Response.of(200, {"service": self._shapes.service(service, call.include)})

    def integration(self, call: Call) -> Response:
        integration = self._account.found(self._account.integrations, call.ids[1])
        if integration.service_id != call.ids[0]:
            raise Refused(2100, "Not Found", status=404)
        return Response.of(200, {"integration": self._shapes.integration(integration)})

    def policies(self, call: Call) -> Response:
        return self._list(call, "escalation_policies", self._account.policies,
                          self._shapes.policy)

    def policy(self, call: Call) -> Response:
        policy = self._account.found(self._account.policies, call.ids[0])
        return Response.of(200, {"escalation_policy": self._shapes.policy(policy)})

    def oncalls(self, call: Call) -> Response:
        """[api-schema, listOnCalls]"""
        policies = call.request.every("escalation_policy_ids[]")
        users = call.request.every("user_ids[]")
        rows = [entry for policy in self._account.policies.values()
                if not policies or policy.id in policies
                for entry in self._shapes.oncalls(policy, call.include)
                if not users or entry["user"]["id"] in users]
        return call.page("oncalls", rows, lambda row: row)

    def users(self, call: Call) -> Response:
        return self._list(call, "users", self._account.users, self._shapes.user)

    def user(self, call: Call) -> Response:
        user = self._account.found(self._account.users, call.ids[0])
        return Response.of(200, {"user": self._shapes.user(user)})

    def current_user(self, call: Call) -> Response:
        if call.key.user_id is None:
            return Response.of(400, {"error": NO_CURRENT_USER})
        user = self._account.users[call.key.user_id]
        return Response.of(200, {"user": self._shapes.user(user)})

    def abilities(self, call: Call) -> Response:
        return Response.of(200, {"abilities": sorted(self._account.abilities)})

    def ability(self, call: Call) -> Response:
        """204: the account has it [api-schema, getAbility]."""
        self._need(call.ids[0])
        return Response.of(204)

    def _need(self, ability: str) -> None:
        """402, code 2014 [developer-docs, REST-API/14]."""
        if ability not in self._account.abilities:
            raise Refused(2014, "Required abilities are unavailable", [ability], status=402)

    def priorities(self, call: Call) -> Response:
        self._need("priorities")
        return call.page("priorities", list(self._account.priorities.values()),
                         self._shapes.priority)

    def extensions(self, call: Call) -> Response:
        wanted = call.request.one("extension_object_id")
        rows = [one for one in self._account.extensions.values()
                if wanted in (None, one.service_id)]
        return call.page("extensions", rows, self._shapes.extension)

    def _show(self, one: Subscription, status: int = 200, created: bool = False) -> Response:
        shape = self._shapes.subscription(one, self._hooks.is_disabled(one), created)
        return Response.of(status, {"webhook_subscription": shape})

    def _subscription(self, call: Call) -> Subscription:
        return self._account.found(self._account.subscriptions, call.ids[0])

    def subscriptions(self, call: Call) -> Response:
        """filter_type is account, service or team [api-schema]."""
        kind, identity = call.request.one("filter_type"), call.request.one("filter_id")
        rows = [one for one in self._account.subscriptions.values()
                if (not kind or one.filter_type == kind + "_reference") and
                (not identity or one.filter_id == identity)]
        return call.page(
            "webhook_subscriptions", rows,
            lambda one: self._shapes.subscription(one, self._hooks.is_disabled(one)))

    def subscribe(self, call: Call) -> Response:
        sent = call.wrapped("webhook_subscription")
        method = sent.get("delivery_method")
        if not isinstance(method, dict) or method.get("type") != "http_delivery_method":
            raise invalid("Delivery method type must be http_delivery_method")
        if not str(method.get("url", "")).startswith(("http://", "https://")):
            raise invalid("Delivery method url is invalid")
        if sent.get("type") != "webhook_subscription":
            raise invalid("Type must be webhook_subscription")
        scope = self._filter(sent.get("filter"))
        headers = {one["name"]: one["value"] for one in method.get("custom_headers") or []}
        one = self._hooks.subscribe(
            method["url"], self._events(sent.get("events")), scope["type"], scope.get("id"),
            sent.get("description") or "", headers, sent.get("active", True))
        return self._show(one, self._switches.subscription_created_status, created=True)

    @staticmethod
    def _events(events: Any) -> List[str]:
        if not isinstance(events, list) or not events or len(set(events)) < len(events):
            raise invalid("Events must be a list of different event types")
        # The service knows more event types than the simulator sends.
        if not all(str(one).startswith(("incident.", "service.")) for one in events):
            raise invalid("Events may be {} and others".format(", ".join(EVENT_TYPES)))
        return list(events)

    def _filter(self, scope: Any) -> Dict[str, Any]:
        """An id is needed for all but account_reference [api-schema]."""
        if not isinstance(scope, dict) or scope.get("type") not in FILTERS:
            raise invalid("Filter type is invalid")
        if scope["type"] == "account_reference":
            return {"type": "account_reference"}
        services = scope["type"] == "service_reference"
        known: Dict[str, Any] = {**self._account.services} if services else {**self._account.teams}
        if scope.get("id") not in known:
            raise invalid("Filter id is invalid")
        return scope

    def subscription(self, call: Call) -> Response:
        return self._show(self._subscription(call))

    def change_subscription(self, call: Call) -> Response:
        """URL and headers cannot be changed: sent, they are ignored [api-schema]."""
        one = self._subscription(call)
        sent = call.wrapped("webhook_subscription")
        if "events" in sent:
            one.events = self._events(sent["events"])
        if "filter" in sent:
            scope = self._filter(sent["filter"])
            one.filter_type, one.filter_id = scope["type"], scope.get("id")
        one.description = sent.get("description", one.description)
        one.active = sent.get("active", one.active)
        return self._show(one)

    def unsubscribe(self, call: Call) -> Response:
        self._hooks.remove(self._subscription(call))
        return Response.of(204)

    def enable(self, call: Call) -> Response:
        one = self._subscription(call)
        self._hooks.enable(one)
        return self._show(one)

    def ping(self, call: Call) -> Response:
        agent = Agent("user", call.user.id) if call.user else None
        self._hooks.ping(self._subscription(call), agent)
        return Response.of(202)
