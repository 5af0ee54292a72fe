"""nnlib beside its peers, on the same work, in one run. See README.md."""
