"""Pre-training by flow matching: batch, loss, backward, clip, step, average, log, validate, save."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from packflow.data.batching import Batches, CrystalSource, generator_of
from packflow.errors import InputError
from packflow.flow.loss import Loss, draw_path, flow_matching_loss
from packflow.model import PackFlow
from packflow.structure import CrystalBatch
from packflow.structure.flow_space import fit_lattice
from packflow.train.checkpoint import RunState, checkpoint_name, load_checkpoint, read_config, save_checkpoint
from packflow.train.config import TrainConfig
from packflow.train.log import RunLog
from packflow.train.optim import optimizers_of, set_learning_rates, update_average
from packflow.train.stop import StopRequest
from packflow.train.validation import Validation
