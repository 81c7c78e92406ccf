"""Plain messages for PyYAML's errors.

They never quote the file: an unquoted password that begins with `*` or `!` is a syntax error, and
must not be shown.
"""

# The first entry whose text occurs in PyYAML's message applies.
_WORDS = (
    (r"'\t'", "a tab", "indent with spaces"),
    ("mapping values are not allowed", "a second ': ' in one line", "put the text in quotes"),
    (
        "undefined alias",
        "an alias (*) without its anchor (&)",
        "put text that begins with * in quotes",
    ),
    ("alias", "* begins an alias", "put text that begins with * in quotes"),
    ("anchor", "& begins an anchor", "put text that begins with & in quotes"),
    ("tag", "! begins a tag", "put text that begins with ! in quotes"),
    ("directive", "% begins a directive", "put text that begins with % in quotes"),
    ("cannot start any token", "this character cannot begin a value", "put the text in quotes"),
    ("escape", "a backslash that means nothing", "use single quotes to keep a backslash"),
    ("quoted scalar", "a quote that is never closed", "close it; inside single quotes write ''"),
    ("could not find expected ':'", "a key without its ':'", "write KEY: VALUE"),
    ("flow", "a bracket or brace that is never closed, or a missing comma", "close it"),
    ("block", "this line does not fit the ones above", "indent it as its neighbours are"),
    ("document start", "this line does not fit the ones above", "indent it as its neighbours are"),
    ("sequence entries", "a list that begins inside a line", "put the text in quotes"),
    ("mapping keys", "? begins a key", "put text that begins with ? in quotes"),
    ("single document", "a second document", "remove the line ---"),
)


def explain(error: Exception) -> tuple[str, str]:
    """Return a message and a hint."""
    if isinstance(error, RecursionError):
        return "nested too deeply", "a configuration needs no more than ten levels"
    said = f"{getattr(error, 'context', '')} {getattr(error, 'problem', error)}"
    found = (words for mark, *words in _WORDS if mark in said)
    what, hint = next(found, ("not valid YAML", "look at the quotes and colons of this line"))
    return what, hint
