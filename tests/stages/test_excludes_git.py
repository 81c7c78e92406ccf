"""Excludes compared with git: the verdict on every path, and the pattern that it names."""

import os
import re
import subprocess

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from specs.values import check_pattern
from stages.source.exclude import Excludes
from tests.helpers.needs import need
from tests.helpers.sampling import examples
from tests.helpers.trees import fill

ATOMS = [
    *("a", "b", "ab", "c", ".", "-", "*", "**", "?", "[ab]", "[!a]", "[^b]", "[a-c]"),
    *("[]a]", "[!]]", "[a-]", r"\*", r"\a", r"\?", r"\[", r"\\", r"\ ", " ", "#", "!"),
    *("$", "(", "|", "+"),
]  # fmt: skip
NAMES = [
    *("a", "b", "c", "ab", "abc", "aa", ".a", "a.b", "*", "?", "[ab]", "a b", " a", "a ", "#", "!"),
    *("!a", "#a", "\\", "a\\", "-", "$", "(", "a\nb", "ü", "]", "^", "a+", "|"),
]

segments = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3).map("".join)
patterns = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "", "!", "\\!", "\\#"]),
    st.sampled_from(["", "", "/", "**/", "/**/"]),
    st.lists(st.one_of(segments, st.just("**")), min_size=1, max_size=3).map("/".join),
    st.sampled_from(["", "", "/", "/*", "/**", "/**/", " ", "  ", "\\ "]),
)
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Repository without files of its own; trees change, the patterns are in a file."""
    root = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", root], check=True)
    (root / ".git" / "info" / "exclude").write_text("")
    return root


def git_says(root, lines, names):
    """Return, for each path, the pattern by which git decides, or an empty text."""
    (root / ".git" / "patterns").write_text("".join(f"{line}\n" for line in lines))
    command = ["git", "-C", root, "-c", f"core.excludesFile={root}/.git/patterns"]
    done = subprocess.run(
        [*command, "check-ignore", "--no-index", "-v", "-n", "-z", "--stdin"],
        input=b"".join(os.fsencode(name) + b"\0" for name in names),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    fields = done.stdout.split(b"\0")[:-1]
    rows = [fields[at : at + 4] for at in range(0, len(fields), 4)]
    return {os.fsdecode(name): os.fsdecode(pattern) for _, _, pattern, name in rows}


def packrat_says(lines, names, folders):
    """Return the pattern that `explain` names, and whether the walk excludes the path."""
    excludes = Excludes(lines)

    def left_out(name):
        *above, own = (name[:at] for at in [*slashes(name), len(name)])
        return any(
            excludes.excludes(f"{folder}/") or excludes.excludes_all_below(folder)
            for folder in above
        ) or excludes.excludes(own + "/" * (own in folders))

    return {name: (excludes.why(name + "/" * (name in folders)), left_out(name)) for name in names}


def slashes(name):
    return [at for at, letter in enumerate(name) if letter == "/"]


def in_our_words(line):
    """Return a pattern as git names it, without insignificant spaces at its end."""
    stripped = line.rstrip(" ")
    escaped = (len(stripped) - len(stripped.rstrip("\\"))) % 2
    return stripped + " " if escaped and stripped != line else stripped


@settings(max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(st.lists(patterns, min_size=1, max_size=4), st.sets(paths, min_size=1, max_size=6))
@example(["a", "!*/"], {"a/a"})
@example(["*/"], {"a/a", "b"})
@example(["a/**/"], {"a/b", "a/c/d"})
@example(["a/**"], {"a/b", "a/c/d"})
@example(["b/?"], {"b/a", "b/ab"})
@example(["b/[!a]"], {"b/a", "b/c"})
@example(["a/*", "!a/b"], {"a/b", "a/c"})
@example(["/a"], {"a", "b/a"})
@example([r"\ "], {"a"})
@example([r"\\ "], {"\\"})
def test_every_path_has_the_verdict_that_git_gives(repository, tmp_path_factory, lines, found):
    """For generated patterns and trees, the same paths are excluded by the same pattern.

    A character is one for us and several bytes for git, so `?` and `[…]` are not tried on `ü`.
    """
    for line in lines:
        assume("***" not in line)  # git reads `***` as `**`, which is never intended
        try:
            check_pattern(line)
        except PydanticCustomError:
            assume(False)  # the configuration refuses it
    names = {name for name in found if not any(other.startswith(name + "/") for other in found)}
    assume(names)
    if any(letter in line for line in lines for letter in "?["):
        names = {name for name in names if "ü" not in name} or {"a"}
    for entry in os.listdir(repository):
        if entry != ".git":
            subprocess.run(["rm", "-rf", "--", repository / entry], check=True)
    fill(repository, dict.fromkeys(names, b""))
    folders = {name[:at] for name in names for at in slashes(name)}
    git = git_says(repository, lines, sorted(names | folders))
    ours = packrat_says(lines, names | folders, folders)
    for name in sorted(names | folders):
        said, left_out = ours[name]
        pattern = git[name]
        out = bool(pattern) and not pattern.startswith("!")
        # A folder with only excluded content is included itself, but need not be listed.
        assert left_out == out, (name, pattern)
        if out:
            assert said is not None, (name, pattern)
            assert in_our_words(said[1]) == pattern, (name, said)


def test_excluded_folders_are_not_listed(house):
    """The kernel sees no listing of an excluded folder, nor of one with only excluded content."""
    fill(house.source, {f"{top}/deep/x": b"" for top in ("gone", "hollow", "hollow2", "kept")})
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["svc"]["exclude"] = ["/gone", "**/hollow/**", "hollow2/*"]
    house.config_file.write_text(yaml.safe_dump(document))
    trace = house.root / "trace"
    house.json(
        "backup",
        "svc",
        wrap=(need("strace"), "-fyo", str(trace), "-e", "trace=getdents64"),
    )
    listed = set(re.findall(rf"getdents64\(\d+<{house.source}/?([^>]*)>", trace.read_text()))
    assert listed == {"", "kept", "kept/deep"}
    assert sorted(os.listdir(house.restore())) == ["hollow", "hollow2", "kept"]
