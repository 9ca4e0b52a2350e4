import copy
import dataclasses
import datetime
import itertools
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nern import addresses, matrix, resolved
from nern.config import Config, check_command_line, expand, fingerprint, layered, parse, read, read_file, text_of
from nern.errors import NernError
from nern.settings import Protocol

ROOT = Path(__file__).parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())
OVERLAYS = sorted((ROOT / "workflow/config").glob("*.yaml"))


def changed(path, value):
    values = copy.deepcopy(SHIPPED)
    place = values
    *steps, last = path.split(".")
    for step in steps:
        place = place.setdefault(step, {})
    if value is DELETED:
        del place[last]
    else:
        place[last] = value
    return values


DELETED = object()
MISTAKES = {
    "top-level typo": ("protocoll", {}, "protocoll: unknown key"),
    "deep typo": ("protocol.training.optimizer.lrate", 1e-3, "protocol.training.optimizer.lrate: unknown key"),
    "typo in an override": ("variants.base.trainingg", {}, "variants.base.trainingg: unknown key"),
    "variants that differ by case alone": (
        "variants.Decoupled",
        {},
        "variants: decoupled and Decoupled differ in upper and lower case alone, .*; rename one$",
    ),
    "networks that differ by case alone": (
        "tasks.cifar10.networks.ResNet20",
        {"architecture": "cifar-resnet", "depth": 20},
        "tasks.cifar10.networks: resnet20 and ResNet20 differ in upper and lower case alone, .*; rename one$",
    ),
    "word for a number": ("protocol.training.optimizer.lr", "fast", "optimizer.lr: Input should be a valid number"),
    "boolean for a number": ("protocol.training.batch", True, "a number is needed"),
    "negative size": ("tables.cifar10.sizes.resnet20", [-140], "greater than or equal to 1"),
    "zero size": ("tables.cifar10.sizes.resnet20", [0], "greater than or equal to 1"),
    "no sizes": ("tables.cifar10.sizes.resnet20", [], "at least 1 item"),
    "repeated sizes": ("tables.cifar10.sizes.resnet20", [140, 140], "repeats a value"),
    "repeated sizes, one of them as text": ("tables.cifar10.sizes.resnet20", [140, "140"], "repeats a value"),
    "repeated seeds, one of them as text": ("seeds", [0, "0"], "repeats a value"),
    "absurdly large": ("protocol.training.iterations", 10**12, "less than or equal to"),
    "fraction of a count": ("protocol.training.iterations", 1.5, "valid integer"),
    "NaN": ("protocol.training.losses.alpha", float("nan"), "losses.alpha: Input should be"),
    "infinity": ("protocol.embedding.base", float("inf"), "embedding.base: Input should be"),
    "unknown kind": ("protocol.embedding.kind", "tabel", "protocol.embedding: kind must be positional or table"),
    "kind that is a list": ("protocol.embedding.kind", [], "protocol.embedding: kind must be positional or table"),
    "no embedding": ("protocol.embedding", 5, "protocol.embedding: kind must be positional or table"),
    "levels of a table": (
        "protocol.embedding",
        {"kind": "table", "levels": 40},
        "protocol.embedding.levels: unknown key of the kind table; remove it",
    ),
    "base of a table": (
        "variants.mine",
        {"extends": "decoupled", "embedding": {"kind": "table", "base": 1.1}},
        "variants.mine.embedding.base: unknown key of the kind table",
    ),
    "typo in an embedding": (
        "variants.mine.embedding.bas",
        1.1,
        "variants.mine.embedding.bas: unknown key of the kind positional",
    ),
    "no seeds": ("seeds", [], "at least 1 item"),
    "repeated seeds": ("seeds", [0, 1, 0], "repeats a value"),
    "negative seed": ("seeds", [-1], "greater than or equal to 0"),
    "one seed, no list": ("seeds", 0, "valid list"),
    "unknown method": ("protocol.training.sampling.method", "random", "'magnitude', 'uniform', 'layer'"),
    "unknown mode": ("tables.cifar10.smoothing", ["sideways"], "'none', 'in-filter' or 'cross-filter'"),
    "unknown source": ("tasks.cifar10.images.source", "cloud", "does not match any of the expected tags"),
    "unknown device": ("execution.device", "tpu", "pattern"),
    "missing title": ("tasks.cifar10.title", DELETED, "tasks.cifar10.title: missing"),
    "missing classes": ("tasks.cifar10.classes", DELETED, "tasks.cifar10.classes: missing"),
    "mean and std differ": ("tasks.cifar10.mean", [0.5], "mean has 1 channels but std has 3"),
    "betas of one": ("protocol.training.optimizer.betas", [0.5, 1.0], "less than 1"),
    "depth that no CIFAR ResNet has": (
        "tasks.cifar10.networks.resnet20.depth",
        21,
        "depth 21 is none of a CIFAR ResNet",
    ),
    "two variants of one label": (
        "tables.data_free.labels.noise-inputs",
        "no distillation",
        "tables.data_free: labels: two variants are called 'no distillation'; give each a name of its own",
    ),
    "a label that is another variant's name": (
        "tables.data_free.labels",
        {"noise-inputs": "reconstruction-only"},
        "two variants are called 'reconstruction-only'",
    ),
    "empty label": ("tables.data_free.labels.noise-inputs", " ", "a label is not empty"),
    "label that no legend shows": ("tables.data_free.labels.noise-inputs", "_x", "begins with no underscore"),
    "table of no network": ("tables.data_free.sizes", {}, "tables.data_free.sizes: Dictionary should have at least 1"),
    "frontier of no network": ("frontiers.cifar10.sizes", {}, "frontiers.cifar10.sizes: Dictionary should have at"),
    "name with a slash": ("variants.a/b", {}, "pattern"),
    "name with dots only": ("variants...", {}, "unknown key|pattern"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_sentence_with_their_place(mistake):
    path, value, sentence = MISTAKES[mistake]
    with pytest.raises(NernError, match=sentence) as caught:
        parse(changed(path, value), "config.yaml")
    assert str(caught.value).startswith("config.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("tables.cifar10.task", "cifar11", "tables.cifar10: unknown task 'cifar11'"),
        ("tables.cifar10.sizes", {"resnet21": [140]}, "unknown network 'resnet21'"),
        ("tables.cifar10.variants", ["bass"], "unknown variant 'bass'"),
        ("protocol.original", "lost", "unknown original 'lost'"),
    ],
)
def test_unknown_names_are_found_before_anything_runs(path, value, sentence):
    with pytest.raises(NernError, match=sentence):
        matrix.check(parse(changed(path, value)))


@pytest.mark.parametrize(("key", "values"), [("mean", [125.3, 123.0, 113.9]), ("std", [255, 255, 255])])
def test_a_mean_or_a_deviation_of_bytes_is_refused_before_anything_runs(key, values):
    sentence = (
        rf"tasks\.cifar10: pixels count from 0 to 1, but .*{key} \[{values[0]}.* are of bytes; divide both by 255"
    )
    with pytest.raises(NernError, match=sentence):
        matrix.check(parse(changed(f"tasks.cifar10.{key}", values)))
    for plain in ([0, 0, 0], [1, 1, 1]):
        matrix.check(parse(changed("tasks.cifar10.mean", plain)))
    matrix.check(parse(changed("tasks.cifar10.std", [1, 1, 1])))


@pytest.mark.parametrize("overlay", [None, *OVERLAYS], ids=lambda path: path.name if path else "config.yaml")
def test_every_shipped_configuration_resolves(overlay):
    below = {
        "published.yaml": "laptop.yaml",
        "protocol.yaml": "frontier.yaml",
        "choices.yaml": "demo.yaml",
        "frontier_resnet56.yaml": "frontier.yaml",
        "frontier_orders.yaml": "frontier.yaml",
        "fifth.yaml": "frontier.yaml",
        "precision.yaml": "frontier.yaml",
        "cifar100_float32.yaml": "cifar100.yaml",
        "cifar100_entropy.yaml": "cifar100.yaml",
        "resnet56_entropy.yaml": "frontier_resnet56.yaml",
    }
    names = [overlay.name] if overlay else []
    while names and names[0] in below:
        names.insert(0, below[names[0]])
    config = read([ROOT / "config.yaml", *(ROOT / "workflow/config" / name for name in names)])
    matrix.check(config)
    assert matrix.all_cells(config)


def test_an_overlay_that_inherits_nothing_is_about_its_own_cells():
    demo = read([ROOT / "config.yaml", ROOT / "workflow/config/demo.yaml"])
    assert {cell.task for cell in matrix.all_cells(demo)} == {"digits"} and len(matrix.all_cells(demo)) == 6 * 4
    assert list(demo.tables) == list(demo.frontiers) == ["digits"] and matrix.figure_names(demo) == ["frontier_digits"]
    # its other settings go on from the file before, and a later file goes on from it
    assert demo.protocol == read([ROOT / "config.yaml"]).protocol
    tiny = read([ROOT / "config.yaml", ROOT / "workflow/config/demo.yaml", ROOT / "tests/tiny.yaml"])
    assert list(tiny.tables) == ["digits"] and tiny.tables["digits"].smoothing == demo.tables["digits"].smoothing


@pytest.mark.parametrize("value", ["no", 0, None])
def test_whether_a_file_inherits_is_true_or_false(tmp_path, value):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"inherit": value}))
    with pytest.raises(NernError, match="inherit: Input should be a valid boolean"):
        read([ROOT / "config.yaml", path])


