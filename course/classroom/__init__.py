"""The classroom: exercises, the student edition, and the checks that students and graders share."""
