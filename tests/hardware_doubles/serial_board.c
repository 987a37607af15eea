/* The serial port and the start of two of QEMU's machines, as a user's board file has them: mps2-an386 (a Cortex-M4 with
 * Arm's CMSDK UART) and virt (RV32 with a 16550). Linked with serial_board.ld. */
#include <stdint.h>
#include <string.h>

int main(void);
void board_start(void);
int board_get(void);
void board_put(uint8_t byte);
void reset(void);

#if defined(__riscv)
#define UART ((volatile uint8_t *)0x10000000u)
__attribute__((naked, used, section(".vectors"))) void reset(void)
{
    __asm__ volatile("la sp, __stack_top\n call start\n");
}
#else
#define UART ((volatile uint32_t *)0x40004000u) /* data, state, control, interrupts, divider */
extern char __stack_top[];
void start(void);
__attribute__((used, section(".vectors"))) static const uintptr_t vectors[2] = {(uintptr_t)__stack_top,
                                                                               (uintptr_t)start};
#endif

extern uint32_t __bss_start[], __bss_end[];
__attribute__((used, noreturn)) void start(void);
void start(void)
{
    for (uint32_t *word = __bss_start; word != __bss_end; ++word) {
        *word = 0;
    }
#if !defined(__riscv)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* floating point on */
#endif
    (void)main();
    for (;;) {
    }
}

void board_start(void)
{
#if !defined(__riscv)
    UART[4] = 16; /* divider */
    UART[2] = 3;  /* transmit and receive */
#endif
}

int board_get(void)
{
    /* About half a second under QEMU: a frame that stopped is given up. */
    for (uint32_t i = 0; i < 20000000u; ++i) {
#if defined(__riscv)
        if ((UART[5] & 1u) != 0u) {
            return UART[0];
        }
#else
        if ((UART[1] & 2u) != 0u) {
            return (int)(UART[0] & 255u);
        }
#endif
    }
    return -1;
}

void board_put(uint8_t byte)
{
#if defined(__riscv)
    while ((UART[5] & 0x20u) == 0u) {
    }
#else
    while ((UART[1] & 1u) != 0u) {
    }
#endif
    UART[0] = byte;
}

#if defined(__riscv)
/* Debian's C library for this core brings a start and a place in memory of its own. */
#define BYTE_BY_BYTE __attribute__((used, optimize("no-tree-loop-distribute-patterns")))
BYTE_BY_BYTE void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
    return to;
}

BYTE_BY_BYTE void *memset(void *to, int value, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        ((uint8_t *)to)[i] = (uint8_t)value;
    }
    return to;
}
#endif
