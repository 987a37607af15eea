/* ADD, SUB, MUL, SQUARED_DIFFERENCE, PRELU, MAXIMUM, MINIMUM with int16 activations, with broadcasting. */
#include "qe_arithmetic_s16.h"

/* Defines a kernel: `expression` is the output value before the clamp, of the values x and y. */
#define QE_BINARY_S16(name, type_b, expression)                                                                      \
    void name(const qe_arithmetic_s16_params *p, const int16_t *a, const type_b *b, int16_t *output)                 \
    {                                                                                                                \
        qe_walk w;                                                                                                   \
        qe_walk_start(&w, p->steps, p->rank);                                                                        \
        do {                                                                                                         \
            const int16_t *at_a = a + w.a;                                                                           \
            const type_b *at_b = b + w.b;                                                                            \
            for (int32_t i = 0; i < p->row; ++i) {                                                                   \
                const int32_t x = *at_a + p->offset_a, y = *at_b + p->offset_b;                                      \
                *output++ = (int16_t)qe_clamp((expression) + p->output_zero_point, p->low, p->high);                 \
                at_a += p->step_a;                                                                                   \
                at_b += p->step_b;                                                                                   \
            }                                                                                                        \
        } while (qe_walk_next(&w, p->steps, p->rank));                                                               \
    }

#if defined(QE_ADD_S16) || defined(QE_SUB_S16) || defined(QE_SQUARED_DIFFERENCE_S16)
static int32_t on_scale(int32_t x, int32_t shift, int32_t multiplier, int32_t exponent)
{
    return qe_requantize(x * ((int32_t)1 << shift), multiplier, exponent);
}
#endif

#ifdef QE_ADD_S16
QE_BINARY_S16(qe_add_s16, int16_t,
              qe_requantize(on_scale(x, 15, p->multiplier_a, p->shift_a) + on_scale(y, 15, p->multiplier_b, p->shift_b),
                            p->out_multiplier, p->out_shift))
#endif
#ifdef QE_SUB_S16
QE_BINARY_S16(qe_sub_s16, int16_t,
              qe_requantize(on_scale(x, 15, p->multiplier_a, p->shift_a) - on_scale(y, 15, p->multiplier_b, p->shift_b),
                            p->out_multiplier, p->out_shift))
#endif
#ifdef QE_MUL_S16
QE_BINARY_S16(qe_mul_s16, int16_t, qe_requantize(x * y, p->out_multiplier, p->out_shift))
#endif
#ifdef QE_SQUARED_DIFFERENCE_S16
static int32_t square(int32_t x)
{
    return (int32_t)((uint32_t)x * (uint32_t)x);
}

QE_BINARY_S16(qe_squared_difference_s16, int16_t,
              qe_requantize(square(on_scale(x, 0, p->multiplier_a, p->shift_a)
                                   - on_scale(y, 0, p->multiplier_b, p->shift_b)),
                            p->out_multiplier, p->out_shift))
#endif
#ifdef QE_PRELU_S16
QE_BINARY_S16(qe_prelu_s16, int8_t,
              x >= 0 ? qe_requantize(x, p->multiplier_a, p->shift_a)
                     : qe_requantize(x * y, p->multiplier_b, p->shift_b))
#endif
#ifdef QE_MAXIMUM_S16
QE_BINARY_S16(qe_maximum_s16, int16_t, x > y ? x : y)
#endif
#ifdef QE_MINIMUM_S16
QE_BINARY_S16(qe_minimum_s16, int16_t, x < y ? x : y)
#endif
