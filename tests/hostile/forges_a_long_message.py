# status: wrong missing
# @FORGING@
put(outcome(status="ready") + 7 * outcome(status="raised", error="E", bases=["list", []], message="m" * 2_000_000))
