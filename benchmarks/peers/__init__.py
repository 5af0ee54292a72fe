"""One module per library. Each has a class `MLP` with the same four methods, so that the bench treats all alike."""
