/* What the kernels for Helium (MVE) share: vectors of four sums are requantised together. */
#ifndef QE_MVE_H
#define QE_MVE_H

#include "qe_common.h"

#if defined(__ARM_FEATURE_MVE)
#define QE_MVE 1
#include <arm_mve.h>

/* Double rounding of four sums, plus the zero point; shift is positive to the left. VQRDMULH is
 * SaturatingRoundingDoublingHighMul; taking one off negative values before the rounding shift sends its ties away
 * from zero. Where the output is clamped at its zero point (RELU), negative values end there anyway:
 * QE_MVE_SIGNED says that some operator needs the ties of negative values, QE_MVE_LEFT that some channel shifts to
 * the left, QE_MVE_CLAMP that some clamp is narrower than 8 bits. */
static inline int32x4_t qe_mve_requantize(int32x4_t sums, int32x4_t multiplier, int32x4_t shift,
                                          int32_t zero_point)
{
#ifdef QE_MVE_LEFT
    const int32x4_t zero = vdupq_n_s32(0);
    const int32x4_t right = vminq_s32(shift, zero);
    sums = vshlq_s32(sums, vmaxq_s32(shift, zero));
#else
    const int32x4_t right = shift;
#endif
    int32x4_t high = vqrdmulhq_s32(sums, multiplier);
#ifdef QE_MVE_SIGNED
    high = vqaddq_s32(high, vshrq_n_s32(vandq_s32(high, right), 31));
#endif
    return vaddq_n_s32(vrshlq_s32(high, right), zero_point);
}

/* Saturate to the low byte of every lane, and clamp where some operator has a range narrower than 8 bits. */
static inline int16x8_t qe_mve_saturate(int16x8_t values, int32_t low, int32_t high)
{
#ifdef QE_MVE_CLAMP
    values = vminq_s16(vmaxq_s16(values, vdupq_n_s16((int16_t)low)), vdupq_n_s16((int16_t)high));
#else
    (void)low;
    (void)high;
#endif
    return vreinterpretq_s16_s8(vqmovnbq_s16(vreinterpretq_s8_s16(values), values));
}
#else
#define QE_MVE 0
#endif

#endif
