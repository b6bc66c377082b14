"""The REST key: from the config or Secrets Manager, its encrypted cache, and its rotation."""

import json
import logging

import pytest

from aws_site import (INTEGRATION_KEY, KEY, NEW_KEY, SECRET, Clock, aws,  # noqa: F401
                      make_settings, make_store, moto_url, no_aws)
from leaks import assert_leaks_no_secret
from pagerduty_stackflow import secrets_manager
from pagerduty_stackflow.credentials import LAG, PREFIX, Secrets, check_api_key, pick_api_key
from pagerduty_stackflow.errors import ApiError, CredentialsError
from world import World

CACHE = PREFIX + "pagerduty.api_key_secret."


class Site:
    """Secrets Manager in memory: what it holds and how often it is read."""

    def __init__(self, monkeypatch):
        self.clock = Clock()
        self.store = make_store(self.clock)
        self.current = [KEY]
        self.reads = []
        monkeypatch.setattr(secrets_manager, "fetch", self._fetch)

    def _fetch(self, name, settings):
        self.reads.append(name.id)
        value = self.current.pop(0) if len(self.current) > 1 else self.current[0]
        if isinstance(value, Exception):
            raise value
        return value

    def source(self, **pagerduty):
        """What a new process works with."""
        return Secrets(make_settings(pagerduty=pagerduty), self.store, self.clock)

    def stored(self):
        return {name: value for name, (value, _) in self.store.values.items()}


@pytest.fixture
def site(monkeypatch):
    return Site(monkeypatch)


def refused(source):
    with pytest.raises(CredentialsError) as caught:
        source.api_key(True)
    assert_leaks_no_secret(caught.value, KEY, NEW_KEY)
    return caught.value


def test_one_process_reads_once(site):
    source = site.source()
    assert [source.api_key(False) for _ in range(5)] == [KEY] * 5
    assert site.reads == [SECRET]


def test_the_next_process_takes_it_from_the_datastore(site):
    assert [site.source().api_key() for _ in range(5)] == [KEY] * 5
    assert site.reads == [SECRET]


def test_the_datastore_holds_it_encrypted_and_for_five_minutes_at_most(site):
    site.source().api_key()
    (name, (text, end)), = site.store.values.items()
    assert name.startswith(CACHE) and KEY not in text and SECRET not in name
    assert (end - site.clock.now()).total_seconds() <= 300
    assert site.store.get_value(name, decrypt=False) == text


@pytest.mark.parametrize("passed, reads", [(299, 1), (300, 2), (301, 2)])
@pytest.mark.parametrize("same_process", [True, False])
def test_after_five_minutes_it_is_read_again(site, passed, reads, same_process):
    source = site.source()
    source.api_key()
    # MongoDB removes what ran out within a minute only, so its end is looked at as well.
    site.store.values = {name: (text, None) for name, (text, _) in site.store.values.items()}
    site.clock.sleep(passed)
    (source if same_process else site.source()).api_key()
    assert len(site.reads) == reads


def test_without_a_crypto_key_nothing_is_stored_and_the_log_says_so_once(site, caplog):
    site.store.encryption = False
    source = site.source()
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            source.api_key(False)
            source.api_key(True)
    assert site.store.values == {}
    assert len(caplog.records) == 1 and "encryption_key_path" in caplog.text
    assert KEY not in caplog.text
    assert site.source().api_key() == KEY


def test_a_datastore_that_is_away_costs_reads_and_no_more(site):
    site.store.unreachable = True
    assert [site.source().api_key() for _ in range(3)] == [KEY] * 3
    assert len(site.reads) == 3


@pytest.mark.parametrize("spoilt", ["", "x", "[]", "{}", "null", "1", '{"value": 1}',
                                    '["v", "soon", ""]', '["", 1e12, ""]', '["v", 1e12]',
                                    '["v", 1e12, "of something else"]', '["v", 1e12, "", 1]',
                                    '{"value": "v", "until": 1e12, "made_from": ""}',
                                    "[" * 100000])
def test_an_entry_that_cannot_be_read_costs_a_read_and_no_more(site, spoilt):
    site.source().api_key()
    (name, _), = site.store.values.items()
    site.store.set_value(name, spoilt, encrypt=True)
    assert site.source().api_key() == KEY and len(site.reads) == 2


def test_an_entry_that_cannot_be_decrypted_costs_a_read_and_no_more(site):
    site.source().api_key()
    (name, _), = site.store.values.items()
    site.store.values[name] = ("in clear", None)
    assert site.source().api_key() == KEY and len(site.reads) == 2


