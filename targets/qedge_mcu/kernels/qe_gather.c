/* GATHER, GATHER_ND, EMBEDDING_LOOKUP: entries of a tensor by their positions. */
#include "qe_gather.h"

#ifdef QE_GATHER
void qe_gather(const qe_gather_params *p, const void *input, const int32_t *positions, void *output)
{
    const uint8_t *in = (const uint8_t *)input;
    uint8_t *out = (uint8_t *)output;
    for (int32_t b = 0; b < p->batches; ++b) {
        for (int32_t o = 0; o < p->outer; ++o) {
            for (int32_t i = 0; i < p->count; ++i) {
                const int32_t at = qe_clamp(positions[i], 0, p->size - 1);
                memcpy(out, in + at * p->bytes, (size_t)p->bytes);
                out += p->bytes;
            }
            in += p->size * p->bytes;
        }
        positions += p->count;
    }
}
#endif

#ifdef QE_GATHER_ND
void qe_gather_nd(const qe_gather_nd_params *p, const void *input, const int32_t *positions, void *output)
{
    uint8_t *out = (uint8_t *)output;
    for (int32_t i = 0; i < p->count; ++i) {
        const uint8_t *in = (const uint8_t *)input;
        for (int32_t d = 0; d < p->depth; ++d) {
            in += qe_clamp(positions[d], 0, p->sizes[d] - 1) * p->strides[d];
        }
        memcpy(out, in, (size_t)p->bytes);
        positions += p->depth;
        out += p->bytes;
    }
}
#endif
