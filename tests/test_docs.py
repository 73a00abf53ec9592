"""The documentation: what its pages show runs and prints what they say, and the site is whole.

How a page says what is to be done with a block is told in `pages.py`.
"""

import html
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pages
import pytest

import treequeues

WATCHDOG_S = 60  # Generous: it only keeps a hanging example from hanging the tests.

# What waits for a feature that is not there yet: a page, or the anchor of one section of it. Its
# blocks must fail until then, so that no entry outlives its reason.
PENDING: dict[str, str] = {}

# Blocks that are shown and not run, by page: how many, and why. Each is a claim without a test, so
# the list is to stay short.
NOT_RUN: dict[tuple[str, str], int] = {
    ("how-to/hosts.md", "it serves until it is stopped"): 1,
    ("how-to/hosts.md", "they need that server"): 2,
    ("how-to/hosts.md", "it needs the relays above"): 1,
    ("how-to/debugging.md", "a fragment, for a program of yours"): 1,
    ("how-to/docker-and-memory.md", "needs Docker"): 2,
    ("how-to/rust-simulator.md", "a line of a manifest"): 1,
    ("index.md", "builds the package"): 1,
}

PAGES = pages.pages()


def feature_awaited_by(block):
    places = [block.page, *(f"{block.page}#{section}" for section in block.sections)]
    return next((PENDING[place] for place in places if place in PENDING), None)


def cases(kind):
    """The cases of all pages as parameters of a test; those that wait for a feature must fail."""
    found = []
    for page in PAGES:
        for case in getattr(page, kind):
            feature = feature_awaited_by(case.blocks[0])
            marks = pytest.mark.xfail(strict=True, reason=f"waits for {feature}") if feature else ()
            found.append(pytest.param(case, id=str(case), marks=marks))
    return found


@pytest.mark.parametrize("case", cases("scripts"))
def test_a_script_prints_what_the_page_says(case, tmp_path):
    for name, text in {**case.files, "example.py": case.script}.items():
        (tmp_path / name).write_text(text)
    started = start([sys.executable, "-W", "error", "example.py"], tmp_path, subprocess.PIPE)
    printed, complaints = finish(started)
    assert (started.returncode, complaints) == (0, "")
    assert pages.says(case.printed, printed), f"it printed:\n{printed}"


@pytest.mark.parametrize("case", cases("consoles"))
def test_commands_print_what_the_page_says(case, tmp_path):
    check_commands(case, tmp_path)


def check_commands(case, folder):
    """Runs the blocks of a case side by side, and looks at what each command printed."""
    for name, text in case.files.items():
        (folder / name).write_text(text)
    terminals = [
        (block, start(["bash", "-c", script_of(block)], folder, subprocess.STDOUT))
        for block in case.blocks
    ]
    printed = {}
    threads = [
        threading.Thread(target=lambda b=block, s=started: printed.update({b: finish(s)[0]}))
        for block, started in terminals
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for block in case.blocks:
        outcomes = re.findall(r"(.*?)\x1e(\d+)\n", printed[block], re.DOTALL)
        commands = pages.commands_of(block)
        assert len(outcomes) == len(commands), f"{block} printed:\n{printed[block]}"
        for command, (text, status) in zip(commands, outcomes, strict=True):
            assert status == "0", f"{block}: {command.line} ended with {status}:\n{text}"
            assert pages.says(command.printed, text), f"{block}: {command.line} printed:\n{text}"


def script_of(block):
    """A console block's commands for bash, with a mark and the status after each."""
    return "".join(f"{it.line}\nprintf '\\036%s\\n' $?\n" for it in pages.commands_of(block))


def start(arguments, folder, stderr):
    environment = {
        **os.environ,
        # Queues of the pages have plain names, which others may have, too.
        "TREEQUEUES_DIR": str(folder / "queues"),
        # `python` and `treequeues` are those of the tests.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONWARNINGS": "error",
        # A terminal of 80 columns that knows no colours.
        "TERM": "dumb",
        "COLUMNS": "80",
    }
    return subprocess.Popen(
        arguments,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        # A group of its own, so that nothing that it starts outlives the test.
        start_new_session=True,
    )


def finish(started):
    try:
        return started.communicate(timeout=WATCHDOG_S)
    except subprocess.TimeoutExpired:
        kill_group(started)
        printed, complaints = started.communicate()
        return printed, f"{complaints or ''}\nit hung, and was killed"
    finally:
        kill_group(started)


def kill_group(started):
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)


