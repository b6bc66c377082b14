"""The action add_note."""

from __future__ import annotations

from action_site import HTML, REST_KEY, TOKEN, UNKNOWN_ID, UNKNOWN_NUMBER, ActionTestCase
from add_note import AddNoteAction


class AddNoteTestCase(ActionTestCase):
    action_cls = AddNoteAction

    def in_pagerduty(self, incident_id):
        return [note.content for note in self.pagerduty.incident(incident_id).notes]

    def in_stackflow(self, number):
        return [note["note"] for note in self.stackflow.notes(number)]

    def test_by_number_the_note_is_written_in_pagerduty(self):
        number = self.paged()
        incident_id = self.incident(number).id
        result = self.succeed("done", incident_id=number, text="looking", author="jane")
        self.assertEqual((result["stackflow_id"], result["pagerduty_incident_id"]),
                         (number, incident_id))
        self.assertIn(incident_id, result["reason"])
        self.assertEqual(self.in_pagerduty(incident_id), ["jane: looking"])
        self.assertEqual(self.in_stackflow(number), [])

    def test_by_pagerduty_id_it_is_written_in_stackflow(self):
        incident_id = self.born_in_pagerduty()
        number = self.created_for(incident_id)
        result = self.succeed("done", incident_id=incident_id, text="{{ looking }}")
        self.assertEqual((result["stackflow_id"], result["pagerduty_incident_id"]),
                         (number, incident_id))
        self.assertEqual(self.in_stackflow(number), ["{{ looking }}"])
        self.assertEqual(self.in_pagerduty(incident_id), [])

    def test_a_side_is_written_on_by_whichever_id(self):
        number = self.paged()
        incident_id = self.incident(number).id
        for side, read, at in (("pagerduty", self.in_pagerduty, incident_id),
                               ("stackflow", self.in_stackflow, number)):
            for given in (number, incident_id):
                self.succeed("done", incident_id=given, text="by " + given, side=side)
            self.assertEqual(read(at), ["by " + number, "by " + incident_id])

    def test_the_side_of_the_id_itself_needs_no_other_side(self):
        number, incident_id = self.record("P4"), self.born_in_pagerduty(service=self.unmapped)
        self.succeed("done", incident_id=number, text="looking", side="stackflow")
        self.succeed("done", incident_id=incident_id, text="looking", side="pagerduty")
        self.assertEqual(self.in_stackflow(number), self.in_pagerduty(incident_id))
        self.assertEqual(len(self.calls()), 2)

    def test_asked_for_twice_it_is_written_twice(self):
        number = self.paged()
        for _ in range(2):
            self.succeed("done", incident_id=number, text="still looking")
        self.assertEqual(len(self.in_pagerduty(self.incident(number).id)), 2)

    def test_an_events_note_is_copied_once_and_only_with_sync_notes_on(self):
        number = self.paged()
        event = {"incident_id": number, "text": "looking", "author": "jane", "note_id": "n1"}
        self.assertIn("sync_notes is off", self.succeed("skipped", **event)["reason"])
        self.config["sync_notes"] = True
        self.succeed("done", **event)
        self.succeed("already", **event)
        self.assertEqual(self.in_pagerduty(self.incident(number).id),
                         ["jane (StackFlow): looking\n\nStackFlow-Note-Id: n1"])

    def test_an_event_of_a_note_that_pagerduty_does_not_show_fails(self):
        self.config["sync_notes"] = True
        error = self.fail_with("not_found", incident_id=self.born_in_pagerduty(), text="looking",
                               note_id="Q0NOTE00")
        self.assertIs(error["retryable"], True)

    def test_a_side_that_does_not_exist_is_refused(self):
        for side in ("jira", "", "PagerDuty"):
            error = self.fail_with("bad_input", incident_id=UNKNOWN_NUMBER, text="x", side=side)
            self.assertIn("pagerduty or stackflow", error["hint"])
        self.assertEqual(self.calls(), [])

    def test_an_empty_note_is_refused(self):
        for text in ("", " \n\t"):
            self.fail_with("bad_input", incident_id=UNKNOWN_NUMBER, text=text)
        self.assertEqual(self.calls(), [])

    def test_where_the_other_side_has_no_incident_the_hint_says_how_to_open_one(self):
        error = self.fail_with("not_found", incident_id=self.record("P4"), text="x")
        self.assertIn("trigger_incident", error["hint"])
        error = self.fail_with("not_found", incident_id=self.born_in_pagerduty(), text="x")
        self.assertIn("create_stackflow_incident", error["hint"])
        self.assertEqual(self.writes(), [])

    def test_an_unknown_id_is_not_found(self):
        for incident_id in (UNKNOWN_NUMBER, UNKNOWN_ID):
            for side in ("pagerduty", "stackflow"):
                self.fail_with("not_found", incident_id=incident_id, text="x", side=side)

    def test_a_malformed_id_is_refused_without_a_call(self):
        self.check_malformed_ids(text="x")

    def test_an_answer_that_is_not_json_fails(self):
        number = self.paged()
        self.stackflow.faults.add("GET /prod/api/incidents/", **HTML)
        error = self.fail_with("api", incident_id=number, text="x")
        self.assertIn("not JSON", error["message"])
        self.assertEqual(self.writes(), [])

    def test_a_config_that_is_wrong_is_told_in_one_message(self):
        self.check_config_error(incident_id=UNKNOWN_ID, text="x")

    def test_a_key_that_pagerduty_refuses_is_a_credentials_error(self):
        number = self.paged()
        self.pagerduty.revoke_api_key(REST_KEY)
        error = self.fail_with("credentials", incident_id=number, text="x")
        self.assertIn("API key expired or revoked", error["message"])

    def test_a_token_that_stackflow_refuses_is_a_credentials_error(self):
        number = self.record()
        self.stackflow.revoke(TOKEN)
        error = self.fail_with("credentials", incident_id=number, text="x", side="stackflow")
        self.assertIn("stackflow.auth", error["hint"])
