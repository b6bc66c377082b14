"""The action sync_status."""

from __future__ import annotations

from action_site import ERROR, HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from sync_status import SyncStatusAction

from pagerduty_stackflow import commands

SHOWN = {"stackflow_id", "pagerduty_incident_id", "dedup_key", "stackflow", "pagerduty", "link",
         "stackflow_url", "pagerduty_url", "in_step", "reason", "would", "failures"}


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
            self.assertEqual(result["reason"], "in sync")
            self.assertEqual((result["stackflow"]["state"], result["pagerduty"]["status"]),
                             ("new", "triggered"))
            self.assertEqual((result["link"]["here"]["state"], result["link"]["there"]["state"]),
                             ("new", "triggered"))

    def test_a_pair_out_of_step_shows_what_a_reconcile_would_write(self):
        number = self.paged()
        self.stackflow.set_state(number, "resolved")
        result = self.show(number)
        entry, = result["would"]
        self.assertEqual((entry["writes"], entry["reason"]), (["resolve"], "resolved in StackFlow"))
        self.assertEqual((result["in_step"], result["reason"]), (False, None))
        self.assertEqual(self.incident(number).status, "triggered")

    def test_what_has_no_other_side_shows_why_a_reconcile_opens_none(self):
        high, low = self.record(), self.record("P3")
        result = self.show(high)  # however young it is
        self.assertEqual((result["in_step"], [one["writes"] for one in result["would"]]),
                         (False, [["trigger"]]))
        self.assertEqual(self.show(low)["reason"], "under the priority threshold")
        self.stackflow.set_state(high, "resolved")
        self.assertIn("resolved in StackFlow before", self.show(high)["reason"])

    def test_what_is_older_than_the_pack_shows_that_it_is(self):
        number = self.record()
        self.action_service.set_value("pagerduty_stackflow.start", "2999-01-01T00:00:00Z",
                                      local=False)
        self.assertEqual(self.show(number)["reason"], "created before the pack was installed")

    def test_a_trigger_whose_incident_is_not_visible_yet_shows_that(self):
        number = self.record()
        self.pagerduty.disable_service(self.service)  # which drops it
        self.use_case(commands.trigger_incident, incident_id=number, force=True)
        self.assertIn("PagerDuty shows no incident yet", self.show(number)["reason"])

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
        self.assertEqual(result["reason"], "service %s is not in service_mapping" % self.unmapped)

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
