"""What makes the Makefile's environment ready, on environments in all states that people bring.

Python is real, and so is `python -m venv`. Not real, but there in an instant: pip, which writes
down what it is asked for and "installs" the package, ensurepip, cargo, rustc and cc.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WATCHDOG_S = 60
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

PIP = """
import os, pathlib, sys
site = pathlib.Path(__file__).parent.parent
def put(name, version, *files):
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Name: {name}\\nVersion: {version}\\n")
    for file in files:
        (site / file).write_text("")
    (info / "RECORD").write_text("".join(f"{it},,\\n" for it in files) + os.environ.get("SALT", ""))
arguments = sys.argv[1:]
with open(site / "asked", "a") as asked:
    print(*arguments, file=asked)
if "--upgrade" in arguments:
    for old in site.glob("pip-*.dist-info"):
        old.rename(site / "pip-99.0.dist-info")
    (site / "pip-99.0.dist-info" / "METADATA").write_text("Name: pip\\nVersion: 99.0\\n")
elif os.environ.get("PIP_FAILS"):
    sys.exit("No matching distribution")
elif "--verbose" in arguments:
    print("  Compiling treequeues-py v0.1.0")
    print("  Using cached something")
    put("treequeues", "0.1.0", "treequeues.py")
"""

# Where a Python finds its own: it "installs" that pip.
ENSUREPIP = """
import pathlib, shutil, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
here = pathlib.Path(__file__).parent
shutil.copytree(here / "pip", site / "pip", dirs_exist_ok=True)
shutil.copytree(here / "pip-99.0.dist-info", site / "pip-99.0.dist-info", dirs_exist_ok=True)
"""


class Door:
    """An environment, and a folder of programs that stand for those of the system."""

    def __init__(self, folder):
        self.folder = folder
        self.venv = folder / ".venv"
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name in ("sh", "dirname", "sed", "sort", "head", "tr", "ls", "grep"):
            (self.programs / name).symlink_to(shutil.which(name))
        self.program("cargo", "")
        self.program("cc", "")
        self.program("rustc", "echo rustc 1.99.0 '(x 2030-01-01)'")
        # Its `python -m venv` leaves pip out, which takes seconds: so it is as an interrupted one.
        self.program(
            "python3",
            f'[ "${{3-}}" = venv ] && set -- "$@" --without-pip\nexec {sys.executable} "$@"',
        )
        self.environment = {"HOME": str(folder), "PATH": str(self.programs)}

    def program(self, name, script):
        file = self.programs / name
        file.unlink(missing_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def make_venv(self, pip="99.0"):
        # Without the variables of the tests' own environment.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.venv], check=True)
        if pip:
            self.put_pip(pip)
        self.put_ensurepip()

    @property
    def site(self):
        return self.venv / "lib" / f"python{PYTHON}" / "site-packages"

    def put_pip(self, version):
        (self.site / "pip").mkdir(exist_ok=True)
        (self.site / "pip" / "__init__.py").write_text("")
        (self.site / "pip" / "__main__.py").write_text(PIP)
        self.put(f"pip-{version}", "pip/__init__.py", "pip/__main__.py")

    def put_ensurepip(self):
        """Into each environment, before it is made."""
        own = self.folder / "own" / "ensurepip"
        own.mkdir(parents=True, exist_ok=True)
        (own / "__init__.py").write_text("")
        (own / "__main__.py").write_text(ENSUREPIP)
        (own / "pip").mkdir(exist_ok=True)
        (own / "pip" / "__init__.py").write_text("")
        (own / "pip" / "__main__.py").write_text(PIP)
        info = own / "pip-99.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Name: pip\nVersion: 99.0\n")
        (info / "RECORD").write_text("pip/__init__.py,,\npip/__main__.py,,\n")
        self.site.mkdir(parents=True, exist_ok=True)
        (self.site / "sitecustomize.py").write_text(
            f"import sys\nsys.path.insert(0, {str(own.parent)!r})\n"
        )

    def put(self, name_and_version, *files):
        """A package that is installed, with these files on its list."""
        info = self.site / f"{name_and_version}.dist-info"
        info.mkdir()
        name, version = name_and_version.split("-")
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{it},,\n" for it in files))
        return info

    def ready(self, *arguments, python="python3", **variables):
        done = subprocess.run(
            ["/bin/sh", ROOT / "tools/ready.sh", self.venv.name, python, *arguments],
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WATCHDOG_S,
        )
        return done.returncode, done.stdout

    def is_ready(self, *arguments, **options):
        """What pip was asked for, when all goes well."""
        (self.site / "asked").unlink(missing_ok=True)
        status, text = self.ready(*arguments, **options)
        assert status == 0, text
        file = self.site / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def refuses(self, *arguments, **options):
        """The one line that says what is to be done."""
        status, text = self.ready(*arguments, **options)
        assert status != 0, text
        assert len(text.splitlines()) == 1, text
        return text.strip()


@pytest.fixture
def door(tmp_path):
    return Door(tmp_path)


def group(name):
    return f"--group {ROOT}/pyproject.toml:{name}"


BUILD = f"--verbose install {ROOT}"


# --- Environments that are mended -----------------------------------------------------------------


def test_pip_is_asked_for_the_groups_and_for_what_the_package_needs(door):
    door.make_venv()
    assert door.is_ready("docs") == [f"--quiet install {group('docs')}"]
    build, groups = door.is_ready("--package", "demo", "test")
    assert build == BUILD
    assert re.fullmatch(r"--quiet install numpy\S* (.*)", groups)[1] == (
        f"{group('demo')} {group('test')}"
    )


def test_an_old_pip_is_replaced_before_it_is_asked_for_groups(door):
    door.make_venv(pip="23.2.1")
    assert door.is_ready("docs") == [
        "--quiet install --upgrade pip>=25.1",
        f"--quiet install {group('docs')}",
    ]
    assert door.is_ready("docs") == [f"--quiet install {group('docs')}"]


@pytest.mark.parametrize("there", [(), ("bin", "include", "lib")])
def test_an_environment_that_is_not_there_or_hardly_is_made(door, there):
    for name in there:
        (door.venv / name).mkdir(parents=True)
    door.put_ensurepip()
    assert door.is_ready("docs") == [f"--quiet install {group('docs')}"]


def test_an_environment_that_was_interrupted_before_its_python_is_made_again(door):
    door.make_venv(pip=None)
    for python in (door.venv / "bin").glob("python*"):
        python.unlink()
    status, text = door.ready()
    assert status == 0, text
    assert (door.venv / "bin" / "python").exists()


def test_an_environment_without_pip_gets_it(door):
    door.make_venv(pip=None)
    status, text = door.ready()
    assert status == 0, text
    assert (door.site / "pip" / "__main__.py").exists()


def test_what_was_half_installed_is_installed_again(door):
    door.make_venv()
    (door.site / "whole.py").write_text("")
    whole = door.put(
        "whole-1.0", "whole.py", "../../../bin/python", "__pycache__/whole.cpython.pyc"
    )
    without_list = door.put("early-1.0")
    (without_list / "RECORD").unlink()
    without_file = door.put("late-1.0", "late.py")
    moved = door.site / "~umpy"
    moved.mkdir()
    status, text = door.ready()
    assert (status, sorted(text.splitlines())) == (
        0,
        ["early-1.0 is only there in part: again", "late-1.0 is only there in part: again"],
    )
    assert [it.exists() for it in (whole, without_list, without_file, moved)] == [True] + 3 * [
        False
    ]


def test_half_a_pip_is_installed_again(door):
    door.make_venv()
    (door.site / "pip" / "__init__.py").unlink()
    status, text = door.ready()
    assert status == 0, text
    assert (door.site / "pip" / "__init__.py").exists()


def test_the_package_is_built_once(door):
    door.make_venv()
    assert BUILD in door.is_ready("--package")
    assert BUILD not in door.is_ready("--package")


def test_a_package_that_was_uninstalled_or_is_another_build_is_built_again(door):
    door.make_venv()
    door.is_ready("--package")
    info = door.site / "treequeues-0.1.0.dist-info"
    shutil.rmtree(info)
    assert BUILD in door.is_ready("--package")
    # By hand, from elsewhere or editable: other files have other hashes.
    with open(info / "RECORD", "a") as record:
        record.write("treequeues.py,sha256=abc,3\n")
    assert BUILD in door.is_ready("--package")
    assert BUILD not in door.is_ready("--package")


def test_a_package_of_other_sources_is_built_again(door):
    door.make_venv()
    door.is_ready("--package")
    stamp = door.venv / ".package"
    # As an older checkout left it, however new its date.
    stamp.write_text("0123\n" + stamp.read_text().splitlines()[1] + "\n")
    assert BUILD in door.is_ready("--package")


def test_stamps_of_other_makers_are_not_believed(door):
    door.make_venv()
    for name in (".package", ".demo", ".test", ".docs"):
        (door.venv / name).touch()
    build, groups = door.is_ready("--package", "demo")
    assert build == BUILD
    assert group("demo") in groups


def test_a_build_that_was_interrupted_is_begun_again(door):
    door.make_venv()
    status, _ = door.ready("--package", PIP_FAILS="1")
    assert status != 0
    assert BUILD in door.is_ready("--package")


def test_an_environment_that_was_moved_is_used_where_it_is(door):
    door.make_venv()
    other = door.folder / "elsewhere with spaces"
    other.mkdir()
    shutil.move(door.venv, other / ".venv")
    door.folder, door.venv = other, other / ".venv"
    assert door.is_ready("docs") == [f"--quiet install {group('docs')}"]


def test_variables_for_other_pythons_are_not_followed(door):
    door.make_venv()
    other = door.folder / "other"
    other.mkdir()
    (other / "pip.py").write_text("raise SystemExit('the wrong pip')")
    (other / "argparse.py").write_text("raise SystemExit('the wrong argparse')")
    variables = {
        "PYTHONPATH": str(other),
        "PYTHONHOME": str(other),
        "VIRTUAL_ENV": str(other),
        "CONDA_PREFIX": str(other),
        "PIP_TARGET": str(other),
    }
    assert door.is_ready("docs", **variables) == [f"--quiet install {group('docs')}"]


def test_the_system_needs_no_python_when_the_environment_is_there(door):
    door.make_venv()
    (door.programs / "python3").unlink()
    assert door.is_ready("docs") == [f"--quiet install {group('docs')}"]


def test_the_python_that_is_asked_for_may_be_the_one_that_is_there(door):
    door.make_venv()
    assert door.is_ready("--asked", "docs") == [f"--quiet install {group('docs')}"]


# --- Environments that people have to see to ------------------------------------------------------


def test_a_folder_of_somebody_is_left_alone(door):
    door.venv.mkdir()
    (door.venv / "thesis.tex").write_text("")
    assert "rm -rf .venv" in door.refuses()
    assert [it.name for it in door.venv.iterdir()] == ["thesis.tex"]


def test_a_file_in_its_place_is_said(door):
    door.venv.write_text("")
    assert "rm .venv" in door.refuses()


def test_a_python_that_is_gone_is_said(door):
    door.make_venv()
    python = door.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert door.refuses() == (
        "the Python that .venv was made with is gone: delete it, rm -rf .venv"
    )


def test_a_python_that_does_not_run_is_said(door):
    door.make_venv()
    python = door.venv / "bin" / "python"
    python.unlink()
    python.write_text("#!/bin/sh\necho 'No module named encodings' >&2\nexit 1\n")
    python.chmod(0o755)
    assert door.refuses() == ".venv/bin/python does not run: delete it, rm -rf .venv"


def fake_python(door, version, more=""):
    """One that says its version, and can nothing else."""
    door.program("other", f"case $3 in *version_info*) echo '{version}';; *) exit 1;; esac\n{more}")


def test_an_environment_of_an_old_python_is_said(door):
    door.make_venv()
    fake_python(door, "3 10")
    python = door.venv / "bin" / "python"
    python.unlink()
    shutil.copy(door.programs / "other", python)
    said = door.refuses()
    assert "Python 3.10" in said and "3.11 or later" in said and "rm -rf .venv" in said


def test_an_environment_of_another_python_than_asked_for_is_said(door):
    door.make_venv()
    fake_python(door, "3 99")
    said = door.refuses("--asked", python="other")
    assert f".venv is of Python {PYTHON}" in said and "other is 3.99" in said
    assert "rm -rf .venv" in said and "VENV=.venv-3.99" in said
    # Without being asked for it is only what would make one.
    assert door.is_ready("docs", python="other")


def test_a_python_of_another_environment_is_said(door):
    door.make_venv()
    python = door.venv / "bin" / "python"
    python.unlink()
    # As in an environment that was pieced together, or linked.
    other = door.folder / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", other], check=True)
    python.write_text(f'#!/bin/sh\nexec {other}/bin/python "$@"\n')
    python.chmod(0o755)
    said = door.refuses()
    assert "not of that environment" in said and "rm -rf .venv" in said


def test_a_system_without_a_python_is_told_what_to_install(door):
    (door.programs / "python3").unlink()
    said = door.refuses()
    assert "there is no python3" in said and "3.11 or later" in said and "PYTHON=" in said


def test_a_system_with_an_old_python_is_told_what_it_needs(door):
    fake_python(door, "3 9")
    said = door.refuses(python="other")
    assert "other is Python 3.9" in said and "3.11 or later" in said and "PYTHON=" in said


def test_a_python_that_cannot_make_environments_is_told_the_package(door):
    fake_python(door, "3 12")
    assert "apt install python3.12-venv" in door.refuses(python="other")


def test_a_shim_without_its_python_is_said(door):
    door.program("other", "echo 'pyenv: command not found'\necho 'these versions:'; exit 127")
    assert "other does not run" in door.refuses(python="other")


def test_an_environment_without_pip_or_the_means_to_get_it_is_said(door):
    door.make_venv(pip=None)
    (door.site / "sitecustomize.py").write_text(
        "from importlib import util\nfound = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'ensurepip' else found(name, *a)\n"
    )
    said = door.refuses()
    assert "no pip" in said and "rm -rf .venv" in said


def test_what_pip_says_is_shown_when_it_fails(door):
    door.make_venv()
    status, text = door.ready("--package", PIP_FAILS="1")
    assert status != 0
    assert "No matching distribution" in text
    assert text.splitlines()[-1].startswith("pip could not install treequeues")


def test_only_what_tells_of_progress_is_shown_of_a_build(door):
    door.make_venv()
    status, text = door.ready("--package")
    assert status == 0
    assert "Compiling treequeues-py" in text
    assert "Using cached" not in text


# --- Rust -----------------------------------------------------------------------------------------


def test_rust_is_needed_only_for_the_package(door):
    door.make_venv()
    (door.programs / "cargo").unlink()
    assert door.is_ready("docs")
    said = door.refuses("--package")
    assert "https://rustup.rs" in said and re.search(r"\d\.\d+ or later", said)


def test_rust_that_is_not_on_the_path_is_said(door):
    door.make_venv()
    (door.programs / "cargo").unlink()
    cargo = door.folder / ".cargo" / "bin" / "cargo"
    cargo.parent.mkdir(parents=True)
    cargo.touch(mode=0o755)
    assert ". ~/.cargo/env" in door.refuses("--package")


def test_rust_that_is_too_old_is_said(door):
    door.make_venv()
    door.program("rustc", "echo 'rustc 1.9.0 (x 2016-05-18)'")
    said = door.refuses("--package")
    assert "1.9.0" in said and "rustup update" in said


def test_rust_without_a_toolchain_is_said(door):
    door.make_venv()
    door.program("rustc", "echo 'error: rustup could not choose' >&2; exit 1")
    assert "rustup default stable" in door.refuses("--package")


def test_rust_without_a_linker_is_said(door):
    door.make_venv()
    (door.programs / "cc").unlink()
    assert "build-essential" in door.refuses("--package")


# --- The Makefile ---------------------------------------------------------------------------------


def make(*arguments):
    environment = {it: text for it, text in os.environ.items() if not it.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WATCHDOG_S,
    ).stdout


def test_bare_make_lists_the_targets_in_80_columns():
    listed = make()
    assert listed == make("help")
    assert [line for line in listed.splitlines() if len(line) > 80] == []
    documented = re.findall(r"^([a-z][a-z-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "lint", "docs", "soak", "bench"} <= set(documented)
    assert re.findall(r"^  ([a-z][a-z-]*) ", listed, re.MULTILINE) == documented


def test_what_stands_before_a_comment_is_not_listed():
    assert "All that must hold" in make()
    assert "kill-points fuzz" not in make()


def test_every_target_without_a_file_is_declared_and_described():
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", text, re.MULTILINE)[1].replace("\\\n", " ")
    documented = re.findall(r"^([a-z][a-z-]*):.*## ", text, re.MULTILINE)
    assert sorted(phony.split()) == sorted(documented)


def test_an_environment_with_a_space_in_its_name_is_refused():
    assert "without spaces" in make("--dry-run", "docs", "VENV=my venv")


def test_an_asked_for_python_is_passed_on_and_the_default_is_not():
    assert "'python3.99' --asked" in make("--dry-run", "docs", "PYTHON=python3.99")
    assert "--asked" not in make("--dry-run", "docs")
