"""A digest of code changes with every definition that is reached, and with nothing else: not with places or words."""

import ast
import functools
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nern
from nern import code_digest


def digest(folder, files, module="net"):
    """The digest of a module among files, each named by its module."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        path = folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return code_digest.digest(module, lambda name: code_digest._file(folder, name))


NET = '''
"""Networks."""
import math
import numpy as np
from torch import nn
from blocks import Block, scale as factor
from parts import layers


@nn.modules.lazy
class Net(nn.Module):
    """A network."""

    def __init__(self, width=8):
        super().__init__()
        self.blocks = [Block(i, factor) for i in range(layers.DEPTH)]
        self.width = width * math.pi

    def forward(self, scale):
        """Its outputs."""
        return scale * np.exp(self.width)
'''
BLOCKS = '''
LIMIT = 3
"""How many."""
FIRST = lambda: 1


def scale(x, limit=LIMIT):
    return min(x, limit)  # a comment


class Block:
    def __init__(self, *arguments):
        from math import tau as turn
        self.turn = turn
'''
LAYERS = "DEPTH = 4\nLIMIT = 5\n\n\ndef cut(x):\n    return x[:LIMIT]\n"
PROGRAM = {"net": NET, "blocks": BLOCKS, "parts.__init__": "", "parts.layers": LAYERS}
SCALE = "def scale(x, limit=LIMIT):\n    return min(x, limit)  # a comment\n"


def edited(*edits):
    """The program with some texts replaced: (module, old, new)."""
    files = dict(PROGRAM)
    for module, old, new in edits:
        assert old in files[module]
        files[module] = files[module].replace(old, new)
    return files


@pytest.mark.parametrize(
    "files",
    [
        edited(("net", '"""Networks."""\n', "# Networks\n\n\n")),
        edited(("net", '    """A network."""\n', "")),
        edited(("net", "return scale *", "return (  # a comment\n            scale) *")),
        edited(("net", "import numpy as np", "import numpy"), ("net", "np.exp", "numpy.exp")),
        edited(("net", "import numpy as np", "from numpy import exp"), ("net", "np.exp", "exp")),
        edited(("net", "import math\n", ""), ("net", "self.width = width", "import math\n        self.width = width")),
        edited(("net", "Block, scale as factor", "Block, scale"), ("net", "factor", "scale")),
        edited(
            ("net", "from blocks import Block, scale as factor", "import blocks"),
            ("net", "Block(i, factor)", "blocks.Block(i, blocks.scale)"),
        ),
        edited(("net", "from parts import layers", "from parts.layers import DEPTH"), ("net", "layers.DEPTH", "DEPTH")),
        edited(
            ("blocks", SCALE, ""), ("blocks", "        self.turn = turn\n", f"        self.turn = turn\n\n\n{SCALE}")
        ),
        edited(("blocks", '"""How many."""\n', "")),
        {name.replace("layers", "pieces"): text.replace("layers", "pieces") for name, text in PROGRAM.items()},
        {name.replace("parts.", "a.b."): text.replace("parts", "a.b") for name, text in PROGRAM.items()},
        edited(("blocks", "LIMIT = 3\n", "from other import LIMIT\n")) | {"other": "LIMIT = 3\n"},
        edited(("blocks", SCALE, "from other import scale\n"))
        | {"other": f"import blocks\n{SCALE.replace('=LIMIT', '=blocks.LIMIT')}"},
        PROGRAM | {"stranger": "LIMIT = 6\n"},
    ],
)
def test_words_and_places_do_not_count(tmp_path, files):
    assert digest(tmp_path / "a", files) == digest(tmp_path / "b", PROGRAM)


@pytest.mark.parametrize(
    "files",
    [
        edited(("net", "width=8", "width=9")),
        edited(("net", "@nn.modules.lazy\n", "")),
        edited(("net", "@nn.modules.lazy", "@nn.modules.eager")),
        edited(("net", "nn.Module", "nn.Sequential")),
        edited(("net", "from torch import nn", "from flax import nn")),
        edited(("net", "import numpy as np", "import cupy as np")),
        edited(("net", "np.exp", "np.exp2")),
        edited(("net", "scale as factor", "LIMIT as factor")),
        edited(("blocks", "tau as turn", "pi as turn")),
        edited(("blocks", "limit=LIMIT", "limit=3")),
        edited(("blocks", "LIMIT = 3", "LIMIT = 3.0")),
        edited(("blocks", "lambda: 1", "lambda: 2")),
        edited(("blocks", "min(", "max(")),
        edited(("blocks", "LIMIT = 3\n", "LIMIT = 3\nLIMIT += 1\n")),
        edited(
            ("blocks", "LIMIT = 3\n", "try:\n    from a import LIMIT\nexcept ImportError:\n    from b import LIMIT\n")
        ),
        edited(("blocks", "LIMIT = 3\n", "import patches\nLIMIT = 3\n")),
        edited(("parts.layers", "[:LIMIT]", "[LIMIT:]")),
        edited(
            ("parts.layers", "LIMIT = 5", "LIMIT = 3"), ("blocks", "LIMIT = 3", "LIMIT = 5")
        ),  # the same definitions
        edited(("parts.__init__", "", "print()\n")),
    ],
)
def test_what_is_defined_and_what_its_names_stand_for_counts(tmp_path, files):
    assert digest(tmp_path / "a", files) != digest(tmp_path / "b", PROGRAM)


STARS = {"one": "from three import *\n", "two": "from four import *\n", "three": "A = {}\n", "four": "A = {}\n"}


@pytest.mark.parametrize(
    "files",
    [
        {"one": "A = {}\ndef f(): return A\n", "two": "A = {}\ndef g(): return A\n"},
        {"one": "A = []\nA.append({})\ndef f(): return A\n", "two": "A = []\nA.append({})\ndef g(): return A\n"},
        {"one": "A = {}\ndef f():\n  global A\n  A = A\n", "two": "A = {}\ndef g():\n  global A\n  A = A\n"},
        STARS | {"one": "from three import *\ndef f(): return A\n", "two": "from four import *\ndef g(): return A\n"},
        STARS | {"one": "from three import *\nfrom four import *\n"},
        STARS | {"net": "import two\nfrom one import A\ndef f(): return A\n"},
    ],
)
def test_which_of_two_definitions_is_meant_counts(tmp_path, files):
    """The gaps are filled by 1 and 2, or by 2 and 1: the definitions are the same in both programs."""
    digests = set()
    for numbers in ([1, 2], [2, 1]):
        left = iter(numbers)
        filled = {name: text.format(next(left)) if "{}" in text else text for name, text in files.items()}
        digests.add(digest(tmp_path, {"net": "import one, two\n"} | filled))
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A = 1\nA = 2\n", "A = 2\nA = 1\n"),
        ("A = []\nA.append(1)\nA.append(2)\n", "A = []\nA.append(2)\nA.append(1)\n"),
        (
            "try:\n    import fast as f\nexcept ImportError:\n    import slow as f\n",
            "try:\n    import slow as f\nexcept ImportError:\n    import fast as f\n",
        ),
        (
            "def f(x):\n    if x:\n        from a import g\n    else:\n        from b import g\n    return g\n",
            "def f(x):\n    if x:\n        from b import g\n    else:\n        from a import g\n    return g\n",
        ),
    ],
)
def test_the_order_counts_where_it_may_decide(tmp_path, before, after):
    user = "\ndef use():\n    return A, f\n"
    assert digest(tmp_path / "a", {"net": before + user}) != digest(tmp_path / "b", {"net": after + user})


def test_a_local_name_is_not_the_modules(tmp_path):
    local = "def f(rate, *, size=2):\n    step = [place for place in size if rate]\n    return lambda place: step\n"
    outside = {
        "net": "from other import f, rate, step, place, size\n",
        "other": "from numpy import rate, step, place, size\n",
    }
    apart = {"net": "from numpy import rate, step, place, size\nfrom other import f\n", "other": local}
    assert digest(tmp_path / "a", {**outside, "other": outside["other"] + local}) == digest(tmp_path / "b", apart)


Program = list[tuple[str, int, list[int]]]
"""Functions by name, constant, and the places in the list of those that they call. Of one name there are up to two."""


@st.composite
def programs(draw):
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=7).filter(lambda n: max(map(n.count, n)) < 3))
    calls = st.lists(st.integers(0, len(names) - 1), max_size=2)
    return [(name, draw(st.integers(0, 1)), draw(calls)) for name in names]


@st.composite
def layouts(draw, program):
    """Files of a program. Two functions of one name are in different files; all else is drawn."""
    modules = draw(st.permutations(["one", "two.three", "two.four"]))
    where: list[str] = []
    for i, (name, _, _) in enumerate(program):
        taken = [where[j] for j in range(i) if program[j][0] == name]
        where.append(draw(st.sampled_from([module for module in modules if module not in taken])))
    bodies = {module: "" for module in modules}
    for i in draw(st.permutations(range(len(program)))):
        name, constant, calls = program[i]
        uses, imports = [], []
        for j in calls:
            called = program[j][0]
            if where[j] == where[i]:
                uses.append(called)
                continue
            style = draw(st.integers(0, 2))
            imports.append(
                (f"import {where[j]}", f"from {where[j]} import {called} as x{j}", f"import {where[j]} as m{j}")[style]
            )
            uses.append((f"{where[j]}.{called}", f"x{j}", f"m{j}.{called}")[style])
        head = f"def {name}():\n    return {constant}, {', '.join(uses)}\n"
        bodies[where[i]] = "\n".join(imports) + "\n" + bodies[where[i]] + head
    return {"net": "".join(f"import {module}\n" for module in modules)} | bodies


def meanings(program):
    """What the functions of a program are, all calls written out so deep that any difference shows."""
    known: dict = {}

    @functools.cache
    def written_out(i, depth):
        name, constant, calls = program[i]
        key = (name, constant, tuple(written_out(j, depth - 1) for j in calls) if depth else ())
        return known.setdefault(key, key)

    return {written_out(i, 15) for i in range(len(program))}


@given(st.data())
def test_a_program_has_one_digest_however_it_is_laid_out(tmp_path_factory, data):
    program = data.draw(programs())
    folder = tmp_path_factory.mktemp("layouts")
    first, second = (digest(folder, data.draw(layouts(program))) for _ in range(2))
    assert first == second


@given(st.data())
def test_programs_have_one_digest_only_if_all_calls_written_out_are_the_same(tmp_path_factory, data):
    first = data.draw(programs())
    second = [list(each) for each in first]
    for _ in range(data.draw(st.integers(1, 2))):
        i = data.draw(st.integers(0, len(first) - 1))
        if data.draw(st.booleans()) or not second[i][2]:
            second[i][1] = 1 - second[i][1]
        else:
            second[i][2] = [data.draw(st.integers(0, len(first) - 1)), *second[i][2][1:]]
    folder = tmp_path_factory.mktemp("meanings")
    digests = [digest(folder, data.draw(layouts(program))) for program in (first, second)]
    assert (digests[0] == digests[1]) is (meanings(first) == meanings(second))


def constants(path):
    """The syntax of a file, and the constants in it but for docstrings."""
    tree = ast.parse(path.read_text())
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return tree, [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in texts]


REACHED = [
    path
    for room in ("method", "networks")
    for path in sorted((Path(nern.__file__).parent / room).glob("*.py"))
    if constants(path)[1] and "foreign" not in path.name
]


@given(st.data())
def test_every_constant_of_a_file_counts_and_its_layout_does_not(tmp_path_factory, data):
    path = data.draw(st.sampled_from(REACHED))
    tree, found = constants(path)

    def digest_with(text):
        file = tmp_path_factory.mktemp("edited") / path.name
        file.write_text(text)
        name = f"nern.{path.parent.name}.{path.stem}"
        return code_digest.digest(name, lambda each: file if each == name else None)

    before, again = digest_with(path.read_text()), digest_with(ast.unparse(tree))
    node = data.draw(st.sampled_from(found))
    node.value = "another" if isinstance(node.value, str) else 12345
    assert before == again != digest_with(ast.unparse(tree))
