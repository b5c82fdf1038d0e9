"""Whole runs: from a molecule to a folder of results."""
