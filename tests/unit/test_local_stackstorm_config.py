"""How the local platform checks a config at registration and loads it for a process."""

import pytest
from local_stackstorm_samples import write_pack

from dev.local_stackstorm import LocalStackStorm, RegistrationError
from dev.local_stackstorm.config import load

CLEAR = "fake-" + "0123456789" * 2


def platform(tmp_path, config, **options):
    return LocalStackStorm(write_pack(tmp_path), tmp_path, config=config, **options)


def loaded(tmp_path, config, **options):
    st2 = platform(tmp_path, config, **options)
    return load(st2.pack.config_schema, config, st2.datastore, st2._env)


def test_defaults_are_filled_in_also_inside_objects_and_lists(tmp_path):
    config = loaded(tmp_path, {"mapping": [{"name": "a"}]})
    assert config == {"url": "http://default", "options": {"size": 3},
                      "mapping": [{"name": "a", "rank": 7}]}


def test_null_overrides_a_default(tmp_path):
    config = loaded(tmp_path, {"url": None, "options": {"size": None}, "mapping": [
        {"name": "a", "rank": None}]})
    assert config["url"] is None
    assert config["options"] == {"size": None}
    assert config["mapping"] == [{"name": "a", "rank": None}]


def test_null_for_an_object_with_declared_contents_becomes_the_object_of_its_defaults(tmp_path):
    config = loaded(tmp_path, {"options": None, "mapping": None})
    assert config["options"] == {"size": 3}
    assert config["mapping"] == []


def test_expressions_are_rendered_when_the_config_is_loaded(tmp_path):
    config = loaded(tmp_path, {"url": "http://{{ st2kv.system.host.name }}/"},
                    keys={"host.name": "example"})
    assert config["url"] == "http://example/"


def test_braces_that_are_no_expression_make_the_config_unusable(tmp_path):
    with pytest.raises(ValueError) as caught:
        loaded(tmp_path, {"options": {"colour": "{{ incident.title }}"}})
    assert "options.colour" in str(caught.value)


def test_a_key_that_does_not_exist_gives_none(tmp_path):
    assert loaded(tmp_path, {"url": "{{ st2kv.system.missing }}"})["url"] is None


def test_secrets_are_decrypted_where_the_schema_says_secret_and_only_there(tmp_path):
    config = loaded(tmp_path, {"token": "{{ st2kv.system.key }}", "url": "{{ st2kv.system.key }}",
                               "mapping": [{"name": "a", "key": "{{ st2kv.system.key }}"}]},
                    secret_keys={"key": CLEAR})
    assert config["token"] == CLEAR
    assert config["mapping"][0]["key"] == CLEAR
    assert config["url"] != CLEAR


def test_an_unencrypted_key_behind_a_secret_makes_the_config_unusable(tmp_path):
    with pytest.raises(ValueError):
        loaded(tmp_path, {"token": "{{ st2kv.system.key }}"}, keys={"key": CLEAR})


def test_decrypt_kv_works_for_other_values_and_is_refused_for_secrets(tmp_path):
    config = loaded(tmp_path, {"url": "{{ st2kv.system.key | decrypt_kv }}"},
                    secret_keys={"key": CLEAR})
    assert config["url"] == CLEAR
    with pytest.raises(RegistrationError) as caught:
        platform(tmp_path, {"token": "{{ st2kv.system.key | decrypt_kv }}"})
    assert "decrypt_kv" in str(caught.value)


def test_registration_stops_at_the_first_problem(tmp_path):
    with pytest.raises(RegistrationError) as caught:
        platform(tmp_path, {"options": {"size": "many", "colour": 5}, "url": 7})
    assert len([path for path in ("options.size", "options.colour", "url")
                if path in str(caught.value)]) == 1


def test_a_required_key_inside_a_list_is_checked_and_unknown_keys_pass(tmp_path):
    with pytest.raises(RegistrationError) as caught:
        platform(tmp_path, {"mapping": [{"rank": 1}]})
    assert "'name' is a required property" in str(caught.value)
    platform(tmp_path, {"ulr": "misspelt"})
