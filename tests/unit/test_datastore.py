"""The datastore: pages, silence, and the refusals of StackStorm's RBAC, over HTTP."""

import logging

import pytest

from dev.local_stackstorm import datastore as platform
from dev.simulators.base import VirtualClock
from pagerduty_stackflow.datastore import NEIGHBOURS, PAGE, Datastore
from pagerduty_stackflow.errors import DatastoreDeniedError, DatastoreError
from st2common.services.datastore import DatastoreService
from world import MemoryStore, World

TOKEN = "token-of-this-run"
NAMES = ["link.INC%04d" % at for at in range(PAGE * 2 + 50)]


class Guarded(platform.Datastore):
    """Answers as StackStorm with RBAC does to a user without a system role: a list shows the
    granted keys, whatever was asked, and a write is refused.
    """

    granted = None
    lists = 0

    def answer(self, method, name, query, body):
        if self.granted is None:
            return super().answer(method, name, query, body)
        if method in ("PUT", "DELETE"):
            return 403, {"faultstring": "no permission key_value_pair_set"}
        self.lists += 1
        if self.lists > 9:
            return 500, {"faultstring": "asked without end"}
        return 200, [{"name": key, "value": self.get(key)} for key in self.granted]


@pytest.fixture
def keys():
    return Guarded()


@pytest.fixture
def datastore(keys, monkeypatch):
    api = platform.Api(keys, lambda **_: (200, None))
    api.tokens[TOKEN] = "a run"
    monkeypatch.setenv("ST2_API_URL", api.url)
    monkeypatch.setenv("ST2_AUTH_TOKEN", TOKEN)
    yield Datastore(DatastoreService(logging.getLogger(__name__), "pack", "Class"))
    api.close()


def test_names_are_given_and_returned_without_the_prefix_of_the_pack(datastore, keys):
    datastore.set("a.b", "1", 60)
    keys.set("a.b", "foreign")
    assert keys.get("pagerduty_stackflow.a.b") == "1"
    assert list(datastore.rows("a.")) == [("a.b", "1")] and datastore.read("a") == {"a.b": "1"}
    assert datastore.value("a.b") == "1" and datastore.value("a") is None
    assert datastore.delete("a.b") and datastore.value("a.b") is None
    assert keys.get("a.b") == "foreign"


def test_rows_come_from_all_pages_and_a_read_is_bounded(datastore, keys, monkeypatch):
    for name in NAMES:
        keys.set("pagerduty_stackflow." + name, name)
    assert list(datastore.rows("link.")) == [(name, name) for name in NAMES]
    assert len(NAMES) < NEIGHBOURS and len(datastore.read("link.")) == len(NAMES)
    monkeypatch.setattr("pagerduty_stackflow.datastore.NEIGHBOURS", PAGE + 7)
    assert len(datastore.read("link.")) == PAGE + 7


def test_a_value_expires(datastore, keys):
    datastore.set("a", "1", 60)
    keys.advance(61)
    assert datastore.value("a") is None


def test_an_encrypted_value_is_not_stored_in_clear(datastore, keys):
    datastore.set("a", "very secret", None, encrypt=True)
    assert "very secret" not in keys.raw("pagerduty_stackflow.a")
    assert keys.get("pagerduty_stackflow.a") == "very secret"


@pytest.mark.parametrize("ours", [0, 1, PAGE])
def test_a_list_that_ignores_prefix_limit_and_offset_ends_and_shows_only_our_rows(
        datastore, keys, ours):
    names = ["pagerduty_stackflow.link.INC%d" % at for at in range(ours)]
    names += ["foreign.%d" % at for at in range(PAGE - ours)]
    for name in names:
        keys.set(name, "x")
    keys.granted = names
    assert [name for name, _ in datastore.rows("link.")] == [
        "link.INC%d" % at for at in range(ours)]
    assert datastore.read("pagerduty.") == {}


def test_a_write_that_rbac_refuses_names_the_permission_and_is_not_retryable(datastore, keys):
    keys.granted = []
    with pytest.raises(DatastoreDeniedError) as caught:
        datastore.set("link.INC1", "{}", 60)
    error = caught.value.as_result()
    assert error["kind"] == "datastore_denied" and not error["retryable"]
    assert "key_value_pair_set" in error["message"] and "403" in error["message"]
    assert "admin" in error["hint"] and "st2api" not in error["hint"]


def test_a_token_that_stackstorm_does_not_accept_is_no_outage(datastore, monkeypatch):
    monkeypatch.setenv("ST2_AUTH_TOKEN", "expired")
    for permission, call in (("list", lambda: datastore.value("start")),
                             ("set", lambda: datastore.set("start", "x", None))):
        with pytest.raises(DatastoreDeniedError) as caught:
            call()
        error = caught.value
        assert not error.retryable and "401" in error.message and "token" in error.hint
        assert "key_value_pair_" + permission in error.message


def test_a_datastore_that_is_away_is_an_error_that_may_be_retried(datastore, keys):
    keys.fail()
    for call in (lambda: list(datastore.rows("a")), lambda: datastore.read("a"),
                 lambda: datastore.value("a"), lambda: datastore.set("a", "x", None)):
        with pytest.raises(DatastoreError) as caught:
            call()
        assert caught.value.kind == "datastore" and caught.value.retryable
        assert "st2api" in caught.value.hint
    assert datastore.delete("a") is False  # StackStorm's client hides it


def test_a_delete_that_raises_is_an_error_too():
    store = MemoryStore(VirtualClock())
    store.unreachable = True
    with pytest.raises(DatastoreError):
        Datastore(store).delete("a")


def test_a_datastore_for_a_dry_run_is_read_and_never_written(datastore, keys):
    datastore.set("a", "1", None)
    datastore.read_only()
    datastore.set("a", "2", None)
    datastore.set("b", "2", None)
    datastore.delete("a")
    assert keys.list() == {"pagerduty_stackflow.a": "1"} and datastore.read("") == {"a": "1"}


def test_no_store_of_a_pack_is_written_after_a_dry_run_began():
    world = World()
    pack = world.pack()
    before = dict(world.store.values)
    pack.datastore.read_only()
    pack.links.join("Q0ABCDEF", "INC1")
    pack.links.wait("INC1")
    pack.links.stop_waiting("INC1")
    pack.start.ensure(pack.clock)
    pack.escalations.recover("INC1", "P1", "2026-01-05T10:00:00Z")
    pack.note_marks.finish_note("x")
    pack.datastore.set("ping", "x", None)
    pack.webhook_secrets.write("PSUB01", "x")
    pack.progress.write({})
    assert world.store.values == before
