/* Operators of one integer value that keep its type or change it, where a table would be too large. */
#include "qe_requantize.h"

static int32_t load(const void *from, int32_t i, int32_t bytes)
{
    if (bytes == 1) {
        return ((const int8_t *)from)[i];
    }
    return bytes == 2 ? ((const int16_t *)from)[i] : ((const int32_t *)from)[i];
}

static void store(void *to, int32_t i, int32_t bytes, int32_t value)
{
    if (bytes == 1) {
        ((int8_t *)to)[i] = (int8_t)value;
    } else if (bytes == 2) {
        ((int16_t *)to)[i] = (int16_t)value;
    } else {
        ((int32_t *)to)[i] = value;
    }
}

void qe_requantize_all(const qe_requantize_params *p, const void *input, void *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        const int32_t x = load(input, i, p->in_bytes) - p->input_zero_point;
        int32_t y;
        if (x >= 0) {
            y = qe_requantize(x, p->multiplier, p->shift);
        } else {
            y = qe_requantize(x, p->negative_multiplier, p->negative_shift);
            y = p->minus != 0u ? -y : y;
        }
        store(output, i, p->out_bytes, qe_clamp(y + p->output_zero_point, p->low, p->high));
    }
}
