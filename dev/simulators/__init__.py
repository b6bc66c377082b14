"""Simulators of the vendors' servers: their documented behaviour, with a clock to turn."""
