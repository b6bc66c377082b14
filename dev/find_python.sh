#!/bin/sh
# find_python.sh VERSION...: print the first Python of these versions that really runs and can make virtual environments.
# Each candidate is run: a pyenv shim exists for versions that are not switched on, and fails.
set -u
for version in "$@"; do
    for python in "python$version" python3 python "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$version".*/bin/python; do
        if "$python" -c 'import sys, ensurepip, venv; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' \
            "$version" >/dev/null 2>&1; then
            command -v "$python"
            exit 0
        fi
    done
done
echo "No working Python found. Looked for version: $*. Install one of them with its venv module" \
    "(Debian and Ubuntu: python3 and python3-venv) and run the command again." >&2
exit 1
