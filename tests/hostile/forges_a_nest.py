# status: crashed
# @FORGING@
values = ["list", []]
for _ in range(300):
    values = ["list", [values]]
put(outcome(status="ready") + 40 * outcome(status="ok", values=values, inputs=["dict", []]))
