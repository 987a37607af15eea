/* Vectors of 128 bits, for libraries that run under an operating system: SSE4.1 and NEON. QE_VECTORS is 1 where the
 * compiler may use one of them; elsewhere the kernels are the portable ones. */
#ifndef QE_VECTORS_H
#define QE_VECTORS_H

#include "qe_common.h"
#include "qe_vectors_neon.h"
#include "qe_vectors_sse.h"

#ifndef QE_VECTORS
#define QE_VECTORS 0
#endif

#if QE_VECTORS

/* Add the products of whole eights of n values, each plus its offset, to sums; return the sum of the others. */
static inline int32_t qe_dot_eights(qe_v4 *sums, const int8_t *x, const int8_t *y, int32_t n, int32_t x_offset,
                                    int32_t y_offset)
{
    const qe_v8 x_offsets = qe_v8_repeat(x_offset), y_offsets = qe_v8_repeat(y_offset);
    int32_t i = 0, rest = 0;
    for (; i + 8 <= n; i += 8) {
        *sums = qe_v4_add_dot(*sums, qe_v8_add(qe_v8_load_s8(x + i), x_offsets),
                              qe_v8_add(qe_v8_load_s8(y + i), y_offsets));
    }
    for (; i < n; ++i) {
        rest += (x[i] + x_offset) * (y[i] + y_offset);
    }
    return rest;
}

/* The same with four arrays y, step bytes apart: the sums of the others are added to rests. */
static inline void qe_dot_eights_4(qe_v4 sums[4], int32_t rests[4], const int8_t *x, const int8_t *y, int32_t step,
                                   int32_t n, int32_t x_offset, int32_t y_offset)
{
    const qe_v8 x_offsets = qe_v8_repeat(x_offset), y_offsets = qe_v8_repeat(y_offset);
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const qe_v8 eight = qe_v8_add(qe_v8_load_s8(x + i), x_offsets);
        for (int32_t k = 0; k < 4; ++k) {
            sums[k] = qe_v4_add_dot(sums[k], eight, qe_v8_add(qe_v8_load_s8(y + i + k * step), y_offsets));
        }
    }
    for (; i < n; ++i) {
        for (int32_t k = 0; k < 4; ++k) {
            rests[k] += (x[i] + x_offset) * (y[i + k * step] + y_offset);
        }
    }
}

static inline int32_t qe_v4_total(qe_v4 x)
{
    int32_t values[4];
    qe_v4_store(values, x);
    return values[0] + values[1] + values[2] + values[3];
}

/* Return what four sums of one scale need. */
static inline qe_scale qe_scale_of(int32_t multiplier, int32_t shift)
{
    const int32_t multipliers[4] = {multiplier, multiplier, multiplier, multiplier};
    const int8_t shifts[4] = {(int8_t)shift, (int8_t)shift, (int8_t)shift, (int8_t)shift};
    return qe_scale_load(multipliers, shifts);
}

#endif

#endif