@pytest.mark.parametrize("content", ["", "- a\n", "a: [", "a: b: c", "\x00", "5", "&a [*a]", "a: 2024-13-45", "a: 0b_"])
def test_files_that_hold_no_mapping_are_one_sentence(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(NernError) as caught:
        read([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(NernError, match="cannot be read"):
        read([tmp_path / "none.yaml"])


def test_yaml_exponents_without_a_point_are_numbers():
    config = parse(changed("protocol.training.optimizer.lr", "1e-3"))
    assert config.protocol.training.optimizer.lr == 1e-3


def test_a_later_layer_wins_only_where_it_says_something():
    layers = [
        Protocol.model_validate({"training": {"iterations": 1, "batch": 2, "warmup": 3}}),
        Protocol.model_validate({"training": {"batch": 20, "warmup": 30}}),
        Protocol.model_validate({"training": {"warmup": 300}}),
    ]
    training = layered("here", *layers).training
    assert (training.iterations, training.batch, training.warmup) == (1, 20, 300)


def test_the_order_of_layers_is_all_task_network_variant():
    values = copy.deepcopy(SHIPPED)
    for depth, place in enumerate(
        (values, values["tasks"]["cifar10"], values["tasks"]["cifar10"]["networks"]["resnet20"])
    ):
        place.setdefault("protocol", {}).setdefault("training", {})["warmup"] = depth + 1
    cell = addresses.Cell("cifar10", "resnet20", "none", 140, "base", 0)
    assert resolved.protocol_of(parse(values), cell).training.warmup == 3
    values["variants"]["base"] = {"training": {"warmup": 4}}
    assert resolved.protocol_of(parse(values), cell).training.warmup == 4


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("digits", {"original": {"epohcs": 3}}, "tasks.digits.original.epohcs: unknown key; remove"),
        ("digits", {"images": {"source": "digits", "root": "x"}}, "digits.images.root: unknown key of the kind digits"),
        ("table", {"protocol": {"embedding": {"kind": "table", "base": 1}}}, "tasks.table.protocol.embedding.base: un"),
    ],
)  # fmt: skip
def test_a_task_that_is_called_like_a_kind_is_named(name, changes, sentence):
    values = copy.deepcopy(SHIPPED)
    values["tasks"][name] = values["tasks"]["cifar10"] | changes
    with pytest.raises(NernError, match=re.escape(sentence)):
        parse(values)


@pytest.mark.parametrize("name", ["images", "embedding", "kind", "source"])
def test_a_task_that_is_called_like_a_section_or_its_key_takes_none_away(name):
    values = {"tasks": {name: SHIPPED["tasks"]["cifar10"]}}
    assert read([ROOT / "config.yaml"], values).tasks.keys() == SHIPPED["tasks"].keys() | {name}


def test_an_overlay_may_name_another_source_of_images(tmp_path):
    overlay = tmp_path / "overlay.yaml"
    images = {"source": "parquet", "train": ["a.parquet"], "test": ["b.parquet"]}
    overlay.write_text(yaml.safe_dump({"tasks": {"cifar10": {"images": images}}}))
    found = read([ROOT / "config.yaml", overlay]).tasks["cifar10"].images
    assert (found.source, found.train) == ("parquet", ["a.parquet"])
    # root is torchvision's: where it stands beside another source it is a mistake
    overlay.write_text(yaml.safe_dump({"tasks": {"cifar10": {"images": images | {"root": "data"}}}}))
    with pytest.raises(NernError, match=r"tasks.cifar10.images.root: unknown key of the kind parquet"):
        read([ROOT / "config.yaml", overlay])


BELOW, TABLE = {"base": 0.9, "levels": 30}, {"kind": "table"}
LAYERS = [
    # each after the ones before it, and what comes of all
    ([BELOW, TABLE], TABLE),
    ([{"kind": "positional"} | BELOW, TABLE], TABLE),
    ([BELOW, {"kind": "positional", "base": 1.1}], {"kind": "positional", "base": 1.1, "levels": 30}),
    ([{"kind": "positional"} | BELOW, {"base": 1.1}], {"kind": "positional", "base": 1.1, "levels": 30}),
    # back again: nothing of the kind before the table is left
    ([BELOW, TABLE, {"kind": "positional"}], {"kind": "positional", "base": 0.76, "levels": 40}),
    ([BELOW, TABLE, {"kind": "positional", "base": 1.1}], {"kind": "positional", "base": 1.1, "levels": 40}),
    ([TABLE, TABLE], TABLE),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "wanted"), LAYERS)
