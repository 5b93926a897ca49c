"""What the source may not contain, held by reading it: ways to run foreign code, overgrown files, addresses of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("app", "workers", "tools", "bench", "migrations")

UNSAFE_MODULES = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "pty"}
UNSAFE_CALLS = {
    "eval",
    "exec",
    "os.popen",
    "os.system",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "tempfile.mktemp",
    "torch.load",
    "torch.save",
    "yaml.load",
    "yaml.unsafe_load",
}
UNSAFE_KEYWORDS = {"trust_remote_code", "shell", "allow_pickle"}

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 50
LINES_OF_A_TEMPLATE = 120

# Spelled in parts, so that this file may stand among those it reads.
REGISTRIES = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("pytorch", "org/whl"))
]
MACHINE_PATH = re.compile(r"""(?<![\w.}~])/(?:work|root|opt|Users|home/\w+)/""")


@cache
def tracked() -> list[Path]:
    """Give every file that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def of_folders(*folders: str, suffix: str = ".py") -> list[Path]:
    """Give the tracked files of some folders."""
    return [path for path in tracked() if path.suffix == suffix and path.relative_to(ROOT).parts[0] in folders]


@cache
def tree(path: Path) -> ast.Module:
    """Give a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def place(path: Path, node: ast.AST) -> str:
    """Say where something stands, in a form an editor opens."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def imports(node: ast.AST) -> set[str]:
    """Give the top-level modules that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return {node.module.split(".")[0]}
    return set()


def calls(folders: tuple[str, ...]) -> Iterator[tuple[Path, ast.Call]]:
    """Give every call in some folders."""
    for path in of_folders(*folders):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                yield path, node


def is_true(node: ast.expr) -> bool:
    """Tell whether an expression could be true: anything but a literal False or None."""
    return not (isinstance(node, ast.Constant) and not node.value)


def test_nothing_imports_a_library_that_unpickles() -> None:
    found = [place(path, node) for path in of_folders(*SOURCES) for node in ast.walk(tree(path)) if imports(node) & UNSAFE_MODULES]
    assert not found


def test_nothing_calls_what_runs_foreign_code() -> None:
    found = [f"{place(path, call)} {ast.unparse(call.func)}" for path, call in calls(SOURCES) if ast.unparse(call.func) in UNSAFE_CALLS]
    assert not found


def test_nothing_allows_remote_code_a_shell_or_pickles() -> None:
    found = [
        f"{place(path, call)} {keyword.arg}"
        for path, call in calls((*SOURCES, "tests"))
        for keyword in call.keywords
        if keyword.arg in UNSAFE_KEYWORDS and is_true(keyword.value)
    ]
    assert not found


def test_the_web_renders_templates_from_files_only() -> None:
    found = [
        place(path, call) for path, call in calls(("app",)) if isinstance(call.func, ast.Attribute) and call.func.attr == "from_string"
    ]
    assert not found


@pytest.mark.parametrize(
    ("folders", "suffix", "most"), [(("app", "workers", "tools"), ".py", LINES_OF_A_FILE), (("templates",), ".html", LINES_OF_A_TEMPLATE)]
)
def test_files_stay_small(folders: tuple[str, ...], suffix: str, most: int) -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in of_folders(*folders, suffix=suffix)
    }
    assert {name: size for name, size in sizes.items() if size > most} == {}


def test_functions_fit_a_screen() -> None:
    found = [
        f"{place(path, node)} {node.name}"
        for path in of_folders("app", "workers", "tools")
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno >= LINES_OF_A_FUNCTION
    ]
    assert not found


def test_no_file_names_a_package_registry_or_a_folder_of_one_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if any(host in text for host in REGISTRIES) or (path.suffix != ".svg" and MACHINE_PATH.search(text)):
            found.append(str(path.relative_to(ROOT)))
    assert not found


def test_locks_hold_hashes_and_no_address() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert not re.search(r"^--(?!hash)", text, re.MULTILINE)
        assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\S)", text.strip()))
        assert not re.search(r"^(torch|nvidia(?!-ml-py)|cuda|triton)\b", text, re.MULTILINE)
    assert '"resolved"' not in (ROOT / "package-lock.json").read_text(encoding="utf-8")


def test_pages_load_only_libraries_that_set_up_installs() -> None:
    setup = tree(ROOT / "tools" / "setup.py")
    listed = next(node.value for node in setup.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BROWSER_FILES")
    installed = {name.rsplit("/", 1)[-1] for name in ast.literal_eval(listed)}
    texts = [path.read_text(encoding="utf-8") for path in (*of_folders("templates", suffix=".html"), *of_folders("app"))]
    asked = {name for text in texts for name in re.findall(r"vendor/([\w.-]+\.\w+)", text)}
    assert asked <= installed
