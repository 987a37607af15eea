/* Matrix product int8 for Helium: four outputs share every load of 16 inputs. */
#include "qe_matrix_s8_mve.h"

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
    REQUANTIZE(SUMS)

#define REQUANTIZE(SUMS) \
    "vmov " SUMS "[2], " SUMS "[0], r4, r8\n" \
    "vmov " SUMS "[3], " SUMS "[1], r6, r10\n" \
    "vldrw.32 q1, [r0], #16\n" \
    "vldrb.s32 q0, [r0], #4\n" \
    QE_ASM_MVE_REQUANTIZE(SUMS, "q1", "q0")

/* The outputs in q2 as the lowest bytes of its lanes; r11: zero point. */
#define NARROW \
    "vqadd.s16 q2, q2, r11\n" \
    "vqmovnb.s16 q2, q2\n" \
    QE_ASM_MVE_CLAMP("q2", "q4", "q5")

#ifdef QE_MVE_CLAMP
#define SAVE \
    "vpush {d8-d11}\n" \
    "ldrsb r4, [r12, #15]\n" \
    "ldrsb r6, [r12, #16]\n" \
    "vdup.8 q4, r4\n" \
    "vdup.8 q5, r6\n"
#define RESTORE "vpop {d8-d11}\n"
#define ROWS "[sp, #32]"
#else
#define SAVE
#define RESTORE
#define ROWS "[sp]"
#endif

/* One to three outputs, from the last to the first: the sums move on from r4 to r6 and r8. */
#ifdef QE_MVE_ODD
#define LEFT \
    "ldrh r9, [r12, #12]\n" \
    "ands r9, #3\n" \
    "beq 8f\n" \
    "add r10, r3, r5\n" \
    "7:\n" \
    "mov r8, r6\n" \
    "mov r6, r4\n" \
    "ldr r4, [r0], #4\n" \
    "mov r1, r2\n" \
    "dlstp.8 lr, r10\n" \
    "1:\n" \
    "vldrb.8 q0, [r1], #16\n" \
    "vldrb.8 q1, [r0], #16\n" \
    "vmladava.s8 r4, q0, q1\n" \
    "letp lr, 1b\n" \
    "subs r9, #1\n" \
    "bne 7b\n" \
    REQUANTIZE("q2") \
    "vqmovnb.s32 q2, q2\n" \
    NARROW \
    "ldrh r9, [r12, #12]\n" \
    "and r9, #3\n" \
    "vctp.32 r9\n" \
    "vpst\n" \
    "vstrbt.32 q2, [r7]\n" \
    "add r7, r9\n" \
    "8:\n"
#else
#define LEFT
#endif

/* r7: output, r9: eights left, r12: parameters; on the stack the rows left. */
QE_NAKED void qe_matrix_s8_mve(const qe_matrix_params *p __attribute__((unused)),
                               const int8_t *input __attribute__((unused)), int8_t *output __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r3-r11, lr}\n"
        "mov r12, r0\n"
        "mov r7, r2\n"
        "mov r2, r1\n"
        "ldr r4, [r12, #4]\n"
        "str r4, [sp]\n"
        "ldrh r5, [r12, #8]\n"
        "ldrh r3, [r12, #10]\n"
        "ldrsb r11, [r12, #14]\n"
        "subs r5, r3\n"
        SAVE
        "4:\n"
        "ldr r0, [r12]\n"
        "ldrh r9, [r12, #12]\n"
        "lsrs r9, #3\n"
        "beq 6f\n"
        "5:\n"
        FOUR("q2") FOUR("q3")
        "vqmovnb.s32 q2, q2\n"
        "vqmovnt.s32 q2, q3\n"
        NARROW
        "vstrb.16 q2, [r7], #8\n"
        "subs r9, #1\n"
        "bne 5b\n"
        "6:\n"
        "ldrh r9, [r12, #12]\n"
        "lsls r9, #29\n"
        "bpl 7f\n"
        FOUR("q2")
        "vqmovnb.s32 q2, q2\n"
        NARROW
        "vstrb.32 q2, [r7], #4\n"
        "7:\n"
        LEFT
        "add r2, r3\n"
        "add r2, r5\n"
        "ldr r1, " ROWS "\n"
        "subs r1, #1\n"
        "str r1, " ROWS "\n"
        "bne 4b\n"
        RESTORE
        "pop {r3-r11, pc}\n"
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

static int8_t output_of(const qe_matrix_params *p, int32_t sum, const uint8_t *end, uint32_t i)
{
    return qe_mve_output(sum, word(end + 4u * i), (int8_t)end[16u + i], p->output_zero_point, p->low, p->high);
}

/* Four outputs to out[0], out[step] ...; returns the next record. */
static const uint8_t *four(const qe_matrix_params *p, const uint8_t *stream, const int8_t *input, int8_t *out,
                           uint32_t step)
{
    const uint32_t whole = (p->part + 15u) / 16u, left = (uint32_t)p->depth - p->part;
    const int8_t *weights = (const int8_t *)stream + 16;
    const int8_t *rest = weights + 64u * whole;
    const uint8_t *end = (const uint8_t *)rest + 4u * left;
    for (uint32_t i = 0; i < 4; ++i) {
        int32_t sum = word(stream + 4u * i);
        for (uint32_t k = 0; k < p->part; k += 16) {
            sum = dot(input + k, weights + 4u * k + 16u * i, p->part - k < 16u ? p->part - k : 16u, sum);
        }
        sum = dot(input + p->part, rest + i * left, left, sum);
        out[i * step] = output_of(p, sum, end, i);
    }
    return end + 20;
}

void qe_matrix_s8_mve(const qe_matrix_params *p, const int8_t *input, int8_t *output)
{
    for (uint32_t row = 0; row < p->rows; ++row) {
        const uint8_t *stream = (const uint8_t *)p->stream;
        for (uint32_t i = 0; i < p->outputs / 8u; ++i) {
            stream = four(p, stream, input, output, 2);
            stream = four(p, stream, input, output + 1, 2);
            output += 8;
        }
        if ((p->outputs & 4u) != 0) {
            stream = four(p, stream, input, output, 1);
            output += 4;
        }
#ifdef QE_MVE_ODD
        int32_t sums[3];
        const uint32_t odd = p->outputs & 3u;
        for (uint32_t i = odd; i > 0; --i) {
            sums[i - 1u] = dot(input, (const int8_t *)stream + 4, p->depth, word(stream));
            stream += 4u + (p->depth + 15u) / 16u * 16u;
        }
        for (uint32_t i = 0; i < odd; ++i) {
            *output++ = output_of(p, sums[i], stream, i);
        }
#endif
        input += p->depth;
    }
}

#endif
