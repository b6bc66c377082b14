"""Where the PagerDuty REST key and the secrets for StackFlow come from: the config, or AWS Secrets
Manager behind a short encrypted cache.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict

from . import secrets_manager
from .bounded_json import loads
from .clock import Clock
from .errors import CredentialsError
from .pagerduty.events import ROUTING_KEY
from .secret_cache import SecretCache, SecretStore, fingerprint
from .secrets_manager import SecretName
from .settings import Settings

LIFETIME = 300
"""Seconds that a value of Secrets Manager is kept."""
LAG = 3.0
"""Seconds to wait where a refused value is still the current one: in a rotation either side may lag
behind the other.
"""
REST_KEY = re.compile(r"[!-~]+")
"""Printable, without spaces. PagerDuty's keys have 20 characters today; it promises no length."""
KEY_NAMES = ("pagerdutyapikey", "pagerdutykey", "restapikey", "apikey", "apitoken", "key", "token")
"""Fields of a JSON secret that may hold the REST key; case and punctuation do not count."""


class Secrets:
    """Secrets of AWS Secrets Manager, by the setting that names them."""

    def __init__(self, settings: Settings, store: SecretStore, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._cache = SecretCache(store, clock)
        self._given: Dict[str, str] = {}

    def fetch(self, name: SecretName) -> str:
        """The text of a secret as it is now; raises CredentialsError."""
        return secrets_manager.fetch(name, self._settings)

    def value(self, name: SecretName, pick: Callable[[str], str], refused: bool = False) -> str:
        """What ``pick`` finds in a secret, from the cache for five minutes at most.

        ``refused``: the value given last was refused, so it is fetched afresh; where the secret has
        not changed, once more after LAG seconds. What comes then is given whether it is new or not,
        for one more try. Raises CredentialsError.
        """
        key = "%s.%s" % (name.setting, fingerprint(name.id, self._settings.aws.region,
                                                   self._settings.aws.endpoint_url))
        found = None if refused else self._cache.read(key)
        if found is None:
            found = self._fresh(key, name, pick, refused)
            self._cache.write(key, found, LIFETIME)
        self._given[key] = found
        return found

    def _fresh(self, key: str, name: SecretName, pick: Callable[[str], str], refused: bool) -> str:
        try:
            found = pick(self.fetch(name))
            if refused and found == self._given.get(key):
                self._clock.sleep(LAG)
                found = pick(self.fetch(name))
            return found
        except CredentialsError:
            if refused:
                self._cache.drop(key)
            raise


class ApiKeySource:
    """Gives the PagerDuty REST key. Nothing is read before the first call."""

    def __init__(self, settings: Settings, store: SecretStore, clock: Clock) -> None:
        self._settings = settings.pagerduty
        self._secrets = Secrets(settings, store, clock)
        self._name = SecretName(settings.pagerduty.api_key_secret, "pagerduty.api_key_secret",
                                "pagerduty.api_key")

    def api_key(self, refused: bool = False) -> str:
        """The REST key; with ``refused`` not from a cache. Raises CredentialsError, also where it
        is in the config, so that there is no fresh one.
        """
        key = self._settings.api_key
        if not key:
            return self._secrets.value(self._name, pick_api_key, refused)
        if refused:
            todo = ("generate a new key in PagerDuty and update it in Secrets Manager, or where "
                    "pagerduty.api_key is set, as here, in the datastore key behind it")
            raise CredentialsError("API key expired or revoked: " + todo, todo)
        check_api_key(key, "pagerduty.api_key")
        return key


def pick_api_key(text: str) -> str:
    """The REST key in a secret's text: as it stands, or the field of a JSON object that is named
    like one, or its only text. Raises CredentialsError.
    """
    where = "the secret of pagerduty.api_key_secret"
    fields = json_fields(text, where)
    if not fields:
        key = text.strip()
    else:
        plain = {re.sub(r"[^a-z]", "", name.lower()): value for name, value in fields.items()}
        named = [plain[name] for name in KEY_NAMES if name in plain]
        if not named and len(fields) > 1:
            raise CredentialsError("%s is a JSON object of %d texts and none is named api_key" %
                                   (where, len(fields)), "name the field with the key api_key")
        key = (named or list(fields.values()))[0]
    check_api_key(key, where)
    return key


def check_api_key(key: str, where: str) -> None:
    """CredentialsError for what is no REST key; the message names ``where``, never the key."""
    if ROUTING_KEY.fullmatch(key):
        raise CredentialsError(
            "%s holds 32 characters: that is an integration key, not a REST API key" % where,
            "store a REST API key there (PagerDuty -> Integrations -> API Access Keys); "
            "integration keys belong in service_mapping")
    if not REST_KEY.fullmatch(key):
        raise CredentialsError(
            "%s is no REST API key: it holds spaces or other characters that no key has" % where,
            "re-copy the key from PagerDuty -> Integrations -> API Access Keys; it has 20 "
            "characters")


def json_fields(text: str, where: str) -> Dict[str, str]:
    """The texts of a JSON object; none for a text that is no JSON object. CredentialsError for an
    object that is broken or holds no text.
    """
    if not text.lstrip().startswith("{"):
        return {}
    data = _parse(text)
    if isinstance(data, dict):
        fields = {name: value.strip() for name, value in data.items()
                  if isinstance(value, str) and value.strip()}
        if fields:
            return fields
    raise CredentialsError(
        "%s %s" % (where, "is not valid JSON" if data is None else "holds no text in its JSON"),
        'store the plain value, or a JSON object such as {"name": "value"}')


def _parse(text: str) -> Any:
    try:
        return loads(text)
    except ValueError:
        return None  # an exception of json holds the text
