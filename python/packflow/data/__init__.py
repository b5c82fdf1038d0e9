"""Training crystals: from CIF files to a memory-mapped dataset and its batches."""
