"""House rules that a reader can rely on: short files, declared ports, no import cycles."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from engine.facts import Facts
from engine.stage import FanOut, Link, Scope, Stage
from stages.kinds import KINDS

ROOT = Path(__file__).parents[1]
FOLDERS = ("engine", "stages", "specs", "vault", "packrat")
MOST_LINES = 300
LONG = {"packrat/cli.py"}
"""Longer files. The list may only shrink."""
ENGINE_LINES = 750


def files(*folders):
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def name_of(file):
    return str(file.relative_to(ROOT))


def code_lines(source):
    """Return the number of lines with code, without blanks, comments and docstrings."""
    docs = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
               tokenize.ENDMARKER)  # fmt: skip
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in skipped
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - docs)


def test_no_file_is_long():
    long = {name_of(f) for f in files(*FOLDERS) if len(f.read_text().splitlines()) > MOST_LINES}
    assert long <= LONG, f"split {sorted(long - LONG)}"
    assert long >= LONG, f"take {sorted(LONG - long)} off the list"


def test_docstrings_begin_with_a_noun_phrase_or_an_imperative():
    """Not with a noun clause ("What …"), nor with "Give", "Say" or "Tell"."""
    dialect = re.compile(r'"""(What|How well|Who|Whether|Gives?|Says?|Tells?)\b')
    assert not [name_of(f) for f in files(*FOLDERS, "tests") if dialect.search(f.read_text())]


def test_engine_is_small():
    assert code_lines('"""Doc."""\n\n# comment\nx = (\n    1\n)\n') == 3
    assert sum(code_lines(file.read_text()) for file in files("engine")) <= ENGINE_LINES


def test_stage_has_ports_and_no_switches():
    """A class variable that only one kind sets would be a special case in the engine."""
    ports = {"takes", "gives", "needs", "uses", "provides"}
    ports |= {f"inverse_{name}" for name in ("needs", "uses", "provides")}
    others = Stage.__annotations__.keys() - ports - {"kind", "model_config"}
    for name in others:
        assert sum(getattr(kind, name) != getattr(Stage, name) for kind in KINDS) > 1, name
    assert others == {"inverse", "backwards"}
    classes = (Stage, Link, Scope, FanOut)
    assert not [name for one in classes for name, kind in one.__annotations__.items()
                if "bool" in str(kind)]  # fmt: skip


class Module:
    """Facts that a module of `stages/` requests and provides, and those that it declares."""

    def __init__(self, tree):
        self.asked, self.provided, self.declared, self.assigned = set(), set(), set(), []
        self.is_stage = False
        facts = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign | ast.Assign):
                self._assignment(node, facts)
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if _is_run(node.func.value) and node.func.attr in ("fact", "resource"):
                self.asked.add(ast.unparse(node.args[0]))
            elif _is_run(node.func.value) and node.func.attr in ("provide", "open"):
                self.provided.add(self._type(tree, node.args[0]))
        for node in ast.walk(tree):
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete):
                self.assigned += [t for t in targets if self._of_a_fact(t, facts)]

    def _assignment(self, node, facts):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {ast.unparse(target) for target in targets}
        ports = {"needs", "uses", "provides"}
        if names & {*ports, *(f"inverse_{n}" for n in ports), "release_provides"} and node.value:
            items = node.value.elts if isinstance(node.value, ast.Tuple) else []
            self.declared |= {ast.unparse(i.func if isinstance(i, ast.Call) else i) for i in items}
        self.is_stage |= "kind" in names and "ClassVar" in ast.unparse(node)
        pairs = [(targets[0], node.value)]
        if isinstance(targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = zip(targets[0].elts, node.value.elts, strict=True)
        for target, value in pairs:
            if isinstance(target, ast.Name) and value is not None and _asks(value):
                facts.add(target.id)

    @staticmethod
    def _of_a_fact(target, facts):
        if not isinstance(target, ast.Attribute):
            return False
        value = target.value
        while isinstance(value, ast.Attribute | ast.Subscript):
            value = value.value
        return _asks(value) or (isinstance(value, ast.Name) and value.id in facts)

    def _type(self, tree, value):
        """Return the type of a provided value: a call of it, or a name that is assigned one."""
        if isinstance(value, ast.Call):
            return ast.unparse(value.func)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(value):
                return self._type(tree, node.value)
        return ast.unparse(value)


def _is_run(node):
    return ast.unparse(node) in ("run", "self.run", "self._run")


def _asks(node):
    """Return whether an expression is `run.fact(X)`, or a part of it."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and _is_run(node.func.value)
        and node.func.attr in ("fact", "resource")
    )


MODULES = {name_of(file): Module(ast.parse(file.read_text())) for file in files("stages")}
KIND_MODULES = sorted(name for name, module in MODULES.items() if module.is_stage)


@pytest.mark.parametrize("name", KIND_MODULES)
def test_every_port_is_declared(name):
    """The declarations of a kind cover its requests and facts, also those of helpers."""
    module = MODULES[name]
    assert module.asked <= module.declared
    assert {one for one in module.provided if one[0].isupper()} <= module.declared


def test_every_kind_of_stage_is_looked_at():
    """Facts are requested in the module of a kind, or in a helper that is named here."""
    homes = {kind.__module__.replace(".", "/") + ".py" for kind in KINDS}
    assert homes == set(KIND_MODULES)
    helpers = {name for name, module in MODULES.items() if module.asked} - homes
    assert helpers == set()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_provided_type_can_be_put_on_the_board(kind):
    """Facts and resources are found by their type: one type, one value of each stage."""
    ports = [kind.provides, kind.inverse_provides, getattr(kind, "release_provides", ())]
    for provides in ports:
        assert len(set(provides)) == len(provides)
        assert all(isinstance(one, type) for one in provides)
    for uses in (kind.uses, kind.inverse_uses):
        assert Facts(uses).given(type(uses[0]), None) is uses[0] if uses else True


def test_no_stage_assigns_an_attribute_of_a_fact():
    assigned = {n: [ast.unparse(t) for t in m.assigned] for n, m in MODULES.items() if m.assigned}
    assert assigned == {}
    source = "a, b = run.fact(A), 1\na.x = 1\nb.x = 1\nrun.fact(B).c.d += 1"
    assert [ast.unparse(t) for t in Module(ast.parse(source)).assigned] == [
        "a.x",
        "run.fact(B).c.d",
    ]


def imports_of(tree, package):
    """Yield the modules of a package that a module imports at run time, not for types."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            yield from [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == package)
        todo += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]