def test_an_embedding_of_another_kind_takes_nothing_from_the_one_below(tmp_path, layers, wanted):
    found = layered("here", *(Protocol.model_validate({"embedding": layer}) for layer in layers)).embedding
    assert found.model_dump(exclude={"normalized"}) == wanted
    files = [tmp_path / f"{number}.yaml" for number in range(len(layers))]
    for file, layer in zip(files, layers, strict=True):
        file.write_text(yaml.safe_dump({"tasks": {}, "protocol": {"embedding": layer}}))
    assert read(files).protocol.embedding == found


def test_a_layer_that_sets_what_the_tables_below_it_do_not_have_is_one_sentence():
    config = extending(
        learned={"embedding": {"kind": "table"}}, mine={"extends": "learned", "embedding": {"base": 1.1}}
    )
    sentence = "variants.mine: embedding.base: unknown key of the kind table"
    with pytest.raises(NernError, match=sentence) as caught:
        matrix.check(config)
    assert "\n" not in str(caught.value)


def test_values_that_come_last_win_over_files():
    found = read([ROOT / "config.yaml"], {"seeds": [7], "protocol": {"embedding": {"kind": "table"}}})
    assert (found.seeds, found.protocol.embedding.kind, found.protocol.training.batch) == ([7], "table", 256)


