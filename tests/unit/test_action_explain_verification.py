"""The action explain_verification, which ends a verify_integration that failed."""

from __future__ import annotations

from action_site import ActionTestCase
from explain_verification import ExplainVerificationAction

ID, NUMBER = "Q0ABCDEFGHIJKL", "INC0001234"


class ExplainVerificationTestCase(ActionTestCase):
    action_cls = ExplainVerificationAction

    def explain(self, failed_step, **parameters):
        error = self.fail_with("verification", failed_step=failed_step, pagerduty_incident_id=ID,
                               **parameters)
        self.assertTrue(error["message"].startswith("%s: the test incident %s " % (failed_step,
                                                                                  ID)))
        self.assertIs(error["retryable"], False)
        self.assertEqual(self.calls(), [])
        return error

    def test_a_wait_that_saw_nothing_leads_to_the_webhooks_and_the_action_behind_them(self):
        for step, action in (("wait_for_record", "create_stackflow_incident"),
                             ("wait_for_in_progress", "set_stackflow_state"),
                             ("wait_for_resolved", "set_stackflow_state")):
            hint = self.explain(step)["hint"]
            self.assertIn("/healthz", hint)
            self.assertIn("manage_webhooks", hint)
            self.assertIn("--action pagerduty_stackflow.%s`" % action, hint)

    def test_a_write_that_failed_leads_to_the_error_of_its_task(self):
        for step in ("acknowledge", "resolve"):
            self.assertIn("the error of this task", self.explain(step)["hint"])

    def test_a_direction_that_is_off_is_the_reason(self):
        self.config["bidirectional_sync"] = False
        self.assertIn("bidirectional_sync", self.explain("wait_for_record")["hint"])

    def test_what_may_be_open_is_named_first(self):
        error = self.explain("wait_for_resolved", stackflow_id=NUMBER, left_open=True)
        self.assertIn("may be open still", error["message"])
        self.assertTrue(error["hint"].startswith("resolve %s and %s by hand; " % (ID, NUMBER)))
        self.assertIn("resolve %s by hand; " % ID, self.explain("resolve", left_open=True)["hint"])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(failed_step="resolve", pagerduty_incident_id=ID)
