"""The action trigger_incident."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from unittest import mock

import requests
from action_site import GROUP, HTML, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from trigger_incident import TriggerIncidentAction

from pagerduty_stackflow import commands
from pagerduty_stackflow.incidents import format_time


class TriggerIncidentTestCase(ActionTestCase):
    action_cls = TriggerIncidentAction

    def test_a_record_is_read_and_paged(self):
        number = self.record(category="api")
        result = self.succeed("done", incident_id=number)
        self.assertEqual(result["stackflow_id"], number)
        self.assertEqual(result["dedup_key"], self.dedup_key(number))
        self.assertIsNone(result["pagerduty_incident_id"])
        self.assertEqual(result["warnings"], [])
        self.assertIn("Production API", result["reason"])
        incident = self.incident(number)
        self.assertEqual((incident.status, incident.service_id), ("triggered", self.service))
        alert, = self.pagerduty.alerts(incident.id)
        self.assertEqual(alert.summary, number + ": Database timeout")

    def test_the_record_of_an_event_is_taken_at_its_word(self):
        number = self.record()
        result = self.succeed("done", incident_id=number, incident=self.event(number))
        self.assertEqual(result["stackflow_id"], number)
        self.assertEqual(self.calls(), ["POST /v2/enqueue"])

    def test_an_incomplete_record_is_read_again(self):
        number = self.record()
        self.succeed("done", incident_id=number, incident={"number": number, "priority": "P1"})
        self.assertIn("GET /prod/api/incidents/" + number, self.calls())
        self.assertEqual(self.incident(number).status, "triggered")

    def test_a_late_record_is_read_again(self):
        number = self.record(priority="P4")
        old = format_time(datetime.now(timezone.utc) - timedelta(minutes=5))
        late = dict(self.event(number), priority="P1", updated_at=old)
        result = self.succeed("skipped", incident_id=number, incident=late)
        self.assertIn("under the priority threshold", result["reason"])

    def test_a_second_run_pages_nobody(self):
        number = self.paged()
        result = self.succeed("already", incident_id=number)
        self.assertEqual(result["pagerduty_incident_id"], self.incident(number).id)
        self.assertEqual(self.writes(), [])
        self.assertEqual(len(self.pagerduty.notifications[self.person]), 1)

    def test_a_priority_under_the_threshold_is_skipped(self):
        for threshold, priority in (("P2", "P3"), ("P1", "P2")):
            self.config["priority_threshold"] = threshold
            number = self.record(priority)
            result = self.succeed("skipped", incident_id=number)
            self.assertIn("under the priority threshold", result["reason"])
            self.assertIsNone(result["dedup_key"])
        self.assertEqual(self.writes(), [])

    def test_a_datastore_that_denies_the_user_is_an_error_of_its_own_and_nobody_is_paged(self):
        denied = requests.HTTPError("403", response=mock.Mock(status_code=403))
        number = self.record()
        with mock.patch.object(self.action_service, "list_values", side_effect=denied):
            error = self.fail_with("datastore_denied", incident_id=number)
        self.assertIn("key_value_pair_list", error["message"])
        self.assertFalse(error["retryable"])
        self.assertEqual(self.writes(), [])

    def test_force_pages_whatever_the_priority(self):
        number = self.record("P4")
        self.succeed("done", incident_id=number, force=True)
        self.assertEqual(self.incident(number).status, "triggered")

    def test_force_pages_what_is_older_than_the_pack(self):
        number = self.record()
        start = format_time(datetime.now(timezone.utc) + timedelta(minutes=1))
        self.action_service.set_value("pagerduty_stackflow.start", start, local=False)
        result = self.succeed("skipped", incident_id=number)
        self.assertIn("before the pack was installed", result["reason"])
        self.assertEqual(self.writes(), [])
        self.succeed("done", incident_id=number, force=True)

    def test_a_resolved_record_pages_nobody_even_by_force(self):
        number = self.record()
        self.stackflow.cancel(number)
        result = self.succeed("skipped", incident_id=number, force=True)
        self.assertIn("resolved in StackFlow", result["reason"])
        self.assertEqual(self.writes(), [])

    def test_a_reopened_record_pages_under_the_next_key(self):
        number = self.paged()
        incident = self.incident(number).id
        self.pagerduty.resolve(incident, self.person)
        self.use_case(commands.set_stackflow_state, incident_id=incident, state="resolved")
        self.stackflow.reopen(number)
        result = self.succeed("done", incident_id=number, incident=self.event(number))
        self.assertEqual(result["dedup_key"], self.dedup_key(number) + ":1")

    def test_what_is_cut_is_told_in_the_warnings(self):
        number = self.stackflow.create_incident("x" * 2000, "P1", group=GROUP)
        result = self.succeed("done", incident_id=number)
        self.assertEqual(len(result["warnings"]), 1)
        self.assertIn("summary cut", result["warnings"][0])

    def test_a_group_that_nobody_mapped_is_an_error_that_names_the_nearest(self):
        number = self.record(group="Platform Enginering")
        error = self.fail_with("routing", incident_id=number)
        self.assertIn("'Platform Enginering'", error["message"])
        self.assertIn("'Platform Engineering'", error["message"])
        self.assertEqual(self.writes(), [])

    def test_the_default_service_opens_for_groups_without_an_entry(self):
        self.config["default_pagerduty_service_id"] = self.service
        number = self.record(group="Nobody Mapped")
        self.succeed("done", incident_id=number)
        self.assertEqual(self.incident(number).service_id, self.service)

    def test_an_unknown_number_is_not_found(self):
        error = self.fail_with("not_found", incident_id=UNKNOWN_NUMBER)
        self.assertIn(UNKNOWN_NUMBER, error["message"])
        self.assertIs(error["retryable"], False)
        self.assertEqual(self.writes(), [])

    def test_an_unknown_pagerduty_id_is_not_found(self):
        self.fail_with("not_found", incident_id=UNKNOWN_ID)
        self.assertEqual(self.writes(), [])

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids()

    def test_an_answer_that_is_not_json_fails(self):
        number = self.record()
        self.stackflow.faults.add("GET /prod/api/incidents/" + number, **HTML)
        error = self.fail_with("api", incident_id=number)
        self.assertIn("not JSON", error["message"])
        self.assertIs(error["retryable"], True)
        self.assertEqual(self.writes(), [])

    def test_an_enqueue_that_is_not_answered_in_json_fails(self):
        number = self.record()
        self.pagerduty.faults.add("/v2/enqueue", **HTML)
        error = self.fail_with("api", incident_id=number)
        self.assertIn("POST /v2/enqueue", error["message"])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=self.record())

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        number = self.record()
        self.stackflow.revoke(TOKEN)
        error = self.fail_with("credentials", incident_id=number)
        self.assertIn("401", error["message"])
        self.assertIn("stackflow.auth", error["hint"])
        self.assertIs(error["retryable"], False)

    def test_a_key_that_is_no_integration_key_is_a_credentials_error(self):
        self.config["service_mapping"][0]["integration_key"] = "0" * 20
        error = self.fail_with("credentials", incident_id=self.record())
        self.assertIn("REST API key", error["message"])
        self.assertIn("Re-copy the Integration Key", error["hint"])
        self.assertEqual(self.writes(), [])