def extending(**variants):
    return parse(copy.deepcopy(SHIPPED) | {"variants": {"base": {}} | variants})


def test_a_variant_may_take_back_what_files_do_not_say():
    config = extending(wide={"activation": "gelu"}, plain={"extends": "wide", "activation": "relu"})
    cells = {name: addresses.Cell("cifar10", "resnet20", "none", 140, name, 0) for name in ("base", "wide", "plain")}
    found = {name: fingerprint(resolved.protocol_of(config, cell)) for name, cell in cells.items()}
    assert found["plain"] == found["base"] != found["wide"]


def test_kernels_change_places_only_where_their_order_is_stored():
    config = extending(
        reordered={"training": {"reordering": {}}}, back={"extends": "reordered", "training": {"reordering": None}}
    )
    cell = addresses.Cell("cifar10", "resnet20", "cross-filter", 140, "reordered", 0)
    for mode in ("in-filter", "cross-filter"):
        assert resolved.fit_settings(config, dataclasses.replace(cell, smoothing=mode)).protocol.reorders
    with pytest.raises(NernError, match=r"none/h140/reordered/seed0: variant .* choose cross-filter or in-filter"):
        resolved.fit_settings(config, dataclasses.replace(cell, smoothing="none"))
    for mode in ("none", "in-filter"):
        plain = dataclasses.replace(cell, smoothing=mode, variant="back")
        base = dataclasses.replace(plain, variant="base")
        assert not resolved.fit_settings(config, plain).protocol.reorders
        found = [fingerprint(resolved.protocol_of(config, each)) for each in (plain, base)]
        assert found[0] == found[1]


