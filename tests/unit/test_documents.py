"""Titles, notes and labels of any characters: each format says them as they are, or their codes, and never others."""

import re
import sys
import unicodedata
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nern.report.documents.document import Column, Document, Grid, Note, Text, visible
from nern.report.documents.latex_text import escape
from nern.report.documents.markdown import markdown
from nern.report.documents.render import render

# Commands of LaTeX's kernel in its default encoding (source2e: ltoutenc, fontmath), each with its number of arguments.
WITH_ARGUMENT = set("`'^~=.\"urHvdcb") | {"textsuperscript", "textsubscript", "mathrm", "mbox"}
ALONE = set(
    re.findall(
        r"\S+",
        r"""{ } $ & # _ % - , | textbackslash textasciitilde textasciicircum textless textgreater textbar ldots
        texttrademark copyright textregistered pounds S P dag ddag ss ae AE oe OE o O l L i j
        alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho varrho
        sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
        pm mp times div cdot cdots bullet circ ast star neg wedge vee oplus otimes le ge ll gg neq approx simeq cong
        equiv sim propto infty partial nabla sum prod int surd in notin ni subset subseteq supset supseteq cup cap
        emptyset forall exists parallel perp langle rangle lfloor rfloor lceil rceil ell leftarrow rightarrow
        leftrightarrow uparrow downarrow mapsto Leftarrow Rightarrow Leftrightarrow Uparrow Downarrow prime""",
    )
)
KERNEL = dict.fromkeys(WITH_ARGUMENT, 1) | dict.fromkeys(ALONE, 0) | {"frac": 2}
MATH_ONLY = re.compile(r"\\(frac|mathrm|[Gg]amma|le|pm|times|circ|prime|[a-z]*arrow)\b")
CODE = re.compile(r"\{\[\}U\+([0-9A-F]{4,6})\]")
EVERY = [chr(number) for number in range(sys.maxunicode + 1)]


def parsed(text):
    """Parse what `escape` may write: commands of the kernel with their arguments, whole groups and formulas."""
    depth, math, position = 0, False, 0
    while position < len(text):
        found = re.match(r"\\([A-Za-z]+|.)", text[position:])
        if found:
            name = found[1]
            assert name in KERNEL, name
            position += found.end()
            rest = text[position:]
            if KERNEL[name]:
                assert re.match(r"(\{([^{}]|\{[^{}]*\})*\})" * KERNEL[name], rest), text
            elif name.isalpha():  # else it would swallow a space, or take the next letter into its name
                assert math or rest[:1] in ("{", "}"), text
            assert math or not MATH_ONLY.match(found[0]), text
            continue
        character = text[position]
        depth += (character == "{") - (character == "}")
        assert depth >= 0
        math ^= character == "$"
        assert character == "~" or character not in "#%&_^~" or (character == "^" and math), text
        assert " " <= character <= "~"
        position += 1
    assert depth == 0 and not math


def value_of(text):
    """The number that LaTeX would print: a digit, raised or lowered or not, or a fraction; None for none."""
    fraction = re.fullmatch(r"\$\\frac\{(\d+)\}\{(\d+)\}\$", text)
    if fraction:
        return Fraction(int(fraction[1]), int(fraction[2]))
    digit = re.fullmatch(r"(?:\\text(?:super|sub)script\{(\d)\}|(\d))", text)
    return Fraction(int(digit[1] or digit[2])) if digit else None


def test_every_character_is_a_command_of_the_kernel_or_its_own_code():
    for character in EVERY:
        text = escape(character)
        parsed(text)
        codes = CODE.findall(text)
        if codes:
            assert [int(code, 16) for code in codes] == [ord(character)] and CODE.sub("", text) == ""
        elif not character.isascii():
            assert not re.search("[A-Za-z0-9]", re.sub(r"\\[A-Za-z]+", "", text)) or _is_marked(character), character


def _is_marked(character):
    """Whether it is a letter or digit that is written with a mark, raised, lowered, broken, or as its Latin twin."""
    name = unicodedata.name(character)
    decomposed = unicodedata.decomposition(character)
    return (
        re.search("SUPERSCRIPT|SUBSCRIPT|FRACTION|MODIFIER LETTER|ORDINAL|SERVICE MARK|RAISED", name) is not None
        or re.match(r"LATIN (SMALL|CAPITAL) LETTER .* WITH |(ANGSTROM|KELVIN)", name) is not None
        or (re.match("GREEK (SMALL|CAPITAL) LETTER", name) is not None and not decomposed)
    )


