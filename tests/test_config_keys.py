"""``python -m lt_det.config``: every key, its default, its owner."""

import inspect
import re
import subprocess
import sys

import pytest
from detectron2.config import CfgNode, get_cfg
from paths import ROOT

from lt_det.config import add_lt_det_config
from lt_det.config.keys import KEYS
from lt_det.config.listing import all_keys, format_keys, owner_of


def flat(node: CfgNode, prefix: str = "") -> dict:
    """Full name -> value."""
    values = {}
    for name, value in node.items():
        if isinstance(value, CfgNode):
            values |= flat(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = value
    return values


def test_listed_are_the_keys_that_are_added_with_their_defaults():
    stock, ours = flat(get_cfg()), get_cfg()
    add_lt_det_config(ours)
    added = {name: value for name, value in flat(ours).items() if name not in stock}
    listed = {key.name: key.default for key in all_keys()}
    assert listed == added


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_owner_reads_the_key(key):
    owner = owner_of(key)
    assert inspect.getdoc(owner)
    assert f"{owner.__module__}.{owner.__qualname__}" == key.owner
    source = inspect.getsource(sys.modules[owner.__module__])
    word = key.name.rpartition(".")[2]
    assert re.search(rf"\b{word}\b", source), f"{key.owner} does not read {key.name}"


@pytest.mark.parametrize("glob", ["SOLVER.META.LAG", "*lag*", "LAG", "solver.meta.sampler"])
def test_a_glob_finds_in_any_case_and_a_word_anywhere(glob):
    if glob == "SOLVER.META.LAG":
        with pytest.raises(ValueError, match=r"Did you mean SOLVER\.META\.SAMPLER\.LAG\?"):
            format_keys(glob)
        return
    text = format_keys(glob)
    assert "SOLVER.META.SAMPLER.LAG = 8\n    Steps between the rates" in text
    assert "\n    lt_det.data.loaders.build_batch_plan: " in text
    assert "GRADIENT_RATIO" not in text


def test_parameters_of_a_method_name_its_class_and_what_chooses_it():
    text = format_keys("*.BALANCED_SOFTMAX.TAU")
    assert text.startswith("MODEL.ROI_BOX_HEAD.CLS_LOSS.BALANCED_SOFTMAX.TAU = 1.0\n")
    assert "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME 'BalancedSoftmaxLoss'" in text
    assert "lt_det.losses.softmax.balanced_softmax.BalancedSoftmaxLoss: " in text


def test_what_matches_nothing_is_said():
    with pytest.raises(ValueError, match=r"No key .* 'qwxz'. python -m lt_det.config prints all"):
        format_keys("qwxz")


@pytest.mark.integration
@pytest.mark.parametrize(("glob", "code"), [("TRAINABLE_PARAMS", 0), ("TRAINABLE_PARMS", 1)])
def test_command_prints_keys_or_one_line(glob, code):
    command = [sys.executable, "-m", "lt_det.config", glob]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    if code:
        assert done.stderr.splitlines() == [
            "error: No key of lt_det matches 'TRAINABLE_PARMS'. Did you mean "
            "SOLVER.TRAINABLE_PARAMS?"
        ]
    else:
        assert done.stdout.startswith("SOLVER.TRAINABLE_PARAMS = ('*',)\n")
        assert done.stderr == ""
