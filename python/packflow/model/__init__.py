"""The network: a transformer over packed atoms that predicts the two velocities of the flow."""

from packflow.model.packflow import Condition, ModelConfig, PackFlow

__all__ = ["Condition", "ModelConfig", "PackFlow"]
