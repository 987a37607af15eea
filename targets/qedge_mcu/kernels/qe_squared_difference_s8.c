/* SQUARED_DIFFERENCE int8. */
#include "qe_squared_difference_s8.h"

void qe_squared_difference_s8(const qe_squared_difference_params *p, const int8_t *a, const int8_t *b,
                              int8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        const int8_t *x = a + w.a;
        const int8_t *y = b + w.b;
        for (int32_t i = 0; i < p->row; ++i) {
            const int32_t on_scale_a = qe_requantize((*x + p->offset_a) * (1 << 7), p->multiplier_a, p->shift_a);
            const int32_t on_scale_b = qe_requantize((*y + p->offset_b) * (1 << 7), p->multiplier_b, p->shift_b);
            const int32_t difference = on_scale_a - on_scale_b;
            const int32_t scaled = qe_requantize(difference * difference, p->out_multiplier, p->out_shift);
            *output++ = qe_clamp_s8(scaled + p->output_zero_point, -128, 127);
            x += p->step_a;
            y += p->step_b;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
