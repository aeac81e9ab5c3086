"""The laws of branches, one in each file: what a pass makes of a branch, by applying itself to each of its bodies."""
