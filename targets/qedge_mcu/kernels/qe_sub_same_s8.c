/* SUB int8 of two tensors of the same shape: both are brought to one scale with 20 bits of headroom. */
#include "qe_sub_same_s8.h"

#include "qe_high.h"

void qe_sub_same_s8(int32_t small_multiplier, int32_t output_multiplier, uint32_t inputs, uint32_t outputs,
                    uint32_t count, const int8_t *large, const int8_t *small, int8_t *output)
{
    const int32_t sign = QE_BYTE(outputs, 2) != 0 ? -1 : 1;
    const int32_t large_factor = sign * ((int32_t)1 << 20), small_factor = (int32_t)1 << QE_BYTE(outputs, 1);
    const int32_t large_start = -QE_BYTE(inputs, 0) * large_factor, small_start = -QE_BYTE(inputs, 1) * small_factor;
    const int32_t small_shift = QE_BYTE(inputs, 2), output_shift = QE_BYTE(inputs, 3);
    const int32_t small_half = (int32_t)1 << (small_shift - 1);
    const int32_t output_start =
        ((int32_t)1 << (output_shift - 1)) + QE_BYTE(outputs, 0) * ((int32_t)1 << output_shift);
    for (const int8_t *end = large + count; large != end; ++large) {
        const int32_t grown = small_start + *small++ * small_factor;
        const int32_t scaled =
            qe_high_add_rounded(grown, small_multiplier, small_half + (grown >> 31)) >> small_shift;
        const int32_t twice = large_start + *large * large_factor - 2 * sign * scaled;
        const int32_t y = qe_high_add_rounded(twice, output_multiplier, output_start + (twice >> 31)) >> output_shift;
        *output++ = qe_saturate_s8(y);
    }
}
