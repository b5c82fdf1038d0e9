"""From sampled heavy atoms to relaxed crystals with all their atoms."""
