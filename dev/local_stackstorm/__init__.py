"""A small stand-in for StackStorm 3.9: runs one pack on one machine, driven by the pack's own YAML.

It copies what a pack like this one uses, the parts that hurt included, and refuses what it does
not know. Development equipment: nothing of the pack imports it.

Knowingly different from StackStorm: sensors are not patched by eventlet; there is one interpreter
and no virtualenv; parameters and config reach an action over stdin, not as arguments; results and
payloads have to be JSON; expired keys vanish at once; a parameter that does not fit leaves a failed
execution; patterns of criteria are not rendered; nothing outlives the process of the platform.
"""

from __future__ import annotations

from .executions import Execution
from .local import LocalStackStorm
from .pack import RegistrationError

__all__ = ["Execution", "LocalStackStorm", "RegistrationError"]
