"""Names of output formats, as options and completions have them."""

PLAN_FORMATS = ("tree", "mermaid", "dot", "json", "yaml")
LOG_FORMATS = ("text", "json")
