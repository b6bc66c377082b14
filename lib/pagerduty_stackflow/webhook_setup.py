"""Setting up PagerDuty's webhooks: subscriptions of the mapped services that call our listener."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence

from .checks.facts import PAGERDUTY_PATH, same_url
from .checks.webhooks import needed_events
from .errors import ApiError, BadInputError, ConfigError, DatastoreError, NotFoundError, PackError
from .links import PAGE, WEBHOOK_SECRET
from .pack import ALREADY, DONE, SKIPPED, Outcome, Pack
from .pagerduty.subscriptions import ACCOUNT, LIMIT_REACHED, Subscription, Subscriptions
from .routing import service_named
from .settings import ServiceMapping, Settings
from .transport import OutcomeUnknownError

EVENTS = tuple("incident." + name for name in (
    "triggered", "acknowledged", "resolved", "reopened", "service_updated", "annotated"))
"""What the shipped rules ask for, with any settings."""
OPERATIONS = ("list", "create", "enable", "ping", "delete")
DESCRIPTION = "StackFlow synchronisation by StackStorm"
SUBSCRIPTION_ID = re.compile(r"^[A-Za-z0-9]{1,40}\Z")


def manage_webhooks(pack: Pack, operation: str, service: Optional[str] = None,
                    subscription_id: Optional[str] = None) -> Dict[str, Any]:
    """List, create, enable, ping or delete webhook subscriptions.

    ``service``: the id or name of a mapped one, else all of them; ``subscription_id``: just that
    one, else those that call this pack's listener. The result is an outcome, and beside it
    ``subscriptions``: id, scope, service_id, events, active, temporarily_disabled, ours, and the
    name of the datastore key that holds its secret, or null.
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
        return setup.change(operation, [setup.subscriptions.one(subscription_id)])
    entry = None if service is None else service_named(pack.settings, service)
    if operation == "create":
        return setup.create(pack.settings.service_mapping if entry is None else [entry])
    chosen = setup.own()
    if entry is not None:
        # One for the whole account is shown, and never changed for the sake of one service.
        chosen = [one for one in chosen if one.service_id == entry.service_id or
                  (one.scope == ACCOUNT and operation == "list")]
    return setup.change(operation, chosen)


def listener_url(settings: Settings) -> str:
    """Where PagerDuty delivers to; ConfigError where the config does not say."""
    if not settings.listener.public_url:
        raise ConfigError("webhook_listener.public_url is not set",
                          "set it to the base URL under which PagerDuty reaches the listener")
    return settings.listener.public_url + PAGERDUTY_PATH


