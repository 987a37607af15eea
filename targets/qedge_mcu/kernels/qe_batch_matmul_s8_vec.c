/* BATCH_MATMUL int8 with vectors: eight terms of a sum at a time, or a term of eight sums. */
#include "qe_batch_matmul_s8_vec.h"

#include "qe_vectors.h"

#if QE_VECTORS

/* What the sums of a layer become. */
typedef struct {
    qe_scale scale;
    qe_range range;
} outputs;

static void four_terms(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b, const outputs *to,
                       int8_t *output)
{
    int32_t rests[4] = {0, 0, 0, 0};
    qe_v4 sums[4];
    sums[0] = sums[1] = sums[2] = sums[3] = qe_v4_zero();
    qe_dot_eights_4(sums, rests, a, b, p->b_column, p->depth, p->offset_a, p->offset_b);
    const qe_v4 y = qe_v4_requantize(qe_v4_add(qe_v4_load(rests), qe_v4_totals(sums)), &to->scale);
    qe_outputs_store(output, output, y, y, &to->range);
}

/* A row of a with columns of b whose terms lie together. */
static void row_by_terms(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b, const outputs *to,
                         int8_t *output)
{
    if (p->columns < 4) {
        for (int32_t column = 0; column < p->columns; ++column) {
            qe_v4 eights = qe_v4_zero();
            const int32_t rest =
                qe_dot_eights(&eights, a, b + column * p->b_column, p->depth, p->offset_a, p->offset_b);
            const int32_t y = qe_requantize(rest + qe_v4_total(eights), p->multiplier, p->shift);
            output[column] = qe_clamp_s8(y + p->output_zero_point, -128, 127);
        }
        return;
    }
    for (int32_t column = 0; column < p->columns; column += 4) {
        /* The last four end with the last column: some are made a second time. */
        const int32_t first = column < p->columns - 4 ? column : p->columns - 4;
        four_terms(p, a, b + first * p->b_column, to, output + first);
    }
}

/* A row of a with eight columns of b that lie side by side. */
static void eight_columns(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b, const outputs *to,
                          int8_t *output)
{
    const qe_v8 offset = qe_v8_repeat(p->offset_b);
    qe_v4 low = qe_v4_zero(), high = low;
    int32_t k = 0;
    for (; k + 2 <= p->depth; k += 2) {
        const qe_v8 b0 = qe_v8_add(qe_v8_load_s8(b), offset), b1 = qe_v8_add(qe_v8_load_s8(b + p->b_step), offset);
        qe_v8_add_multiples(&low, &high, b0, a[k] + p->offset_a, b1, a[k + 1] + p->offset_a);
        b += 2 * p->b_step;
    }
    if (k < p->depth) {
        const qe_v8 b0 = qe_v8_add(qe_v8_load_s8(b), offset);
        qe_v8_add_multiples(&low, &high, b0, a[k] + p->offset_a, b0, 0);
    }
    qe_outputs_store(output, output + 4, qe_v4_requantize(low, &to->scale), qe_v4_requantize(high, &to->scale),
                     &to->range);
}

static void row_by_columns(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b, const outputs *to,
                           int8_t *output)
{
    for (int32_t column = 0; column < p->columns; column += 8) {
        /* The last eight end with the last column: some are made a second time. */
        const int32_t first = column < p->columns - 8 ? column : p->columns - 8;
        eight_columns(p, a, b + first, to, output + first);
    }
}

void qe_batch_matmul_s8_vec(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    outputs to;
    to.scale = qe_scale_of(p->multiplier, p->shift);
    to.range = qe_range_of(p->output_zero_point, -128, 127);
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    do {
        for (int32_t row = 0; row < p->rows; ++row) {
            if (p->b_step == 1) {
                row_by_terms(p, a + w.a + row * p->a_row, b + w.b, &to, output);
            } else {
                row_by_columns(p, a + w.a + row * p->a_row, b + w.b, &to, output);
            }
            output += p->columns;
        }
    } while (qe_walk_next(&w, p->steps, p->rank));
}

#else

void qe_batch_matmul_s8_vec(const qe_batch_matmul_params *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    qe_batch_matmul_s8(p, a, b, output);
}

#endif
