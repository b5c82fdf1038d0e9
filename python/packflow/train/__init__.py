"""Training: recipes, pre-training by flow matching, checkpoints."""

from packflow.train.config import OptimConfig, TrainConfig, ValidationConfig
from packflow.train.pretrain import TrainResult, train
from packflow.train.recipes import recipe_named

__all__ = ["OptimConfig", "TrainConfig", "TrainResult", "ValidationConfig", "recipe_named", "train"]
