"""The sensor that polls StackFlow: what it dispatches, and that it stays up."""

from polling_bench import GROUP, PollingSensorTestCase
from stackflow_polling_sensor import StackFlowPollingSensor


class StackFlowPollingSensorTestCase(PollingSensorTestCase):
    sensor_cls = StackFlowPollingSensor
    stem = "stackflow_polling_sensor"

    def opened(self, priority="P1", **fields):
        return self.stackflow.create_incident("Database timeout", priority, group=GROUP,
                                              category="api", **fields)

    def test_a_record_becomes_the_trigger_that_its_webhook_would_be(self):
        number = self.opened(person="jane@example.com", description="It hangs")
        sensor = self.started()
        sensor.poll()
        sensor.poll()
        payload, = self.dispatched()
        self.assertEqual(
            {key: payload[key] for key in ("event_type", "received_by", "assigned_to_person",
                                           "previous", "note", "pagerduty_incident_id", "sync")},
            {"event_type": "incident.created", "received_by": "poll", "assigned_to_person": True,
             "previous": None, "note": None, "pagerduty_incident_id": None,
             "sync": {"apply": True, "reason": ""}})
        record = self.stackflow.incident(number)
        self.assertEqual({name: payload["incident"][name] for name in record}, record)
        self.assertEqual(payload["occurred_at"], record["updated_at"])

    def test_states_are_shown_in_their_canonical_spelling(self):
        self.stackflow.switches.state_names["in_progress"] = "WORK"
        stackflow = dict(self.config["stackflow"], states={"in_progress": "WORK"})
        sensor = self.started(stackflow=stackflow)
        number = self.opened("P4")
        sensor.poll()
        self.stackflow.set_state(number, "in_progress")
        sensor.poll()
        self.assertEqual([(one["event_type"], one["incident"]["state"])
                          for one in self.dispatched()],
                         [("incident.created", "new"), ("incident.updated", "in_progress")])

    def test_a_new_process_goes_on_where_the_last_one_was(self):
        self.opened()
        self.started().poll()
        self.started().poll()
        self.assertEqual(len(self.dispatched()), 1)

    def test_a_stackflow_that_is_away_is_polled_again_later(self):
        self.opened()
        self.stackflow.faults.add("GET /prod/api/incidents", status=500, times=1000)
        sensor = self.started()
        sensor.poll()
        asked = len(self.stackflow.requests)
        sensor.poll()
        self.assertEqual(len(self.stackflow.requests), asked)
        self.stackflow.faults.clear()
        self.started().poll()
        self.assertEqual(len(self.dispatched()), 1)

    def test_trouble_of_any_kind_does_not_end_it(self):
        self.check_trouble(self.opened)

    def test_the_metadata_name_the_sensor(self):
        self.check_metadata()

    def test_an_unusable_config_is_told_and_the_sensor_stays_up(self):
        self.check_an_unusable_config()
        self.assertEqual(self.stackflow.requests, [])
