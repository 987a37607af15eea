/* FULLY_CONNECTED with int4 weights, portable. */
#include "qe_fully_connected_s8.h"

static int32_t low_half(int8_t pair)
{
    return ((pair & 15) ^ 8) - 8;
}

void qe_fully_connected_s4(const qe_fully_connected_params *p, const int8_t *input, int8_t *output)
{
    const int32_t inputs = p->inputs;
    for (int32_t row = 0; row < p->rows; ++row) {
        const int8_t *weights = p->weights;
        for (int32_t o = 0; o < p->outputs; ++o) {
            int32_t sum = p->bias[o];
            int32_t i = 0;
            for (; i + 1 < inputs; i += 2) {
                sum += input[i] * low_half(*weights) + input[i + 1] * (*weights >> 4);
                ++weights;
            }
            if (i < inputs) {
                sum += input[i] * low_half(*weights);
                ++weights;
            }
            const int32_t channel = p->step != 0 ? o : 0;
            const int32_t y = qe_requantize(sum, p->multiplier[channel], p->shift[channel]);
            *output++ = qe_clamp_s8(y + p->output_zero_point, p->low, p->high);
        }
        input += inputs;
    }
}
