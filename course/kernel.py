"""The kernels chapters run in: the same for the weave and for nbval."""

import os

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

FIXED = {
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
PERSONAL = ("PYTHONSTARTUP", "PYTHONWARNINGS")


class ThisPython(AsyncKernelManager):
    """Starts kernels with the interpreter that runs us, whatever kernels are installed."""

    @property
    def kernel_spec(self):
        return KernelSpec(resource_dir="", **get_kernel_dict())


def environment(scratch, *path):
    """A kernel's environment: fixed seeds and threads, `path` first, nobody's own settings."""
    inherited = {name: value for name, value in os.environ.items() if name not in PERSONAL}
    search = os.pathsep.join(dict.fromkeys(map(str, path)))
    return {**inherited, **FIXED, "PYTHONPATH": search, "IPYTHONDIR": str(scratch)}
