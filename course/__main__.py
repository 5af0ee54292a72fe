"""`python -m course VERB`: works on a bare Python, sets up `.venv` first where that is needed.

Only the standard library is imported before `.venv` is known to be ready.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("The book needs Python 3.11 or newer; this is Python "
             + ".".join(map(str, sys.version_info[:3])) + ".")

from course import environment  # noqa: E402

if __name__ == "__main__":
    environment.enter()

    from course.cli import main

    main()
