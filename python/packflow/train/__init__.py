"""Training: recipes, pre-training by flow matching, physics alignment, checkpoints."""

from packflow.train.align_config import AlignConfig, AlignValidationConfig, RewardConfig
from packflow.train.align_recipes import align_recipe_named
from packflow.train.alignment import align
from packflow.train.config import OptimConfig, TrainConfig, ValidationConfig
from packflow.train.pretrain import train
from packflow.train.recipes import recipe_named
from packflow.train.run_folder import TrainResult

__all__ = [
    "AlignConfig",
    "AlignValidationConfig",
    "OptimConfig",
    "RewardConfig",
    "TrainConfig",
    "TrainResult",
    "ValidationConfig",
    "align",
    "align_recipe_named",
    "recipe_named",
    "train",
]