@pytest.mark.parametrize("changed", [
    {"pagerduty": {"api_key_secret": "another"}}, {"aws": {"region": "eu-west-1"}},
    {"aws": {"endpoint_url": "https://vpce.example"}}])
def test_a_changed_setting_does_not_use_the_value_of_the_old_one(site, changed):
    site.source().api_key()
    site.current = [NEW_KEY]
    assert Secrets(make_settings(**changed), site.store, site.clock).api_key() == NEW_KEY
    assert site.source().api_key() == KEY


# Rotation.

def test_a_refused_key_is_read_afresh_and_replaced_in_the_cache(site):
    source = site.source()
    source.api_key()
    site.current = [NEW_KEY]
    assert source.api_key(True) == NEW_KEY and site.clock.passed == 0
    assert source.api_key() == site.source().api_key() == NEW_KEY
    assert len(site.reads) == 2


def test_a_refused_key_of_the_cache_is_read_afresh(site):
    site.source().api_key()
    site.current = [NEW_KEY]
    later = site.source()
    assert later.api_key() == KEY
    assert later.api_key(True) == NEW_KEY


def test_a_secret_that_lags_behind_is_waited_for_once(site):
    source = site.source()
    source.api_key()
    site.current = [KEY, NEW_KEY]
    assert source.api_key(True) == NEW_KEY
    assert site.clock.passed == LAG and len(site.reads) == 3


def test_a_secret_that_does_not_change_is_given_for_one_more_try(site):
    source = site.source()
    source.api_key()
    assert source.api_key(True) == KEY
    assert site.clock.passed == LAG and len(site.reads) == 3


def test_a_refused_key_is_dropped_even_if_no_fresh_one_can_be_read(site):
    source = site.source()
    source.api_key()
    site.current = [CredentialsError("AWS is away", "wait", True), NEW_KEY]
    assert refused(source).retryable
    assert site.stored() == {}
    assert source.api_key() == NEW_KEY


def test_a_value_of_wrong_content_is_not_kept(site):
    site.current = ["x" * 32, KEY]
    source = site.source()
    with pytest.raises(CredentialsError):
        source.api_key()
    assert site.stored() == {} and source.api_key() == KEY


# A key in the config.

def test_a_key_in_the_config_needs_neither_aws_nor_the_datastore(site):
    assert site.source(api_key=KEY).api_key() == KEY
    assert site.reads == [] and site.store.calls == 0


def test_a_refused_key_of_the_config_has_no_fresh_one(site):
    source = site.source(api_key=KEY)
    source.api_key()
    error = refused(source)
    assert error.message.startswith("API key expired or revoked: generate a new key in PagerDuty")
    assert "pagerduty.api_key" in error.hint and site.reads == []


def test_a_key_of_the_config_that_came_back_empty_falls_back_to_secrets_manager(site):
    assert site.source(api_key=None).api_key() == KEY


@pytest.mark.parametrize("key, words", [("k" * 32, "32 characters: that is an integration key"),
                                        ("k k" * 6, "spaces")])
def test_a_wrong_key_in_the_config_is_not_sent(site, key, words):
    with pytest.raises(CredentialsError) as caught:
        site.source(api_key=key).api_key()
    assert "pagerduty.api_key" in caught.value.message and words in caught.value.message
    assert_leaks_no_secret(caught.value, key)


# What a secret holds.

@pytest.mark.parametrize("text", [
    KEY, " %s\n" % KEY, {"api_key": KEY}, {"apiKey": KEY}, {"API-Key": KEY}, {"key": KEY},
    {"token": KEY}, {"pagerduty_api_key": KEY, "token": "x"}, {"whatever": KEY},
    {"whatever": KEY, "number": 1, "nothing": None, "empty": ""}, {"user": "me", "api_key": KEY}])
def test_the_key_of_a_secret(text):
    assert pick_api_key(text if isinstance(text, str) else json.dumps(text)) == KEY


def test_a_key_of_digits_is_no_json_number():
    assert pick_api_key("1" * 20) == "1" * 20


@pytest.mark.parametrize("text, words", [
    (INTEGRATION_KEY, "32 characters: that is an integration key, not a REST API key"),
    (json.dumps({"api_key": INTEGRATION_KEY}), "that is an integration key"),
    ("\u20ac" * 20, "characters that no key has"), ("with space 123456789", "holds spaces"),
    ('{"a": "%s", "b": "other"}' % KEY, "2 texts and none is named api_key"),
    ('{"api_key": "%s"' % KEY, "is not valid JSON"), ("{}", "holds no text"),
    ('{"api_key": {"deep": "%s"}}' % KEY, "holds no text"), ('{"a":' * 100000, "not valid JSON")])
