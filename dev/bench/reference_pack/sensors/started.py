"""What stands behind the trigger; it is never run."""

from st2reactor.sensor.base import Sensor


class Started(Sensor):
    pass
