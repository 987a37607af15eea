/* CUMSUM, ADD_N int8. */
#include "qe_sums_s8.h"

static int32_t on_scale(const qe_sums_params *p, int32_t x)
{
    return qe_requantize((x + p->input_offset) * ((int32_t)1 << 20), p->input_multiplier, p->input_shift);
}

static int8_t rescale(const qe_sums_params *p, int32_t sum)
{
    return qe_clamp_s8(qe_requantize(sum, p->output_multiplier, p->output_shift) + p->output_zero_point, -128, 127);
}

#ifdef QE_CUMSUM
void qe_cumsum_s8(const qe_sums_params *p, const int8_t *input, int8_t *output)
{
    const int32_t first = p->reverse != 0u ? (p->count - 1) * p->inner : 0;
    const int32_t step = p->reverse != 0u ? -p->inner : p->inner;
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t i = 0; i < p->inner; ++i) {
            int32_t sum = qe_requantize(p->input_offset * ((int32_t)1 << 20), p->input_multiplier, p->input_shift);
            int32_t at = first + i;
            for (int32_t k = 0; k < p->count; ++k) {
                const int32_t before = sum;
                sum = (int32_t)((uint32_t)sum + (uint32_t)on_scale(p, input[at]));
                output[at] = rescale(p, p->exclusive != 0u ? before : sum);
                at += step;
            }
        }
        input += p->count * p->inner;
        output += p->count * p->inner;
    }
}
#endif

#ifdef QE_ADD_N
void qe_add_n_s8(const qe_sums_params *p, const void *const *inputs, int8_t *output)
{
    for (int32_t i = 0; i < p->inner; ++i) {
        int32_t sum = qe_requantize(p->input_offset * ((int32_t)1 << 20), p->input_multiplier, p->input_shift);
        for (int32_t k = 0; k < p->count; ++k) {
            sum = (int32_t)((uint32_t)sum + (uint32_t)on_scale(p, ((const int8_t *)inputs[k])[i]));
        }
        output[i] = rescale(p, sum);
    }
}
#endif
