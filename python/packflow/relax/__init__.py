"""From proposals to relaxed crystals: hydrogens, geometric clean-up, batched optimizers."""
