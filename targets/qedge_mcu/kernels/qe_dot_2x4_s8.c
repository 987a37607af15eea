/* Inner products of two pixels by four outputs, for cores without instructions for signal processing. */
#include "qe_dot_2x4_s8.h"

#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB >= 2 && !defined(QE_NO_ASM)

/* r3: sums, then a weight; r4-r7: sums of pixel 0 (r12), r8-r11: sums of pixel 1 (lr). */
#define WEIGHT(FROM, SUM0, SUM1) \
    "ldrsb r3, [r1" FROM "\n" \
    "mla " SUM0 ", r12, r3, " SUM0 "\n" \
    "mla " SUM1 ", lr, r3, " SUM1 "\n"
#define COLUMN \
    "ldrsh r12, [r0], #4\n" \
    "ldrsh lr, [r0, #-2]\n"

__attribute__((naked, noinline)) void qe_dot_2x4_s8(const uint32_t *columns __attribute__((unused)),
                                                    const int8_t *weights __attribute__((unused)),
                                                    uint32_t pairs __attribute__((unused)),
                                                    int32_t sums[8] __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r3-r11, lr}\n"
        "add r2, r0, r2, lsl #3\n"
        "movs r4, #0\n"
        "movs r5, #0\n"
        "movs r6, #0\n"
        "movs r7, #0\n"
        "mov r8, #0\n"
        "mov r9, #0\n"
        "mov r10, #0\n"
        "mov r11, #0\n"
        "1:\n"
        COLUMN
        WEIGHT("], #8", "r4", "r8")
        WEIGHT(", #-6]", "r5", "r9")
        WEIGHT(", #-4]", "r6", "r10")
        WEIGHT(", #-2]", "r7", "r11")
        COLUMN
        WEIGHT(", #-7]", "r4", "r8")
        WEIGHT(", #-5]", "r5", "r9")
        WEIGHT(", #-3]", "r6", "r10")
        WEIGHT(", #-1]", "r7", "r11")
        "cmp r0, r2\n"
        "bne 1b\n"
        "pop {r3}\n"
        "stm r3, {r4-r11}\n"
        "pop {r4-r11, pc}\n");
}

#elif defined(__ARM_ARCH_ISA_THUMB) && !defined(QE_NO_ASM)

/* Two outputs a and b by two columns. r4, r5: columns, r6: weights; r8, r10: sums of everything; r9, r11: those of the
 * upper halves, which r12 = 32,768 rounds. */
#define TWO_COLUMNS \
    "ldmia r0!, {r4, r5}\n" \
    "ldr r6, [r1]\n" \
    "adds r1, #8\n" \
    "sxtb r7, r6\n" \
    "muls r7, r4\n" \
    "sxth r3, r6\n" \
    "asrs r3, r3, #8\n" \
    "muls r3, r5\n" \
    "adds r7, r7, r3\n" \
    "add r8, r7\n" \
    "add r7, r12\n" \
    "asrs r7, r7, #16\n" \
    "add r9, r7\n" \
    "lsls r7, r6, #8\n" \
    "asrs r7, r7, #24\n" \
    "muls r7, r4\n" \
    "asrs r6, r6, #24\n" \
    "muls r6, r5\n" \
    "adds r7, r7, r6\n" \
    "add r10, r7\n" \
    "add r7, r12\n" \
    "asrs r7, r7, #16\n" \
    "add r11, r7\n"

/* The sums of two outputs for pixel 0, and those for pixel 1 behind four words. */
__attribute__((naked, noinline)) static void two_by_two(const uint32_t *columns __attribute__((unused)),
                                                        const int8_t *weights __attribute__((unused)),
                                                        const uint32_t *end __attribute__((unused)),
                                                        int32_t *sums __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r3-r7, lr}\n"
        "mov r4, r8\n"
        "mov r5, r9\n"
        "mov r6, r10\n"
        "mov r7, r11\n"
        "push {r4-r7}\n"
        "movs r7, #0\n"
        "mov r8, r7\n"
        "mov r9, r7\n"
        "mov r10, r7\n"
        "mov r11, r7\n"
        "movs r7, #128\n"
        "lsls r7, r7, #8\n"
        "mov r12, r7\n"
        "subs r4, r2, r0\n"
        "lsls r4, r4, #28\n"
        "bne 2f\n"
        "1:\n"
        TWO_COLUMNS
        "2:\n"
        TWO_COLUMNS
        "cmp r0, r2\n"
        "bne 1b\n"
        "ldr r3, [sp, #16]\n"
        "mov r0, r9\n"
        "str r0, [r3, #16]\n"
        "lsls r0, r0, #16\n"
        "mov r1, r8\n"
        "subs r1, r1, r0\n"
        "str r1, [r3]\n"
        "mov r0, r11\n"
        "str r0, [r3, #20]\n"
        "lsls r0, r0, #16\n"
        "mov r1, r10\n"
        "subs r1, r1, r0\n"
        "str r1, [r3, #4]\n"
        "pop {r4-r7}\n"
        "mov r8, r4\n"
        "mov r9, r5\n"
        "mov r10, r6\n"
        "mov r11, r7\n"
        "pop {r3-r7, pc}\n");
}

void qe_dot_2x4_s8(const uint32_t *columns, const int8_t *weights, uint32_t pairs, int32_t sums[8])
{
    two_by_two(columns, weights, columns + 2u * pairs, sums);
    two_by_two(columns, weights + 4, columns + 2u * pairs, sums + 2);
}

#else

/* Add the products of two columns to all, and those of pixel 1 to high. */
#define OUTPUT(I) \
    both = (uint32_t)(int32_t)weights[2 * I] * x + (uint32_t)(int32_t)weights[2 * I + 1] * y; \
    all##I += both; \
    high##I += (int32_t)(both + 0x8000u) >> 16

void qe_dot_2x4_s8(const uint32_t *columns, const int8_t *weights, uint32_t pairs, int32_t sums[8])
{
    uint32_t all0 = 0, all1 = 0, all2 = 0, all3 = 0, both;
    int32_t high0 = 0, high1 = 0, high2 = 0, high3 = 0;
    for (const uint32_t *end = columns + 2u * pairs; columns != end; columns += 2) {
        const uint32_t x = columns[0], y = columns[1];
        OUTPUT(0);
        OUTPUT(1);
        OUTPUT(2);
        OUTPUT(3);
        weights += 8;
    }
    sums[0] = (int32_t)(all0 - ((uint32_t)high0 << 16));
    sums[1] = (int32_t)(all1 - ((uint32_t)high1 << 16));
    sums[2] = (int32_t)(all2 - ((uint32_t)high2 << 16));
    sums[3] = (int32_t)(all3 - ((uint32_t)high3 << 16));
    sums[4] = high0;
    sums[5] = high1;
    sums[6] = high2;
    sums[7] = high3;
}

#endif
