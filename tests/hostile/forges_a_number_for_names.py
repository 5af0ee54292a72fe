# status: crashed
# @FORGING@
put(outcome(status="raised", bases=7, message=[["x"]]))
