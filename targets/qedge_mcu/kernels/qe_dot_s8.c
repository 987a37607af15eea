/* Products of int8 inputs and weights, portable: four outputs at a time from interleaved weights. */
#include "qe_dot_s8.h"

#include "qe_dot_4_plain.h"

#ifdef QE_DOT_VECTORS
#include "qe_vectors.h"
#else
#define QE_VECTORS 0
#endif

#if QE_VECTORS

/* Add the products of eights of inputs; return how many those are. */
static int32_t dot_4_eights(int32_t *sums, const int8_t *x, const int8_t *weights, int32_t n, int32_t offset)
{
    const qe_v8 offsets = qe_v8_repeat(offset);
    qe_v4 s = qe_v4_load(sums);
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const qe_v8 a = qe_v8_add(qe_v8_load_s8(x + i), offsets);
        const qe_v8 w0 = qe_v8_load_s8(weights + 4 * i), w1 = qe_v8_load_s8(weights + 4 * i + 8);
        QE_V4_ADD_TWO(s, a, w0, 0);
        QE_V4_ADD_TWO(s, a, w1, 1);
        const qe_v8 w2 = qe_v8_load_s8(weights + 4 * i + 16), w3 = qe_v8_load_s8(weights + 4 * i + 24);
        QE_V4_ADD_TWO(s, a, w2, 2);
        QE_V4_ADD_TWO(s, a, w3, 3);
    }
    qe_v4_store(sums, s);
    return i;
}
#endif

void qe_dot_4_s8(int32_t *sums, const int8_t *x, const int8_t *weights, int32_t n, int32_t offset)
{
#if QE_VECTORS
    const int32_t done = dot_4_eights(sums, x, weights, n, offset);
    x += done;
    weights += 4 * done;
    n -= done;
#endif
    qe_dot_4_plain(sums, x, weights, n, offset);
}

void qe_dot_1_s8(int32_t *sums, const int8_t *x, const int8_t *weights, int32_t n, int32_t offset)
{
#if QE_VECTORS
    qe_v4 eights = qe_v4_zero();
    const int32_t rest = qe_dot_eights(&eights, x, weights, n, offset, 0);
    sums[0] += rest + qe_v4_total(eights);
#else
    int32_t sum = sums[0];
    for (const int8_t *end = x + n; x < end; ++x) {
        sum += (*x + offset) * *weights++;
    }
    sums[0] = sum;
#endif
}
