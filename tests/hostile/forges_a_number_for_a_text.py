# status: crashed missing
# @FORGING@
put(outcome(status="ready", problem=7, notes=["list", [1, ["list", []]]]) + 40 * outcome(status="missing", message="m"))
