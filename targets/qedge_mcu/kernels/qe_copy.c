/* Copies between layouts: every operator that only moves bytes. */
#include "qe_copy.h"

void qe_copy(const qe_copy_params *p, const void *input, void *output)
{
    const uint8_t *in = (const uint8_t *)input + p->in_start;
    uint8_t *out = (uint8_t *)output + p->out_start;
    const size_t run = (size_t)p->run;
    qe_walk w;
    qe_walk_start(&w, p->steps, p->rank);
    if (run == 1u) {
        do {
            out[w.b] = in[w.a];
        } while (qe_walk_next(&w, p->steps, p->rank));
        return;
    }
    do {
        memcpy(out + w.b, in + w.a, run);
    } while (qe_walk_next(&w, p->steps, p->rank));
}

#ifdef QE_PAD
void qe_pad(const qe_copy_params *p, const void *input, void *output, int32_t bytes, int8_t value)
{
    memset(output, value, (size_t)bytes);
    qe_copy(p, input, output);
}
#endif

#ifdef QE_PAD_ITEMS
void qe_pad_items(const qe_copy_params *p, const void *input, void *output, int32_t bytes, uint32_t value,
                  int32_t item)
{
    uint8_t *out = (uint8_t *)output;
    for (int32_t i = 0; i < bytes; ++i) {
        out[i] = (uint8_t)(value >> (8 * (i % item)));
    }
    qe_copy(p, input, output);
}
#endif
