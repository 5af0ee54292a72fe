"""The book's machinery: tangle, weave, site, verify. Nothing in `nnlib` needs it."""
