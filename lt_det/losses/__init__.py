"""Classification losses of the box head, one paper a file.

Importing this package registers every loss. It needs torch and fvcore only.
"""

from lt_det.losses.base import BOX_CLS_LOSS_REGISTRY, BoxClsLoss
from lt_det.losses.class_balanced import ClassBalancedSigmoidLoss, ClassBalancedSoftmaxLoss
from lt_det.losses.reweighted import ReweightedSigmoidLoss, ReweightedSoftmaxLoss
from lt_det.losses.sigmoid.acsl import ACSLLoss
from lt_det.losses.sigmoid.balanced_sigmoid import BalancedSigmoidLoss
from lt_det.losses.sigmoid.drop_loss import DropLoss
from lt_det.losses.sigmoid.ecm import ECMLoss
from lt_det.losses.sigmoid.efl import EFLLoss
from lt_det.losses.sigmoid.eql import EQLLoss
from lt_det.losses.sigmoid.eqlv2 import EQLv2Loss
from lt_det.losses.sigmoid.federated import FederatedLoss
from lt_det.losses.sigmoid.focal import FocalLoss
from lt_det.losses.sigmoid.plain import SigmoidLoss
from lt_det.losses.softmax.balanced_group_softmax import BalancedGroupSoftmaxLoss
from lt_det.losses.softmax.balanced_softmax import BalancedSoftmaxLoss
from lt_det.losses.softmax.equilibrium import EquilibriumLoss
from lt_det.losses.softmax.ldam import LDAMLoss
from lt_det.losses.softmax.logit_adjustment import LogitAdjustmentLoss
from lt_det.losses.softmax.plain import SoftmaxLoss
from lt_det.losses.softmax.seesaw import SeesawLoss
from lt_det.losses.softmax.softmax_eql import SoftmaxEQLLoss
from lt_det.registry import import_below

__all__ = [
    "BOX_CLS_LOSS_REGISTRY",
    "ACSLLoss",
    "BalancedGroupSoftmaxLoss",
    "BalancedSigmoidLoss",
    "BalancedSoftmaxLoss",
    "BoxClsLoss",
    "ClassBalancedSigmoidLoss",
    "ClassBalancedSoftmaxLoss",
    "DropLoss",
    "ECMLoss",
    "EFLLoss",
    "EQLLoss",
    "EQLv2Loss",
    "EquilibriumLoss",
    "FederatedLoss",
    "FocalLoss",
    "LDAMLoss",
    "LogitAdjustmentLoss",
    "ReweightedSigmoidLoss",
    "ReweightedSoftmaxLoss",
    "SeesawLoss",
    "SigmoidLoss",
    "SoftmaxEQLLoss",
    "SoftmaxLoss",
]

# A new file is registered before anybody exports its class above.
import_below(__name__, __path__)
