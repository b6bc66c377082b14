#!/bin/sh
# in_stackstorm.sh FOLDER REQUIREMENTS ARGUMENT...: pytest inside the StackStorm environment in FOLDER, such as /opt/stackstorm/st2.
#
# Nothing is installed there. What it lacks lies in .venv-in-stackstorm, which comes last on the path: StackStorm's own packages win.
set -eu
cd "$(dirname "$0")/.."
python=$1/bin/python requirements=$2 environment=$PWD/.venv-in-stackstorm
shift 2

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# The file names are several words on purpose.
# shellcheck disable=SC2086
PATH=$(dirname "$python"):$PATH dev/environment.sh "$environment" "$version" $requirements
mkdir -p "$environment/hook"
echo "import sys; sys.path.append('$environment/lib/python$version/site-packages')" > "$environment/hook/sitecustomize.py"
PYTHONPATH=$environment/hook exec "$python" -B -m pytest -p no:cacheprovider "$@"
