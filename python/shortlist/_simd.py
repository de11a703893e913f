"""faiss's words for the instruction set in use, which SHORTLIST_ISA chooses before the import."""

from __future__ import annotations

from . import _core

__all__ = [
    "SIMDConfig",
    "SIMDLevel_ARM_NEON",
    "SIMDLevel_ARM_SVE",
    "SIMDLevel_AVX2",
    "SIMDLevel_AVX512",
    "SIMDLevel_AVX512_SPR",
    "SIMDLevel_NONE",
    "SIMDLevel_RISCV_RVV",
]

SIMDLevel_NONE = 0
SIMDLevel_AVX2 = 1
SIMDLevel_AVX512 = 2
SIMDLevel_AVX512_SPR = 3
SIMDLevel_ARM_NEON = 4
SIMDLevel_ARM_SVE = 5
SIMDLevel_RISCV_RVV = 6

_LEVELS = {"avx2": SIMDLevel_AVX2, "avx512": SIMDLevel_AVX512, "neon": SIMDLevel_ARM_NEON}


class SIMDConfig:
    """The level in use; one process has one, so no other can be set."""

    @staticmethod
    def get_level() -> int:
        """The SIMDLevel_* in use; plain loops are SIMDLevel_NONE."""
        return _LEVELS.get(_core.simd_level(), SIMDLevel_NONE)

    get_dispatched_level = get_level

    @staticmethod
    def is_simd_level_available(level: int) -> bool:
        """Whether it is the one in use."""
        return level == SIMDConfig.get_level()

    @staticmethod
    def set_level(level: int) -> None:
        """Raises UnsupportedError for another than the one in use."""
        if not SIMDConfig.is_simd_level_available(level):
            raise _core.UnsupportedError(
                f"level {level} cannot be set: {_core.simd_level()} is in use; set SHORTLIST_ISA "
                "before the import"
            )
