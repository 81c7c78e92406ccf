"""Names of output formats that options accept and the shell completes."""

PLAN_FORMATS = ("tree", "mermaid", "dot", "json", "yaml")
LOG_FORMATS = ("text", "json")
