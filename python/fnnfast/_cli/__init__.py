"""The commands of ``python -m fnnfast``: one module each, with ``run(options) -> exit status``."""
