/* FULLY_CONNECTED int8, portable. */
#include "qe_fully_connected_s8.h"

void qe_fully_connected_s8(const qe_fully_connected_params *p, const int8_t *input, int8_t *output)
{
    const int32_t inputs = p->inputs;
    for (int32_t row = 0; row < p->rows; ++row) {
        const int8_t *weights = p->weights;
        for (int32_t o = 0; o < p->outputs; ++o) {
            int32_t sum = p->bias[o];
            for (int32_t i = 0; i < inputs; ++i) {
                sum += (int32_t)input[i] * weights[i];
            }
            weights += inputs;
            const int32_t channel = p->step != 0 ? o : 0;
            const int32_t y = qe_requantize(sum, p->multiplier[channel], p->shift[channel]);
            *output++ = qe_clamp_s8(y + p->output_zero_point, p->low, p->high);
        }
        input += inputs;
    }
}
