/* FULLY_CONNECTED with int16 activations, portable. */
#include "qe_fully_connected_s16.h"

void qe_fully_connected_s16(const qe_fully_connected_s16_params *p, const int16_t *input, int16_t *output)
{
    for (int32_t row = 0; row < p->rows; ++row) {
        const int8_t *weights = p->weights;
        for (int32_t o = 0; o < p->outputs; ++o) {
            const int32_t channel = p->step != 0 ? o : 0;
            const int64_t sum = p->bias[o] + qe_dot_s16(input, weights, p->inputs);
            weights += p->inputs;
            const int32_t y = qe_requantize_s64(sum, p->multiplier[channel], p->shift[channel]);
            *output++ = qe_clamp_s16(y, p->low, p->high);
        }
        input += p->inputs;
    }
}
