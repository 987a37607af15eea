/* ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM, SQUARED_DIFFERENCE and FLOOR_DIV of float32. */
#include "qe_arithmetic_f32.h"

#ifdef QE_F32_FLOOR_DIV
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
#endif

#ifdef QE_F32_SQUARED_DIFFERENCE
static float squared(float x)
{
    return x * x;
}
#endif

/* Only what the model has, so that a core without floats links no more of its library than that. */
static float combined(uint32_t what, float x, float y)
{
    switch (what) {
#ifdef QE_F32_ADD
    case 0: return x + y;
#endif
#ifdef QE_F32_SUB
    case 1: return x - y;
#endif
#ifdef QE_F32_MUL
    case 2: return x * y;
#endif
#ifdef QE_F32_DIV
    case 3: return x / y;
#endif
#ifdef QE_F32_MAXIMUM
    case 4: return x > y ? x : y;
#endif
#ifdef QE_F32_MINIMUM
    case 5: return x < y ? x : y;
#endif
#ifdef QE_F32_SQUARED_DIFFERENCE
    case 6: return squared(x - y);
#endif
#ifdef QE_F32_FLOOR_DIV
    case 7: return rounded_down(x / y);
#endif
    default: return 0.0f;
    }
}

void qe_arithmetic_f32(const qe_arithmetic_f32_params *p, const float *a, const float *b, float *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        for (int32_t i = 0; i < p->row; ++i) {
            float value = combined(p->what, a[w.a + i * p->step_a], b[w.b + i * p->step_b]);
            if (p->what < 4u) {
                value = value < p->low ? p->low : value; /* not a number stays that */
                value = value > p->high ? p->high : value;
            }
            *output++ = value;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
