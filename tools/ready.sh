#!/bin/sh
# Makes a virtual environment ready, or says in one line what stands in the way.
#
#     ready.sh VENV PYTHON [--asked] [--package] [GROUP...]
#
# PYTHON makes VENV if it is not there; with --asked, one that is there must be of its version. Then come the package as it
# is in this checkout (--package) and groups of packages of pyproject.toml.
#
# Nothing is believed of an environment that is there: people make them by hand, with other tools and other Pythons, move
# them, and press Ctrl-C. This script sees to a Python that runs, and `ready.py`, run by that Python, to the rest. Nothing
# is ever deleted but what pip left half-done.
set -u
unset PYTHONHOME PYTHONPATH
here=$(dirname "$0")

give_up() {
    echo "$*" >&2
    exit 1
}

# "3 11", if it runs.
version_of() {
    "$1" -Es -c 'import sys; print("%d %d" % sys.version_info[:2])' 2>/dev/null
}

dotted() {
    echo "$1" | tr ' ' .
}

# Whether a version, "3 11", can have the package.
is_new_enough() {
    [ "${1% *}" -gt 3 ] || { [ "${1% *}" -eq 3 ] && [ "${1#* }" -ge "$least" ]; }
}

find_python() {
    another="install Python 3.$least or later, or name one: make PYTHON=/usr/bin/python3.$((least + 1))"
    command -v "$python" >/dev/null 2>&1 || give_up "there is no $python: $another"
    found=$(version_of "$python") || give_up "$python does not run: $another"
}

make_venv() {
    find_python
    is_new_enough "$found" || give_up "$python is Python $(dotted "$found"): $another"
    "$python" -Es -c 'import venv, ensurepip' 2>/dev/null ||
        give_up "$python cannot make environments: apt install python$(dotted "$found")-venv, or make PYTHON=another"
    echo "Making $venv with Python $(dotted "$found")"
    "$python" -Es -m venv "$venv" || give_up "$python could not make $venv: rm -rf $venv, and try again"
}

venv=$1
python=$2
shift 2
asked=
if [ "${1-}" = --asked ]; then
    asked=yes
    shift
fi
least=$(sed -n 's/^requires-python = ">=3\.\([0-9]*\)"$/\1/p' "$here/../pyproject.toml")

case " $* " in
*" --package "*) sh "$here/rust.sh" || exit 1 ;;
esac

if [ -e "$venv" ] && [ ! -d "$venv" ]; then
    give_up "$venv is no folder: delete it, rm $venv"
fi
if [ ! -e "$venv/pyvenv.cfg" ]; then
    # Nothing, or the folders that an interrupted `python -m venv` begins with. All else is somebody's.
    others=$(ls -A "$venv" 2>/dev/null | grep -vxE 'bin|include|lib|lib64|\.gitignore')
    [ -z "$others" ] ||
        give_up "$venv is no virtual environment: delete it, rm -rf $venv, or name another, make VENV=.venv-2"
fi
if [ -L "$venv/bin/python" ] && [ ! -e "$venv/bin/python" ]; then
    give_up "the Python that $venv was made with is gone: delete it, rm -rf $venv"
fi
if [ ! -e "$venv/pyvenv.cfg" ] || [ ! -e "$venv/bin/python" ]; then
    make_venv
fi

version=$(version_of "$venv/bin/python") || give_up "$venv/bin/python does not run: delete it, rm -rf $venv"
is_new_enough "$version" ||
    give_up "$venv is of Python $(dotted "$version"), and 3.$least or later is needed: delete it, rm -rf $venv"
if [ -n "$asked" ]; then
    find_python
    [ "$found" = "$version" ] || give_up "$venv is of Python $(dotted "$version"), and $python is $(dotted "$found"):" \
        "delete it, rm -rf $venv, or name another, make VENV=.venv-$(dotted "$found")"
fi
exec "$venv/bin/python" -Es "$here/ready.py" "$venv" "$@"
