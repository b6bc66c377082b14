"""The local platform's datastore, as sensors and actions see it through their services."""

import pytest
from local_stackstorm_samples import write_pack

from dev.local_stackstorm import LocalStackStorm

CLEAR = "fake-" + "0123456789" * 2


@pytest.fixture
def st2(tmp_path):
    with LocalStackStorm(write_pack(tmp_path), tmp_path) as platform:
        yield platform


def run(st2, code):
    """What ``result`` is after code ran in an action, where ``service`` is action_service."""
    execution = st2.run_action("demo.code", {"code": code})
    assert execution.status == "succeeded", execution.stderr
    return execution.result


def test_local_keys_carry_pack_and_class_and_others_do_not(st2):
    run(st2, "service.set_value('a', 5)\nservice.set_value('b', 'x', local=False)")
    assert st2.datastore.list() == {"demo.Code:a": "5", "b": "x"}
    assert run(st2, "result = [service.get_value('a'), service.get_value('b')]") == ["5", None]
    assert run(st2, "result = service.get_value('b', local=False)") == "x"


def test_list_values_keeps_full_names(st2):
    run(st2, "service.set_value('a1', 1)\nservice.set_value('a2', 2)\nservice.set_value('b', 3)")
    listing = "result = [(key.name, key.value) for key in service.list_values(%s)]"
    assert run(st2, listing % "prefix='a'") == [["demo.Code:a1", "1"], ["demo.Code:a2", "2"]]
    assert run(st2, listing % "local=False, prefix='demo.Code:b'") == [["demo.Code:b", "3"]]


def test_list_values_without_a_limit_ends_silently_after_100_keys(st2):
    for number in range(130):
        st2.datastore.set("key.%03d" % number, number)
    count = "result = len(service.list_values(local=False, prefix='key.'%s))"
    assert run(st2, count % "") == 100
    assert run(st2, count % ", limit=1000") == 130
    assert run(st2, count % ", limit=20, offset=120") == 10


def test_a_key_expires_when_its_time_is_up_and_storing_it_again_without_ttl_keeps_it(st2):
    run(st2, "service.set_value('a', 1, ttl=60)\nservice.set_value('b', 1, ttl=60)")
    run(st2, "service.set_value('b', 2)")
    st2.datastore.advance(59)
    assert st2.datastore.get("demo.Code:a") == "1"
    st2.datastore.advance(2)
    assert st2.datastore.list() == {"demo.Code:b": "2"}


def test_secrets_are_stored_encrypted_and_shown_on_demand_only(st2):
    run(st2, "service.set_value('a', %r, encrypt=True)" % CLEAR)
    assert CLEAR not in st2.datastore.raw("demo.Code:a")
    assert run(st2, "result = service.get_value('a', decrypt=True)") == CLEAR
    assert CLEAR not in run(st2, "result = service.get_value('a')")
    assert CLEAR not in run(st2, "result = service.list_values()[0].value")


def test_unreachable_get_gives_none_and_delete_false_while_set_and_list_raise(st2):
    st2.datastore.set("demo.Code:a", 1)
    st2.datastore.fail()
    assert run(st2, "result = [service.get_value('a'), service.delete_value('a')]") == [None, False]
    for call in ("service.list_values()", "service.set_value('a', 2)"):
        assert run(st2, "try:\n    %s\nexcept Exception:\n    result = 'raised'" % call) == "raised"
    st2.datastore.fail(False)
    assert run(st2, "result = service.get_value('a')") == "1"


def test_deleting_succeeds_also_when_there_is_no_such_key(st2):
    st2.datastore.set("demo.Code:a", 1)
    assert run(st2, "result = [service.delete_value('a') for _ in range(2)]") == [True, True]
    assert st2.datastore.list() == {}


def test_only_the_scope_system_is_supported(st2):
    execution = st2.run_action("demo.code", {"code": "service.get_value('a', scope='user')"})
    assert execution.status == "failed" and "ValueError" in execution.stderr


def test_names_and_lifetimes_that_stackstorm_may_not_take_are_refused(st2):
    for call in ("service.set_value('a/b', 1)", "service.set_value('a', 1, ttl=1.5)"):
        assert st2.run_action("demo.code", {"code": call}).status == "failed"


def test_a_token_is_good_for_the_life_of_its_process_only(st2):
    used = run(st2, "import os\nresult = os.environ['ST2_ACTION_AUTH_TOKEN']")
    code = ("import os\nos.environ['ST2_AUTH_TOKEN'] = %r\nservice.set_value('a', 1)" % used)
    execution = st2.run_action("demo.code", {"code": code})
    assert execution.status == "failed" and "401" in execution.stderr
