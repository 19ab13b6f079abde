"""The hypergradient against autograd through the step, and against finite differences."""

from bilevel_oracles import by_autograd, by_finite_differences, relative_error
from bilevel_problems import OPTIONS, K, every_two, hypergradients, make_optimizer, make_stage
from contract import LOSSES, VARIANTS

DEFAULTS = [(cls, {}) for cls in LOSSES]


@every_two([variant.values for variant in VARIANTS])
def test_equals_autograd_through_the_step(cls, hyper, classifier, settings, option, class_stats):
    stages = [make_stage(cls(K, class_stats, **hyper), classifier, **settings)]
    optimizer, clip = make_optimizer(stages, OPTIONS[option])
    expected = by_autograd(stages, optimizer, clip)
    assert relative_error(hypergradients(stages, optimizer, clip), expected) <= 1e-10


@every_two(DEFAULTS)
def test_equals_autograd_for_a_cascade(cls, hyper, classifier, settings, option, class_stats):
    loss = cls(K, class_stats)
    stages = [make_stage(loss, classifier, num_rois=n, **settings) for n in (12, 11, 8)]
    optimizer, clip = make_optimizer(stages, OPTIONS[option])
    expected = by_autograd(stages, optimizer, clip)
    assert relative_error(hypergradients(stages, optimizer, clip), expected) <= 1e-10


@every_two(DEFAULTS)
def test_equals_finite_differences_of_real_steps(
    cls, hyper, classifier, settings, option, class_stats
):
    stages = [make_stage(cls(K, class_stats), classifier, num_rois=6, **settings)]
    optimizer, clip = make_optimizer(stages, OPTIONS[option])
    expected = by_finite_differences(stages, optimizer, clip)
    assert relative_error(hypergradients(stages, optimizer, clip), expected) <= 1e-6
