"""Where arrays are, and what computes with them there: the CPU or a GPU."""
