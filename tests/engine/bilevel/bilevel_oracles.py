"""Two slow ways to the hypergradient of a toy bilevel problem.

``by_autograd`` differentiates torch's own optimiser with the whole graph kept,
``by_finite_differences`` takes real steps with Detectron2's.
"""

from copy import deepcopy
from dataclasses import replace

import torch
from bilevel_problems import inner_gradients


def by_autograd(stages, optimizer, clip) -> list[torch.Tensor]:
    """Derivative of the outer loss by every weight, through torch's differentiable optimiser."""
    weights = [stage.weights.clone().requires_grad_() for stage in stages]
    outer = outer_loss_by_graph(
        [replace(s, weights=w) for s, w in zip(stages, weights, strict=True)], optimizer, clip
    )
    return list(torch.autograd.grad(outer, weights))


def outer_loss_by_graph(stages, optimizer, clip) -> torch.Tensor:
    """The outer loss as a graph over the stages' weights."""
    originals = [p for stage in stages for p in stage.parameters.values()]
    leaves = [p.detach().clone().requires_grad_() for p in originals]
    of_stage = _split(leaves, stages)
    gradients = [
        g for s, own in zip(stages, of_stage, strict=True) for g in inner_gradients(s, own, True)
    ]
    ahead = _split(_graph_step(originals, leaves, _clipped(gradients, clip), optimizer), stages)
    outer = 0
    for stage, parameters in zip(stages, ahead, strict=True):
        logits = torch.func.functional_call(stage.classifier, parameters, (stage.meta_features,))
        outer = outer + stage.outer_loss(logits, stage.meta_gt_classes).mean()
    return outer


def _graph_step(originals, leaves, gradients, optimizer):
    options = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    is_adamw = isinstance(optimizer, torch.optim.AdamW)
    ahead = []
    for original, leaf, gradient in zip(originals, leaves, gradients, strict=True):
        group, parameter = options[id(original)], leaf.clone()
        state = deepcopy(optimizer.state[original]) if original in optimizer.state else {}
        keys = ["lr", "weight_decay", "maximize"]
        keys += ["betas", "eps"] if is_adamw else ["momentum", "dampening", "nesterov"]
        settings = {key: group[key] for key in keys}
        if not is_adamw and group["momentum"] and not state:
            # torch detaches a first buffer; from a buffer of zeros the step is the same.
            state, settings["dampening"] = {"momentum_buffer": torch.zeros_like(parameter)}, 0.0
        if is_adamw:
            # torch counts steps in float32, and when differentiable computes powers with that.
            zeros = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            num_steps = torch.tensor(float(state.get("step", 0)), dtype=torch.float64)
            state = {**zeros, **state, "step": num_steps}
        optimizer_class = torch.optim.AdamW if is_adamw else torch.optim.SGD
        graph_optimizer = optimizer_class([parameter], differentiable=True, **settings)
        graph_optimizer.state[parameter] = state
        parameter.retain_grad()
        parameter.grad = gradient
        graph_optimizer.step()
        ahead.append(parameter)
    return ahead


def _clipped(gradients, clip):
    """Clipping written with plain powers and minima."""
    if clip is None:
        return gradients
    if clip.clip_type == "value":
        limit = torch.tensor(clip.clip_value, dtype=torch.float64)
        return [torch.minimum(torch.maximum(g, -limit), limit) for g in gradients]
    one_by_one = [[g] for g in gradients]
    clipped = []
    for together in [gradients] if clip.clip_type == "full_model" else one_by_one:
        flat = torch.cat([g.flatten() for g in together]).abs()
        p = clip.norm_type
        norm = flat.amax() if p == float("inf") else flat.pow(p).sum().pow(1 / p)
        clipped += [g * torch.clamp(clip.clip_value / (norm + 1e-6), max=1) for g in together]
    return clipped


def by_finite_differences(stages, optimizer, clip, step=1e-5) -> list[torch.Tensor]:
    """Central differences of :func:`outer_loss_after_a_real_step`."""
    results = []
    for k, stage in enumerate(stages):
        slopes = []
        for i in range(len(stage.weights)):
            sides = []
            for sign in (1, -1):
                weights = stage.weights.clone()
                weights[i] += sign * step
                moved = [*stages[:k], replace(stage, weights=weights), *stages[k + 1 :]]
                sides.append(outer_loss_after_a_real_step(moved, optimizer))
            slopes.append((sides[0] - sides[1]) / (2 * step))
        results.append(torch.tensor(slopes, dtype=torch.float64))
    return results


def outer_loss_after_a_real_step(stages, optimizer) -> float:
    """Step a copy of model and optimiser, then evaluate it on the meta batches."""
    classifiers, optimizer = deepcopy(([s.classifier for s in stages], optimizer))
    outer = 0.0
    for stage, classifier in zip(stages, classifiers, strict=True):
        losses = stage.loss(classifier(stage.features), stage.gt_classes, stage.mask)
        ((stage.weights * losses).sum() / len(losses)).backward()
    optimizer.step()
    for stage, classifier in zip(stages, classifiers, strict=True):
        logits = classifier(stage.meta_features)
        outer += stage.outer_loss(logits, stage.meta_gt_classes).mean().item()
    return outer


def _split(tensors, stages):
    iterator = iter(tensors)
    return [{name: next(iterator) for name in stage.parameters} for stage in stages]


def relative_error(actual, expected) -> float:
    """Largest difference over the largest value, all stages together."""
    actual, expected = torch.cat(list(actual)), torch.cat(list(expected))
    assert actual.dtype == expected.dtype == torch.float64
    assert actual.shape == expected.shape
    assert expected.abs().max() > 1e-6
    return ((actual - expected).abs().max() / expected.abs().max()).item()
