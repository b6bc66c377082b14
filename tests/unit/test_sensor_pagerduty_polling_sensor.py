"""The sensor that polls PagerDuty: what it dispatches, and that it stays up."""

from pagerduty_polling_sensor import PagerDutyPollingSensor
from polling_bench import PollingSensorTestCase


class PagerDutyPollingSensorTestCase(PollingSensorTestCase):
    sensor_cls = PagerDutyPollingSensor
    stem = "pagerduty_polling_sensor"

    def opened(self):
        return self.pagerduty.create_incident(self.service, "Disk full", self.person)

    def test_an_incident_becomes_the_trigger_that_its_webhook_would_be(self):
        incident = self.pagerduty.incident(self.opened())
        sensor = self.started()
        sensor.poll()
        sensor.poll()
        payload, = self.dispatched()
        self.assertEqual(
            {key: payload[key] for key in ("event_type", "received_by", "client", "note",
                                           "stackflow_id", "sync")},
            {"event_type": "incident.triggered", "received_by": "poll", "client": None,
             "note": None, "stackflow_id": None, "sync": {"apply": True, "reason": ""}})
        self.assertEqual(payload["agent"]["id"], self.person)
        shown = payload["incident"]
        self.assertEqual(
            [shown[key] for key in ("id", "number", "title", "status", "urgency", "service_id",
                                    "service_name", "html_url")],
            [incident.id, incident.number, "Disk full", "triggered", "high", self.service,
             "Production API", "https://example.pagerduty.com/incidents/" + incident.id])

    def test_what_is_asked_for_is_the_overview_with_the_incidents(self):
        self.started().poll()
        asked = dict(self.pagerduty.requests[-1].query)
        self.assertEqual(self.pagerduty.requests[-1].path, "/log_entries")
        self.assertEqual((asked["is_overview"], asked["include[]"]), ("true", "incidents"))
        self.assertLess(asked["since"], asked["until"])

    def test_a_new_process_goes_on_where_the_last_one_was(self):
        self.opened()
        self.started().poll()
        self.started().poll()
        self.assertEqual(len(self.dispatched()), 1)
        self.opened()
        self.started().poll()
        self.assertEqual(len(self.dispatched()), 2)

    def test_a_pagerduty_that_is_away_is_polled_again_later(self):
        self.opened()
        self.pagerduty.faults.add("GET /log_entries", status=500, times=1000)
        sensor = self.started()
        sensor.poll()
        sensor.poll()
        asked = len(self.pagerduty.requests)
        self.assertIn("the next is in 30 s", self.logged("error")[0][0][0] % self.logged(
            "error")[0][0][1:])
        sensor.poll()
        self.assertEqual(len(self.pagerduty.requests), asked)
        self.pagerduty.faults.clear()
        self.started().poll()
        self.assertEqual(len(self.dispatched()), 1)

    def test_a_refused_key_is_told_with_what_to_do(self):
        self.pagerduty.account.api_keys.clear()
        self.started().poll()
        call, = self.logged("error")
        self.assertIn("API key expired or revoked", call[0][0] % call[0][1:])
        self.assertNotIn("rest-key-0123456789x", str(call))

    def test_trouble_of_any_kind_does_not_end_it(self):
        self.check_trouble(self.opened)

    def test_the_metadata_name_the_sensor(self):
        self.check_metadata()

    def test_an_unusable_config_is_told_and_the_sensor_stays_up(self):
        self.check_an_unusable_config()
        self.assertEqual(self.pagerduty.requests, [])
