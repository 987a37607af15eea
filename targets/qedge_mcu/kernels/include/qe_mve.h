/* What the kernels for Helium (MVE) share. */
#ifndef QE_MVE_H
#define QE_MVE_H

#include "qe_common.h"

#if defined(__ARM_FEATURE_MVE) && !defined(QE_NO_ASM)
#define QE_MVE 1
#include <arm_mve.h>
#define QE_NAKED __attribute__((naked, noinline))
#define QE_MVE_APART __attribute__((noinline))
#else
#define QE_MVE 0
#define QE_MVE_APART
#endif

/* Text of the assembler: four sums become outputs without their zero point, with double rounding. VQRDMULH is
 * SaturatingRoundingDoublingHighMul; taking one off negative values before the rounding shift sends its ties away
 * from zero. Where the output is clamped at its zero point (RELU), negative values end there anyway:
 * QE_MVE_SIGNED says that some operator needs the ties of negative values. SHIFT is negative or 0; MULTIPLIER is
 * lost. */
#ifdef QE_MVE_SIGNED
#define QE_ASM_MVE_REQUANTIZE(SUMS, MULTIPLIER, SHIFT) \
    "vqrdmulh.s32 " SUMS ", " SUMS ", " MULTIPLIER "\n" \
    "vand " MULTIPLIER ", " SUMS ", " SHIFT "\n" \
    "vshr.s32 " MULTIPLIER ", " MULTIPLIER ", #31\n" \
    "vadd.i32 " SUMS ", " SUMS ", " MULTIPLIER "\n" \
    "vrshl.s32 " SUMS ", " SUMS ", " SHIFT "\n"
#else
#define QE_ASM_MVE_REQUANTIZE(SUMS, MULTIPLIER, SHIFT) \
    "vqrdmulh.s32 " SUMS ", " SUMS ", " MULTIPLIER "\n" \
    "vrshl.s32 " SUMS ", " SUMS ", " SHIFT "\n"
#endif

/* Clamp bytes to LOW and HIGH, vectors, where some operator's range is narrower than 8 bits (QE_MVE_CLAMP). */
#ifdef QE_MVE_CLAMP
#define QE_ASM_MVE_CLAMP(VALUES, LOW, HIGH) \
    "vmax.s8 " VALUES ", " VALUES ", " LOW "\n" \
    "vmin.s8 " VALUES ", " VALUES ", " HIGH "\n"
#else
#define QE_ASM_MVE_CLAMP(VALUES, LOW, HIGH)
#endif

/* An output of a sum that has its bias, for the twins and what is left over. */
static inline int8_t qe_mve_output(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero_point, int32_t low,
                                   int32_t high)
{
    return qe_clamp_s8(qe_requantize(sum, multiplier, shift) + zero_point, low, high);
}

#endif
