"""Pictures of docs/how-it-works.md, made from the program itself.

python docs/pictures.py            replace each picture in the page
python docs/pictures.py --check    print what would change; the exit status is 1 if anything would
"""

import ast
import difflib
import re
import sys
import tempfile
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from engine.graph import Graph
from packrat.text.drawing import mermaid
from specs.compile import compile_restore, compile_service
from specs.config import Config
from specs.load import load_config
from stages.items import Place
from vault.archive.reader import Archive, read_header

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-it-works.md"
VECTORS = ROOT / "tests" / "vectors"
FOLDERS = {
    "packrat": "command line, daemon, picker",
    "specs": "YAML and its compilation",
    "stages": "one stage kind a file",
    "engine": "graphs, facts, runs",
    "vault": "archives, stores, catalogs",
}
PICTURE = re.compile(r"(<!-- picture: (\w+) -->\n)(.*?)(<!-- end of picture -->\n)", re.DOTALL)


def example() -> Config:
    """Load the configuration that the README shows."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [text] = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(text, encoding="utf-8")
        return load_config(str(file))


def folders() -> str:
    """Draw which folder imports which, as found in the source."""
    lines = ["flowchart TB"]
    lines += [f'  {name}["<b>{name}/</b><br/>{what}"]' for name, what in FOLDERS.items()]
    for name in FOLDERS:
        found = {
            module.partition(".")[0]
            for file in (ROOT / name).rglob("*.py")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for module in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
            )
        }
        lines += [f"  {name} --> {other}" for other in FOLDERS if other in found - {name}]
    return "\n".join(lines)


def backup() -> str:
    """Draw the pipeline of a backup."""
    return _plan("gitea", compile_service(example(), "gitea").graph())


def restore() -> str:
    """Draw the pipeline of an in-place restore."""
    pipeline = compile_restore(example(), "gitea", "latest", "local")
    return _plan("gitea, in place", pipeline.graph())


def _plan(title: str, graph: Graph) -> str:
    """Draw a plan from top to bottom; the stages that run during the downtime are red."""
    drawn = mermaid({title: graph}).replace("flowchart LR", "flowchart TB", 1)
    drawn = drawn.replace('"]\n', '"]\n    direction TB\n', 1)
    names = [node.name for node in graph.order]
    [start] = [node for node in graph.order if node.releases]
    stop = next(node for node in graph.order if node.name == start.releases)
    down = range(names.index(stop.name), names.index(start.name) + 1)
    ids = ",".join(f"s0n{place}" for place in down)
    return f"{drawn}\n  classDef down fill:#fdd,stroke:#c33,color:#000\n  class {ids} down"


def items() -> str:
    """Draw the item types, and the stages that turn one into the next and back."""
    lines, last = ["flowchart LR"], ""
    for node in compile_service(example(), "documents").graph().order:
        takes, gives, inverse = node.stage.takes, node.stage.gives, node.stage.backwards
        if takes and gives and takes is not gives and last != Place.__name__:
            last = gives.__name__
            kind = node.stage.kind
            lines.append(f'  {takes.__name__} <-->|"{kind}<br/>{inverse}"| {last}')
    return "\n".join(lines)


def archive() -> str:
    """Draw the two frozen archives of tests/vectors: a full one, and one that refers to it."""
    lines = ["flowchart TB"]
    owner = {}
    for number, file in enumerate(sorted(VECTORS.glob("*.packrat"))):
        opened = _open(file)
        kind = opened.manifest.kind
        owner[opened.manifest.id] = f"a{number}f0"
        rows = [("h", f"header with the key slots, in clear<br/>{opened.header.size} B")]
        frames = [
            (*opened.any_frame(place), place, length)
            for place, (_, length) in enumerate(opened.frames, 2)
        ]
        frames.sort()  # by kind
        for place, (kind_, group) in enumerate(groupby(frames, itemgetter(0))):
            some = [*group]
            size, stored = sum(len(f[1]) for f in some), sum(f[3] for f in some)
            what = "data" if kind_ == b"d" else "index, in blocks and lists"
            count = f"{len(some)} frame{'s' * (len(some) != 1)}"
            text = f"{count}: {what}<br/>{size:,} B, stored in {stored:,} B"
            rows.append((f"f{place}", text))
        trailer = opened.trailer
        rows += [
            ("m", f"frame 0: manifest<br/>{trailer.manifest_length} B"),
            ("t", f"frame 1: table of the frames<br/>{trailer.table_length} B"),
            ("e", "trailer, in clear<br/>32 B"),
        ]
        lines += [f'  subgraph a{number}["{kind}: {opened.name}"]', "    direction TB"]
        lines += [f'    a{number}{id_}["{text}"]' for id_, text in rows]
        ids = [f"a{number}{id_}" for id_, _ in rows]
        lines += [f"    {' ~~~ '.join(ids)}", "  end"]
        index = f"a{number}f1"
        lines += [
            f'  a{number}e -->|"position"| a{number}m',
            f'  a{number}m -->|"block lists"| {index}',
            f'  {index} -->|"chunks"| a{number}f0',
        ]
        lines += [
            f'  {index} -->|"chunks: {old.used:,} B"| {owner[old.id]}'
            for old in opened.manifest.archives
        ]
    return "\n".join(lines)


def _open(file: Path) -> Archive:
    data = file.read_bytes()

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    password = (VECTORS / "password").read_text(encoding="utf-8").removesuffix("\n")
    header = read_header(read, len(data), file.name)
    keys = header.keys(header.password_slots[0], password)
    assert keys
    return Archive(read, len(data), file.name, keys)


PICTURES: dict[str, Callable[[], str]] = {
    one.__name__: one for one in (folders, backup, restore, items, archive)
}


def drawn(page: str) -> str:
    """Return the page with every picture made again."""
    return PICTURE.sub(
        lambda found: f"{found[1]}```mermaid\n{PICTURES[found[2]]()}\n```\n{found[4]}", page
    )


def main() -> int:
    """Replace the pictures, or only report what would change."""
    before = PAGE.read_text(encoding="utf-8")
    after = drawn(before)
    if "--check" in sys.argv:
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="")
        print("\n".join(lines))
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
