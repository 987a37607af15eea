/* FLOOR_DIV of float32. */
#include "qe_floor_div_f32.h"

/* floorf without the mathematics library; beyond 2^23 a float is a whole number. */
static float rounded_down(float x)
{
    if (!(x > -8388608.0f && x < 8388608.0f)) {
        return x;
    }
    const float whole = (float)(int32_t)x;
    if (whole > x) {
        return whole - 1.0f;
    }
    return whole < x ? whole : x; /* x keeps the sign of its zero */
}

void qe_floor_div_f32(const qe_floor_div_params *p, const float *a, const float *b, float *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        for (int32_t i = 0; i < p->row; ++i) {
            *output++ = rounded_down(a[w.a + i * p->step_a] / b[w.b + i * p->step_b]);
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
