"""Keys and tokens, from the config or from AWS Secrets Manager behind a short cache.

Every action is a process of its own, so the cache is in StackStorm's datastore too, if encrypted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

from . import secrets_manager
from .clock import Clock
from .errors import ApiError, CredentialsError, PackError
from .pagerduty.events import ROUTING_KEY
from .secrets_manager import SecretName
from .settings import Settings

PREFIX = "pagerduty_stackflow.cache."
LIFETIME = 300.0
"""Seconds that a value of Secrets Manager is kept."""
LAG = 3.0
"""Seconds to wait if a refused value is still the current one: a rotation takes a moment."""
REST_KEY = re.compile(r"[!-~]+")
"""Printable, without spaces. PagerDuty's keys have 20 characters today; it promises no length."""
KEY_NAMES = ("pagerdutyapikey", "pagerdutykey", "restapikey", "apikey", "apitoken", "key", "token")
"""Fields of a JSON secret that may hold the REST key; case and punctuation do not count."""
_LOG = logging.getLogger(__name__)


class _Entry(NamedTuple):
    """A value, its end in epoch seconds, and a digest of the secrets that it was made from."""

    value: str = ""
    until: float = 0.0
    made_from: str = ""


class Secrets:
    """Keys and tokens, read at the first call; a failure of the datastore costs only a fetch.

    ``store`` is StackStorm's datastore service, which raises any error of its HTTP client.
    """

    def __init__(self, settings: Settings, store: Any, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._kept: Dict[str, _Entry] = {}
        self._usable = True

    def api_key(self, refused: bool = False) -> str:
        """Return the PagerDuty REST key; a fresh one if PagerDuty ``refused`` the last.

        Raises CredentialsError, also for a refused key of the config.
        """
        settings = self._settings.pagerduty
        if not settings.api_key:
            return self.secret(SecretName(settings.api_key_secret, "pagerduty.api_key_secret",
                                          "pagerduty.api_key"), pick_api_key, refused)
        if refused:
            todo = ("generate a new key in PagerDuty and update it in Secrets Manager or, as here "
                    "pagerduty.api_key is set, in the datastore key behind it")
            raise CredentialsError("API key expired or revoked: " + todo, todo)
        check_api_key(settings.api_key, "pagerduty.api_key")
        return settings.api_key

    def secret(self, name: SecretName, pick: Callable[[str], str], refused: bool = False) -> str:
        """Return what ``pick`` finds in a secret of Secrets Manager, at most LIFETIME seconds old.

        If the server ``refused`` the last value, fetch it afresh, and once more after LAG seconds
        if it has not changed. Raises CredentialsError.
        """
        def make(last: str) -> Tuple[str, float]:
            found = pick(secrets_manager.fetch(name, self._settings))
            if found == last:
                self._clock.sleep(LAG)
                found = pick(secrets_manager.fetch(name, self._settings))
            return found, LIFETIME

        return self.cached("%s.%s" % (name.setting, digest(
            name.id, self._settings.aws.region, self._settings.aws.endpoint_url)), make, refused)

    def cached(self, name: str, make: Callable[[str], Tuple[str, float]], refused: bool = False,
               made_from: str = "") -> str:
        """Return the kept value of the same ``made_from``; a new one after its end or a refusal.

        ``make`` gets the refused value, if any, and returns a new one with its seconds.
        """
        def is_good(entry: _Entry) -> bool:
            return (bool(entry.value) and entry.made_from == made_from and
                    entry.until > self._clock.now().timestamp())

        entry = self._kept.get(name, _Entry())
        if not refused:
            if not is_good(entry):
                entry = self._kept[name] = self._stored(name)
            if is_good(entry):
                return entry.value
        try:
            value, seconds = make(entry.value if refused else "")
        except PackError:
            if refused and self._kept.pop(name, _Entry()).value:
                self._datastore(self._store.delete_value, name)
            raise
        entry = self._kept[name] = _Entry(value, self._clock.now().timestamp() + seconds, made_from)
        if seconds >= 1:
            self._datastore(self._store.set_value, name, value=json.dumps(entry),
                            ttl=int(seconds), encrypt=True)
        return value

    def _stored(self, name: str) -> _Entry:
        try:
            text = self._datastore(self._store.get_value, name, decrypt=True)
            value, until, made_from = json.loads(str(text))
            return _Entry(str(value), float(until), str(made_from))
        except (TypeError, ValueError, RecursionError):
            return _Entry()  # there is none, or somebody changed it

    def _datastore(self, method: Callable[..., Any], name: str, **given: Any) -> Any:
        """Call the datastore. After a failure this process does without it."""
        if not self._usable:
            return None
        try:
            return method(PREFIX + name, local=False, **given)
        except Exception as error:
            self._usable = False
            _LOG.warning("The datastore does not keep secrets and tokens (%s), so every action "
                         "fetches them again. Is a crypto key set up in st2.conf "
                         "(keyvalue.encryption_key_path)?", type(error).__name__)
            return None


def digest(*parts: Optional[str]) -> str:
    """Return a short name that tells settings apart without showing them."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def send_signed(send: Callable[[bool], Any], refusals: Sequence[int],
                refused: Callable[[ApiError], PackError]) -> Any:
    """Send a request and, after a status of ``refusals``, once more with a fresh key or token.

    ``send(fresh)`` sends it, and ``refused`` makes the final error.
    """
    try:
        return send(False)
    except ApiError as error:
        if error.status not in refusals:
            raise
        first = error
    try:
        return send(True)
    except CredentialsError as error:
        if first.status == 403:  # the server knows the key, so its answer counts
            raise refused(first) from None
        raise CredentialsError("%s (%s)" % (error.message, first.message), error.hint,
                               error.retryable) from None
    except ApiError as error:
        if error.status not in refusals:
            raise
        raise refused(error) from None


def pick_api_key(text: str) -> str:
    """Return the REST key in a secret: its text, or a JSON object's field of such a name, or its
    only text. Raises CredentialsError.
    """
    where = "the secret of pagerduty.api_key_secret"
    fields = json_fields(text, where, "key")
    plain = {re.sub(r"[^a-z]", "", name.lower()): value for name, value in fields.items()}
    named = [plain[name] for name in KEY_NAMES if name in plain]
    if not named and len(fields) > 1:
        raise CredentialsError("%s is a JSON object of %d texts and none is named api_key" % (
            where, len(fields)), "name the field with the key api_key")
    key = (named or list(fields.values()))[0]
    check_api_key(key, where)
    return key


def check_api_key(key: str, where: str) -> None:
    """Raise CredentialsError for a text that is no REST key; it names ``where``, never the key."""
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


def json_fields(text: str, where: str, plain: str = "") -> Dict[str, str]:
    """Return the texts of a JSON object. A text that is none becomes the field ``plain``.

    Raises CredentialsError for an object that is broken or holds no text.
    """
    if not text.lstrip().startswith("{"):
        return {plain: text.strip()} if plain else {}
    try:
        data, problem = json.loads(text), "holds no text in its JSON"
    except (ValueError, RecursionError):
        data, problem = {}, "is not valid JSON"
    fields = {name: value.strip() for name, value in data.items()
              if isinstance(value, str) and value.strip()}
    if fields:
        return fields
    raise CredentialsError("%s %s" % (where, problem),  # not within except: json quotes the text
                           'store the plain value, or a JSON object such as {"name": "value"}')
