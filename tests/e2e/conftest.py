"""One site with a running platform for all scenarios of a module; each scenario checks its end."""

from __future__ import annotations

from typing import Iterator

import pytest
from scene import Scene
from target import LocalTarget, Target

from dev.site import LocalSite


@pytest.fixture(scope="module")
def site() -> Iterator[LocalSite]:
    with LocalSite() as running:
        yield running


@pytest.fixture(scope="module")
def target(site: LocalSite) -> Target:
    return LocalTarget(site)


@pytest.fixture
def scene(site: LocalSite, target: Target) -> Iterator[Scene]:
    playing = Scene(site, target)
    try:
        yield playing
    finally:
        playing.reset()
    playing.check()
