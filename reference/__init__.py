"""The independent implementation: pure Python floats and loops, slow and obvious."""
