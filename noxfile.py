"""The chores, each in an environment of its own: ``nox -s tests``, ``lint``, ``bench``, ``docs``."""

import nox

nox.options.sessions = ["tests", "lint"]


@nox.session
def tests(session: nox.Session) -> None:
    """The tests; arguments after -- go to pytest."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """All that reads the source without running it."""
    session.install(".[dev]")
    session.run(".ci/lint", external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """The figures beside peers; arguments after -- go to ``python -m fnnfast bench``."""
    session.install(".[bench]")
    session.run("python", "-m", "fnnfast", "bench", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in docs/_build/html; a warning is an error. With FNNFAST_DOCS_OFFLINE=1 it needs no network."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-q", *session.posargs, "docs", "docs/_build/html")
