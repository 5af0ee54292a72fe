# status: crashed
# @FORGING@
put(outcome(status="unconfined", message="stop the batch"))
