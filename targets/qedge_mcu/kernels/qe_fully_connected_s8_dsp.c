/* FULLY_CONNECTED int8 for the DSP extension: four channels at a time. */
#include "qe_fully_connected_s8_dsp.h"

#if !defined(QE_DOT_4_SHARED)
#define SHARED 0
#elif !defined(QE_DOT_4_CHANNELS)
#define SHARED 1
#else
#define SHARED (p->multiplier != 0)
#endif

static void four(const qe_fully_connected_dsp_params *p, const qe_dot_4_dsp_call *call)
{
#ifdef QE_DOT_4_SHARED
    if (SHARED) {
        qe_dot_4_shared_dsp(call, p->multiplier);
        return;
    }
#endif
#ifdef QE_DOT_4_CHANNELS
    qe_dot_4_dsp(call);
#endif
    (void)p;
}

void qe_fully_connected_s8_dsp(const qe_fully_connected_dsp_params *p, const int8_t *input, int8_t *output)
{
    const uint32_t whole = p->outputs / 4u;
    const uint32_t rest = p->outputs % 4u;
    /* Four channels take a byte a weight, and a word or two each. */
    const size_t group_bytes = 4u * (size_t)p->inputs + (SHARED ? 16u : 32u);
    for (uint32_t row = 0; row < p->rows; ++row) {
        qe_dot_4_dsp_call call;
        call.weights = p->weights;
        call.input = input;
        call.output = output;
        call.groups = whole;
        call.depth = p->inputs;
        call.offset = 2 * p->output_zero_point + 1;
        if (whole != 0) {
            four(p, &call);
        }
        if (rest != 0) {
            int8_t last[4];
            call.weights = (const int8_t *)p->weights + whole * group_bytes;
            call.output = last;
            call.groups = 1;
            four(p, &call);
            memcpy(output + 4u * whole, last, rest);
        }
#ifdef QE_DSP_CLAMP
        for (uint32_t i = 0; i < p->outputs; ++i) {
            output[i] = qe_clamp_s8(output[i], p->low, p->high);
        }
#endif
        input += p->inputs;
        output += p->outputs;
    }
}
