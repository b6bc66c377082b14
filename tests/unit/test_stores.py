"""Each store keeps its values under its own keys, as long as needed."""

import pytest

from dev.simulators.base import VirtualClock
from pagerduty_stackflow import stores
from pagerduty_stackflow.datastore import EXPIRY, PAGE, PREFIX, Datastore
from pagerduty_stackflow.errors import ConflictError, DatastoreError
from pagerduty_stackflow.incidents import note_digest
from pagerduty_stackflow.links import Link, Links
from pagerduty_stackflow.stores import WRITTEN_EXPIRY, Escalation, Leases
from world import MemoryStore

CLOSED = Link("INC1", pagerduty_id="Q0ABCDEF", dedup_key="stackflow:acme:INC1",
              key_fingerprint="f" * 16, here={"state": "resolved"}, there={"state": "resolved"})
POLICY = "P1 Response: Größe {{ 1 }}"
ESCALATION = Escalation("INC1", POLICY, "waiting", "2026-01-05T10:00:00Z", "2026-01-05T10:00:01")
STORES = ("Start", "Escalations", "NoteMarks", "WebhookSecrets", "Progress", "Leases")


class Site:
    def __init__(self):
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        datastore = Datastore(self.store)
        self.links = Links(datastore)
        (self.start, self.escalations, self.marks, self.secrets, self.progress,
         self.leases) = [getattr(stores, name)(datastore) for name in STORES]

    def put(self, name, value):
        self.store.set_value(PREFIX + name, value)


@pytest.fixture
def site():
    return Site()


def test_the_first_run_is_remembered(site):
    assert site.start.read() is None
    first = site.start.ensure(site.clock)
    site.clock.advance(3600)
    assert site.start.ensure(site.clock) == first == site.start.read()
    assert first == "2026-01-05T10:00:00.000000Z"


@pytest.mark.parametrize("incident", ["INC1", "Q0ABCDEF"])
def test_what_the_pack_wrote_on_an_incident_is_known_for_a_week(site, incident):
    def written():
        return (site.links.read_with_notes(incident)[1] if incident == "INC1" else
                site.links.index(incident).notes)

    site.links.write(CLOSED)
    site.links.join("Q0ABCDEF", "INC1")
    pair = site.links.read("INC1"), site.links.numbers("Q0ABCDEF")
    site.marks.write_note(incident, "Taken\n by Jane ", site.clock.now())
    site.marks.write_note(incident + "0", "another", site.clock.now())
    assert written() == {note_digest("Taken by Jane"): "2026-01-05T10:00:00.000000Z"}
    assert (site.links.read("INC1"), site.links.numbers("Q0ABCDEF")) == pair
    site.clock.advance(WRITTEN_EXPIRY + 1)
    assert written() == {}


def test_a_note_is_finished_once_the_pack_has_said_so(site):
    site.marks.finish_note("x2")
    assert not site.marks.is_finished("x")
    site.marks.finish_note("x")
    assert site.marks.is_finished("x")


def test_progress_is_kept_and_anything_else_counts_as_none(site):
    assert site.progress.read() == {}
    site.progress.write({"place": [1, "x"]})
    assert site.progress.read() == {"place": [1, "x"]}
    for value in ("", "{", "[]", "7", "null", "[" * 100000):
        site.put("reconcile", value)
        assert site.progress.read() == {}


def test_a_lease_is_held_by_one_run_until_it_is_given_back_or_expires(site):
    assert site.leases.take("reconcile", 60, site.clock) is None
    assert site.leases.take("reconcile", 60, site.clock) == "2026-01-05T10:01:00.000000Z"
    assert site.leases.take("another", 60, site.clock) is None
    site.leases.release("reconcile")
    assert site.leases.take("reconcile", 60, site.clock) is None
    site.clock.advance(61)
    assert site.leases.take("reconcile", 60, site.clock) is None


@pytest.mark.parametrize("stored", ["", "soon", "2026-01-05T09:59:59Z", "2999-01-01T00:00:00Z"])
def test_a_lease_that_is_over_or_that_somebody_edited_holds_nobody_up(site, stored):
    site.put("lease.reconcile.another", stored)
    assert site.leases.take("reconcile", 60, site.clock) is None


def test_escalations_are_kept_apart_by_number_and_policy(site):
    first, second, third = [
        ESCALATION._replace(number=number, policy=policy, assignee="jane@example.com")
        for number, policy in (("INC1", POLICY), ("INC1", "P2"), ("INC12", POLICY))]
    for one in (first, second, third):
        site.escalations.write(one)
    site.escalations.recover("INC1", "P2", "2026-01-05T10:00:00Z")
    assert site.escalations.read("INC1", POLICY) == (first, None)
    assert site.escalations.read("INC1", "P2") == (second, "2026-01-05T10:00:00Z")
    assert site.escalations.read("INC12", "P2") == (None, None)
    assert sorted(site.escalations.every(), key=str) == sorted([first, second, third], key=str)
    site.clock.advance(EXPIRY + 1)
    assert site.escalations.every() == []


