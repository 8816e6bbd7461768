"""On a processor's tensors, the operations that CUDA would choose where they keep other memory."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

IN_FLOAT32 = frozenset(
    {F.layer_norm, torch.layer_norm, F.softmax, torch.softmax, torch.Tensor.softmax, F.log_softmax}
    | {
        torch.pow,
        torch.Tensor.pow,
        torch.Tensor.__pow__,
        torch.rsqrt,
        torch.Tensor.rsqrt,
        torch.exp,
        torch.Tensor.exp,
    }
    | {
        F.softplus,
        torch.cumsum,
        torch.Tensor.cumsum,
        torch.sum,
        torch.Tensor.sum,
        torch.prod,
        torch.Tensor.prod,
    }
)
"""Of the operations that autocast runs in float32 on CUDA and not on a processor, those that models use.

https://docs.pytorch.org/docs/stable/amp.html#cuda-ops-that-can-autocast-to-float32
"""


class AsOnCuda(TorchFunctionMode):
    """Attention that keeps no scores, dropout that keeps a byte an element, and CUDA's list of float32 operations."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            if len(args) > 4:
                args = (*args[:4], 0.0, *args[5:])
            kwargs.pop("dropout_p", None)
            if kwargs.pop("enable_gqa", False):
                query, *shared = args[:3]
                repeated = (one.repeat_interleave(query.shape[1] // one.shape[1], dim=1) for one in shared)
                args = (query, *repeated, *args[3:])
            return func(*args, **kwargs)
        if func is F.dropout:
            return _dropout(*args, **kwargs)
        if func in IN_FLOAT32 and torch.is_autocast_enabled("cpu"):
            args = tuple(_float32(one) for one in args)
        return func(*args, **kwargs)


def _dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    return torch.native_dropout(input, p, True)[0] if training and p > 0 else input


def _float32(value: Any) -> Any:
    is_half = isinstance(value, torch.Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if is_half else value