@pytest.mark.parametrize("package", FOLDERS)
def test_modules_do_not_import_each_other(package):
    """No circle between files or between folders, not even through an import in a function."""
    between_files, between_folders = defaultdict(set), defaultdict(set)
    modules = {name_of(f)[:-3].replace("/", "."): f for f in files(package)}
    for name, file in modules.items():
        imported = set(imports_of(ast.parse(file.read_text()), package)) & modules.keys()
        between_files[name] = imported - {name}
        folder = name.rpartition(".")[0]
        if folder != package:  # files at the top use the folders, and are used by them
            others = {other.rpartition(".")[0] for other in imported} - {folder, package}
            between_folders[folder] |= others
    assert any(between_files.values())
    TopologicalSorter(between_files).prepare()
    TopologicalSorter(between_folders).prepare()


def modules_imported(tree):
    """Return every module that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_protocols_are_left_to_libraries():
    """No client of our own: s3fs and sshfs speak S3 and SFTP, in `vault/store/` only.

    `vault/browse.py` uses fsspec for the other direction: it is a filesystem itself.
    """
    for file in files("vault"):
        imported = modules_imported(ast.parse(file.read_text()))
        assert not imported & {"socket", "http.client", "hmac"}, name_of(file)
    fsspec = {
        name_of(file)
        for file in files(*FOLDERS)
        if any(m.split(".")[0] == "fsspec" for m in modules_imported(ast.parse(file.read_text())))
    }
    assert "vault/browse.py" in fsspec
    fsspec.remove("vault/browse.py")
    assert fsspec
    assert all(name.startswith("vault/store/") for name in fsspec)


def test_no_process_is_forked():
    """Forking a process that has threads is unsafe, and deprecated since Python 3.12."""
    assert not [name_of(f) for f in files(*FOLDERS) if "os.fork" in f.read_text()]


def test_private_members_of_libraries_are_used_in_one_named_place_each():
    """Ruff finds every use (SLF001); these are the only exceptions."""
    excused = {
        (name_of(file), line.strip().partition("  # noqa")[0])
        for file in files(*FOLDERS)
        for line in file.read_text().splitlines()
        if "noqa: SLF001" in line
    }
    assert excused == {
        (
            "vault/store/s3.py",
            "return await filesystem._call_s3(method, Bucket=self._bucket, **parameters)",
        ),
        ("vault/store/sftp_upload.py", "async with filesystem._pool.get() as channel:"),
    }
