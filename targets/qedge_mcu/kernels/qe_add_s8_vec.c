/* ADD int8 of two tensors of the same shape with vectors: eight values at a time. */
#include "qe_add_s8_vec.h"

#include "qe_vectors.h"

#if QE_VECTORS

/* Add the values of whole eights; return how many those are. Doubled, the sums are those of qe_add_s8, of whose products
 * it takes the upper words: here they are those of qe_requantize. */
static uint32_t add_eights(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output)
{
    const int32_t small_shift = p->small_factor == (int32_t)1 << 21 ? 20 : 21;
    const qe_v8 large_offset = qe_v8_repeat(p->large_offset), small_offset = qe_v8_repeat(p->small_offset);
    const qe_scale small_scale = qe_scale_of(p->small_multiplier, -p->small_shift);
    const qe_scale scale = qe_scale_of(p->output_multiplier, -p->output_shift);
    const qe_range range = qe_range_of(p->output_zero_point, p->low, p->high);
    uint32_t i = 0;
    for (; i + 8 <= p->count; i += 8) {
        const qe_v8 a = qe_v8_add(qe_v8_load_s8(large + i), large_offset);
        const qe_v8 b = qe_v8_add(qe_v8_load_s8(small + i), small_offset);
        const qe_v4 b0 = qe_v4_requantize(qe_v8_lower(b, small_shift), &small_scale);
        const qe_v4 b1 = qe_v4_requantize(qe_v8_upper(b, small_shift), &small_scale);
        const qe_v4 y0 = qe_v4_requantize(qe_v4_add(qe_v8_lower(a, 19), b0), &scale);
        const qe_v4 y1 = qe_v4_requantize(qe_v4_add(qe_v8_upper(a, 19), b1), &scale);
        qe_outputs_store(output + i, output + i + 4, y0, y1, &range);
    }
    return i;
}

#endif

void qe_add_s8_vec(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output)
{
#if QE_VECTORS
    const uint32_t done = add_eights(p, large, small, output);
    qe_add_params rest = *p;
    rest.count -= done;
    qe_add_s8(&rest, large + done, small + done, output + done);
#else
    qe_add_s8(p, large, small, output);
#endif
}
