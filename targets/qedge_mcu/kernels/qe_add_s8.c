/* ADD int8 of two tensors of the same shape: both are brought to one scale with 20 bits of headroom. */
#include "qe_add_s8.h"

void qe_add_s8(const qe_add_params *p, const int8_t *input1, const int8_t *input2, int8_t *output)
{
    for (uint32_t i = 0; i < p->count; ++i) {
        const int32_t a = (input1[i] + p->offset1) * (1 << 20);
        const int32_t b = (input2[i] + p->offset2) * (1 << 20);
        const int32_t sum = qe_requantize(a, p->multiplier1, p->shift1) + qe_requantize(b, p->multiplier2, p->shift2);
        const int32_t y = qe_requantize(sum, p->output_multiplier, p->output_shift);
        output[i] = qe_clamp_s8(y + p->output_zero_point, p->low, p->high);
    }
}
