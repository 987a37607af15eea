/* Matrix product int8 for Helium: four outputs share every load of 16 inputs. */
#include "qe_matrix_s8_mve.h"

#if QE_MVE

/* The sums of four outputs whose weights start at w0, w1, w2 and w3. */
static inline int32x4_t four_sums(const int8_t *input, const int8_t *w0, const int8_t *w1, const int8_t *w2,
                                  const int8_t *w3, int32_t depth)
{
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (; depth > 0; depth -= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)depth);
        const int8x16_t x = vldrbq_z_s8(input, lanes);
        a = vmladavaq_p_s8(a, x, vldrbq_z_s8(w0, lanes), lanes);
        b = vmladavaq_p_s8(b, x, vldrbq_z_s8(w1, lanes), lanes);
        c = vmladavaq_p_s8(c, x, vldrbq_z_s8(w2, lanes), lanes);
        d = vmladavaq_p_s8(d, x, vldrbq_z_s8(w3, lanes), lanes);
        input += 16;
        w0 += 16;
        w1 += 16;
        w2 += 16;
        w3 += 16;
    }
    int32x4_t sums = vdupq_n_s32(a);
    sums = vsetq_lane_s32(b, sums, 1);
    sums = vsetq_lane_s32(c, sums, 2);
    return vsetq_lane_s32(d, sums, 3);
}

static inline int16x8_t finish(const qe_matrix_params *p, int32x4_t sums, int32x4_t multiplier, int32x4_t shift)
{
    const int32x4_t values = qe_mve_requantize(sums, multiplier, shift, p->output_zero_point);
    const int16x8_t halves = vqmovnbq_s32(vreinterpretq_s16_s32(values), values);
    return qe_mve_saturate(halves, p->low, p->high);
}

static void outputs_of_row(const qe_matrix_params *p, const int8_t *input, int8_t *output)
{
    const int32_t depth = p->depth;
    const int8_t *weights = p->weights;
    const int32_t *bias = p->bias, *multiplier = p->multiplier;
    const int8_t *shift = p->shift;
    int32_t left = p->outputs;
    for (; left >= 4; left -= 4) {
        const int8_t *w2 = weights + 2 * depth;
        int32x4_t sums = four_sums(input, weights, weights + depth, w2, w2 + depth, depth);
        sums = vaddq_s32(sums, vldrwq_s32(bias));
        const int16x8_t values = finish(p, sums, vldrwq_s32(multiplier), vldrbq_s32(shift));
        vstrbq_s32(output, vreinterpretq_s32_s16(values));
        weights = w2 + 2 * depth;
        bias += 4;
        multiplier += 4;
        shift += 4;
        output += 4;
    }
    if (left > 0) {
        const mve_pred16_t lanes = vctp32q((uint32_t)left);
        const int8_t *w1 = left > 1 ? weights + depth : weights;
        const int8_t *w2 = left > 2 ? w1 + depth : weights;
        int32x4_t sums = four_sums(input, weights, w1, w2, weights, depth);
        sums = vaddq_s32(sums, vldrwq_z_s32(bias, lanes));
        const int16x8_t values = finish(p, sums, vldrwq_z_s32(multiplier, lanes), vldrbq_z_s32(shift, lanes));
        vstrbq_p_s32(output, vreinterpretq_s32_s16(values), lanes);
    }
}

#else

static void outputs_of_row(const qe_matrix_params *p, const int8_t *input, int8_t *output)
{
    const int8_t *weights = p->weights;
    for (int32_t o = 0; o < p->outputs; ++o) {
        int32_t sum = p->bias[o];
        for (int32_t k = 0; k < p->depth; ++k) {
            sum += input[k] * *weights++;
        }
        const int32_t scaled = qe_requantize(sum, p->multiplier[o], p->shift[o]);
        output[o] = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
    }
}

#endif

void qe_matrix_s8_mve(const qe_matrix_params *p, const int8_t *input, int8_t *output)
{
    for (uint32_t row = 0; row < p->rows; ++row) {
        outputs_of_row(p, input, output);
        input += p->depth;
        output += p->outputs;
    }
}
