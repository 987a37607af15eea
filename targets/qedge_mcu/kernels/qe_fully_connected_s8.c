/* FULLY_CONNECTED int8, portable, four outputs at a time. */
#include "qe_fully_connected_s8.h"

#include "qe_dot_s8.h"

#ifdef QE_DOT_VECTORS
#define DOT_4 qe_dot_4_s8
#else
#include "qe_dot_4_plain.h"
#define DOT_4 qe_dot_4_plain
#endif

void qe_fully_connected_s8(const qe_fully_connected_params *p, const int8_t *input, int8_t *output)
{
    const int32_t inputs = p->inputs, outputs = p->outputs;
    for (int32_t row = 0; row < p->rows; ++row) {
        for (int32_t o = 0; o < outputs;) {
            const int32_t count = outputs - o >= 4 ? 4 : 1;
            int32_t sums[4] = {0, 0, 0, 0};
            if (count == 4) {
                DOT_4(sums, input, p->weights + o * inputs, inputs, 0);
            } else {
                qe_dot_1_s8(sums, input, p->weights + o * inputs, inputs, 0);
            }
            for (int32_t i = 0; i < count; ++i, ++o) {
                const int32_t channel = p->step != 0 ? o : 0;
                const int32_t y = qe_requantize(sums[i] + p->bias[o], p->multiplier[channel], p->shift[channel]);
                *output++ = qe_clamp_s8(y + p->output_zero_point, p->low, p->high);
            }
        }
        input += inputs;
    }
}
