"""Setting up an account: what its administrator would have done before a test begins."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from dev.simulators.base import Simulator, serialised
from dev.simulators.pagerduty.account import Account
from dev.simulators.pagerduty.model import (
    HIGH, ApiKey, Extension, Integration, Level, Policy, Priority, Service, Team, User)
from dev.simulators.pagerduty.webhooks import EVENT_TYPES, Webhooks


class Setup(Simulator):
    """Methods return the id of what they make. Ids may be given; else they are made up."""

    account: Account
    webhooks: Webhooks

    @serialised
    def add_user(self, name: str, email: Optional[str] = None, id: Optional[str] = None) -> str:
        user = User(id or self.account.new_id(), name,
                    email or name.lower().replace(" ", ".") + "@example.com")
        self.account.users[user.id] = user
        return user.id

    @serialised
    def add_team(self, name: str) -> str:
        team = Team(self.account.new_id(), name)
        self.account.teams[team.id] = team
        return team.id

    @serialised
    def add_priority(self, name: str, id: Optional[str] = None) -> str:
        """Most severe first. P1 to P4 are there from the start."""
        priority = Priority(id or self.account.new_id(), name)
        self.account.priorities[priority.id] = priority
        return priority.id

    @serialised
    def add_escalation_policy(self, name: str, levels: Sequence[Tuple[float, Sequence[str]]],
                              num_loops: int = 0, id: Optional[str] = None,
                              team: Optional[str] = None) -> str:
        """`levels`: (delay in minutes, user ids) from the first level up."""
        policy = Policy(id or self.account.new_id(), name,
                        [Level(delay, list(users)) for delay, users in levels], num_loops, team)
        self.account.policies[policy.id] = policy
        return policy.id

    @serialised
    def set_on_call(self, policy_id: str, level: int, user_ids: Sequence[str]) -> None:
        """Who is on call at a level from now on; an empty list: nobody."""
        self.account.policies[policy_id].levels[level - 1].user_ids = list(user_ids)

    @serialised
    def add_service(self, name: str, policy_id: str, id: Optional[str] = None,
                    urgency: str = HIGH, acknowledgement_timeout: Optional[int] = None,
                    auto_resolve_timeout: Optional[int] = None) -> str:
        """Timeouts in seconds, None: off. `urgency` is high, low or severity_based."""
        service = Service(id or self.account.new_id(), name, policy_id, self.now(), urgency,
                          acknowledgement_timeout, auto_resolve_timeout)
        self.account.services[service.id] = service
        return service.id

    @serialised
    def add_integration(self, service_id: str, name: str = "Events API V2",
                        key: Optional[str] = None, id: Optional[str] = None) -> Tuple[str, str]:
        """An Events API v2 integration: (its id, its routing key of 32 characters)."""
        integration = Integration(id or self.account.new_id(), name, service_id, self.now(),
                                  key or self.account.new_hex())
        self.account.integrations[integration.id] = integration
        return integration.id, integration.key

    @serialised
    def remove_integration(self, integration_id: str) -> None:
        """Its key is unknown from now on; alerts that it made stay."""
        self.account.integrations[integration_id].key = ""

    @serialised
    def disable_service(self, service_id: str, disabled: bool = True) -> None:
        self.account.services[service_id].disabled = disabled

    @serialised
    def maintenance(self, service_id: str, on: bool = True) -> None:
        self.account.services[service_id].maintenance = on

    @serialised
    def add_extension(self, service_id: str, name: str, url: str) -> str:
        """A legacy V2 webhook: listed, but nothing is delivered to it."""
        extension = Extension(self.account.new_id(), name, service_id, url)
        self.account.extensions[extension.id] = extension
        return extension.id

    @serialised
    def add_api_key(self, key: str, read_only: bool = False, user: Optional[str] = None) -> None:
        """An account key, or with `user` (an id) that person's key."""
        self.account.api_keys[key] = ApiKey(key, user, read_only)

    @serialised
    def revoke_api_key(self, key: str) -> None:
        del self.account.api_keys[key]

    @serialised
    def subscribe(self, url: str, events: Sequence[str] = EVENT_TYPES,
                  service: Optional[str] = None, team: Optional[str] = None,
                  headers: Optional[Dict[str, str]] = None) -> Tuple[str, str]:
        """A webhook subscription of the account, or of a service or team: (id, secret)."""
        kind = "service" if service else "team" if team else "account"
        made = self.webhooks.subscribe(url, list(events), kind + "_reference", service or team,
                                       headers=headers)
        return made.id, made.secret

    @serialised
    def also_sign_with(self, subscription_id: str, secret: str) -> None:
        """A second signature, as during a rotation [developer-docs, webhooks/04]."""
        self.account.subscriptions[subscription_id].more_secrets.append(secret)

    @serialised
    def drop_ability(self, ability: str) -> None:
        """Such as priorities or urgencies: calls that need it answer 402 from now on."""
        self.account.abilities.discard(ability)

    def subscriptions(self) -> List[str]:
        """Ids of all webhook subscriptions."""
        return list(self.account.subscriptions)
