"""Excludes mean the same as in a .gitignore at the top of the service's folder."""

import os
import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.source.exclude import Excludes
from tests.helpers.needs import need
from tests.helpers.sampling import examples
from tests.helpers.trees import fill

SEED = [
    "**/tmp/**",
    "**/.git",
    "**/*.log",
    "**/.DS_Store",
    "**/node_modules",
    "**/*.tmp",
    "**/*.part",
    "**/cache/*",
]

words = st.sampled_from(["a", "b", "tmp", "x.log", ".git", "cache", "a.b", "[x]", "ü"])
paths = st.lists(words, min_size=1, max_size=4).map("/".join)
pieces = st.sampled_from(["a", "b", "*", "**", "tmp", "*.log", "[ab]", "cache", "a*", "ü"])
patterns = st.builds(
    lambda negated, rooted, parts, tail: (
        ("!" if negated else "") + ("/" if rooted else "") + "/".join(parts) + tail
    ),
    st.booleans(),
    st.booleans(),
    st.lists(pieces, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)


def git_keeps(root: Path, lines: list[str], files: set[str]) -> set[str]:
    """Return the files that git would not ignore."""
    subprocess.run(["git", "init", "-q", root], check=True)
    (root / ".git" / "info" / "exclude").write_text("")
    (root / ".git" / "patterns").write_text("\n".join(lines) + "\n")
    command = ["git", "-C", root, "-c", "core.excludesFile=/dev/null", "-c", "core.quotePath=false"]
    listed = subprocess.run(
        [*command, "ls-files", "-z", "--others", f"--exclude-from={root}/.git/patterns"],
        capture_output=True,
        check=True,
    )
    return {os.fsdecode(name) for name in listed.stdout.split(b"\0") if name} & files


def packrat_keeps(lines: list[str], files: set[str]) -> set[str]:
    """Return the files that our matcher keeps, entering only folders that are not excluded."""
    excludes = Excludes(lines)

    def kept(file: str) -> bool:
        parts = file.split("/")
        folders = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        return not any(
            excludes.excludes(folder + "/") or excludes.excludes_all_below(folder)
            for folder in folders
        ) and not excludes.excludes(file)

    return {file for file in files if kept(file)}


def tree_of(found: set[str]) -> set[str]:
    """Drop paths that cannot be files because others are below them, and git's own folder."""
    return {
        p
        for p in found
        if not any(o.startswith(p + "/") for o in found) and ".git" not in p.split("/")
    }


@settings(max_examples=examples(20))
@given(st.lists(patterns, max_size=4), st.sets(paths, max_size=12))
def test_any_patterns_mean_what_git_says(tmp_path_factory, lines, found):
    """For generated patterns and trees, packrat keeps exactly the files that git keeps."""
    root = tmp_path_factory.mktemp("git")
    files = tree_of(found)
    fill(root, dict.fromkeys(files, b""))
    assert packrat_keeps(lines, files) == git_keeps(root, lines, files)


def test_the_seeds_patterns_mean_what_git_says(tmp_path):
    """All patterns of the example in seed.md."""
    files = {
        "tmp/x", "a/tmp/y/z", "tmpfile", "a/x.log", "x.log.old", ".DS_Store", "b/.DS_Store",
        "node_modules/p/i.js", "a/node_modules_not/i", "q.tmp", "v.part", "cache/one", "cache/d/2",
        "a/cache/three", "cached",
    }  # fmt: skip
    fill(tmp_path, dict.fromkeys(files, b""))
    kept = git_keeps(tmp_path, SEED, files)
    assert packrat_keeps(SEED, files) == kept
    assert "tmpfile" in kept
    assert "tmp/x" not in kept


def test_an_excluded_folder_is_not_walked_into(house):
    """No folder that is excluded, or whose whole content is excluded, is opened."""
    fill(house.source, {"node_modules/deep/x": b"1", "tmp/inner/y": b"2", "keep/z": b"3"})
    text = house.config_file.read_text()
    house.config_file.write_text(
        text.replace(
            "path: " + str(house.source),
            f"path: {house.source}\n    exclude: ['**/node_modules', '**/tmp/**']",
        )
    )
    trace = house.root / "trace"
    house.json(
        "backup",
        "svc",
        wrap=(
            need("strace"),
            "-f",
            "-o",
            str(trace),
            "-e",
            "trace=openat,getdents64",
        ),
    )
    opened = trace.read_text()
    assert '"keep"' in opened
    assert '"node_modules"' not in opened
    assert '"inner"' not in opened
    out = house.restore()
    assert sorted(os.listdir(out)) == ["keep", "tmp"]
    assert os.listdir(out / "tmp") == []


def test_explain_names_the_pattern(house):
    """`explain` says in or out, and which pattern of which service decides."""
    text = house.config_file.read_text()
    house.config_file.write_text(
        text.replace(
            "path: " + str(house.source),
            f"path: {house.source}\n    exclude: ['*.log', '!keep.log', 'build/']",
        )
    )
    (house.source / "build").mkdir()

    def says(path):
        return house.cli("explain", "svc", path).stdout.strip()

    assert says("a/x.log") == "out: a/x.log: matches '*.log' (services.svc.exclude[0])"
    assert says("keep.log") == "in: keep.log: matches '!keep.log' (services.svc.exclude[1])"
    assert (
        says("build/x")
        == "out: build/x: build/, above it, matches 'build/' (services.svc.exclude[2])"
    )
    assert says("other") == "in: other: no pattern matches it, but it is not there now"
    assert says("/etc/passwd").startswith("out: /etc/passwd is not below")
