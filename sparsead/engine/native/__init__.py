"""The native engine: kernels of the tiled engine as compiled code."""