def test_all_escalations_are_found_however_many_there_are(site, monkeypatch):
    monkeypatch.setattr("pagerduty_stackflow.datastore.NEIGHBOURS", PAGE)
    for at in range(PAGE * 2 + 50):
        site.escalations.write(ESCALATION._replace(number="INC%d" % at))
    assert len(site.escalations.every()) == PAGE * 2 + 50


@pytest.mark.parametrize("times, kept", [
    (["10:00:00Z", "10:05:00Z"], "10:05:00Z"), (["10:05:00Z", "10:00:00Z"], "10:05:00Z"),
    (["10:05:00Z", "11:05:00+01:00"], "10:05:00Z"), (["10:05:00Z", "None"], "10:05:00Z")])
def test_the_latest_recovery_is_kept_in_whatever_order_they_come(site, times, kept):
    for time in times:
        site.escalations.recover("INC1", POLICY, "2026-01-05T" + time)
    assert site.escalations.read("INC1", POLICY) == (None, "2026-01-05T" + kept)


def test_a_lease_that_is_held_is_given_back_and_is_refused_to_others_until_then(site):
    other = Leases(Datastore(site.store))
    with site.leases.hold("x", 60, site.clock, 0):
        with pytest.raises(ConflictError, match="another run is at work on x"):
            with other.hold("x", 60, site.clock, 0):
                pass
        other.release("x")
        assert other.take("x", 60, site.clock) is not None
    assert other.take("x", 60, site.clock) is None


@pytest.mark.parametrize("later", [0, 7])
@pytest.mark.parametrize("call", range(2))
def test_of_two_runs_that_ask_in_the_same_moment_at_most_one_gets_a_lease(site, call, later):
    one, two = [Leases(Datastore(site.store)) for _ in range(2)]
    calls, ends = [], []

    def other_asks(what):
        """Right before one of the calls of the first run."""
        calls.append(what)
        if len(calls) == call + 1:
            site.store.before_call = lambda what: None
            site.clock.advance(later)
            ends.append(two.take("x", 60, site.clock))

    site.store.before_call = other_asks
    ends.append(one.take("x", 60, site.clock))
    assert len(calls) == call + 1 and ends.count(None) <= 1


def test_webhook_secrets_are_encrypted_and_found_by_their_full_keys(site):
    site.secrets.write("PSUB01", "very secret")
    site.secrets.write("PSUB012", "another")
    key = PREFIX + "webhook_secret.PSUB01"
    assert sorted(site.secrets.keys()) == [key, key + "2"]
    assert site.secrets.key("PSUB01") == key and site.secrets.key("PSUB0") is None
    assert "very secret" not in site.store.values[key][0]
    assert site.store.get_value(key, decrypt=True) == "very secret"
    assert site.secrets.delete("PSUB01")
    assert site.secrets.key("PSUB01") is None


def calls():
    clock = VirtualClock()
    return [("start", "read"), ("start", "ensure", clock), ("escalations", "read", "INC1", POLICY),
            ("escalations", "every"), ("escalations", "write", ESCALATION),
            ("escalations", "recover", "INC1", POLICY, "2026-01-05T10:00:00Z"),
            ("marks", "write_note", "INC1", "<words> {{ }}", clock.now()),
            ("marks", "is_finished", "x"), ("marks", "finish_note", "x"),
            ("secrets", "keys"), ("secrets", "key", "PSUB01"), ("secrets", "write", "PSUB01", "x"),
            ("secrets", "delete", "PSUB01"), ("progress", "read"), ("progress", "write", {}),
            ("leases", "take", "reconcile", 60, clock), ("leases", "release", "reconcile"),
            ("leases", "hold", "reconcile", 60, clock, 0)]


def call(site, store, name, *given):
    result = getattr(getattr(site, store), name)(*given)
    if name == "hold":
        with result:
            pass


@pytest.mark.parametrize("one", calls(), ids=lambda one: " ".join(one[:2]))
def test_a_datastore_that_does_not_answer_is_an_error_in_every_method(site, one):
    site.store.unreachable = True
    with pytest.raises(DatastoreError) as caught:
        call(site, *one)
    assert caught.value.retryable and "st2api" in caught.value.hint


def test_every_method_is_tried_without_a_datastore(site):
    tried = {(type(getattr(site, one[0])).__name__, one[1]) for one in calls()}
    assert tried == {(store, name) for store in STORES for name in vars(getattr(stores, store))
                     if not name.startswith("_")}


def test_every_name_can_be_a_key_of_the_datastore(site):
    for one in calls():
        call(site, *one)
    assert len(site.store.values) == 6
    for name in site.store.values:
        assert name.startswith(PREFIX) and not set(name) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")


def test_the_names_of_keys_stay_those_of_the_first_version(site):
    for one in calls():
        if one[1] != "delete":
            call(site, *one)
    policy = "8570b1fbdb747caf"
    assert {name[len(PREFIX):] for name in site.store.values} == {
        "start", "sla.INC1." + policy, "sla.INC1.%s.recovered" % policy,
        "link.INC1.note." + note_digest("<words> {{ }}"), "note.x",
        "webhook_secret.PSUB01", "reconcile"}
