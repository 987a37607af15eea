/* EQUAL, NOT_EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL int8. */
#include "qe_compare_s8.h"

void qe_compare_s8(const qe_compare_params *p, const int8_t *a, const int8_t *b, uint8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        const int8_t *x = a + w.a;
        const int8_t *y = b + w.b;
        for (int32_t i = 0; i < p->row; ++i) {
            const int32_t on_scale_a = qe_requantize((*x + p->offset_a) * (1 << 8), p->multiplier_a, p->shift_a);
            const int32_t on_scale_b = qe_requantize((*y + p->offset_b) * (1 << 8), p->multiplier_b, p->shift_b);
            const uint32_t found = on_scale_a < on_scale_b ? 1u : (on_scale_a == on_scale_b ? 2u : 4u);
            *output++ = (uint8_t)((found & p->when) != 0u);
            x += p->step_a;
            y += p->step_b;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