def test_wrong_content_has_words_of_its_own(text, words):
    with pytest.raises(CredentialsError) as caught:
        pick_api_key(text)
    assert words in caught.value.message and caught.value.hint
    assert "pagerduty.api_key_secret" in caught.value.message
    assert_leaks_no_secret(caught.value, text, KEY, INTEGRATION_KEY)


@pytest.mark.parametrize("key", ["a_b-c+defghijklmnopq", "u+abcdefghijklmnop-1", "short", KEY])
def test_what_pagerduty_puts_into_keys_is_allowed(key):
    check_api_key(key, "here")


# In the pack, against a server.

def world_with(aws, **pagerduty):  # noqa: F811
    world = World()
    world.pagerduty.revoke_api_key("rest-key-0123456789x")
    world.pagerduty.add_api_key(KEY)
    aws.put(KEY)
    world.configure(aws={"endpoint_url": aws.url},
                    pagerduty=dict(world.config["pagerduty"], api_key=None, **pagerduty))
    world.pagerduty.requests.clear()
    return world


def test_a_call_signs_with_the_key_of_secrets_manager(aws):  # noqa: F811
    world = world_with(aws)
    for _ in range(3):
        assert world.pack().rest.user_email("casey@example.com") == "casey@example.com"
    assert aws.reads == 1 and len(world.pagerduty.requests) == 3


@pytest.mark.parametrize("read_only", [False, True])
def test_a_rotated_key_costs_one_request_more(aws, read_only):  # noqa: F811
    """Whether the old key is gone (401) or may only read now (403)."""
    world = world_with(aws)
    incident = world.pagerduty.create_incident(world.api, "Disk full", world.casey)
    world.pack().rest.incident(incident)
    world.pagerduty.revoke_api_key(KEY)
    if read_only:
        world.pagerduty.add_api_key(KEY, read_only=True)
    world.pagerduty.add_api_key(NEW_KEY)
    aws.put(NEW_KEY)
    world.pagerduty.requests.clear()
    for status in ("acknowledged", "resolved"):
        world.pack().rest.set_status(incident, status)
    assert [one.status for one in world.pagerduty.requests] == [403 if read_only else 401, 200, 200]
    assert aws.reads == 2 and world.pagerduty.incident(incident).status == "resolved"


def test_a_revoked_key_that_nobody_replaced_says_what_to_do(aws):  # noqa: F811
    world = world_with(aws)
    world.pagerduty.revoke_api_key(KEY)
    with pytest.raises(CredentialsError) as caught:
        world.pack().rest.incident("PABC")
    assert caught.value.message.startswith("API key expired or revoked: generate a new key in "
                                           "PagerDuty and update it in Secrets Manager (")
    assert len(world.pagerduty.requests) == 2 and aws.reads == 3
    assert_leaks_no_secret(caught.value, KEY)


@pytest.mark.parametrize("in_config", [True, False])
def test_a_key_that_may_not_do_it_is_told_from_a_revoked_one(aws, in_config):  # noqa: F811
    world = world_with(aws)
    if in_config:
        world.configure(pagerduty=dict(world.config["pagerduty"], api_key=KEY))
    world.pagerduty.revoke_api_key(KEY)
    world.pagerduty.add_api_key(KEY, read_only=True)
    with pytest.raises(ApiError) as caught:
        world.pack().rest.set_status("PABC", "resolved")
    assert caught.value.status == 403 and "may not do this" in caught.value.hint
    assert len(world.pagerduty.requests) == (1 if in_config else 2)


def test_a_revoked_key_of_the_config_fails_at_once(aws):  # noqa: F811
    world = world_with(aws)
    world.configure(pagerduty=dict(world.config["pagerduty"], api_key=KEY))
    world.pagerduty.revoke_api_key(KEY)
    with pytest.raises(CredentialsError) as caught:
        world.pack().rest.incident("PABC")
    assert "401" in caught.value.message and "pagerduty.api_key" in caught.value.hint
    assert len(world.pagerduty.requests) == 1 and aws.reads == 0
    assert_leaks_no_secret(caught.value, KEY)


def test_a_secret_that_cannot_be_read_says_so_and_nothing_is_sent(aws):  # noqa: F811
    world = world_with(aws, api_key_secret="stackflow/absent")
    with pytest.raises(CredentialsError) as caught:
        world.pack().rest.incident("PABC")
    assert "secret not found" in caught.value.message and world.pagerduty.requests == []
