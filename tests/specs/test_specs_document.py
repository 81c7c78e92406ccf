import time

import pytest

from specs.document import LARGEST, read_document
from specs.faults import ConfigFaults, Fault


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(content):
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / "f.yaml").write_bytes(data)
        return read_document("f.yaml")

    return read


def test_a_fault_is_one_line():
    """A fault is one line with file, line, column, path, message and hint."""
    fault = Fault("f.yaml", 3, 5, "services.gitea", "wrong\x1b[2J\nreally", "write this")
    assert str(fault) == r"f.yaml:3:5: services.gitea: wrong\x1b[2J\nreally; write this"
    assert str(Fault("f.yaml", 1, 1, "", "the file is empty")) == "f.yaml:1:1: the file is empty"


def test_faults_are_sorted():
    """Faults are in the order of the file, each once."""
    faults = [Fault("f", 9, 1, "b", "x"), Fault("f", 2, 7, "a", "y"), Fault("f", 9, 1, "b", "x")]
    assert [fault.line for fault in ConfigFaults(faults).faults] == [2, 9]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:22", "22:22"), ("022", "022"), ("0x1f", "0x1f"), ("1_000", "1_000"), ("1e5", "1e5"),
        ("yes", "yes"), ("off", "off"), ("True", "True"), ("2026-01-01", "2026-01-01"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"), ("1.10", "1.10"), ("+5", "+5"),
        ("-0", "-0"), ("=", "="), (".nan", ".nan"), ("9" * 30, "9" * 30), ('"5"', "5"),
        ("'~'", "~"), ("5", 5), ("-5", -5), ("1.5", 1.5), ("true", True), ("false", False),
        ("null", None), ("~", None), ("", None), ("!!str 5", 5),
    ],
)  # fmt: skip
def test_scalars_keep_their_text(read, text, value):
    """A plain scalar is a number or a boolean only if that prints as the same text."""
    found = read(f"a: {text}").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text(read):
    """`on`, `no` and 22 are keys like any other."""
    assert read("on: 1\nno: 2\n22: 3\ntrue: 4").data == {"on": 1, "no": 2, "22": 3, "true": 4}


def test_positions(read):
    """Keys and values have a line and a column; a missing one has those of its parent's key."""
    document = read("a:\n  b: x\n  c:\n    - y\n    -   z\n")
    assert document.keys["a", "b"] == (2, 3)
    assert document.values["a", "b"] == (2, 6)
    assert document.values["a", "c", 1] == (5, 9)
    assert str(document.fault(("a", "c", 1), "m")) == "f.yaml:5:9: a.c[1]: m"
    assert str(document.fault(("a", "new"), "m", "h")) == "f.yaml:1:1: a.new: m; h"


def test_merge_keys(read):
    """`<<` merges mappings: own keys win, then those of the first merged mapping."""
    document = read("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  a: 0")
    assert document.data["z"] == {"a": 0, "b": 1, "c": 2}
    assert not document.faults


def test_byte_order_mark(read):
    """A byte order mark, as Windows editors write it, is accepted."""
    assert read(b"\xef\xbb\xbfa: 1").data == {"a": 1}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "1:1: the file is empty"),
        ("# only\n", "1:1: the file is empty"),
        ("- a\n", "1:1: not a mapping"),
        ("a: b: c", "1:5: not valid YAML: mapping values are not allowed here"),
        ("a:\n\tb: c", r"2:1: not valid YAML: found character '\t' that cannot start any token"),
        ("a: 'x", "1:6: not valid YAML: found unexpected end of stream"),
        ("a: [1, 2", "1:9: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n  b: 2", "2:4: not valid YAML: mapping values are not allowed here"),
        (
            "a:\n  - x\n b: y",
            "3:2: not valid YAML: expected <block end>, but found '<block mapping start>'",
        ),
        ("a: 1\nword\n", "3:1: not valid YAML: could not find expected ':'"),
        ("a: *hidden", "1:4: not valid YAML: found undefined alias"),
        ("a: @hidden", "1:4: not valid YAML: found character '@' that cannot start any token"),
        ("a: %hidden", "1:4: not valid YAML: found character '%' that cannot start any token"),
        ("a: !hidden!x y", "1:4: not valid YAML: found undefined tag handle"),
        ('a: "\\hidden"', "1:6: not valid YAML: found unknown escape character 'h'"),
        ("a: x\nb: - c", "2:4: not valid YAML: sequence entries are not allowed here"),
        ("a: 1\n---\nb: 2", "2:1: not valid YAML: found another document"),
        ("a: \x07", "1:4: a control character, which YAML does not allow"),
        ('a: "\\UFFFFFFFF"', "1:7: not valid YAML: invalid text"),
        (b"a: 1\nb: \xe9\n", "2:4: not UTF-8"),
        (b"a: " + b"x" * LARGEST, "0:0: larger than 1 MiB"),
        ("a: " + "[" * 5000, "1:1: nested too deeply"),
    ],
)  # fmt: skip
def test_unreadable(read, content, line):
    """Unreadable YAML is reported with a position and a hint, without quoting the file."""
    with pytest.raises(ConfigFaults) as caught:
        read(content)
    [fault] = caught.value.faults
    column = 1 if "nested" in line else fault.column  # it depends on the depth of the stack
    assert f"{fault.line}:{column}: {fault.message}" == line
    assert fault.hint
    assert "hidden" not in str(fault)


def test_no_such_file(tmp_path):
    """A missing file, a folder or an impossible name is a fault like any other."""
    for name, what in [("no", "no such file"), (".", "a folder, not a file"), ("\0", "null byte")]:
        with pytest.raises(ConfigFaults, match=what):
            read_document(str(tmp_path / name))


def test_lesser_faults_come_together(read):
    """Duplicate keys, tags and keys that are not words are all reported, and the rest is read."""
    document = read('a: 1\na: 2\nb: !x 3\n? [c]\n: 4\n<<: 5\nd: "\\0"\ne: 6')
    assert document.data["e"] == 6
    assert [str(fault) for fault in document.faults] == [
        "f.yaml:6:5: << can only merge a mapping; write <<: *ANCHOR",
        "f.yaml:2:1: a: is in line 1 already; keep one of the two",
        ("f.yaml:3:4: b: a tag (!…) means nothing here; "
        "remove it, or put text that begins with ! in quotes"),
        "f.yaml:4:3: a key must be a word; write KEY: VALUE",
        r"f.yaml:7:4: d: a character that is no text; remove the escape \0 or \uD8…",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "bomb",
    [
        "a0: &a0 [x]\n" + "".join(
            f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
        ),
        "a0: &a0 {x: y}\n" + "".join(
            f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
        ),
        f"a: &a {'x' * 500_000}\nb: [{'*a, ' * 50_000}]\n",
        "a: &a [*a]\n",
        "a: &a\n  <<: *a\n",
    ],
    ids=["laughs", "merges", "long text", "in itself", "merged into itself"],
)  # fmt: skip
def test_alias_bombs(read, bomb):
    """Aliases that would expand to gigabytes are refused, not expanded."""
    start = time.process_time()
    with pytest.raises(ConfigFaults, match=r"aliases|nested too deeply"):
        read(bomb)
    assert time.process_time() - start < 10