def test_no_character_becomes_another_number():
    numbers = [character for character in EVERY if unicodedata.numeric(character, None) is not None]
    kept = 0
    for character in numbers:
        text = escape(character)
        if CODE.fullmatch(text):
            continue
        kept += 1
        assert float(value_of(text)) == pytest.approx(unicodedata.numeric(character)), character
        raised = "SUPERSCRIPT" in unicodedata.name(character)
        lowered = "SUBSCRIPT" in unicodedata.name(character)
        assert (r"\textsuperscript" in text, r"\textsubscript" in text) == (raised, lowered)
    assert kept >= 10 + 20 + 18  # digits, raised and lowered ones, fractions


def test_what_is_no_digit_prints_none():
    for character in EVERY:
        if unicodedata.numeric(character, None) is None:
            assert not re.search(r"\d", CODE.sub("", escape(character))), character


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("½", r"$\frac{1}{2}$"),
        ("10⁵", r"10\textsuperscript{5}"),
        ("10⁻³", r"10\textsuperscript{$-$}\textsuperscript{3}"),
        ("H₂O", r"H\textsubscript{2}O"),
        ("⅒", r"$\frac{1}{10}$"),
        ("λ→∞", r"$\lambda$$\rightarrow$$\infty$"),
        ("µ = μ", r"$\mu$ = $\mu$"),
        ("é e\u0301", r"\'{e} \'{e}"),
        ("ïž", r"\"{\i}\v{z}"),
        ("−1 – 2 — 3", "$-$1 -- 2 --- 3"),
        ("--seed", "-{}-seed"),
        ("''x''", "'{}'x'{}'"),
        ("“‘a’”", "``{}`a'{}''"),
        ("1?`2", r"1?\`{}2"),
        ("５ ⑤ 𝟓 ٥", "{[}U+FF15] {[}U+2464] {[}U+1D7D3] {[}U+0665]"),
        ("数😀", "{[}U+6570]{[}U+1F600]"),
        ("Ж ð ấ", "{[}U+0416] {[}U+00F0] {[}U+1EA5]"),
        ("one\n\ntwo", "one  two"),
        ("a\rb\u2029c\td", "a b c d"),
        ("\x07", "{[}U+0007]"),
        ("a\u200bb", "a{[}U+200B]b"),
        ("1\u00a0000", "1~000"),
    ],
)
def test_latex_says_what_the_text_says(text, wanted):
    assert escape(text) == wanted


@given(st.text())
@example("a\n\n\nb")
@example("{}\\\\[1cm]&%")
def test_any_text_is_latex_on_one_line(text):
    parsed(escape(text))


HOSTILE = [
    "a|b",
    "a\n\nb",
    "a\r\n| c |",
    "`code`",
    "<b>&lt;",
    "&amp;",
    "$x$ and $y$",
    "~~gone~~",
    "# head #",
    "![i](http://x)",
    "a\x00b\x1b[31m",
    "a\u202e12\u202c",
    "\ud800",
    "a\u2028b",
    "\\",
    "_a_ **b**",
]


def document(text):
    columns = [Column(text, numeric=False), Column("n", text)]
    grid = Grid(text, columns, [[Text(text), Text(text, ("a",))]], [Note(text, text)], marked={"a": text})
    return Document("t", text, [grid, grid])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_breaks_no_format(text):
    pages = render(document(text))
    for page in pages.values():
        assert page.encode() and not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    lines = pages[".md"].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 6 and {len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) for row in rows} == {3}
    assert [line[:2] for line in lines if line and not line.startswith("|")] == ["# ", "- ", "- ", "##", "- ", "- "]
    assert not re.search(r"(?<!\\)[`<&$~]", pages[".md"].replace("\\\\", ""))
    body = re.sub(r"<(style|script)>.*?</\1>", "", pages[".html"], flags=re.DOTALL)
    assert not re.search(r"<(b|i|img)\b", body) and not re.search(r"&(?!(amp|lt|gt|quot|#x27);)", body)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("one\n\ntwo\tthree", "one two three"),
        ("bell \x07", "bell [U+0007]"),
        ("12\u202e34", "12[U+202E]34"),
        ("\udfff", "[U+DFFF]"),
        ("½ 10⁵ 数 😀 e\u0301", "½ 10⁵ 数 😀 e\u0301"),
    ],
)
def test_what_cannot_be_seen_is_told_by_its_code(text, seen):
    assert visible(text) == seen


def test_underscores_emphasize_nothing_in_markdown():
    assert markdown(Document("t", "a __init__ b_c _d_", [])) == "# a \\_\\_init\\_\\_ b_c \\_d\\_\n"
