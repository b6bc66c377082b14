"""Set up PagerDuty's webhooks: subscriptions of the mapped services that call our listener."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence

from .checks.facts import PAGERDUTY_PATH, same_url
from .checks.webhooks import needed_events
from .errors import (ApiError, BadInputError, ConfigError, DatastoreDeniedError, DatastoreError,
                     NotFoundError, PackError)
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack
from .pagerduty.account import ACCOUNT, LIMIT_REACHED, Subscription
from .routing import service_named
from .settings import ServiceMapping, Settings
from .transport import OutcomeUnknownError

EVENTS = tuple("incident." + name for name in (
    "triggered", "acknowledged", "resolved", "reopened", "service_updated", "annotated"))
"""All that the shipped rules need, with any settings."""
OPERATIONS = ("list", "create", "enable", "ping", "delete")
DESCRIPTION = "StackFlow synchronisation by StackStorm"
SUBSCRIPTION_ID = re.compile(r"^[A-Za-z0-9]{1,40}\Z")


def manage_webhooks(pack: Pack, operation: str, service: Optional[str] = None,
                    subscription_id: Optional[str] = None) -> Dict[str, Any]:
    """List, create, enable, ping or delete webhook subscriptions.

    ``service``: the id or name of a mapped one; ``subscription_id``: only that one. Without both,
    those that call this pack's listener. The result is an outcome, and beside it ``subscriptions``:
    id, scope, service_id, events, active, temporarily_disabled, ours, and the name of the datastore
    key that holds its secret, or null.
    """
    if operation not in OPERATIONS:
        raise BadInputError("operation is %r" % (operation,), "give " + ", ".join(OPERATIONS))
    setup = _Setup(pack)
    if subscription_id is not None:
        if service is not None or operation == "create":
            raise BadInputError("a subscription_id goes with neither a service nor create",
                                "leave out subscription_id")
        if not SUBSCRIPTION_ID.match(subscription_id):
            raise BadInputError("%r is no id of a subscription" % (subscription_id,),
                                "the operation list shows the ids")
        if operation == "delete":
            return setup.delete_one(subscription_id)
        return setup.change(operation, [pack.account.subscription(subscription_id)])
    entry = None if service is None else service_named(pack.settings, service)
    if operation == "create":
        return setup.create(pack.settings.service_mapping if entry is None else [entry])
    chosen = setup.own()
    if entry is not None:
        # Only list shows one of the whole account: no change to it is about one service.
        chosen = [one for one in chosen if one.service_id == entry.service_id or
                  (one.scope == ACCOUNT and operation == "list")]
    return setup.change(operation, chosen)


def listener_url(settings: Settings) -> str:
    """Return the address that PagerDuty calls; ConfigError if the config does not have it."""
    if not settings.listener.public_url:
        raise ConfigError("webhook_listener.public_url is not set",
                          "set it to the base URL at which PagerDuty reaches the listener")
    return settings.listener.public_url + PAGERDUTY_PATH


class _Setup:
    """Carries out one operation on webhook subscriptions, and reports it."""

    def __init__(self, pack: Pack) -> None:
        self._secrets, self._settings = pack.webhook_secrets, pack.settings
        self._account = pack.account
        self._warnings: List[str] = []

    def own(self) -> List[Subscription]:
        """Return those that call this pack's listener."""
        url = listener_url(self._settings)
        return [one for one in self._account.subscriptions() if same_url(one.url, url)]

    def create(self, entries: Sequence[ServiceMapping]) -> Dict[str, Any]:
        """Create one for each service of the entries that none of our own covers."""
        there = [one for one in self.own()
                 if any(one.covers(entry.service_id) for entry in entries)]
        missing = {entry.service_id: entry.service_name for entry in entries
                   if not any(one.covers(entry.service_id) for one in there)}
        made: List[Subscription] = []
        for service_id, name in missing.items():
            try:
                made.append(self._make(service_id, name))
            except PackError as error:
                if made:
                    error.message += "; made before: %s" % ", ".join(one.id for one in made)
                raise
        for one in there:
            if not one.is_live:
                self._warnings.append("%s is disabled: use the operation enable" % one.id)
            if needed_events(self._settings).difference(one.events):
                self._warnings.append("%s lacks events: delete it and create it again" % one.id)
        return self._report(DONE if made else ALREADY, "%d created, %d exist already" % (
            len(made), len(there)), made + there)

    def _make(self, service_id: str, name: str) -> Subscription:
        try:
            made, secret = self._account.subscribe(listener_url(self._settings), EVENTS,
                                                   service_id, DESCRIPTION)
        except OutcomeUnknownError as error:
            for one in self.own():  # a new one is of no use: its secret was in the lost answer
                if one.service_id == service_id:
                    self._account.unsubscribe(one.id)
            error.hint = "nothing is left of it: run create again"
            raise
        except ApiError as error:
            if error.code == LIMIT_REACHED:
                error.hint = ("a service has at most 10 webhook subscriptions: delete those of %s "
                              "that nobody needs, with the operation delete or in PagerDuty" % name)
            raise
        try:
            if not secret:
                raise DatastoreError("PagerDuty showed no secret")
            self._secrets.write(made.id, secret)
        except DatastoreError as error:
            self._take_back(made, name, error)
            raise error from None
        return made

    def _take_back(self, made: Subscription, name: str, error: DatastoreError) -> None:
        error.message = "the secret of the subscription of %s could not be stored: %s" % (
            name, error.message)
        error.retryable = False
        if not isinstance(error, DatastoreDeniedError):
            error.hint = ("StackStorm needs a key to encrypt values: see its documentation, "
                          "Securing Secrets in Key Value Store; then run create again")
        try:
            self._account.unsubscribe(made.id)
            error.message += ", so it was deleted again"
        except PackError as second:
            error.message += ", and it could not be deleted again: %s" % second.message
            error.hint = "delete subscription %s in PagerDuty; %s" % (made.id, error.hint)

    def change(self, operation: str, chosen: Sequence[Subscription]) -> Dict[str, Any]:
        """List, enable, ping or delete these."""
        if not chosen:
            return self._report(SKIPPED, "no subscription calls %s: create one" % listener_url(
                self._settings), chosen)
        for one in chosen:
            if operation == "enable":
                self._account.enable(one)
            elif operation == "ping":
                self._account.ping(one.id)
            elif operation == "delete":
                self._delete(one.id)
        if operation == "enable":
            chosen = [self._account.subscription(one.id) for one in chosen]
        reason = "%s: %s" % (operation, ", ".join(one.id for one in chosen))
        return self._report(DONE, reason, chosen)

    def delete_one(self, subscription_id: str) -> Dict[str, Any]:
        """Delete a subscription by its id, and its secret even if PagerDuty has no such id."""
        there = self._delete(subscription_id)
        return self._report(DONE if there else ALREADY, "%s is deleted" % subscription_id, ())

    def _delete(self, subscription_id: str) -> bool:
        try:
            self._account.unsubscribe(subscription_id)
            there = True
        except NotFoundError:
            there = False
        key = self._secrets.key(subscription_id)
        if key and not self._secrets.delete(subscription_id):
            self._warnings.append("the datastore key %s could not be deleted" % key)
        return there

    def _report(self, outcome: str, reason: str,
                subscriptions: Sequence[Subscription]) -> Dict[str, Any]:
        public, rows = self._settings.listener.public_url, []
        for one in subscriptions:
            shown = {name: value for name, value in vars(one).items() if name != "url"}
            rows.append(dict(shown, events=list(one.events), secret_key=self._secrets.key(one.id),
                             ours=bool(public) and same_url(one.url, listener_url(self._settings))))
        return dict(Outcome(outcome, reason, warnings=self._warnings).as_result(),
                    subscriptions=rows)
