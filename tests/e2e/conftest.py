"""One site with a running platform for all scenarios of a module; each scenario checks its end.

The platform is the local one, or with ``--installed`` the StackStorm at ST2_API_URL.
"""

from __future__ import annotations

from typing import Any, Iterator

import pytest
import requests
from installed import Installed, InstalledSite, InstalledTarget, Refused
from scene import Scene, played
from target import LocalTarget, Target

from dev.site import LocalSite, Site


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--installed", action="store_true", help="play the scenarios on the "
                     "StackStorm at ST2_API_URL, whose config has to lead to this machine alone")


def pytest_collection_modifyitems(config: Any, items: Any) -> None:
    for item in items if config.getoption("--installed") else ():
        mark = item.get_closest_marker("local_only")
        reason = mark.kwargs["reason"] if mark else "it is no scenario"
        if mark or "scene" not in item.fixturenames:
            item.add_marker(pytest.mark.skip(reason="local platform only: " + reason))


@pytest.fixture(scope="session")
def installed(request: Any) -> Iterator[Any]:
    """The StackStorm at ST2_API_URL, or None without ``--installed``."""
    if not request.config.getoption("--installed"):
        yield None
        return
    with Site() as sample:
        try:
            running = Installed(list(sample.keys))
        except (Refused, requests.RequestException) as error:
            pytest.exit("%s" % error, 3)
    with running:
        yield running


@pytest.fixture(scope="module")
def site(installed: Any) -> Iterator[Site]:
    with InstalledSite(installed) if installed else LocalSite() as running:
        yield running


@pytest.fixture(scope="module")
def target(site: Site) -> Target:
    return InstalledTarget(site) if isinstance(site, InstalledSite) else LocalTarget(site)


@pytest.fixture
def scene(site: Site, target: Target) -> Iterator[Scene]:
    yield from played(Scene(site, target))
