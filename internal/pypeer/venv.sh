#!/bin/sh
# Makes the virtual environment of the Python peer, .venv in the repository
# root, from requirements.lock. Does nothing when it is up to date already;
# safe to run twice at once. PYTHON names the interpreter to use instead of the
# newest one found; PANDO_VENV names another place for the environment.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
venv=${PANDO_VENV:-$here/../../.venv}

# Runs the interpreter instead of asking for its name: a version manager's shim
# exists for versions that it will not start.
usable() {
	"$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

newest() {
	for minor in 14 13 12 11; do
		for candidate in "python3.$minor" "$HOME"/.pyenv/versions/3."$minor".*/bin/python3; do
			if usable "$candidate"; then
				echo "$candidate"
				return
			fi
		done
	done
	for candidate in python3 /usr/bin/python3; do
		if usable "$candidate"; then
			echo "$candidate"
			return
		fi
	done
}

python=${PYTHON:-$(newest)}
if [ -z "$python" ]; then
	echo "venv.sh: no Python from 3.11 to 3.14 found; install one (Debian: apt-get install python3 python3-venv) or set PYTHON" >&2
	exit 1
fi
exec "$python" "$here/py/makevenv.py" "$venv" "$here/requirements.lock"
