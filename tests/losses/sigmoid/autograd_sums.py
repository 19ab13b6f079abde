"""Running sums of gradients against autograd's."""

import torch


def assert_sums_are_those_of_autograd(loss):
    """A step adds to `loss.gradient_sums`, of 4 classes, what autograd says; in float64."""
    logits = torch.randn(20, loss.num_logits, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(20) % 5
    (gradient,) = torch.autograd.grad(loss(logits, labels).sum(), logits)
    before = [b.clone() for b in loss.gradient_sums.buffers()]
    loss.update_state(logits, labels)
    is_positive = labels.unsqueeze(1) == torch.arange(4)
    gradient = gradient[:, :4].abs()
    expected = [(gradient * is_positive).sum(dim=0), (gradient * ~is_positive).sum(dim=0)]
    for buffer, old, added in zip(loss.gradient_sums.buffers(), before, expected, strict=True):
        torch.testing.assert_close(buffer - old, added, rtol=1e-12, atol=1e-12)
