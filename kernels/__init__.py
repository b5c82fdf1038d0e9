"""Triton kernels and their launchers, installed as packflow.kernels; imported only inside the CUDA branch of an op."""