# --- What reads the pages -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```pyhton\nx\n```", "the language 'pyhton' is not known"),
        ("```\nx\n```", "the language '' is not known"),
        ("```python linenums\nx\n```", "more is said of it than is known: 'linenums'"),
        ("```python\nx\n", "and no end"),
        ("<!-- continue -->\n```python\nx\n```", "more is said of it than is known"),
        ("<!-- not run -->\n```python\nx\n```", "no reason"),
        ("```yaml\nx: 1\n```", "needs the reason"),
        ("<!-- continues -->\n```python\nx\n```", "no script that it could continue"),
        ("<!-- continues -->\n```console\n$ x\n```", "only a script can be continued"),
        ("```text\nx\n```", "no script stands before it"),
        ("```console\n$ x\n```\n```text\nx\n```", "no script stands before it"),
        ("<!-- picture -->\n```python\nx\n```", "only text can be a picture"),
    ],
)
def test_a_block_that_nothing_can_be_done_with_is_a_fault(text, fault):
    page = pages.Page("page.md", list(pages.blocks_of("page.md", text)))
    pages.sort_out(page)
    assert [fault in it for it in page.faults] == [True]


def test_parts_of_a_script_and_what_they_print_come_together():
    text = (
        "## 1. It's a `queue`\n"
        '```python title="items.py"\nx = 1\n```\n'
        "```python\nimport items\n```\n```text\na\n```\n"
        "<!-- continues -->\n```python\nprint()\n```\n```text\nb\n```\n"
        '```console title="Terminal 1"\n$ a\n```\n```console title="Terminal 2"\n$ b\n```\n'
    )
    page = pages.Page("page.md", list(pages.blocks_of("page.md", text)))
    pages.sort_out(page)
    assert page.faults == []
    [script], [console] = page.scripts, page.consoles
    assert script.script == "import items\n\nprint()\n"
    assert script.printed == "a\nb\n"
    assert script.files == {"items.py": "x = 1\n"}
    assert script.blocks[0].sections == ("1-its-a-queue",)
    assert [block.title for block in console.blocks] == ["Terminal 1", "Terminal 2"]


def test_commands_of_a_console_have_what_they_print():
    [block] = pages.blocks_of("page.md", "```console\n$ a \\\n  b\n1\n2\n$ c\n```\n")
    assert pages.commands_of(block) == [
        pages.Command("a \\\n  b", "1\n2\n"),
        pages.Command("c", ""),
    ]


def test_terminals_run_side_by_side_in_one_directory(tmp_path):
    check_commands(
        case_of(
            '```console title="Terminal 1"\n'
            "$ while [ ! -e there ]; do sleep 0.05; done\n$ cat there\nhello\n```\n"
            '```console title="Terminal 2"\n$ WHO=hello\n$ echo $WHO > there\n```\n'
        ),
        tmp_path,
    )


@pytest.mark.parametrize(
    ("console", "complaint"),
    [
        ("$ echo a\nb\n", "echo a printed"),
        ("$ echo a\n", "echo a printed"),
        ("$ false\n", "false ended with 1"),
        ("$ echo oops >&2\n", "oops"),
        ("$ exit\n$ echo a\na\n", "printed:\n"),
    ],
)
def test_commands_that_fail_or_print_something_else_are_seen(console, complaint, tmp_path):
    with pytest.raises(AssertionError, match=re.escape(complaint)):
        check_commands(case_of(f"```console\n{console}```\n"), tmp_path)


def case_of(text):
    page = pages.Page("page.md", list(pages.blocks_of("page.md", text)))
    pages.sort_out(page)
    [case] = page.consoles
    return case


@pytest.mark.parametrize(
    ("expected", "printed", "is_it"),
    [
        ("a\n", "a  \n", True),
        ("a\n", "b\n", False),
        ("a\n", "a\nb\n", False),
        ("", "a\n", False),
        ("a ... c\n", "a b\nb c\n", True),
        ("[a](.*)\n", "a\n", False),
    ],
)
def test_dots_stand_for_any_text_and_all_else_for_itself(expected, printed, is_it):
    assert pages.says(expected, printed) == is_it


# --- What the pages may say -----------------------------------------------------------------------


def test_there_are_pages_and_most_of_them_have_blocks():
    assert sum(1 for page in PAGES if page.scripts or page.consoles) >= 8


def test_every_block_is_of_a_kind_that_is_known():
    assert [fault for page in PAGES for fault in page.faults] == []


def test_what_is_not_run_is_listed_with_its_reason():
    found = {}
    for page in PAGES:
        for block in page.blocks:
            if block.directive == pages.NOT_RUN:
                found[page.path, block.reason] = found.get((page.path, block.reason), 0) + 1
    assert found == NOT_RUN


def test_no_place_for_a_capture_or_for_help_is_left():
    for page in PAGES:
        text = (pages.DOCS / page.path).read_text()
        empty = re.findall(r"<!-- capture: .* -->|<!-- help: .* -->\n<!-- end of help -->", text)
        assert empty == [], page.path


def test_every_capture_is_shown_by_a_page():
    shown = "".join((pages.DOCS / page.path).read_text() for page in PAGES)
    captures = sorted(it.name for it in (pages.DOCS / "captures").iterdir())
    assert [it for it in captures if f'--8<-- "docs/captures/{it}"' not in shown] == []


