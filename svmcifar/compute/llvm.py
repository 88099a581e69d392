"""Three LLVM instructions that numba does not offer and that its loops need to become SIMD code."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def float_from_bits(typing_context, bits):  # type: ignore[no-untyped-def]
    """Reinterpret an int32 as the float32 with the same bits."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic
def double_from_bits(typing_context, bits):  # type: ignore[no-untyped-def]
    """Reinterpret an int64 as the float64 with the same bits."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@intrinsic
def fast_max(typing_context, a, b):  # type: ignore[no-untyped-def]
    """Return the larger of two floats of one type, neither of them NaN.

    LLVM turns a loop that reduces with a maximum into SIMD code only where
    both the comparison and the choice carry these flags; Python's ``max``
    sets none on the choice.
    """
    flags = ("nnan", "nsz")

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        larger = builder.fcmp_ordered(">", args[0], args[1], flags=flags)
        return builder.select(larger, args[0], args[1], flags=flags)

    return a(a, a), codegen
