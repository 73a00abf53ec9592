"""What `ready.sh` leaves to the environment's own Python: pip, this checkout's package, groups.

pip is asked for each group every time, since it knows best what is missing. The package is built
again when it is not what was built last, or this checkout has other sources: their contents count,
and not their dates, which every checkout and every copy changes.
"""

import argparse
import csv
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata, util
from pathlib import Path

from running import run

ROOT = Path(__file__).resolve().parent.parent
# The first that knows `--group`.
PIP_VERSION = (25, 1)
# What cargo and maturin say of their progress, among all that pip says when it is asked to.
PROGRESS = ("Compiling ", "Downloaded ", "warning: ", "error")


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes this Python's environment ready.")
    parser.add_argument("venv", type=Path)
    parser.add_argument("--package", action="store_true", help="with the package of this checkout")
    parser.add_argument("groups", nargs="*", metavar="GROUP")
    options = parser.parse_intermixed_args()
    venv: Path = options.venv
    if Path(sys.prefix).resolve() != venv.resolve():
        sys.exit(f"{venv}/bin/python is not of that environment: delete it, rm -rf {venv}")
    make_environment_variables_harmless()
    with open(venv / ".lock", "w") as lock:
        # Another make may be at it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        forget_halves()
        see_to_pip(venv)
        requirements: list[str] = []
        if options.package:
            see_to_package(venv)
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            requirements += project["dependencies"]
        for group in options.groups:
            requirements += ["--group", f"{ROOT / 'pyproject.toml'}:{group}"]
        if requirements:
            names = " and ".join(options.groups) or "the package"
            pip("packages for " + names, "--quiet", "install", *requirements)


def make_environment_variables_harmless() -> None:
    """People tell pip where to install by default; indexes and proxies are left as they are."""
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON"):
        os.environ.pop(name, None)
    os.environ["PIP_USER"] = "0"
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"


def pip(what: str, *arguments: str) -> None:
    """Runs pip, with progress if the arguments ask for much to be said."""
    command = [sys.executable, "-Es", "-m", "pip", *arguments]
    is_verbose = "--verbose" in arguments
    status, text = run(
        command,
        f"installing {what}",
        shows=lambda line: not is_verbose or line.strip().startswith(PROGRESS),
    )
    if status:
        if is_verbose:
            print(text)
        sys.exit(f"pip could not install {what}: what it says is above")


def forget_halves() -> None:
    """Takes from pip's list what it installed half, or was to remove, when it was interrupted."""
    site = Path(sysconfig.get_path("purelib"))
    for info in site.glob("*.dist-info"):
        if not is_whole(info):
            print(f"{info.name.removesuffix('.dist-info')} is only there in part: again")
            shutil.rmtree(info)
    for moved in site.glob("~*"):
        shutil.rmtree(moved, ignore_errors=True)


def is_whole(info: Path) -> bool:
    """Whether all files are there. pip writes the list of them last."""
    try:
        with open(info / "RECORD", newline="") as record:
            names = [row[0] for row in csv.reader(record) if row]
    except FileNotFoundError:
        return False
    return all((info.parent / it).exists() for it in names if not it.endswith(".pyc"))


def see_to_pip(venv: Path) -> None:
    if version_of("pip") is None:
        if util.find_spec("ensurepip") is None:
            sys.exit(f"{venv} has no pip, and its Python no ensurepip: delete it, rm -rf {venv}")
        done = subprocess.run(
            [sys.executable, "-Es", "-m", "ensurepip", "--upgrade"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{done.stdout}pip cannot be had in {venv}: delete it, rm -rf {venv}")
    version = version_of("pip")
    if version is None or version < PIP_VERSION:
        wanted = ".".join(map(str, PIP_VERSION))
        pip("a newer pip", "--quiet", "install", "--upgrade", f"pip>={wanted}")


def version_of(name: str) -> tuple[int, ...] | None:
    try:
        numbers = metadata.version(name).split(".")[:2]
    except metadata.PackageNotFoundError:
        return None
    return tuple(int(it) for it in numbers if it.isdigit())


def see_to_package(venv: Path) -> None:
    stamp = venv / ".package"
    if stamp.exists() and stamp.read_text() == fingerprint():
        return
    print("Building treequeues with optimization: some 3 minutes the first time", flush=True)
    pip("treequeues", "--verbose", "install", str(ROOT))
    stamp.write_text(fingerprint())


def fingerprint() -> str:
    """Of this checkout's sources, and of what is installed."""
    return f"{digest_of_sources()}\n{digest_of_installed()}\n"


def digest_of_sources() -> str:
    digest = hashlib.sha256()
    kinds = (".rs", ".py", ".pyi", "Cargo.toml", "py.typed")
    folders = (ROOT / "crates", ROOT / "python")
    files = [it for folder in folders for it in folder.rglob("*") if it.name.endswith(kinds)]
    files += [ROOT / it for it in ("Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md")]
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(ROOT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def digest_of_installed() -> str:
    """Of the hashes of all its files; editable, it is another than what is built here."""
    try:
        record = metadata.distribution("treequeues").read_text("RECORD")
    except metadata.PackageNotFoundError:
        record = None
    return hashlib.sha256((record or "nothing").encode()).hexdigest()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        # What is there in part is seen the next time.
        sys.exit(130)
