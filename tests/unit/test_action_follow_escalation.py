"""The action follow_escalation."""

from __future__ import annotations

from action_site import (HTML, OUTCOME, REST_KEY, TOKEN, URLS, UNKNOWN_ID, UNKNOWN_NUMBER,
                         ActionTestCase)
from follow_escalation import FollowEscalationAction

SLA = "P1-Resolution-SLA"
STEP = OUTCOME | URLS | {"go_on", "wait_seconds", "unanswered"}
BREACH = {"metric": None, "trigger_on": None}


class FollowEscalationTestCase(ActionTestCase):
    action_cls = FollowEscalationAction

    def setUp(self):
        super().setUp()
        self.lee = self.pagerduty.add_user("Lee Command")
        self.command = self.pagerduty.add_escalation_policy("Command", [(5, [self.lee])])
        self.config["escalation_mapping"] = [{
            "stackflow_sla_policy": SLA, "pagerduty_escalation_policy_id": self.command,
            "trigger_on": "sla_breach"}]
        self.config["escalation"] = {"unanswered_after_minutes": 1e-9}

    def step(self, outcome, **parameters):
        """The result of a step."""
        status, result = self.run_action(sla_policy=SLA, **parameters)
        self.assertIs(status, True, result)
        self.assertEqual((set(result), result["outcome"]), (STEP, outcome), result)
        return result

    def test_step_by_step_to_the_last_resort(self):
        number = self.paged()
        first = self.step("done", incident_id=number, breach=BREACH)
        self.assertEqual((first["go_on"], first["wait_seconds"]), (True, 1))
        self.assertEqual(self.incident(number).assignees, [self.lee])
        last = self.step("done", incident_id=number)
        self.assertEqual((last["go_on"], last["unanswered"]), (False, True))
        alert, = self.pagerduty.alerts(dedup_key=self.dedup_key(number) + ":unanswered")
        self.assertEqual(alert.severity, "critical")
        self.assertFalse(self.step("already", incident_id=number)["go_on"])

    def test_an_answer_ends_it(self):
        number = self.paged()
        self.step("done", incident_id=number, breach=BREACH)
        self.pagerduty.acknowledge(self.incident(number).id, self.lee)
        result = self.step("done", incident_id=number)
        self.assertEqual((result["go_on"], result["reason"]), (False, "acknowledged in PagerDuty"))

    def test_a_breach_is_escalated_once(self):
        number = self.paged()
        self.step("done", incident_id=number, breach=BREACH)
        self.forget_calls()
        self.assertFalse(self.step("already", incident_id=number, breach=BREACH)["go_on"])
        self.assertEqual(self.writes(), [])

    def test_the_metric_and_the_kind_of_event_are_heard(self):
        number = self.paged()
        self.pagerduty.acknowledge(self.incident(number).id, self.person)
        self.step("skipped", incident_id=number, breach={"metric": "first_response"})
        self.step("skipped", incident_id=number, breach={"trigger_on": "sla_warning"})
        self.step("done", incident_id=number, breach={
            "metric": "resolution", "trigger_on": "sla_breach"})

    def test_unknown_ids_are_not_found(self):
        for incident_id in (UNKNOWN_NUMBER, UNKNOWN_ID):
            self.fail_with("not_found", incident_id=incident_id, sla_policy=SLA, breach=BREACH)
        self.assertEqual(self.writes(), [])

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids(sla_policy=SLA)

    def test_an_answer_that_is_not_json_fails(self):
        number = self.paged()
        self.pagerduty.faults.add("GET /incidents", **HTML)
        error = self.fail_with("api", incident_id=number, sla_policy=SLA, breach=BREACH)
        self.assertIn("not JSON", error["message"])
        self.assertEqual(self.writes(), [])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=UNKNOWN_NUMBER, sla_policy=SLA)

    def test_keys_that_are_refused_are_credentials_errors(self):
        number = self.paged()
        self.pagerduty.revoke_api_key(REST_KEY)
        given = {"incident_id": number, "sla_policy": SLA, "breach": BREACH}
        self.assertIn("expired or revoked", self.fail_with("credentials", **given)["message"])
        self.pagerduty.add_api_key(REST_KEY)
        self.stackflow.revoke(TOKEN)
        self.assertIn("stackflow.auth", self.fail_with("credentials", **given)["hint"])
