/* MAX_POOL_2D int16: the largest of the pixels inside. */
#include "qe_pool_2d_s16.h"

void qe_max_pool_2d_s16(const qe_pool_2d_s16_params *p, const int16_t *input, int16_t *output)
{
    const int32_t channels = p->channels;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        const int32_t y_begin = y > 0 ? y : 0;
        const int32_t y_end = y + p->filter_height < p->in_height ? y + p->filter_height : p->in_height;
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const int32_t x = ox * p->stride_width - p->pad_left;
            const int32_t x_begin = x > 0 ? x : 0;
            const int32_t x_end = x + p->filter_width < p->in_width ? x + p->filter_width : p->in_width;
            for (int32_t c = 0; c < channels; ++c) {
                int32_t largest = INT16_MIN;
                for (int32_t in_y = y_begin; in_y < y_end; ++in_y) {
                    const int16_t *pixel = input + (in_y * p->in_width + x_begin) * channels + c;
                    for (int32_t in_x = x_begin; in_x < x_end; ++in_x) {
                        largest = *pixel > largest ? *pixel : largest;
                        pixel += channels;
                    }
                }
                *output++ = (int16_t)qe_clamp(largest, p->low, p->high);
            }
        }
    }
}
