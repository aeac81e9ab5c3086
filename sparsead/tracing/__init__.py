"""From a NumPy function to a tape: traced arrays, guards, substitution of what the function captures."""
