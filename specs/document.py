"""YAML reader that loses no text and records the position of every key and value.

YAML 1.1 guesses types: `on` is a boolean, `22:22` the number 1342, `022` is 18, `1.10` is 1.1. Here
a plain scalar becomes a number or a boolean only if that prints as the same text. So a password
`1.10` stays `1.10`, and the models decide the type of each value.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import yaml
from msgspec import Struct, field

from specs.faults import ConfigFaults, Fault
from specs.trust import distrust

KeyPath = tuple[str | int, ...]
Position = tuple[int, int]

LARGEST = 1 << 20  # bytes of a file
MOST = 4 << 20  # characters once aliases are written out; a value counts at least NODE of them
NODE = 16
DEEPEST = 50

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}")
_UNSOUND = re.compile("[\0\ud800-\udfff]")  # written as escapes
_NAME = re.compile(r""" (['"])(?!<)[^'"\\]{2,}\1""")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


class _Loader(yaml.SafeLoader):
    """YAML loader that composes nodes without guessing types; `_plain` reads the scalars."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]


class Document(Struct, frozen=True):
    """A YAML file as plain data, with the position of each key and value.

    Attributes:
        file: The file as the user named it.
        data: Mappings, lists, text, integers, floats, booleans and None.
        faults: Faults of the YAML itself that did not prevent reading it.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[KeyPath, Position] = field(default_factory=dict)
    values: dict[KeyPath, Position] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, path: KeyPath, message: str, hint: str = "", *, at_key: bool = False) -> Fault:
        """Return a fault at the value of `path` (or its key), else at the nearest parent."""
        place = self._position(path, at_key=at_key)
        return Fault(self.file, *place, dotted(path), message, hint)

    def _position(self, path: KeyPath, *, at_key: bool) -> Position:
        if path in self.values:
            return (self.keys if at_key and path in self.keys else self.values)[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.keys.get(path) or self.values.get(path, (1, 1))


def read_document(file: str) -> Document:
    """Read one YAML file whose top level is a mapping.

    Raises:
        ConfigFaults: The file cannot be read at all; lesser faults are in `Document.faults`.
    """
    [document] = read_documents(file, single=True)
    return document


def read_documents(file: str, *, single: bool = False) -> list[Document]:
    """Read the documents of one YAML file, each a mapping.

    Raises:
        ConfigFaults: The file cannot be read, or has not exactly one document as `single` requires.
    """
    text = _read_text(file)
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        message = "a control character, which YAML does not allow"
        raise ConfigFaults(
            [Fault(file, *_place(text, error.position), "", message, "remove it")]
        ) from None
    try:
        roots = [loader.get_single_node()] if single else list(_nodes(loader))
        return [_build(file, root) for root in roots or [None]]
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # PyYAML raises the last three too, for example for "\UFFFFFFFF" or a thousand brackets.
        mark = getattr(error, "problem_mark", None) or loader.get_mark()
        place = mark.line + 1, mark.column + 1
        raise ConfigFaults([Fault(file, *place, "", *_explain(error))]) from None


def _explain(error: Exception) -> tuple[str, str]:
    """Return a message and a hint; names are left out, since they may be parts of a password."""
    if isinstance(error, RecursionError):
        return "nested too deeply", "a configuration needs no more than ten levels"
    problem = getattr(error, "problem", None) or "invalid text"
    problem = _NAME.sub("", problem.removeprefix("but "))
    return f"not valid YAML: {problem}", "check the indentation, and put special text in quotes"


def _nodes(loader: _Loader) -> Iterator[yaml.Node | None]:
    while loader.check_node():
        yield loader.get_node()


def _build(file: str, root: yaml.Node | None) -> Document:
    if not isinstance(root, yaml.MappingNode):
        what = "the file is empty" if root is None else "not a mapping"
        hint = "write keys at its top level, for example services: and backup:"
        raise ConfigFaults([Fault(file, *_start(root), "", what, hint)])
    document = Document(file)
    document.data.update(_Builder(document).mapping(root, ()))
    return document


def dotted(path: KeyPath) -> str:
    """Return a path in dotted form: ``services.gitea.exclude[2]``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


class _Builder:
    """Converter from composed nodes to plain data, which records their positions."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.left = MOST

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        if len(path) > DEEPEST:
            raise RecursionError
        self.document.values[path] = _start(node)
        if node.tag not in (f"{_TAG}str", f"{_TAG}seq", f"{_TAG}map"):
            hint = "remove it, or put text that begins with ! in quotes"
            self._fault(path, "a tag (!…) means nothing here", hint, node)
        self._spend(node, path)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, at)) for at, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        if _UNSOUND.search(node.value):
            self._fault(
                path, "a character that is no text", "remove the escape \\0 or \\uD8…", node
            )
        return _plain(node.value) if node.style is None else node.value

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for base in self._bases(node, path):
            merged |= self.mapping(base, path)
        for key, value in node.value:
            name = key.value
            here = (*path, name)
            if not isinstance(key, yaml.ScalarNode) or _UNSOUND.search(name):
                self._fault(path, "a key must be a word", "write KEY: VALUE", key)
            elif name in own:
                first, _ = self.document.keys[here]
                self._fault(here, f"is in line {first} already", "keep one of the two", key)
            elif not _is_merge(key):
                self.document.keys[here] = _start(key)
                own[name] = self.value(value, here)
        return merged | own

    def _bases(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[yaml.MappingNode]:
        """Yield the mappings that `<<` merges, the last one first, so that the first one wins."""
        for key, value in node.value:
            if not _is_merge(key):
                continue
            bases = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for base in reversed(bases):
                self._spend(base, path)
                if isinstance(base, yaml.MappingNode):
                    yield base
                else:
                    self._fault(path, "<< can only merge a mapping", "write <<: *ANCHOR", base)

    def _spend(self, node: yaml.Node, path: KeyPath) -> None:
        """Count a value each time it is used: a few nested aliases expand to billions."""
        self.left -= NODE + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        if self.left < 0:
            what = "too large with all aliases (*) expanded"
            self._fault(path, what, "use fewer of them", node)
            raise ConfigFaults(self.document.faults)

    def _fault(self, path: KeyPath, what: str, hint: str, node: yaml.Node) -> None:
        fault = Fault(self.document.file, *_start(node), dotted(path), what, hint)
        self.document.faults.append(fault)


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text


def _is_merge(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.style is None and key.value == "<<"


def _start(node: yaml.Node | None) -> Position:
    return (1, 1) if node is None else (node.start_mark.line + 1, node.start_mark.column + 1)


def _place(text: str, offset: int) -> Position:
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _read_text(file: str) -> str:
    """Read a file of at most `LARGEST` bytes as UTF-8, and refuse one that is not trusted."""
    if found := distrust(file):
        raise ConfigFaults([found.fault()])
    try:
        with open(file, "rb") as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError:
        fault = Fault(file, 0, 0, "", "no such file", "name the configuration with -c FILE")
    except IsADirectoryError:
        fault = Fault(file, 0, 0, "", "a folder, not a file", "name the file in it")
    except PermissionError:
        fault = Fault(file, 0, 0, "", "permission denied", "let the user who runs packrat read it")
    except (OSError, ValueError) as error:
        fault = Fault(file, 0, 0, "", f"cannot be read: {getattr(error, 'strerror', error)}")
    else:
        if len(content) > LARGEST:
            raise ConfigFaults([Fault(file, 0, 0, "", "larger than 1 MiB", "name a YAML file")])
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = content[: error.start].decode("utf-8-sig")
            place = _place(before, len(before))
            fault = Fault(file, *place, "", "not UTF-8", "save the file as UTF-8")
    raise ConfigFaults([fault])
