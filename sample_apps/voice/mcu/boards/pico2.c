/* Raspberry Pi Pico 2 (RP2350, Arm core 0): microphone on GP26, serial port on GP0 at 115200 baud.
 *
 * Chapters are those of the RP2350 datasheet. */
#include "../board.h"
#include "microphone.h"
#include "registers.h"

/* Chapter 2.1.3: writes to these aliases of a peripheral's registers set or clear bits. */
#define SET 0x2000u
#define CLEAR 0x3000u

/* Chapter 2.2, address map. */
#define CLOCKS 0x40010000u
#define RESETS 0x40020000u
#define IO_BANK0 0x40028000u
#define PADS_BANK0 0x40038000u
#define XOSC 0x40048000u
#define PLL_SYS 0x40050000u
#define PLL_USB 0x40058000u
#define UART0 0x40070000u
#define ADC 0x400A0000u
#define DMA 0x50000000u

/* Chapter 5.9.5, minimum image metadata: the boot ROM looks for this block in the first 4 KiB of the flash. It says
 * "an executable for the Arm cores of an RP2350, secure"; the vector table is where the image starts. */
__attribute__((used, section(".image_def"))) static const uint32_t image_def[5] = {
    0xFFFFDED3u, 0x10210142u, 0x000001FFu, 0x00000000u, 0xAB123579u,
};

/* Chapter 7.5: take peripherals out of reset. */
static void release(uint32_t bits)
{
    REGISTER(RESETS + CLEAR + 0x0u) = bits;
    while ((REGISTER(RESETS + 0x8u) & bits) != bits) {
    }
}

/* Chapter 8.6: the crystal's 12 MHz times `times`, divided by `by1` and `by2`. */
static void start_pll(uint32_t pll, uint32_t times, uint32_t by1, uint32_t by2)
{
    REGISTER(pll + 0x0u) = 1;                         /* CS: the reference as it is */
    REGISTER(pll + 0x8u) = times;                     /* FBDIV_INT */
    REGISTER(pll + CLEAR + 0x4u) = 1u << 0 | 1u << 5; /* PWR: PD, VCOPD */
    while ((REGISTER(pll + 0x0u) & 1u << 31) == 0u) { /* CS: LOCK */
    }
    REGISTER(pll + 0xCu) = by1 << 16 | by2 << 12; /* PRIM */
    REGISTER(pll + CLEAR + 0x4u) = 1u << 3;       /* PWR: POSTDIVPD */
}

/* Chapters 8.1 and 8.2: the core at 150 MHz, the ADC at 48 MHz, the serial port from the crystal. */
static void start_clocks(void)
{
    REGISTER(XOSC + 0xCu) = 282;                          /* STARTUP: 6 ms, as pico-sdk waits */
    REGISTER(XOSC + 0x0u) = 0xFABu << 12 | 0xAA0u;        /* CTRL: on, 1 to 15 MHz */
    while ((REGISTER(XOSC + 0x4u) & 1u << 31) == 0u) {    /* STATUS: STABLE */
    }
    REGISTER(CLOCKS + 0x30u) = 2;                         /* CLK_REF_CTRL: crystal */
    while ((REGISTER(CLOCKS + 0x38u) & 1u << 2) == 0u) {  /* CLK_REF_SELECTED */
    }
    REGISTER(CLOCKS + 0x3Cu) = 0;                         /* CLK_SYS_CTRL: reference, while the PLLs start */
    while ((REGISTER(CLOCKS + 0x44u) & 1u << 0) == 0u) {  /* CLK_SYS_SELECTED */
    }
    REGISTER(RESETS + SET + 0x0u) = 1u << 14 | 1u << 15;
    release(1u << 14 | 1u << 15);                         /* PLL_SYS, PLL_USB */
    start_pll(PLL_SYS, 125, 5, 2);                        /* 1500 MHz / 10 */
    start_pll(PLL_USB, 100, 5, 5);                        /* 1200 MHz / 25 */
    REGISTER(CLOCKS + 0x3Cu) = 0u << 5 | 1u;              /* CLK_SYS_CTRL: PLL_SYS */
    while ((REGISTER(CLOCKS + 0x44u) & 1u << 1) == 0u) {
    }
    REGISTER(CLOCKS + 0x48u) = 1u << 11 | 4u << 5;        /* CLK_PERI_CTRL: on, crystal */
    REGISTER(CLOCKS + 0x6Cu) = 1u << 11 | 0u << 5;        /* CLK_ADC_CTRL: on, PLL_USB */
}

void board_init(void)
{
    start_clocks();
    release(1u << 6 | 1u << 9 | 1u << 26); /* IO_BANK0, PADS_BANK0, UART0 */
    /* Chapters 9.4 and 9.7: GP0 is UART0's TX. Its pad is isolated until told otherwise. */
    REGISTER(IO_BANK0 + 0x4u) = 2;
    REGISTER(PADS_BANK0 + CLEAR + 0x4u) = 1u << 8 | 1u << 7; /* ISO, OD */
    /* Chapter 12.1: 12 MHz / (16 * 115200) = 6 + 33/64; 8 bits, FIFOs; transmitter on. */
    REGISTER(UART0 + 0x24u) = 6;
    REGISTER(UART0 + 0x28u) = 33;
    REGISTER(UART0 + 0x2Cu) = 3u << 5 | 1u << 4;
    REGISTER(UART0 + 0x30u) = 1u << 8 | 1u << 0;
}

void board_print(const char *text)
{
    for (; *text != '\0'; ++text) {
        while ((REGISTER(UART0 + 0x18u) & 1u << 5) != 0u) { /* UARTFR: TXFF */
        }
        REGISTER(UART0 + 0x0u) = (uint8_t)*text;
    }
}

static uint16_t *ring_start;

void microphone_start(uint16_t *ring)
{
    ring_start = ring;
    release(1u << 0 | 1u << 2); /* ADC, DMA */
    /* Chapter 9.7: GP26 is analogue: no pulls, no input buffer, no output, not isolated. */
    REGISTER(PADS_BANK0 + 0x6Cu) = 1u << 7;
    /* Chapter 12.4: channel 0, one conversion in 3000 periods of 48 MHz, into the FIFO, which asks for the DMA. */
    REGISTER(ADC + 0x0u) = 1;                           /* CS: EN, AINSEL 0 */
    while ((REGISTER(ADC + 0x0u) & 1u << 8) == 0u) {    /* CS: READY */
    }
    REGISTER(ADC + 0x8u) = 1u << 24 | 1u << 3 | 1u;     /* FCS: THRESH 1, DREQ_EN, EN */
    REGISTER(ADC + 0x10u) = 2999u << 8;                 /* DIV */
    /* Chapter 12.6: channel 0, 16 bits a transfer, to a ring of 4 KiB, paced by the ADC (48), without end. */
    REGISTER(DMA + 0x0u) = ADC + 0xCu;
    REGISTER(DMA + 0x4u) = (uint32_t)(uintptr_t)ring;
    REGISTER(DMA + 0x8u) = 0xFu << 28 | 1u; /* TRANS_COUNT: ENDLESS */
    REGISTER(DMA + 0xCu) = 48u << 17 | 0u << 13 | 1u << 12 | 12u << 8 | 1u << 6 | 1u << 2 | 1u; /* CTRL_TRIG */
    REGISTER(ADC + SET + 0x0u) = 1u << 3;   /* CS: START_MANY */
}

size_t microphone_position(void)
{
    return (REGISTER(DMA + 0x4u) - (uint32_t)(uintptr_t)ring_start) / 2u % MICROPHONE_RING;
}
