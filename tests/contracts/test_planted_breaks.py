"""Mistakes in the pack's metadata show on the local platform as they do on StackStorm.

Each is planted in a copy of the pack; what StackStorm 3.9.0 printed is in docs/platform.md.
"""

from __future__ import annotations

import pytest
from pack_copy import copy_pack

from dev.local_stackstorm import RegistrationError
from dev.site import LocalSite, wait_for

SECONDS = 30


@pytest.fixture
def broken(tmp_path):
    """A copy of the pack in which a text of one file is another."""
    def plant(name, old, new):
        pack = copy_pack(tmp_path / "pack")
        text = (pack / name).read_text(encoding="utf-8")
        assert old in text
        (pack / name).write_text(text.replace(old, new), encoding="utf-8")
        return str(pack)
    return plant


def told_of_an_incident(site):
    """An incident is opened in StackFlow; the instance that its webhook gave, all being quiet."""
    site.stackflow.create_incident("Checkout is down", "P1", group="Platform Engineering")
    site.settle(site.idle, SECONDS)
    assert [status for one in site.stackflow.deliveries for _, status in one.attempts] == [202]
    assert site.pagerduty.incidents() == []
    instance, = [one for one in site.platform.trigger_instances()
                 if one.payload["event_type"] == "incident.created"]
    return instance


def test_a_wrong_payload_schema_drops_every_event_without_an_exception(broken):
    pack = broken("sensors/webhook_sensor.yaml", '["string", "null"]\n          description: ISO',
                  "integer\n          description: ISO")
    with LocalSite(pack=pack) as site:
        instance = told_of_an_incident(site)
        assert (instance.status, site.platform.executions()) == ("dropped", [])
        assert "is not of type 'integer'" in instance.reason
        assert site.platform.enforcements() == []
        assert site.platform.sensor("WebhookSensor").starts == 1


def test_a_misspelt_parameter_of_a_rule_fails_each_enforcement(broken):
    pack = broken("rules/stackflow_created.yaml", "    incident:", "    incidnet:")
    with LocalSite(pack=pack) as site:
        instance = told_of_an_incident(site)
        enforcement, = site.platform.enforcements()
        assert enforcement.trigger_instance == instance.id
        assert "'incidnet' was unexpected" in enforcement.failure


def test_a_rule_on_a_field_that_does_not_exist_never_matches_and_nobody_is_told(broken):
    pack = broken("rules/stackflow_created.yaml", "sync.apply", "sync.aply")
    with LocalSite(pack=pack) as site:
        instance = told_of_an_incident(site)
        assert (instance.status, site.platform.enforcements()) == ("processed", [])


def test_a_workflow_with_an_undefined_variable_is_refused_with_its_place(broken):
    pack = broken("workflows/escalate_sla_breach.yaml", "<% ctx().unanswered %>",
                  "<% ctx().unansered %>")
    with pytest.raises(RegistrationError) as caught:
        LocalSite(pack=pack)
    assert 'Variable "unansered" is referenced before assignment' in str(caught.value)


def test_a_template_of_stackstorm_in_the_config_stops_the_sensor_and_fails_the_actions():
    site = LocalSite(templates={"summary": "{{ incident.number }}"})
    site.platform.start()
    try:
        sensor = site.platform.sensor("WebhookSensor")
        wait_for(lambda: sensor.state == "given_up", SECONDS, lambda: "the sensor to be given up")
        assert (sensor.starts, site.healthz()) == (3, None)
        execution = site.platform.run_action("pagerduty_stackflow.list_incidents")
        assert execution.status == "failed" and execution.result is None
        for text in (execution.error, site.log()):
            assert "templates.summary" in text and "'incident' is undefined" in text
    finally:
        site.__exit__()
