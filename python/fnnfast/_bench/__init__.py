"""The measuring apparatus behind ``python -m fnnfast bench`` (protocol: bench/README.md in the source tree).

``problems`` names the work and its goals, and makes that of a user; ``networks`` says what its networks are made of,
``architectures`` describes those on images. ``answers`` says what a correct answer is (``float64`` and ``activations``
compute it), ``peers`` holds one class a contender, ``timing`` lets the contenders take turns in processes of their own
(``worker`` runs in each), ``report`` words the result, ``scaling`` that of several numbers of threads; ``contention``
does the last two beside a busy core. ``compare`` puts two records beside each other. Only ``peers.Fnnfast`` touches the
rest of the package: the processes that measure a peer load this folder alone.
"""
