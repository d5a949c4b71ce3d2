"""Fused Triton kernels. There are none yet: every network runs on PyTorch's own operators."""
