/* MUL int8. */
#include "qe_mul_s8.h"

void qe_mul_s8(const qe_mul_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        const int8_t *x = a + w.a;
        const int8_t *y = b + w.b;
        for (int32_t i = 0; i < p->row; ++i) {
            const int32_t product = (*x + p->offset_a) * (*y + p->offset_b);
            const int32_t scaled = qe_requantize(product, p->multiplier, p->shift);
            *output++ = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
            x += p->step_a;
            y += p->step_b;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
