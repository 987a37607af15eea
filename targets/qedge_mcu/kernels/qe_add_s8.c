/* ADD int8 of two tensors of the same shape: both are brought to one scale with 20 bits of headroom. */
#include "qe_add_s8.h"

/* Return a * b / 2^32, rounded to nearest with ties upwards: the first rounding, for a doubled. */
static inline int32_t high_word(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
}

/* Return x / 2^shift with ties away from zero; half is 2^(shift - 1). */
static inline int32_t round_shift(int32_t x, int32_t half, int32_t shift)
{
    return (x + half + (x >> 31)) >> shift;
}

void qe_add_s8(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output)
{
    const int32_t small_half = (int32_t)1 << (p->small_shift - 1);
    const int32_t output_half = (int32_t)1 << (p->output_shift - 1);
    const int32_t large_start = p->large_offset * (1 << 20);
    const int32_t small_start = p->small_offset * p->small_factor;
    const int32_t small_factor = p->small_factor, small_multiplier = p->small_multiplier;
    const int32_t output_multiplier = p->output_multiplier, zero_point = p->output_zero_point;
    const int32_t small_shift = p->small_shift, output_shift = p->output_shift;
    for (const int8_t *end = large + p->count; large < end; ++large) {
        const int32_t b = high_word(small_start + *small++ * small_factor, small_multiplier);
        const int32_t twice_sum = large_start + *large * (1 << 20) + 2 * round_shift(b, small_half, small_shift);
        const int32_t y = round_shift(high_word(twice_sum, output_multiplier), output_half, output_shift);
        int8_t value = qe_clamp_s8(y + zero_point, INT8_MIN, INT8_MAX);
#ifdef QE_ADD_CLAMP
        value = qe_clamp_s8(value, p->low, p->high);
#endif
        *output++ = value;
    }
}
