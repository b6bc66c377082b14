#!/bin/sh
# environment.sh FOLDER "VERSION..." FILE...: a virtual environment in FOLDER, made with the first of the Python versions that
# works here, with the packages of the requirement FILEs. It is made again only when one of these changed.
set -eu
here=$(dirname "$0")
folder=$1 versions=$2
shift 2

wanted=$(echo "$versions" | cat - "$@" | cksum)
if [ "$(cat "$folder/.made-from" 2>/dev/null)" = "$wanted" ] && "$folder/bin/python" -c "" 2>/dev/null; then
    exit 0
fi

# The versions are several words on purpose.
# shellcheck disable=SC2086
python=$("$here/find_python.sh" $versions)
echo "Making $folder with $("$python" --version) ..."
"$python" -m venv --clear "$folder"
for file in "$@"; do
    case $file in
        *no-deps*) dependencies=--no-deps ;;
        *) dependencies= ;;
    esac
    "$folder/bin/python" -m pip install -qq --disable-pip-version-check $dependencies -r "$file"
done
echo "$wanted" > "$folder/.made-from"
