# status: crashed
import json
import os
import struct

def frame(value):
    header = json.dumps({"arrays": 0, "value": value}).encode()
    return struct.pack("<Q", len(header)) + header

def outcome(**entries):
    return frame(["dict", [[name, value] for name, value in entries.items()]])

def put(data):
    for descriptor in range(3, 40):
        try:
            os.write(descriptor, data)
        except OSError:
            pass

values = ["list", []]
for _ in range(300):
    values = ["list", [values]]
put(outcome(status="ready") + 40 * outcome(status="ok", values=values, inputs=["dict", []]))
