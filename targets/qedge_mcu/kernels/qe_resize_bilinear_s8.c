/* RESIZE_BILINEAR int8 with fractions of 10 bits. */
#include "qe_resize_bilinear_s8.h"

typedef struct {
    int32_t low, high; /* the two neighbours */
    int32_t fraction;  /* weight of the higher one in 1/1024; it leaves [0, 1024] where both are one */
} qe_neighbours;

static qe_neighbours neighbours(int32_t at, int32_t size)
{
    qe_neighbours n;
    const int32_t above = (at + 1023) / 1024;
    n.low = at < 0 ? 0 : at / 1024;
    n.low = n.low < size ? n.low : size - 1;
    n.high = above < size ? above : size - 1;
    n.fraction = at - n.low * 1024;
    return n;
}

void qe_resize_bilinear_s8(const qe_resize_bilinear_params *p, const int8_t *input, int8_t *output)
{
    const int32_t row = p->in_width * p->channels;
    for (int32_t y = 0; y < p->out_height; ++y) {
        const qe_neighbours v = neighbours(y * p->scale_y + p->start_y, p->in_height);
        for (int32_t x = 0; x < p->out_width; ++x) {
            const qe_neighbours h = neighbours(x * p->scale_x + p->start_x, p->in_width);
            const int32_t weight_ll = (1024 - v.fraction) * (1024 - h.fraction);
            const int32_t weight_hl = v.fraction * (1024 - h.fraction);
            const int32_t weight_lh = (1024 - v.fraction) * h.fraction;
            const int32_t weight_hh = v.fraction * h.fraction;
            const int8_t *ll = input + v.low * row + h.low * p->channels;
            const int8_t *hl = input + v.high * row + h.low * p->channels;
            const int8_t *lh = input + v.low * row + h.high * p->channels;
            const int8_t *hh = input + v.high * row + h.high * p->channels;
            for (int32_t c = 0; c < p->channels; ++c) {
                const int32_t sum = ll[c] * weight_ll + hl[c] * weight_hl + lh[c] * weight_lh + hh[c] * weight_hh;
                *output++ = (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
            }
        }
    }
}
