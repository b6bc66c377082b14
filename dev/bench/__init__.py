"""How fast the pack is: each measure beside a reference that is measured in the same run."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for folder in ("lib", "tests", os.path.join("dev", "local_stackstorm", "standin")):
    sys.path.append(os.path.join(ROOT, folder))
