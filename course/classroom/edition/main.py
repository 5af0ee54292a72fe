"""`python -m course` in the student edition."""

import sys

from course.classroom.desk import main

if __name__ == "__main__":
    sys.exit(main())