@pytest.mark.parametrize("modes", [["none", "cross-filter"], ["in-filter", "none"]])
def test_a_table_of_an_order_that_cannot_be_stored_is_refused_before_anything_runs(modes):
    table = {"task": "cifar10", "title": "T", "sizes": {"resnet20": [140]}, "variants": ["reordered"]}
    values = copy.deepcopy(SHIPPED)
    values["variants"]["reordered"] = {"training": {"reordering": {}}}
    values["tables"] = {"t": table | {"smoothing": ["cross-filter", "in-filter"]}}
    matrix.check(parse(values | {"figures": {}}))
    values["tables"] = {"t": table | {"smoothing": modes}}
    with pytest.raises(NernError, match=r"^tables\.t: results/.*/seed.: variant reordered reorders the kernels"):
        matrix.check(parse(values | {"figures": {}}))


def test_a_variant_that_extends_another_changes_what_it_says():
    config = extending(
        long={"training": {"iterations": 7, "batch": 8}},
        longer={"extends": "long", "training": {"iterations": 70}, "inputs": "uniform"},
        longest={"extends": "longer", "training": {"iterations": 700}, "distillation": None},
    )
    cell = addresses.Cell("cifar10", "resnet20", "none", 140, "longest", 0)
    found = resolved.protocol_of(config, cell)
    assert (found.training.iterations, found.training.batch, found.inputs) == (700, 8, "uniform")
    same = extending(longest={"training": {"iterations": 700, "batch": 8}, "inputs": "uniform"})
    # one cell whichever way it is written
    assert fingerprint(resolved.fit_settings(same, cell)) == fingerprint(resolved.fit_settings(config, cell))


@pytest.mark.parametrize(
    ("variants", "sentence"),
    [
        ({"a": {"extends": "lost"}}, "variants.a.extends: unknown variant 'lost'"),
        ({"a": {"extends": "a"}}, "variants.a.extends: a extends a itself; break the circle"),
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, "variants.b.extends: a extends b itself; break the circle"),
    ],
)
def test_a_variant_that_extends_nothing_or_itself_is_one_sentence(variants, sentence):
    with pytest.raises(NernError, match=sentence):
        matrix.check(extending(**variants))


def test_fingerprints_do_not_depend_on_how_settings_are_written():
    for same in ({"training": {"batch": "256"}}, {"embedding": {}}, {"embedding": {"kind": "positional"}}):
        assert fingerprint(Protocol()) == fingerprint(Protocol.model_validate(same))
    changes = [{}, {"inputs": "uniform"}, {"training": {"batch": 255}}]
    changes += [
        {"embedding": embedding} for embedding in ({"kind": "table"}, {"base": 1.1}, {"base": 1.1, "levels": 4})
    ]
    settings = [Protocol.model_validate(change) for change in changes]
    assert all(fingerprint(a) != fingerprint(b) for a, b in itertools.combinations(settings, 2))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = st.sampled_from(
    [
        "seeds", "execution", "protocol", "protocol.training.losses", "tasks", "tasks.cifar10.images", "tables.cifar10",
        "variants", "originals.base", "tasks.cifar10.networks.resnet20",
    ]
)  # fmt: skip


