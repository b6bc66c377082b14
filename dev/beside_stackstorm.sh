#!/bin/sh
# beside_stackstorm.sh PINS VERSION...: whether requirements.txt resolves with the versions that a StackStorm pins in its own
# environment, on each of these Pythons that is here. Nothing is installed.
#
# The pack's own environment holds requirements.txt alone, and an action takes its packages from there first; in a sensor
# StackStorm's copies win. So one set of versions has to suit both. On Python 3.8 and 3.9 there is none: botocore asks for urllib3
# below 1.27 there, and StackStorm pins 2.2.3. For these the pin of urllib3 is left out, and .ci/run runs the sensors with it.
set -eu
cd "$(dirname "$0")/.."
pins=$1
shift
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT

for version in "$@"; do
    if ! python=$(dev/find_python.sh "$version" 2>/dev/null); then
        echo "Python $version is not here, so nothing was resolved for it beside $pins."
        continue
    fi
    resolve="$python -m pip install -qq --disable-pip-version-check --dry-run --ignore-installed"
    if ! $resolve --no-deps six 2>/dev/null; then
        echo "Python $version has no pip 22.2 or newer that reaches a registry, so nothing was resolved for it beside $pins."
        continue
    fi
    case $version in
        3.8 | 3.9) grep -v '^urllib3' "$pins" > "$constraints" ;;
        *) cat "$pins" > "$constraints" ;;
    esac
    $resolve -c "$constraints" -r requirements.txt
    echo "requirements.txt resolves beside $pins on Python $version."
done
