"""What docs/methods.md says about a method, written beside its class."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MethodCard"]


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """The row of a registered class in docs/methods.md, its class attribute ``CARD``.

    One or two short sentences a field, in Markdown; name and defaults come from the class itself.
    A class of lt_det has a card of its own: an inherited one would describe its parent.

    Attributes:
        paper: authors, short title, venue and year; "" for what no paper is about.
        arxiv: its number, "" if there is none.
        equation: the formula in the names of the docstrings, as plain text.
        released: what the released code does differently, and the option that reaches it.
        cost: time, memory and state beside the plain counterpart.
        use_when: when to choose it.
    """

    paper: str = ""
    arxiv: str = ""
    equation: str
    released: str = ""
    cost: str
    use_when: str
