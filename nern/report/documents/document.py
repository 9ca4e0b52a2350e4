"""What a table says, before it is Markdown, LaTeX or HTML: grids of text cells, and notes below each."""

import re
from dataclasses import dataclass, field

DASH = "—"
MINUS = "−"
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Controls, what turns the direction of writing around, and halves of characters, which no file can hold."""


def visible(text: str) -> str:
    """Text on one line, in which all that would not be seen as itself is its code, as [U+0007]."""
    line = re.sub(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]+", " ", text)
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", line)


@dataclass(frozen=True)
class Text:
    """One cell of a grid, with the marks of the notes that concern it."""

    value: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column's name, and whether it holds numbers."""

    name: str
    group: str = ""
    """The heading that it shares with its neighbors; "" for none."""
    alone: str = ""
    """What it is called where there is no room for the group's heading; its name if empty."""
    numeric: bool = True
    wraps: bool = False
    """Whether its texts may have several lines on a page."""


@dataclass(frozen=True)
class Note:
    """A sentence below a table, and in a word what it is about."""

    label: str
    text: str


@dataclass(frozen=True)
class Grid:
    """A grid with as many cells in each row as columns."""

    title: str
    columns: list[Column]
    rows: list[list[Text]]
    notes: list[Note]
    keys: int = 0
    """How many of the first columns repeat from row to row; typeset, a repeated value is left blank."""
    marked: dict[str, str] = field(default_factory=dict)
    """Notes on single cells, by the marks that the cells have."""
    filters: dict[str, list[str]] = field(default_factory=dict)
    """By what a page's reader can choose rows: for each name the values of all rows."""
    parts: dict[str, int] = field(default_factory=dict)
    """What a page can fold away: for each name how many rows it has, in their order."""
    folded: str = ""
    """The part that is folded at first, unless it is the only one."""

    def opens_group(self, position: int) -> bool:
        """Whether a column is the first of its group."""
        group = self.columns[position].group
        return group != "" and (position == 0 or self.columns[position - 1].group != group)

    def repeats(self, row: int) -> int:
        """How many of the first cells of a row say what the row above says."""
        count = 0
        while row and count < self.keys and self.rows[row][count] == self.rows[row - 1][count]:
            count += 1
        return count


@dataclass(frozen=True)
class Document:
    """A table and its smaller companions; the first grid is the table itself."""

    name: str
    title: str
    grids: list[Grid]
    lead: str = ""
    """What a page says first."""
    picture: str = ""
    """An SVG that a page shows before its tables."""


class Marks:
    """Hands out marks a, b, …, z, aa, ab, …: the same one for the same note."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    def mark(self, note: str) -> str:
        """The mark of a note."""
        for mark, known in self.notes.items():
            if known == note:
                return mark
        index, mark = len(self.notes) + 1, ""
        while index:
            index, letter = divmod(index - 1, 26)
            mark = chr(ord("a") + letter) + mark
        self.notes[mark] = note
        return mark
