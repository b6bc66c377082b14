"""The action get_incident."""

from __future__ import annotations

from action_site import HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from get_incident import GetIncidentAction

SHOWN = {"stackflow_id", "pagerduty_incident_id", "dedup_key", "stackflow", "pagerduty", "link",
         "stackflow_url", "pagerduty_url"}


class GetIncidentTestCase(ActionTestCase):
    action_cls = GetIncidentAction

    def show(self, incident_id):
        status, result = self.run_action(incident_id=incident_id)
        self.assertIs(status, True, result)
        self.assertEqual(set(result), SHOWN)
        self.assertEqual(self.writes(), [])
        return result

    def test_both_sides_and_the_link_by_number(self):
        number = self.paged()
        result = self.show(number)
        self.assertEqual(result["stackflow"]["short_description"], "Database timeout")
        self.assertEqual(result["pagerduty"]["status"], "triggered")
        self.assertEqual(result["pagerduty"]["service_id"], self.service)
        self.assertTrue(result["pagerduty"]["created_at"].endswith("Z"))
        self.assertEqual(result["pagerduty_incident_id"], self.incident(number).id)
        self.assertEqual(result["dedup_key"], self.dedup_key(number))
        self.assertEqual(result["link"]["there"]["state"], "triggered")
        self.assertTrue(result["stackflow_url"].endswith("/incidents/" + number))
        self.assertTrue(result["pagerduty_url"].endswith(
            ".pagerduty.com/incidents/" + self.incident(number).id))

    def test_both_sides_and_the_link_by_pagerduty_id(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        result = self.show(incident_id)
        self.assertEqual((result["stackflow_id"], result["pagerduty_incident_id"]),
                         (number, incident_id))
        self.assertEqual(result["stackflow"]["number"], number)
        self.assertNotIn("key_fingerprint", result["link"])

    def test_a_record_without_an_incident(self):
        result = self.show(self.record("P4"))
        self.assertEqual(result["stackflow"]["priority"], "P4")
        self.assertEqual((result["pagerduty"], result["link"], result["dedup_key"],
                          result["pagerduty_url"]), (None, None, None, None))

    def test_an_incident_without_a_record(self):
        result = self.show(self.born_in_pagerduty(service=self.unmapped))
        self.assertEqual(result["pagerduty"]["title"], "Disk full")
        self.assertEqual((result["stackflow"], result["link"], result["stackflow_id"]),
                         (None, None, None))

    def test_what_neither_side_knows_is_not_found(self):
        for incident_id in (UNKNOWN_NUMBER, UNKNOWN_ID):
            error = self.fail_with("not_found", incident_id=incident_id)
            self.assertIn(incident_id, error["message"])
            self.assertIs(error["retryable"], False)

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids()

    def test_an_answer_that_is_not_json_fails(self):
        number = self.record()
        self.stackflow.faults.add("GET /prod/api/incidents/", **HTML)
        error = self.fail_with("api", incident_id=number)
        self.assertIn("not JSON", error["message"])
        self.assertIs(error["retryable"], True)

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=UNKNOWN_NUMBER)

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        incident_id = self.born_in_pagerduty()
        self.pagerduty.revoke_api_key(REST_KEY)
        error = self.fail_with("credentials", incident_id=incident_id)
        self.assertIn("API key expired or revoked", error["message"])

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        number = self.record()
        self.stackflow.revoke(TOKEN)
        error = self.fail_with("credentials", incident_id=number)
        self.assertIn("stackflow.auth", error["hint"])
