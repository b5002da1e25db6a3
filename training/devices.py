"""Where a network is trained, and in what precision its matrices are multiplied there: decided here alone."""

from __future__ import annotations

import torch
from torch import nn

from training.schedule import LoopError, Precision


def device_of(name: str) -> torch.device:
    """The device called "auto" (a GPU if there is one), "cpu" or "cuda".

    Raises
    ------
    LoopError
        If it is none of them, or "cuda" and torch sees no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise LoopError(f"device {name!r} is none of auto, cpu and cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise LoopError(
            f"device cuda was asked for, but torch {torch.__version__} sees no GPU; install torch for CUDA and check "
            "nvidia-smi, or train with --device auto or cpu"
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def precision_on(device: torch.device, precision: Precision, network: nn.Module) -> torch.dtype:
    """What matrices are multiplied in while training: for "auto" bfloat16 where that pays, else float32.

    It pays on a GPU that has it, and on a processor that has it for a network that is mostly LSTM: there a step takes
    half the time, while attention's backward pass takes five times as long (`benchmarks/training.py`).
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    fast = multiplies_bfloat16(device)
    if fast and device.type == "cpu":
        recurrent = [module for module in network.modules() if isinstance(module, nn.LSTM)]
        within = sum(weight.numel() for module in recurrent for weight in module.parameters())
        fast = 2 * within > sum(weight.numel() for weight in network.parameters())
    return torch.bfloat16 if fast else torch.float32


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # older torch does not tell: then float32
    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
