/* SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND of one or two dimensions. */
#include "qe_space_to_batch.h"

#ifdef QE_SPACE_TO_BATCH
void qe_space_to_batch(const qe_space_to_batch_params *p, const void *input, void *output)
{
    const uint8_t *in = (const uint8_t *)input;
    uint8_t *out = (uint8_t *)output;
    const int32_t blocks = p->block_height * p->block_width;
    for (int32_t s = 0; s < blocks; ++s) {
        for (int32_t b = 0; b < p->batches; ++b) {
            for (int32_t oy = 0; oy < p->out_height; ++oy) {
                const int32_t y = oy * p->block_height + s / p->block_width - p->top;
                for (int32_t ox = 0; ox < p->out_width; ++ox) {
                    const int32_t x = ox * p->block_width + s % p->block_width - p->left;
                    if (y >= 0 && y < p->in_height && x >= 0 && x < p->in_width) {
                        const int32_t pixel = (b * p->in_height + y) * p->in_width + x;
                        memcpy(out, in + pixel * p->bytes, (size_t)p->bytes);
                    } else {
                        memset(out, p->fill, (size_t)p->bytes);
                    }
                    out += p->bytes;
                }
            }
        }
    }
}
#endif

#ifdef QE_BATCH_TO_SPACE
void qe_batch_to_space(const qe_space_to_batch_params *p, const void *input, void *output)
{
    const uint8_t *in = (const uint8_t *)input;
    uint8_t *out = (uint8_t *)output;
    for (int32_t b = 0; b < p->batches; ++b) {
        for (int32_t oy = 0; oy < p->out_height; ++oy) {
            const int32_t y = oy + p->top;
            for (int32_t ox = 0; ox < p->out_width; ++ox) {
                const int32_t x = ox + p->left;
                const int32_t s = y % p->block_height * p->block_width + x % p->block_width;
                const int32_t row = (s * p->batches + b) * p->in_height + y / p->block_height;
                memcpy(out, in + (row * p->in_width + x / p->block_width) * p->bytes, (size_t)p->bytes);
                out += p->bytes;
            }
        }
    }
}
#endif
