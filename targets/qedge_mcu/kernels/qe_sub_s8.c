/* SUB int8. */
#include "qe_sub_s8.h"

void qe_sub_s8(const qe_sub_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        const int8_t *x = a + w.a;
        const int8_t *y = b + w.b;
        for (int32_t i = 0; i < p->row; ++i) {
            const int32_t on_scale_a = qe_requantize((*x + p->offset_a) * (1 << 20), p->multiplier_a, p->shift_a);
            const int32_t on_scale_b = qe_requantize((*y + p->offset_b) * (1 << 20), p->multiplier_b, p->shift_b);
            const int32_t scaled = qe_requantize(on_scale_a - on_scale_b, p->out_multiplier, p->out_shift);
            *output++ = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
            x += p->step_a;
            y += p->step_b;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
