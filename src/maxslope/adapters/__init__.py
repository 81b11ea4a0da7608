"""The places where people already are: other attack libraries, test suites, scikit-learn, logs."""

from maxslope.adapters.assertions import Evidence, assert_robust
from maxslope.adapters.attacks import as_art, as_foolbox, as_torchattacks
from maxslope.adapters.autoattack import AutoAttack, benchmark
from maxslope.adapters.conversions import Converted, from_art, from_foolbox
from maxslope.adapters.peers import Art, Foolbox, FunctionPeer, Peer, PeerStart, Torchattack, continued, second_opinion
from maxslope.adapters.scoring import RobustScorer, robust_scorer
from maxslope.adapters.tracking import metrics, to_mlflow, to_tensorboard, to_wandb

__all__ = [
    "Art",
    "AutoAttack",
    "Converted",
    "Evidence",
    "Foolbox",
    "FunctionPeer",
    "Peer",
    "PeerStart",
    "RobustScorer",
    "Torchattack",
    "as_art",
    "as_foolbox",
    "as_torchattacks",
    "assert_robust",
    "benchmark",
    "continued",
    "from_art",
    "from_foolbox",
    "metrics",
    "robust_scorer",
    "second_opinion",
    "to_mlflow",
    "to_tensorboard",
    "to_wandb",
]
