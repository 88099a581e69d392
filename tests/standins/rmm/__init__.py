"""As much of RMM as the package calls: the resource that cuML allocates from."""

from types import SimpleNamespace

_resources = ["cudaMalloc"]

mr = SimpleNamespace(
    CudaAsyncMemoryResource=lambda: "a pool",
    get_current_device_resource=lambda: _resources[-1],
    set_current_device_resource=_resources.append,
)
