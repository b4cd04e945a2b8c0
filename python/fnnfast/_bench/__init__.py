"""The measuring apparatus behind ``python -m fnnfast bench`` (protocol: bench/README.md in the source tree).

``problems`` names the work and its goals; ``networks`` says what its networks are made of, ``architectures`` describes
those on images. ``answers`` says what a correct answer is (``float64`` computes it), ``peers`` holds one class a
contender, ``timing`` lets the contenders take turns in processes of their own (``worker`` runs in each), ``report``
words the result; ``contention`` does the last two beside a busy core. Only ``peers.Fnnfast`` touches the rest of the
package: the processes that measure a peer load this folder alone.
"""
