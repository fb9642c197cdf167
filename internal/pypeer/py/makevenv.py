"""Makes a virtual environment that holds exactly what a lock file names.

Usage: makevenv.py DIRECTORY LOCKFILE. A stamp with the hash of the lock file, written
last, marks a finished environment, so that an interrupted run is made anew. An
exclusive lock on the lock file lets one run at a time.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

STAMP = "pando-lock.sha256"
BARE_SYSTEM = (
    "makevenv.py: {python} cannot make a virtual environment with pip in it.\n"
    "Install the missing part (Debian: apt-get install python3-venv, or python3-pip, or\n"
    "python3-virtualenv) or name another interpreter: PYTHON=/path/to/python3 internal/pypeer/venv.sh"
)


def up_to_date(venv: Path, digest: str) -> bool:
    stamp = venv / STAMP
    if not stamp.is_file() or stamp.read_text().strip() != digest:
        return False
    # The interpreter is a link into a Python that may have been removed since.
    return run(venv / "bin" / "python", "-c", "pass")


def run(*command) -> bool:
    return subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def remove(venv: Path) -> None:
    if not venv.exists():
        return
    if not (venv / "pyvenv.cfg").is_file() and any(venv.iterdir()):
        sys.exit(f"makevenv.py: {venv} is not a virtual environment: not touching it")
    shutil.rmtree(venv)


def create(venv: Path) -> list:
    """Makes the environment; returns the pip command that installs into it."""
    inside = venv / "bin" / "python"
    for maker in (["venv"], ["virtualenv"]):
        remove(venv)
        if run(sys.executable, "-m", *maker, venv) and run(inside, "-m", "pip", "--version"):
            return [inside, "-m", "pip"]
    # Debian without python3-venv has the module but no pip to put into the
    # environment; a pip outside can fill it.
    remove(venv)
    outside = [sys.executable, "-m", "pip", "--python", inside]
    if run(sys.executable, "-m", "venv", "--without-pip", venv) and run(*outside, "--version"):
        return outside
    remove(venv)
    sys.exit(BARE_SYSTEM.format(python=sys.executable))


def main() -> None:
    venv, lock = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    with open(lock, "rb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        digest = hashlib.sha256(guard.read()).hexdigest()
        if up_to_date(venv, digest):
            return
        print(f"making {venv} with Python {sys.version.split()[0]}", flush=True)
        pip = create(venv)
        install = [*pip, "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes", "-r", lock]
        if subprocess.run([str(part) for part in install]).returncode != 0:
            sys.exit("makevenv.py: installing the locked packages failed")
        (venv / STAMP).write_text(digest + "\n")


main()
