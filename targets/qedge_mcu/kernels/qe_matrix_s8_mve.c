/* Matrix product int8 for Helium: four outputs share every load of 16 inputs. */
#include "qe_matrix_s8_mve.h"

#ifdef QE_MVE_ODD
#define ROWS_OF_FOURS static void rows_of_fours
#else
#define ROWS_OF_FOURS void qe_matrix_rows_mve
#endif

#if QE_MVE

/* Four outputs. r0: stream, r1: input, r2: first input, r3: part, r5: rest of the inputs after it; sums in r4, r6,
 * r8 and r10. */
#define FOUR(SUMS) \
    "ldrd r4, r6, [r0], #8\n" \
    "ldrd r8, r10, [r0], #8\n" \
    "mov r1, r2\n" \
    "wlstp.8 lr, r3, 2f\n" \
    "1:\n" \
    "vldrb.8 q0, [r1], #16\n" \
    "vldrb.8 q1, [r0], #64\n" \
    "vmladava.s8 r4, q0, q1\n" \
    "vldrb.8 q1, [r0, #-48]\n" \
    "vmladava.s8 r6, q0, q1\n" \
    "vldrb.8 q1, [r0, #-32]\n" \
    "vmladava.s8 r8, q0, q1\n" \
    "vldrb.8 q1, [r0, #-16]\n" \
    "vmladava.s8 r10, q0, q1\n" \
    "letp lr, 1b\n" \
    "2:\n" \
    "cbz r5, 3f\n" \
    "bl 9f\n" \
    "3:\n" \
    "vmov " SUMS "[2], " SUMS "[0], r4, r8\n" \
    "vmov " SUMS "[3], " SUMS "[1], r6, r10\n" \
    "vldrw.32 q1, [r0], #16\n" \
    "vldrb.s32 q0, [r0], #4\n" \
    QE_ASM_MVE_REQUANTIZE(SUMS, "q1", "q0")

/* r7: output, r9: groups left, r11: zero point, r12: call, whose rows it counts down. */
QE_NAKED ROWS_OF_FOURS(qe_matrix_call *call __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "vpush {" QE_ASM_MVE_SAVED "}\n"
        "mov r12, r0\n"
        "ldrd r2, r7, [r12, #4]\n"
        "ldrd r3, r5, [r12, #12]\n"
        "ldr r11, [r12, #32]\n"
#ifdef QE_MVE_CLAMP
        "ldrd r4, r6, [r12, #36]\n"
        "vdup.8 q6, r4\n"
        "vdup.8 q7, r6\n"
#endif
        "4:\n"
        "ldr r0, [r12]\n"
        "ldr r9, [r12, #20]\n"
        "cmp r9, #0\n"
        "beq 6f\n"
        "5:\n"
        FOUR("q2") FOUR("q3") FOUR("q4") FOUR("q5")
        "vqmovnb.s32 q2, q2\n"
        "vqmovnt.s32 q2, q3\n"
        "vqmovnb.s32 q4, q4\n"
        "vqmovnt.s32 q4, q5\n"
        "vqadd.s16 q2, q2, r11\n"
        "vqadd.s16 q4, q4, r11\n"
        "vqmovnb.s16 q2, q2\n"
        "vqmovnt.s16 q2, q4\n"
        QE_ASM_MVE_CLAMP("q2")
        "vstrb.8 q2, [r7], #16\n"
        "subs r9, #1\n"
        "bne 5b\n"
        "6:\n"
        "ldr r9, [r12, #24]\n"
        "cmp r9, #0\n"
        "beq 8f\n"
        "7:\n"
        FOUR("q2")
        "vqmovnb.s32 q2, q2\n"
        "vqadd.s16 q2, q2, r11\n"
        "vqmovnb.s16 q2, q2\n"
        QE_ASM_MVE_CLAMP("q2")
        "vstrb.32 q2, [r7], #4\n"
        "subs r9, #1\n"
        "bne 7b\n"
        "8:\n"
        "add r2, r3\n"
        "add r2, r5\n"
        "ldr r1, [r12, #28]\n"
        "subs r1, #1\n"
        "str r1, [r12, #28]\n"
        "bne 4b\n"
        "vpop {" QE_ASM_MVE_SAVED "}\n"
        "pop {r4-r11, pc}\n"
        /* The rest of the inputs: lanes beyond are loaded as 0, whatever the weights have there. */
        "9:\n"
        "vctp.8 r5\n"
        "vpst\n"
        "vldrbt.8 q0, [r1]\n"
        "vldrb.8 q1, [r0]\n"
        "vmladava.s8 r4, q0, q1\n"
        "add r0, r5\n"
        "vldrb.8 q1, [r0]\n"
        "vmladava.s8 r6, q0, q1\n"
        "add r0, r5\n"
        "vldrb.8 q1, [r0]\n"
        "vmladava.s8 r8, q0, q1\n"
        "add r0, r5\n"
        "vldrb.8 q1, [r0]\n"
        "vmladava.s8 r10, q0, q1\n"
        "add r0, r5\n"
        "bx lr\n");
}

