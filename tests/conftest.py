"""Paths as StackStorm's own test runner sets them, for a plain pytest."""

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

for folder in ("actions", "sensors", "lib", ""):
    sys.path.insert(0, os.path.join(ROOT, folder) if folder else ROOT)
if importlib.util.find_spec("st2common") is None:
    sys.path.append(os.path.join(ROOT, "dev", "local_stackstorm", "standin"))
