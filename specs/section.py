"""Base of every mapping of the configuration."""

from pydantic import BaseModel, ConfigDict

from specs import described


class Section(BaseModel):
    """A mapping of the configuration: immutable, and an unknown key is a fault."""

    # A plain number keeps its text (see specs.document), so `username: 1000` means "1000".
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=described.wanted,
    )
