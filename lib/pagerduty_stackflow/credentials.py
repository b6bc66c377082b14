"""Where the PagerDuty REST key comes from."""

from __future__ import annotations

from .errors import CredentialsError
from .settings import Settings


class ApiKeySource:
    """Gives the REST key; with ``refused`` it is not taken from a cache."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.pagerduty

    def api_key(self, refused: bool = False) -> str:
        """The REST key; CredentialsError where there is none."""
        if self._settings.api_key:
            return self._settings.api_key
        raise CredentialsError("pagerduty.api_key is not set",
                               "store the key in the datastore and set pagerduty.api_key to it")