def test_the_help_of_the_command_is_what_the_page_says():
    script, page = pages.DOCS / "_build/command_help.py", pages.DOCS / "reference/command.md"
    done = subprocess.run([sys.executable, script, "--check", page], timeout=WATCHDOG_S)
    assert done.returncode == 0


def test_no_rust_is_left_out_that_could_be_compiled():
    sources = list((pages.ROOT / "crates/treequeues/src/queue/api").glob("*.rs"))
    queue = "".join(it.read_text() for it in sources)
    assert "pub fn create(" in queue, sources
    for page, reason in NOT_RUN:
        for name in re.findall(r"^waits for Queue::(\w+)$", reason):
            assert f"pub fn {name}(" not in queue, f"{page} need not wait for {name} any longer"


def test_every_file_of_a_page_is_run_or_imported_further_down():
    for page in PAGES:
        for number, block in enumerate(page.blocks):
            if block.is_file:
                stem = block.title.removesuffix(".py")
                uses = rf"(python {stem}\.py|from {stem} import|import {stem})\b"
                later = "\n".join(it.text for it in page.blocks[number + 1 :])
                assert re.search(uses, later), f"{block}: nothing uses {block.title}"


def test_what_is_pending_exists():
    blocks = [block for page in PAGES for block in page.blocks]
    places = {block.page for block in blocks}
    places |= {f"{block.page}#{section}" for block in blocks for section in block.sections}
    assert set(PENDING) <= places


def test_every_test_that_a_page_cites_exists():
    cited = [
        (page.path, file, name)
        for page in PAGES
        for file, name in re.findall(
            r"`((?:tests|crates|examples|benchmarks)/[\w./-]+)(?:::(\w+))?`",
            (pages.DOCS / page.path).read_text(),
        )
    ]
    assert cited
    for page, file, name in cited:
        path = pages.ROOT / file
        assert path.exists(), f"{page} cites {file}, which is not there"
        if name:
            assert re.search(rf"\b(def|fn) {name}\b", path.read_text()), f"{page} cites {name}"


# --- The site -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with warnings as errors: unknown names and broken links among them."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Elements(HTMLParser):
    """The ids of a page, what it links to, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag == "link" and found.get("href"):
            self.loads.append(found["href"])
        elif found.get("src"):
            self.loads.append(found["src"])


@pytest.fixture(scope="module")
def site_pages(site):
    return {file: Elements(file.read_text()) for file in site.rglob("*.html")}


def test_every_public_name_is_in_the_reference(site, site_pages):
    ids = site_pages[site / "reference" / "python.html"].ids
    assert {f"treequeues.{name}" for name in treequeues.__all__} <= ids


def test_public_methods_are_in_the_reference(site, site_pages):
    ids = site_pages[site / "reference" / "python.html"].ids
    for name in ("TreeQueue", "ReadLoan", "WriteLoan"):
        methods = {it for it in dir(getattr(treequeues, name)) if not it.startswith("_")}
        assert {f"treequeues.{name}.{method}" for method in methods} <= ids


@pytest.fixture(scope="module")
def reference(site):
    """The text of the reference, without its markup."""
    text = (site / "reference" / "python.html").read_text()
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def test_powers_in_docstrings_are_shown_as_they_stand(reference):
    powers = re.findall(r"\d\*\*\d+", (pages.ROOT / "python/treequeues/_core.pyi").read_text())
    assert len(powers) >= 2
    assert [it for it in powers if it not in reference] == []


def test_a_long_signature_has_a_line_for_each_argument(reference):
    assert "\n    nested_array: T,\n    maxsize: int,\n    *,\n" in reference


def test_the_search_needs_no_server(site, site_pages):
    """Of a page that was opened as a file, browsers load scripts, and neither data nor workers."""
    assert (site / "search" / "search_index.js").read_text().startswith("var __index = {")
    for file, elements in site_pages.items():
        scripts = [it.rpartition("/")[2] for it in elements.loads]
        assert "iframe-worker.js" in scripts, file


def test_the_site_loads_nothing_from_elsewhere(site_pages):
    for file, elements in site_pages.items():
        assert [it for it in elements.loads if urlsplit(it).netloc] == [], file


def test_links_within_the_site_lead_somewhere(site, site_pages):
    for file, elements in site_pages.items():
        for link in (*elements.links, *elements.loads):
            url = urlsplit(link)
            if url.scheme or url.netloc or file.name == "404.html":
                continue
            target = (file.parent / unquote(url.path)).resolve() if url.path else file
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{file.relative_to(site)} links to {link}"
            if url.fragment and target in site_pages:
                ids = site_pages[target].ids
                assert unquote(url.fragment) in ids, f"{file.relative_to(site)} links to {link}"
