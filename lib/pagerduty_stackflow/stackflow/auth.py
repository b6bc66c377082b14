"""The bearer token for StackFlow's API."""

from __future__ import annotations

from ..errors import CredentialsError
from ..settings import Settings


class TokenSource:
    """Gives the bearer token; with ``refused`` it is not taken from a cache."""

    def __init__(self, settings: Settings) -> None:
        self._auth = settings.stackflow.auth

    def token(self, refused: bool = False) -> str:
        """The token to send; CredentialsError where there is none."""
        if self._auth.token:
            return self._auth.token
        raise CredentialsError("stackflow.auth: no token is configured",
                               "set stackflow.auth.method to token and stackflow.auth.token")