#ifdef QE_MVE_ODD
static int32_t dot(const int8_t *input, const int8_t *weights, uint32_t depth, int32_t sum)
{
    __asm__(
        ".syntax unified\n"
        "dlstp.8 lr, %[n]\n"
        "1:\n"
        "vldrb.8 q0, [%[x]], #16\n"
        "vldrb.8 q1, [%[w]], #16\n"
        "vmladava.s8 %[a], q0, q1\n"
        "letp lr, 1b\n"
        : [x] "+r"(input), [w] "+r"(weights), [a] "+Te"(sum)
        : [n] "r"(depth)
        : "q0", "q1", "lr", "memory");
    return sum;
}
#endif

#else

static int32_t word(const uint8_t *from)
{
    int32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static int32_t dot(const int8_t *input, const int8_t *weights, uint32_t depth, int32_t sum)
{
    for (uint32_t k = 0; k < depth; ++k) {
        sum += input[k] * weights[k];
    }
    return sum;
}

/* Four outputs to out[0], out[step] ...; returns the next record. */
static const uint8_t *four(const qe_matrix_call *c, const uint8_t *stream, const int8_t *input, int8_t *out, uint32_t step)
{
    const uint32_t whole = (c->part + 15u) / 16u;
    const int8_t *weights = (const int8_t *)stream + 16;
    const int8_t *rest = weights + 64u * whole;
    const uint8_t *end = (const uint8_t *)rest + 4u * c->rest;
    for (uint32_t i = 0; i < 4; ++i) {
        int32_t sum = word(stream + 4u * i);
        for (uint32_t k = 0; k < c->part; k += 16) {
            sum = dot(input + k, weights + 4u * k + 16u * i, c->part - k < 16u ? c->part - k : 16u, sum);
        }
        sum = dot(input + c->part, rest + i * c->rest, c->rest, sum);
        const int8_t shift = (int8_t)end[16u + i];
        out[i * step] = qe_mve_output(sum, word(end + 4u * i), shift, c->zero_point, c->low, c->high);
    }
    return end + 20;
}

ROWS_OF_FOURS(qe_matrix_call *c)
{
    const int8_t *input = c->input;
    int8_t *out = c->output;
    for (; c->rows > 0; --c->rows) {
        const uint8_t *stream = (const uint8_t *)c->stream;
        for (uint32_t i = 0; i < c->sixteens; ++i) {
            stream = four(c, stream, input, out, 4);
            stream = four(c, stream, input, out + 2, 4);
            stream = four(c, stream, input, out + 1, 4);
            stream = four(c, stream, input, out + 3, 4);
            out += 16;
        }
        for (uint32_t i = 0; i < c->fours; ++i) {
            stream = four(c, stream, input, out, 1);
            out += 4;
        }
        input += c->part + c->rest;
    }
}

#endif

#ifdef QE_MVE_ODD

/* The outputs of a row after the fours. */
static void last_outputs(const qe_matrix_call *c, const int32_t *words, int8_t *output)
{
    const uint32_t depth = c->part + c->rest;
    for (uint32_t i = 0; i < c->left; ++i) {
        const int32_t sum = dot(c->input, (const int8_t *)(words + 3), depth, words[0]);
        output[i] = qe_mve_output(sum, words[1], words[2], c->zero_point, c->low, c->high);
        words += 3u + (depth + 3u) / 4u;
    }
}

void qe_matrix_rows_mve(qe_matrix_call *call)
{
    if (call->left == 0) {
        rows_of_fours(call);
        return;
    }
    const uint32_t fours = 4u * call->sixteens + call->fours;
    const uint32_t record = 9u + (call->part + 15u) / 16u * 16u + call->rest;
    for (uint32_t row = call->rows; row > 0; --row) {
        if (fours != 0) {
            call->rows = 1;
            rows_of_fours(call);
        }
        last_outputs(call, (const int32_t *)call->stream + fours * record, call->output + 4u * fours);
        call->input += call->part + call->rest;
        call->output += 4u * fours + call->left;
    }
}

#endif

void qe_matrix_prepare_mve(qe_matrix_call *call, const void *stream, uint32_t depth, uint32_t part, uint32_t outputs)
{
    call->stream = stream;
    call->part = part;
    call->rest = depth - part;
    call->sixteens = outputs / 16u;
    call->fours = outputs / 4u % 4u;
    call->left = outputs % 4u;
}

void qe_matrix_s8_mve(const qe_matrix_params *p, const int8_t *input, int8_t *output)
{
    qe_matrix_call call;
    qe_matrix_prepare_mve(&call, p->stream, p->depth, p->part, p->outputs);
    call.input = input;
    call.output = output;
    call.rows = p->rows;
    call.zero_point = p->output_zero_point;
    call.low = p->low;
    call.high = p->high;
    qe_matrix_rows_mve(&call);
}
