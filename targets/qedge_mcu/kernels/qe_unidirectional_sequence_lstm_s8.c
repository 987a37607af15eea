/* UNIDIRECTIONAL_SEQUENCE_LSTM int8 with an int16 cell. */
#include "qe_unidirectional_sequence_lstm_s8.h"

typedef qe_unidirectional_sequence_lstm_params lstm_params;

static int32_t clamp_s16(int32_t x)
{
    return qe_clamp(x, INT16_MIN, INT16_MAX);
}

/* sigmoid of x / 3 / 4096 with 15 fractional bits, by interpolation. */
static int32_t sigmoid(const uint16_t *table, int32_t x)
{
    const uint32_t size = (uint32_t)(x < 0 ? -x : x);
    const uint32_t at = size >> 9;
    uint32_t y = (uint32_t)0x7FFF << 10;
    if (at < 255u) {
        y = ((uint32_t)table[at] << 9) + (size & 0x1FFu) * (uint32_t)(table[at + 1u] - table[at]);
    }
    y = x >= 0 ? y + (1u << 9) : (1u << 25) - y + (1u << 9) - 1u;
    return (int32_t)(y >> 10);
}

/* tanh of x / 3 / 4096 with 15 fractional bits, by interpolation: twice the sigmoid of twice x, less one. */
static int32_t tanh_of(const uint16_t *table, int32_t x)
{
    const uint32_t size = (uint32_t)(x < 0 ? -x : x);
    const uint32_t at = size >> 8;
    int32_t y = 0xFFFF << 8;
    if (at < 255u) {
        y = (int32_t)(((uint32_t)table[at] << 8) + (size & 0xFFu) * (uint32_t)(table[at + 1u] - table[at]));
    }
    y = x >= 0 ? y - (1 << 23) + (1 << 7) : -y + (1 << 23) + (1 << 7) - 1;
    return y >> 8;
}

static int32_t tanh_of_cell(const lstm_params *p, int32_t x)
{
    if (p->cell_shift >= 0) {
        return tanh_of(p->sigmoid, x * (3 * (1 << p->cell_shift)));
    }
    const int32_t right = -p->cell_shift;
    return tanh_of(p->sigmoid, (x * 3 + (1 << (right - 1))) >> right);
}

/* The argument of one gate of one unit. */
static int32_t gate(const lstm_params *p, const int8_t *input, const int8_t *hidden, int32_t unit, int32_t which)
{
    const int8_t *weights = p->weights + (unit * 4 + which) * (p->inputs + p->units);
    int32_t sum = p->bias[(unit * 4 + which) * 2];
    for (int32_t i = 0; i < p->inputs; ++i) {
        sum += *weights++ * input[i];
    }
    int32_t recurrent = p->bias[(unit * 4 + which) * 2 + 1];
    for (int32_t i = 0; i < p->units; ++i) {
        recurrent += *weights++ * hidden[i];
    }
    const int32_t a = clamp_s16(qe_requantize(sum, p->multiplier[which * 2], p->shift[which * 2]));
    const int32_t b = clamp_s16(qe_requantize(recurrent, p->multiplier[which * 2 + 1], p->shift[which * 2 + 1]));
    return clamp_s16(a + b);
}

static void step(const lstm_params *p, const int8_t *input, const int8_t *hidden, int16_t *cell, int8_t *output)
{
    for (int32_t u = 0; u < p->units; ++u) {
        const int32_t forget = sigmoid(p->sigmoid, 3 * gate(p, input, hidden, u, 0));
        const int32_t update = sigmoid(p->sigmoid, 3 * gate(p, input, hidden, u, 1));
        const int32_t candidate = tanh_of(p->sigmoid, 3 * gate(p, input, hidden, u, 2));
        const int32_t shown = sigmoid(p->sigmoid, 3 * gate(p, input, hidden, u, 3));
        const int32_t kept = clamp_s16(qe_requantize(forget * cell[u], p->forget_multiplier, p->forget_shift));
        const int32_t added = clamp_s16(qe_requantize(update * candidate, p->update_multiplier, p->update_shift));
        int32_t now = clamp_s16(kept + added);
        if (p->clips != 0u) {
            now = qe_clamp(now, -p->cell_clip, p->cell_clip);
        }
        cell[u] = (int16_t)now;
        const int32_t out = qe_requantize(tanh_of_cell(p, now) * shown, p->output_multiplier, p->output_shift);
        output[u] = qe_clamp_s8(out + p->hidden_zero_point, -128, 127);
    }
}

void qe_unidirectional_sequence_lstm_s8(const qe_unidirectional_sequence_lstm_params *p, const int8_t *input,
                                        int8_t *hidden, int16_t *cell, int8_t *output)
{
    for (int32_t b = 0; b < p->batches; ++b) {
        /* The hidden state before a step is the output of the step before. */
        const int8_t *before = hidden + b * p->units;
        for (int32_t t = 0; t < p->times; ++t) {
            const int32_t row = t * p->time_step + b * p->batch_step;
            int8_t *now = output + row * p->units;
            step(p, input + row * p->inputs, before, cell + b * p->units, now);
            before = now;
        }
        memmove(hidden + b * p->units, before, p->units);
    }
}