@given(PLACES, JSON)
def test_nothing_in_a_configuration_ends_in_a_traceback(path, value):
    try:
        config = parse(changed(path, value))
        matrix.check(config)
    except NernError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(config, Config)


def test_environment_variables_in_paths(monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/there")
    assert expand("$SOMEWHERE/a", "x") == Path("/there/a")
    with pytest.raises(NernError, match="environment variable NOWHERE is not set"):
        expand("${NOWHERE}/a", "x")


def leaves(values, path=()):
    """Paths of everything in a mapping that is no mapping."""
    for key, value in values.items():
        yield from leaves(value, (*path, key)) if isinstance(value, dict) and value else [((*path, key), value)]


ONE_OF_EACH = {
    key: SHIPPED[key] for key in ("seeds", "execution", "original", "protocol")
} | {
    "tasks": {"cifar10": SHIPPED["tasks"]["cifar10"]},
    "tables": {"cifar10": SHIPPED["tables"]["cifar10"]},
    "figures": {"kernels": SHIPPED["figures"]["kernels"], "meta_compression": SHIPPED["figures"]["meta_compression"]},
}  # fmt: skip
FIELDS = {".".join(path): value for path, value in leaves(ONE_OF_EACH)}
del FIELDS["protocol.distillation"]  # nothing is a whole phase of defaults
WRONG = {"NaN": float("nan"), "infinity": float("inf"), "absurd": 1e300, "a word": "x y", "a list": [[]], "nothing": {}}


@pytest.mark.parametrize("wrong", WRONG)
def test_every_field_refuses_what_it_cannot_be_in_one_sentence(wrong):
    accepted = []
    for path, value in FIELDS.items():
        try:
            parse(changed(path, WRONG[wrong]), "config.yaml")
        except NernError as error:
            assert "\n" not in str(error) and path.split(".")[0] in str(error)
        else:
            accepted.append((path, value))
    # a title, a path or a name may be any text; nothing else may be any of these
    assert all(wrong == "a word" and isinstance(value, str) for _, value in accepted), accepted


def test_every_field_may_be_missing_or_says_so_in_one_sentence():
    for path in FIELDS:
        try:
            parse(changed(path, DELETED), "config.yaml")
        except NernError as error:
            assert "\n" not in str(error) and path.split(".")[-1] in str(error)


def test_a_path_of_an_unknown_user_stays():
    assert expand("~nobody-of-this-name/a", "x") == Path("~nobody-of-this-name/a")


def test_a_key_that_stands_twice_is_refused(tmp_path):
    file = tmp_path / "twice.yaml"
    file.write_text("tasks:\n  digits: {title: One}\n  digits: {title: Two}\n")
    with pytest.raises(NernError, match=r"twice\.yaml: .*the key digits stands twice.*line 3"):
        read([file])


@pytest.mark.parametrize(
    "key", ["on", "no", "Yes", "OFF", "true", "1", "0x1F", "1_000", "1.0e+3", ".5", "1:30", "~", "2024-01-01"]
)
def test_a_key_that_is_no_text_to_yaml_must_be_quoted(tmp_path, key):
    file = tmp_path / "keys.yaml"
    for place in (f"{key}: 1\n", f"tasks:\n  a: 1\n  {key}:\n    title: T\n", f"a: [{{{key}: 1}}]\n"):
        file.write_text(place)
        with pytest.raises(NernError, match=r"keys\.yaml: .*is read as .*quote it.*line") as caught:
            read_file(file)
        assert f'"{key}"' in str(caught.value) and "\n" not in str(caught.value)
    file.write_text(f'"{key}": 1\n')
    assert read_file(file) == {key: 1}


@pytest.mark.parametrize("value", [False, True, 1, 1e3, datetime.date(2024, 1, 1)])
@pytest.mark.parametrize("path", ["tables.cifar10.task", "tasks.cifar10.title", "protocol.original"])
def test_a_name_that_is_no_text_to_yaml_must_be_quoted(path, value):
    with pytest.raises(NernError, match=rf"{path}: .*quote it \(got "):
        parse(changed(path, value))


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("all --configfile a --configfile b", "write it once: --configfile FIRST SECOND"),
        ("--configfile=a all --configfile=b", "--configfile FIRST SECOND"),
        ("--configfile a b --configfiles c all", "--configfile 2 times"),
        ("--configfiles a --cores 2 --configfiles=b --configfile c", "--configfile 3 times"),
        ("--config a=1 --config b=2", "--config A=1 B=2"),
        ("-C a=1 --config b=2", "--config A=1 B=2"),
    ],
)
def test_an_option_of_which_snakemake_would_forget_one_is_refused(line, right):
    with pytest.raises(NernError, match=right):
        check_command_line(line.split())


