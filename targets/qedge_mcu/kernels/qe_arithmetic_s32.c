/* ADD, SUB, MUL, MAXIMUM, MINIMUM, FLOOR_DIV and comparisons of int32 without quantisation: indices. */
#include "qe_arithmetic_s32.h"

#ifdef QE_S32_FLOOR_DIV
static int32_t rounded_down(int32_t x, int32_t y)
{
    if (y == 0) {
        return 0;
    }
    if (y == -1) {
        return (int32_t)(0u - (uint32_t)x);
    }
    return x / y - (x % y != 0 && (x < 0) != (y < 0) ? 1 : 0);
}
#endif

#ifdef QE_ARITHMETIC_S32
static int32_t combined(uint32_t what, int32_t x, int32_t y)
{
    switch (what) {
    case 0: return (int32_t)((uint32_t)x + (uint32_t)y);
    case 1: return (int32_t)((uint32_t)x - (uint32_t)y);
    case 2: return (int32_t)((uint32_t)x * (uint32_t)y);
    case 3: return x > y ? x : y;
#ifdef QE_S32_FLOOR_DIV
    case 5: return rounded_down(x, y);
#endif
    default: return x < y ? x : y;
    }
}

void qe_arithmetic_s32(const qe_arithmetic_s32_params *p, const int32_t *a, const int32_t *b, int32_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        for (int32_t i = 0; i < p->row; ++i) {
            *output++ = combined(p->what, a[w.a + i * p->step_a], b[w.b + i * p->step_b]);
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
#endif

#ifdef QE_COMPARE_S32
void qe_compare_s32(const qe_arithmetic_s32_params *p, const int32_t *a, const int32_t *b, uint8_t *output)
{
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        for (int32_t i = 0; i < p->row; ++i) {
            const int32_t x = a[w.a + i * p->step_a], y = b[w.b + i * p->step_b];
            const uint32_t found = x < y ? 1u : (x == y ? 2u : 4u);
            *output++ = (found & p->when) != 0u ? 1u : 0u;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}
#endif
