"""Sensors on the local platform: their processes, restarts and dispatches."""

import os

from local_stackstorm_samples import wait_for, write_pack

from dev.local_stackstorm import LocalStackStorm, sensors

FAST = 0.02


def platform(tmp_path, code, **options):
    """A platform whose Talker runs ``code`` at every poll."""
    options.setdefault("overrides", {"sensors": {"Talker": {"enabled": True}}})
    return LocalStackStorm(write_pack(tmp_path), tmp_path, keys={"code": code}, time_scale=FAST,
                           **options)


def test_what_a_sensor_dispatches_reaches_the_rules(tmp_path):
    code = "if self.polls == 1: service.dispatch('demo.said', {'id': 'say', 'data': {}}, 'tag')"
    with platform(tmp_path, code) as st2:
        execution = wait_for(lambda: st2.executions())[0]
        st2.wait_idle()
        assert execution.status == "succeeded"
        assert st2.trigger_instances()[0].trace_tag == "tag"


def test_a_misfit_payload_raises_nothing_in_the_sensor(tmp_path):
    code = ("if self.polls == 1:\n"
            "    service.dispatch('demo.said', {'number': 1})\n"
            "    service.dispatch('demo.sung', {})\n"
            "    service.set_value('after', 'reached', local=False)")
    with platform(tmp_path, code) as st2:
        wait_for(lambda: st2.datastore.get("after") == "reached")
        assert [item.status for item in st2.trigger_instances()] == ["dropped", "dropped"]
        assert st2.sensor("Talker").starts == 1
    with open(st2.log_path) as log:
        assert "not dispatching trigger demo.sung" in log.read()


def test_a_sensor_that_keeps_failing_is_restarted_twice_and_then_given_up(tmp_path):
    code = ("service.set_value('runs', int(service.get_value('runs', local=False) or 0) + 1,"
            " local=False)\nraise RuntimeError('again')")
    with platform(tmp_path, code) as st2:
        wait_for(lambda: st2.sensor("Talker").state == "given_up", 30)
        assert st2.sensor("Talker").starts == 3
        assert st2.datastore.get("runs") == "3"
        assert st2.datastore.get("cleaned") == "yes"


def test_a_sensor_that_lived_long_enough_is_restarted_as_if_for_the_first_time(
        tmp_path, monkeypatch):
    monkeypatch.setattr(sensors, "START_UP", 0.5)
    with platform(tmp_path, "if self.polls > 10: raise RuntimeError('later')") as st2:
        wait_for(lambda: st2.sensor("Talker").starts >= 4, 60)


def test_a_sensor_that_ends_by_itself_is_not_started_again(tmp_path):
    with platform(tmp_path, "import sys\nsys.exit(0)") as st2:
        wait_for(lambda: st2.sensor("Talker").state == "exited")
        assert st2.sensor("Talker").starts == 1
        assert st2.datastore.get("cleaned") == "yes"


def test_a_killed_sensor_comes_back_and_a_stopped_one_does_not_and_runs_no_cleanup(tmp_path):
    with platform(tmp_path, "service.set_value('polled', self.polls, local=False)") as st2:
        sensor = st2.sensor("Talker")
        wait_for(lambda: st2.datastore.get("polled"))
        first = sensor.pid
        sensor.kill()
        wait_for(lambda: sensor.state == "running" and sensor.pid != first)
        st2.datastore.delete("polled")
        wait_for(lambda: st2.datastore.get("polled"))
        sensor.stop()
        assert sensor.state == "stopped" and not os.path.exists("/proc/%d/cwd/." % sensor.pid)
        assert st2.datastore.get("cleaned") is None
        sensor.start()
        st2.datastore.delete("polled")
        wait_for(lambda: st2.datastore.get("polled"))


def test_a_sensor_is_started_only_if_enabled_and_knows_its_triggers(tmp_path):
    with platform(tmp_path, "", overrides={}) as st2:
        assert st2.sensor("Talker").state == "stopped"
        st2.sensor("Talker").start()
        wait_for(lambda: st2.datastore.get("demo.Talker:trigger") == "demo.said")
        st2.register()
        assert st2.sensor("Talker").state == "stopped"


def test_a_config_that_cannot_be_loaded_keeps_the_sensor_from_starting(tmp_path):
    with platform(tmp_path, "", config={"url": "{{ nothing.here }}"}) as st2:
        wait_for(lambda: st2.sensor("Talker").state == "given_up", 30)
    with open(st2.log_path) as log:
        assert "config value url cannot be rendered" in log.read()


def test_stopping_the_platform_leaves_no_process_behind(tmp_path):
    with platform(tmp_path, "service.set_value('polled', self.polls, local=False)") as st2:
        wait_for(lambda: st2.datastore.get("polled"))
        pid = st2.sensor("Talker").pid
        assert os.path.exists("/proc/%d" % pid)
    assert not os.path.exists("/proc/%d" % pid)
