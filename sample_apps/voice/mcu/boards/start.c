/* From reset to main, for any Cortex-M: vector table, memory, and the C library functions that compilers call. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[];
extern char stack_top[];
int main(void);
void reset(void);
void stop(void);

/* Where every fault ends, and main when there is no more sound. A debugger shows which. */
__attribute__((noreturn)) void stop(void)
{
#ifdef SEMIHOSTING
    /* SYS_EXIT of Arm's semihosting: the emulator ends. */
    __asm__ volatile("movs r0, #0x18\n ldr r1, =0x20026\n bkpt 0xab\n" ::: "r0", "r1");
#endif
    for (;;) {
        __asm__ volatile("wfi");
    }
}

__attribute__((noreturn)) void reset(void)
{
    /* CPACR (Armv7-M, Armv8-M manual, "Coprocessor Access Control Register"): floating-point registers on, since a
     * compiler may keep anything in them. */
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm__ volatile("dsb\n isb\n" ::: "memory");
    for (uint32_t *to = data_start, *from = data_load; to < data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = bss_start; to < bss_end;) {
        *to++ = 0;
    }
    main();
    stop();
}

/* The first sixteen words: the stack, reset, and the core's exceptions. No interrupt is used. */
__attribute__((used, section(".vectors"))) static const uintptr_t vectors[16] = {
    (uintptr_t)stack_top, (uintptr_t)reset, (uintptr_t)stop, (uintptr_t)stop, (uintptr_t)stop, (uintptr_t)stop,
    (uintptr_t)stop,      (uintptr_t)stop,  0,               0,               0,               (uintptr_t)stop,
    (uintptr_t)stop,      0,                (uintptr_t)stop, (uintptr_t)stop,
};

__attribute__((no_builtin)) void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    unsigned char *d = to;
    const unsigned char *s = from;
    if ((((uintptr_t)d | (uintptr_t)s) & 3u) == 0u) {
        for (; count >= 4u; count -= 4u, d += 4, s += 4) {
            *(uint32_t *)(void *)d = *(const uint32_t *)(const void *)s;
        }
    }
    while (count-- != 0u) {
        *d++ = *s++;
    }
    return to;
}

__attribute__((no_builtin)) void *memmove(void *to, const void *from, size_t count)
{
    unsigned char *d = to;
    const unsigned char *s = from;
    if ((uintptr_t)d - (uintptr_t)s >= count) {
        return memcpy(to, from, count);
    }
    while (count-- != 0u) {
        d[count] = s[count];
    }
    return to;
}

__attribute__((no_builtin)) void *memset(void *to, int value, size_t count)
{
    unsigned char *d = to;
    while (count-- != 0u) {
        *d++ = (unsigned char)value;
    }
    return to;
}

__attribute__((no_builtin)) int memcmp(const void *a, const void *b, size_t count)
{
    const unsigned char *x = a;
    const unsigned char *y = b;
    for (; count-- != 0u; ++x, ++y) {
        if (*x != *y) {
            return *x - *y;
        }
    }
    return 0;
}
