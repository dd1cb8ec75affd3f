#!/bin/sh
# Makes a bare Debian or Ubuntu machine ready: finds (or installs) a Python, the rest is bootstrap.py's.
#   scripts/bootstrap.sh run|test|lint      PYTHON=/path/to/python3.11 to choose the interpreter
set -eu
here=$(cd "$(dirname "$0")" && pwd)

suitable() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        suitable "$PYTHON" && { echo "$PYTHON"; return; }
        echo "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13." >&2
        exit 1
    fi
    for candidate in python3.11 python3 python3.12 python3.13 \
        /usr/bin/python3.11 /usr/local/bin/python3.11 /usr/bin/python3 /usr/local/bin/python3 \
        "${HOME:-/nonexistent}"/.pyenv/versions/3.11.*/bin/python3 /opt/python*/bin/python3.11; do
        if suitable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

python=$(find_python)
if [ -z "$python" ]; then
    packages="python3 python3-venv"
    if apt-cache show python3.11 >/dev/null 2>&1; then packages="python3.11 python3.11-venv"; fi
    as_root=""
    if [ "$(id -u)" != 0 ]; then as_root="sudo -n"; fi
    if [ "$(id -u)" = 0 ] || sudo -n true >/dev/null 2>&1; then
        echo "Installing $packages ..."
        # shellcheck disable=SC2086 - the lists are to be split
        { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install --yes --no-install-recommends $packages >/dev/null; } || exit 1
        python=$(find_python)
    fi
    if [ -z "$python" ]; then
        echo "A Python 3.11, 3.12 or 3.13 is missing. Install it as root, then run the same command again:" >&2
        echo "" >&2
        echo "    apt-get update && apt-get install --yes --no-install-recommends $packages" >&2
        echo "" >&2
        echo "or name one that is elsewhere: make PYTHON=/path/to/python3.11 ..." >&2
        exit 1
    fi
fi
exec "$python" "$here/bootstrap.py" "$@"
