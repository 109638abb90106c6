"""Import eth-account once, and undo what that does to the whole process.

py_ecc, which it brings, raises the recursion limit to 100,000: Python's JSON reader then ends the
process on a deep document instead of raising an error, also for the tests of other packages.
"""

import sys

_LIMIT = sys.getrecursionlimit()
import eth_account  # noqa: E402, F401 - between reading and restoring the limit

sys.setrecursionlimit(_LIMIT)
