"""Every answer and every trained weight has the bits that version 0.1.0 gave it, or 0.2.0 with tanh and selu.

tests/kept/digests.txt was made by these versions. It is the same for all instruction sets and numbers of threads.
A change of the bits is a change of what users get; where one is meant, the new lines are made with
``python tools/digests.py write`` and the changelog says so.
"""

import pytest

import digest_cases
import fnnfast as fnn
from fnnfast import _cpu

FAST = [group for group in digest_cases.GROUPS if group != "long"]
THREADS = [pytest.param(threads, marks=[pytest.mark.long] * (threads != 2)) for threads in (1, 2, 3)]

pytestmark = pytest.mark.usefixtures("machine_restored")


@pytest.fixture(scope="module")
def stored():
    return digest_cases.read()


def assert_as_stored(group, stored):
    wrong = digest_cases.differences(stored, digest_cases.compute(group), group)
    where = f"{_cpu.isa()}, {fnn.get_num_threads()} threads"
    assert not wrong, f"{where}: other bits in {len(wrong)} networks\n" + "\n".join(wrong)


@pytest.mark.parametrize("group", FAST)
def test_bits_as_kept(group, stored):
    assert_as_stored(group, stored)


@pytest.mark.slow
def test_long_trainings_have_the_kept_bits(stored):
    assert_as_stored("long", stored)


@pytest.mark.slow
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("group", list(digest_cases.GROUPS))
def test_bits_as_kept_on_every_instruction_set(group, isa, threads, stored):
    fnn.set_num_threads(threads)
    assert_as_stored(group, stored)


def test_every_network_is_in_the_table(stored):
    """A name that is misspelt in the table would hide one that is not compared."""
    assert {key.name for key in stored} >= {case.name for case in digest_cases.CASES}
    assert {of for of, _ in stored.values()} == set(digest_cases.GROUPS)


def test_a_difference_names_its_network():
    key = digest_cases.Key("relu", "float32", "7", "call")
    table = {
        key: ("answers", "00"),
        key._replace(name="gone"): ("answers", "00"),
        key._replace(batch="1"): ("fits", "1"),
    }
    found = {key: "01", key._replace(name="new"): "00"}
    assert digest_cases.differences(table, found, "answers") == [
        "gone: float32 7 call (not computed)",
        "new: float32 7 call (not in the table)",
        "relu: float32 7 call",
    ]
