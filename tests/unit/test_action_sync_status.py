"""The action sync_status."""

from __future__ import annotations

from action_site import ERROR, HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from sync_status import SyncStatusAction

SHOWN = {"stackflow_id", "pagerduty_incident_id", "dedup_key", "stackflow", "pagerduty", "link",
         "stackflow_url", "pagerduty_url", "in_step", "would", "failures"}


class SyncStatusTestCase(ActionTestCase):
    action_cls = SyncStatusAction

    def show(self, incident_id):
        status, result = self.run_action(incident_id=incident_id)
        self.assertIs(status, True, result)
        self.assertEqual(set(result), SHOWN)
        self.assertEqual(self.writes(), [])
        return result

    def test_a_pair_in_step_by_either_id(self):
        number = self.paged()
        for incident_id in (number, self.incident(number).id):
            result = self.show(incident_id)
            self.assertEqual((result["in_step"], result["would"], result["failures"]),
                             (True, [], []))
            self.assertEqual((result["stackflow"]["state"], result["pagerduty"]["status"],
                              result["link"]["pagerduty"]), ("new", "triggered", "open"))

    def test_a_pair_out_of_step_shows_what_a_reconcile_would_write(self):
        number = self.paged()
        self.stackflow.set_state(number, "resolved")
        result = self.show(number)
        entry, = result["would"]
        self.assertEqual((entry["writes"], entry["reason"]), (["resolve"], "resolved in StackFlow"))
        self.assertIs(result["in_step"], False)
        self.assertEqual(self.incident(number).status, "triggered")

    def test_a_pair_that_a_reconcile_could_not_repair_shows_why(self):
        number = self.paged()
        self.stackflow.add_group("Nobody Mapped")
        self.stackflow.assign(number, group="Nobody Mapped")
        result = self.show(number)
        failure, = result["failures"]
        self.assertEqual(set(failure), ERROR | {"incident_id"})
        self.assertIn("Nobody Mapped", failure["message"])
        self.assertIs(result["in_step"], False)

    def test_an_incident_without_a_record(self):
        result = self.show(self.born_in_pagerduty(service=self.unmapped))
        self.assertEqual((result["in_step"], result["stackflow"]), (True, None))

    def test_what_neither_side_knows_is_not_found(self):
        for incident_id in (UNKNOWN_NUMBER, UNKNOWN_ID):
            error = self.fail_with("not_found", incident_id=incident_id)
            self.assertIn(incident_id, error["message"])

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids()

    def test_an_answer_that_is_not_json_fails(self):
        number = self.record()
        self.stackflow.faults.add("GET /prod/api/incidents/", **HTML)
        self.assertIn("not JSON", self.fail_with("api", incident_id=number)["message"])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=UNKNOWN_NUMBER)

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        incident_id = self.born_in_pagerduty()
        self.pagerduty.revoke_api_key(REST_KEY)
        self.fail_with("credentials", incident_id=incident_id)

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        number = self.record()
        self.stackflow.revoke(TOKEN)
        self.fail_with("credentials", incident_id=number)
