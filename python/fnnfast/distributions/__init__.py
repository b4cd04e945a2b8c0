"""The distributions that networks predict: batches of Bernoulli, Categorical and Gaussian distributions.

Bernoulli and Categorical are made from logits, so that no logarithm is taken of a probability that was rounded to 0 or
1. What a network computes (mean, mode, samples) has its dtype and its bits; what is derived from these is float64.
Logarithms are natural, entropies are in nats.

Bishop, "Pattern recognition and machine learning", 2006, sections 2.1 to 2.3 and appendix B.
"""

from .. import _public
from ._base import Distribution
from ._families import Bernoulli, Categorical, Gaussian, logistic, logit

__all__ = ["Bernoulli", "Categorical", "Distribution", "Gaussian", "logistic", "logit"]

_public.publish(__name__, globals(), __all__)
