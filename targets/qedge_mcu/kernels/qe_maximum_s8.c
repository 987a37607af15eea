/* MAXIMUM, MINIMUM int8. */
#include "qe_maximum_s8.h"

#ifdef QE_MAXIMUM
void qe_maximum_s8(const qe_maximum_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        const int8_t *x = a + w.a;
        const int8_t *y = b + w.b;
        for (int32_t i = 0; i < p->row; ++i) {
            *output++ = *x > *y ? *x : *y;
            x += p->step_a;
            y += p->step_b;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
#endif

#ifdef QE_MINIMUM
void qe_minimum_s8(const qe_maximum_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        const int8_t *x = a + w.a;
        const int8_t *y = b + w.b;
        for (int32_t i = 0; i < p->row; ++i) {
            *output++ = *x < *y ? *x : *y;
            x += p->step_a;
            y += p->step_b;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
#endif
