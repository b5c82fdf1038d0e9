"""The paper's numbers over sets of structures."""
