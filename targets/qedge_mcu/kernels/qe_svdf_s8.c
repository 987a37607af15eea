/* SVDF int8: a dense layer whose outputs are remembered, and a filter over what is remembered. */
#include "qe_svdf_s8.h"

static int32_t element(const void *values, int32_t at, uint32_t wide)
{
    return wide != 0u ? ((const int16_t *)values)[at] : ((const int8_t *)values)[at];
}

/* Forget the oldest value of each filter, and remember what the input gives now. */
static void remember(const qe_svdf_params *p, const int8_t *input, uint8_t *state)
{
    const int8_t *features = p->features;
    const int32_t bytes = p->wide != 0u ? 2 : 1;
    const int32_t limit = p->wide != 0u ? INT16_MAX : INT8_MAX;
    for (int32_t f = 0; f < p->filters; ++f) {
        int32_t sum = 0;
        for (int32_t i = 0; i < p->inputs; ++i) {
            sum += *features++ * (input[i] - p->input_zero_point);
        }
        sum = qe_clamp(qe_requantize(sum, p->feature_multiplier, p->feature_shift), -limit - 1, limit);
        sum += p->state_zero_point;
        memmove(state, state + bytes, (size_t)((p->memory - 1) * bytes));
        if (p->wide != 0u) {
            ((int16_t *)(void *)state)[p->memory - 1] = (int16_t)sum;
        } else {
            ((int8_t *)state)[p->memory - 1] = (int8_t)sum;
        }
        state += p->memory * bytes;
    }
}

void qe_svdf_s8(const qe_svdf_params *p, const int8_t *input, void *state, int8_t *output)
{
    const int32_t size = p->filters * p->memory;
    uint8_t *memory = (uint8_t *)state;
    for (int32_t b = 0; b < p->batches; ++b) {
        remember(p, input, memory);
        int32_t at = 0;
        for (int32_t u = 0; u < p->filters / p->rank; ++u) {
            int32_t sum = p->bias[u];
            for (int32_t i = 0; i < p->rank * p->memory; ++i, ++at) {
                sum += element(p->times, at, p->wide) * (element(memory, at, p->wide) - p->state_zero_point);
            }
            const int32_t scaled = qe_requantize(sum, p->output_multiplier, p->output_shift);
            *output++ = qe_clamp_s8(scaled + p->output_zero_point, INT8_MIN, INT8_MAX);
        }
        input += p->inputs;
        memory += p->wide != 0u ? 2 * size : size;
    }
}
