/* Vector table and the C library functions that generated code may call (string.h). */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void qe_returned(void);
#if defined(__riscv)
void qe_reset(void);
#endif
void _start(void);
extern char __ram_end[];

#if defined(__clang__)
#define NO_CALLS_TO_ITSELF __attribute__((used, no_builtin))
#else
#define NO_CALLS_TO_ITSELF __attribute__((used, optimize("no-tree-loop-distribute-patterns")))
#endif

/* Where calls return to under QEMU: its plug-in reports at the first instruction, its debugger stops at the
 * second, two bytes on. */
__attribute__((naked, used, section(".support"))) void qe_returned(void) {
#if defined(__riscv)
  __asm__ volatile("c.nop\n 1: j 1b\n");
#else
  __asm__ volatile(".syntax unified\n nop\n 1: b 1b\n");
#endif
}

__attribute__((noreturn, used, section(".support"))) void _start(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: floating point and vectors on */
#endif
  qe_returned();
  for (;;) {
  }
}

#if defined(__riscv)
__attribute__((naked, used, section(".vectors"))) void qe_reset(void) {
  __asm__ volatile("la sp, __ram_end\n j _start\n");
}
#else
__attribute__((used, section(".vectors"))) static const uintptr_t vectors[2] = {(uintptr_t)__ram_end,
                                                                                (uintptr_t)_start};
#endif

NO_CALLS_TO_ITSELF void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  unsigned char *d = to;
  const unsigned char *s = from;
  if ((((uintptr_t)d | (uintptr_t)s) & 3u) == 0u) {
    uint32_t *dw = to;
    const uint32_t *sw = from;
    for (; n >= 16u; n -= 16u) {
      const uint32_t a = sw[0], b = sw[1], c = sw[2], e = sw[3];
      sw += 4;
      dw[0] = a;
      dw[1] = b;
      dw[2] = c;
      dw[3] = e;
      dw += 4;
    }
    for (; n >= 4u; n -= 4u) *dw++ = *sw++;
    d = (unsigned char *)dw;
    s = (const unsigned char *)sw;
  }
  while (n-- != 0u) *d++ = *s++;
  return to;
}

NO_CALLS_TO_ITSELF void *memmove(void *to, const void *from, size_t n) {
  unsigned char *d = to;
  const unsigned char *s = from;
  if ((uintptr_t)d - (uintptr_t)s >= n) return memcpy(to, from, n);
  while (n-- != 0u) d[n] = s[n];
  return to;
}

NO_CALLS_TO_ITSELF void *memset(void *to, int value, size_t n) {
  unsigned char *d = to;
  const uint32_t word = (uint32_t)(unsigned char)value * 0x01010101u;
  for (; n != 0u && ((uintptr_t)d & 3u) != 0u; n--) *d++ = (unsigned char)value;
  uint32_t *dw = (uint32_t *)(void *)d;
  for (; n >= 16u; n -= 16u) {
    dw[0] = word;
    dw[1] = word;
    dw[2] = word;
    dw[3] = word;
    dw += 4;
  }
  for (; n >= 4u; n -= 4u) *dw++ = word;
  d = (unsigned char *)dw;
  while (n-- != 0u) *d++ = (unsigned char)value;
  return to;
}

NO_CALLS_TO_ITSELF int memcmp(const void *a, const void *b, size_t n) {
  const unsigned char *x = a;
  const unsigned char *y = b;
  for (; n-- != 0u; x++, y++) {
    if (*x != *y) return *x - *y;
  }
  return 0;
}
