"""The functional face: gradients, products, Jacobians and Hessians of functions."""
