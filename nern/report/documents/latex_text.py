"""Text as LaTeX that says the same: each character by the command that sets it, or by its code, as [U+6570].

Nothing is folded to a look-alike: a character for which LaTeX's kernel has no command stands as its code.
"""

import itertools
import unicodedata


def _pairs(table: str) -> dict[str, str]:
    """Of a table that lists a character and its command, and so on."""
    words = table.split()
    return dict(zip(words[::2], words[1::2], strict=True))


TEXT = _pairs(r"""
    \ \textbackslash{}  { \{  } \}  $ \$  & \&  # \#  _ \_  % \%  ~ \textasciitilde{}  ^ \textasciicircum{}
    < \textless{}  > \textgreater{}  | \textbar{}  [ {[}  * {*}  ` \`{}  " ''  ‘ `  ’ '  “ ``  ” ''
    ‐ -  ‑ \mbox{-}  – --  — ---  … \ldots{}  ⁄ /  ¡ !`  ¿ ?`  ™ \texttrademark{}  © \copyright{}  ® \textregistered{}
    £ \pounds{}  § \S{}  ¶ \P{}  † \dag{}  ‡ \ddag{}
    ß \ss{}  æ \ae{}  Æ \AE{}  œ \oe{}  Œ \OE{}  ø \o{}  Ø \O{}  ł \l{}  Ł \L{}  ı \i{}  ȷ \j{}
""") | {"\u00a0": "~", "\u00ad": r"\-", "\u2009": r"\,", "\u202f": r"\,"}

MATH = _pairs(r"""
    α \alpha  β \beta  γ \gamma  δ \delta  ϵ \epsilon  ε \varepsilon  ζ \zeta  η \eta  θ \theta  ϑ \vartheta  ι \iota
    κ \kappa  λ \lambda  μ \mu  µ \mu  ν \nu  ξ \xi  ο o  π \pi  ϖ \varpi  ρ \rho  ϱ \varrho  σ \sigma  ς \varsigma
    τ \tau  υ \upsilon  ϕ \phi  φ \varphi  χ \chi  ψ \psi  ω \omega
    Γ \Gamma  Δ \Delta  Θ \Theta  Λ \Lambda  Ξ \Xi  Π \Pi  Σ \Sigma  Υ \Upsilon  Φ \Phi  Ψ \Psi  Ω \Omega
    Α \mathrm{A}  Β \mathrm{B}  Ε \mathrm{E}  Ζ \mathrm{Z}  Η \mathrm{H}  Ι \mathrm{I}  Κ \mathrm{K}  Μ \mathrm{M}
    Ν \mathrm{N}  Ο \mathrm{O}  Ρ \mathrm{P}  Τ \mathrm{T}  Χ \mathrm{X}
    − -  ± \pm  ∓ \mp  × \times  ÷ \div  · \cdot  ⋅ \cdot  ⋯ \cdots  • \bullet  ∘ \circ  ∗ \ast  ⋆ \star  ¬ \neg
    ∧ \wedge  ∨ \vee  ⊕ \oplus  ⊗ \otimes  ≤ \le  ≥ \ge  ≪ \ll  ≫ \gg  ≠ \neq  ≈ \approx  ≃ \simeq  ≅ \cong
    ≡ \equiv  ∼ \sim  ∝ \propto  ∞ \infty  ∂ \partial  ∇ \nabla  ∑ \sum  ∏ \prod  ∫ \int  √ \surd  ∈ \in  ∉ \notin
    ∋ \ni  ⊂ \subset  ⊆ \subseteq  ⊃ \supset  ⊇ \supseteq  ∪ \cup  ∩ \cap  ∅ \emptyset  ∀ \forall  ∃ \exists
    ∥ \parallel  ‖ \|  ⊥ \perp  ⟨ \langle  ⟩ \rangle  ⌊ \lfloor  ⌋ \rfloor  ⌈ \lceil  ⌉ \rceil  ℓ \ell
    ← \leftarrow  → \rightarrow  ↔ \leftrightarrow  ↑ \uparrow  ↓ \downarrow  ↦ \mapsto
    ⇐ \Leftarrow  ⇒ \Rightarrow  ⇔ \Leftrightarrow  ⇑ \Uparrow  ⇓ \Downarrow
    ° ^\circ  ′ ^\prime  ″ ^{\prime\prime}
""")

ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c", "`'^~=u.\"rHv", strict=True))
BELOW = {"\u0323": "d", "\u0327": "c", "\u0331": "b"}
"""Combining marks, and the accents of LaTeX's default encoding."""
LIGATURES = ("--", "''", "``", "?`", "!`", ",,")
"""Pairs that TeX's fonts make one character of."""


def escape(text: str) -> str:
    """Text whose characters stand for themselves, in ASCII and on one line."""
    pieces = [_piece(cluster) for cluster in _clusters(text)]
    gaps = ["{}" if one[-1] + other[0] in LIGATURES else "" for one, other in itertools.pairwise(pieces)]
    return "".join(piece + gap for piece, gap in itertools.zip_longest(pieces, gaps, fillvalue=""))


def _clusters(text: str) -> list[str]:
    """The text's characters, each with one mark that combines with it."""
    clusters: list[str] = []
    for character in text:
        if character in ACCENTS | BELOW and clusters and clusters[-1].isascii() and clusters[-1].isalpha():
            clusters[-1] += character
        else:
            clusters.append(character)
    return clusters


def _piece(cluster: str) -> str:
    if cluster in TEXT:
        return TEXT[cluster]
    if cluster in MATH:
        return f"${MATH[cluster]}$"
    if cluster.isspace():
        return " "
    if cluster.isascii() and cluster.isprintable():
        return cluster
    return _accented(cluster) or _composed(cluster) or f"{{[}}U+{ord(cluster):04X}]"


def _accented(cluster: str) -> str:
    """A Latin letter with one mark for which LaTeX has an accent, or nothing."""
    decomposed = unicodedata.normalize("NFD", cluster)
    letter, mark = decomposed[0], decomposed[1:]
    if not letter.isascii() or not letter.isalpha():
        return ""
    if mark in BELOW:
        return rf"\{BELOW[mark]}{{{letter}}}"
    dotless = rf"\{letter}" if letter in "ij" else letter
    return rf"\{ACCENTS[mark]}{{{dotless}}}" if mark in ACCENTS else ""


def _composed(character: str) -> str:
    """A superscript, a subscript or a fraction of what Unicode says, or nothing."""
    kind, *codes = unicodedata.decomposition(character).split() or [""]
    parts = "".join(chr(int(code, 16)) for code in codes)
    if kind == "<fraction>":
        above, _, below = parts.partition("⁄")
        return rf"$\frac{{{above}}}{{{below}}}$" if below else ""
    inner = escape(parts) if kind in ("<super>", "<sub>") else "U+"
    return "" if "U+" in inner else rf"\text{kind.strip('<>')}script{{{inner}}}"
