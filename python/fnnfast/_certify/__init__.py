"""Errors of the activations in ulp, over all floats: ``python -m fnnfast certify``."""
