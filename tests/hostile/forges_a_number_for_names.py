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

put(outcome(status="raised", bases=7, message=[["x"]]))
