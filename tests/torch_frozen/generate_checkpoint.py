"""A safetensors file as PyTorch's users get it, in hexadecimal.

Run: python tests/torch_frozen/generate_checkpoint.py > tests/torch_frozen/checkpoint.json (needs torch and safetensors)
"""

import importlib.metadata
import json

import torch
from safetensors.torch import save

torch.manual_seed(0)
TENSORS = {
    "0.bias": torch.tensor([-5.0, 1e-45, float("inf"), -0.0]),
    "0.weight": torch.randn(4, 3),
    "1.running_mean": torch.randn(4, dtype=torch.float64),
    "1.steps": torch.tensor([2**62 + 1, -1]),
    "empty": torch.zeros(0, 3),
    "scalar": torch.tensor(0.1),
}

if __name__ == "__main__":
    values = {name: {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape),
                     "values": [float(x).hex() if tensor.is_floating_point() else int(x) for x in tensor.flatten()]}
              for name, tensor in TENSORS.items()}
    floats = {name: tensor for name, tensor in TENSORS.items() if tensor.dtype == torch.float32}
    print(json.dumps({
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "safetensors")},
        "values": values,
        "all": save(TENSORS, {"made by": "hand"}).hex(),
        "float32": save(floats, {"made by": "hand"}).hex(),
    }, indent=1))
