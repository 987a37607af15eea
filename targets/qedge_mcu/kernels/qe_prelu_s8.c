/* PRELU int8. */
#include "qe_prelu_s8.h"

void qe_prelu_s8(const qe_prelu_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        const int8_t *x = a + w.a;
        const int8_t *y = b + w.b;
        for (int32_t i = 0; i < p->row; ++i) {
            const int32_t value = *x + p->offset_a;
            int32_t scaled;
            if (value >= 0) {
                scaled = qe_requantize(value, p->multiplier_positive, p->shift_positive);
            } else {
                scaled = qe_requantize(value * (*y + p->offset_b), p->multiplier_negative, p->shift_negative);
            }
            *output++ = qe_clamp_s8(scaled + p->output_zero_point, -128, 127);
            x += p->step_a;
            y += p->step_b;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