class _Setup:
    """Carries out one operation on webhook subscriptions, and reports it."""

    def __init__(self, pack: Pack) -> None:
        self._store, self._settings = pack.store, pack.settings
        self.subscriptions = Subscriptions(pack.rest)
        self._warnings: List[str] = []

    def own(self) -> List[Subscription]:
        """Those that call this pack's listener."""
        url = listener_url(self._settings)
        return [one for one in self.subscriptions.all() if same_url(one.url, url)]

    def create(self, entries: Sequence[ServiceMapping]) -> Dict[str, Any]:
        """One for each service of the entries that no subscription of ours covers."""
        own = self.own()
        there: List[Subscription] = []
        made: List[Subscription] = []
        first_entries: Dict[str, ServiceMapping] = {}
        for entry in entries:
            first_entries.setdefault(entry.service_id, entry)
        for entry in first_entries.values():
            covering = [one for one in own if one.scope == ACCOUNT or
                        one.service_id == entry.service_id]
            if covering:
                there += [one for one in covering if one not in there]
                continue
            try:
                made.append(self._make(entry))
            except PackError as error:
                if made:
                    error.message += "; made before: %s" % ", ".join(one.id for one in made)
                raise
        for one in there:
            if one.temporarily_disabled or not one.active:
                self._warnings.append("%s is switched off: use the operation enable" % one.id)
            if needed_events(self._settings) - set(one.events):
                self._warnings.append("%s lacks events: delete it and create it again" % one.id)
        reason = "%d created, %d there already" % (len(made), len(there))
        return self._report(DONE if made else ALREADY, reason, made + there)

    def _make(self, entry: ServiceMapping) -> Subscription:
        url = listener_url(self._settings)
        try:
            made, secret = self.subscriptions.create(url, EVENTS, entry.service_id, DESCRIPTION)
        except OutcomeUnknownError as error:
            for one in self.own():  # what was made is of no use: its secret was in the lost answer
                if one.service_id == entry.service_id:
                    self.subscriptions.delete(one.id)
            error.hint = "nothing is left of it: run create again"
            raise
        except ApiError as error:
            if error.code == LIMIT_REACHED:
                error.hint = ("a service has at most 10 webhook subscriptions: delete those of %s "
                              "that nobody needs, in PagerDuty or by the operation delete"
                              % entry.service_name)
            raise
        try:
            if not secret:
                raise ValueError("PagerDuty showed no secret")
            self._store.set_value(WEBHOOK_SECRET + made.id, secret, local=False, encrypt=True)
        except Exception as error:  # StackStorm's client raises whatever its transport raised
            raise self._take_back(made, entry, error) from None
        return made

    def _take_back(self, made: Subscription, entry: ServiceMapping,
                   error: Exception) -> DatastoreError:
        words = "the secret of the subscription of %s could not be stored (%s)" % (
            entry.service_name, type(error).__name__)
        hint = ("StackStorm needs a key to encrypt values: see its documentation, Securing Secrets "
                "in Key Value Store; then run create again")
        try:
            self.subscriptions.delete(made.id)
        except PackError as second:
            return DatastoreError("%s, and it could not be deleted again: %s" % (
                words, second.message), "delete subscription %s in PagerDuty; %s" % (made.id, hint))
        return DatastoreError(words + ", so it was deleted again", hint)

    def change(self, operation: str, chosen: Sequence[Subscription]) -> Dict[str, Any]:
        """List, enable, ping or delete these."""
        if not chosen:
            return self._report(SKIPPED, "no subscription calls %s: create one" % listener_url(
                self._settings), chosen)
        for one in chosen:
            if operation == "enable":
                self.subscriptions.enable(one)
            elif operation == "ping":
                self.subscriptions.ping(one.id)
            elif operation == "delete":
                self._delete(one.id)
        if operation == "enable":
            chosen = [self.subscriptions.one(one.id) for one in chosen]
        reason = "%s: %s" % (operation, ", ".join(one.id for one in chosen))
        return self._report(DONE, reason, chosen)

    def delete_one(self, subscription_id: str) -> Dict[str, Any]:
        """Delete a subscription by its id; its key also where PagerDuty does not have it."""
        there = self._delete(subscription_id)
        return self._report(DONE if there else ALREADY, "%s is deleted" % subscription_id, ())

    def _delete(self, subscription_id: str) -> bool:
        try:
            self.subscriptions.delete(subscription_id)
            there = True
        except NotFoundError:
            there = False
        if self._secret_key(subscription_id) and not self._store.delete_value(
                WEBHOOK_SECRET + subscription_id, local=False):
            self._warnings.append("the datastore key %s could not be deleted" % (
                WEBHOOK_SECRET + subscription_id))
        return there

    def _report(self, outcome: str, reason: str,
                subscriptions: Sequence[Subscription]) -> Dict[str, Any]:
        rows = [self._row(one) for one in subscriptions]
        return dict(Outcome(outcome, reason, warnings=self._warnings).as_result(),
                    subscriptions=rows)

    def _row(self, one: Subscription) -> Dict[str, Any]:
        shown = {name: value for name, value in vars(one).items() if name != "url"}
        public = self._settings.listener.public_url
        return dict(shown, events=list(one.events), secret_key=self._secret_key(one.id),
                    ours=bool(public) and same_url(one.url, listener_url(self._settings)))

    def _secret_key(self, subscription_id: str) -> Optional[str]:
        key = WEBHOOK_SECRET + subscription_id
        try:
            found = self._store.list_values(local=False, prefix=key, limit=PAGE, offset=0)
        except Exception as error:  # as above
            raise DatastoreError("the StackStorm datastore did not answer (%s)" %
                                 type(error).__name__, "check st2api and its database",
                                 retryable=True) from error
        return key if any(item.name == key for item in found) else None
