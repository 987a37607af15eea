/* FULLY_CONNECTED with int16 activations and a bias of 32 bits, portable; sums wrap, as those of 32 bits do. */
#include "qe_fully_connected_s16_b32.h"

void qe_fully_connected_s16_b32(const qe_fully_connected_s16_b32_params *p, const int16_t *input, int16_t *output)
{
    for (int32_t row = 0; row < p->rows; ++row) {
        const int8_t *weights = p->weights;
        for (int32_t o = 0; o < p->outputs; ++o) {
            const int32_t channel = p->step != 0 ? o : 0;
            const uint32_t sum = (uint32_t)p->bias[o] + (uint32_t)qe_dot_s16(input, weights, p->inputs);
            const int32_t y = qe_requantize((int32_t)sum, p->multiplier[channel], p->shift[channel]);
            weights += p->inputs;
            *output++ = qe_clamp_s16(y, p->low, p->high);
        }
        input += p->inputs;
    }
}