@pytest.mark.parametrize(
    "line", ["", "all", "--configfile a b --config x=1 all", "--configfile a -- --configfile", "-c 2 --configfile=a"]
)
def test_other_command_lines_are_taken(line):
    check_command_line(line.split())


def test_a_variable_counts_by_its_name_and_its_value_as_it_is(monkeypatch):
    monkeypatch.setenv("COSTS", "/a$b/${c}")
    assert expand("$COSTS/x", "w") == expand("${COSTS}/x", "w") == Path("/a$b/${c}/x")
    for path in ("$NO_SUCH/x", "${NO_SUCH}/x", "$COSTS/$NO_SUCH"):
        with pytest.raises(NernError, match="the environment variable NO_SUCH is not set"):
            expand(path, "w")


def test_keys_of_two_mappings_and_merged_ones_may_be_the_same(tmp_path):
    file = tmp_path / "once.yaml"
    file.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")
    assert read_file(file) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}


@pytest.mark.parametrize("title", ["T 🎉", "𝒩 数 ½", "\ud83c", "\x85\u2028", "\ufeffa"])
def test_any_title_comes_through_the_file_that_the_workflows_jobs_read(tmp_path, title):
    config = parse(changed("tasks.cifar10.title", title))
    (tmp_path / "merged.json").write_text(text_of(config))
    assert read([tmp_path / "merged.json"]).tasks["cifar10"].title == title


OTHER = {
    "original": "smooth-1e-6",
    "embedding": {"kind": "table"},
    "activation": "gelu",
    "initialization": "default",
    "inputs": "uniform",
    "distillation_gradient": False,
    "precision": "bfloat16",
    "predictor_precision": "bfloat16",
    "training": {"iterations": 7},
    "distillation": {"iterations": 7, "reordering": {"rounds": 3}},
    "evaluate_every": 7,
}
"""Of each key of a protocol another value than its default."""


@pytest.mark.parametrize("key", Protocol.model_fields)
def test_a_configuration_that_is_written_and_read_again_says_the_same(tmp_path, key):
    """A variant that takes a default back, too: what runs is what was planned."""
    default = Protocol().model_dump()[key]
    config = parse(
        SHIPPED | {"protocol": {key: OTHER[key]}, "variants": SHIPPED["variants"] | {"back": {key: default}}}
    )
    (tmp_path / "merged.json").write_text(text_of(config))
    again = read([tmp_path / "merged.json"])
    cell = addresses.Cell("cifar10", "resnet20", "cross-filter", 160, "back", 0)
    for variant, wanted in (("back", default), ("base", None)):
        protocols = [resolved.protocol_of(each, dataclasses.replace(cell, variant=variant)) for each in (config, again)]
        assert protocols[0] == protocols[1]
        assert wanted is None or protocols[1].model_dump()[key] == wanted
    assert text_of(again) == text_of(config)
