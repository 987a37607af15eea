/* ST Nucleo-144 L4R5ZI (STM32L4R5, Cortex-M4): microphone on A0 (PA3), serial port over the board's USB at 115200.
 *
 * Chapters are those of RM0432, the reference manual of STM32L4+; pins are in UM2179, the board's manual. */
#include "../board.h"
#include "microphone.h"
#include "registers.h"

/* Chapter 2.2, memory map. */
#define TIM6 0x40001000u
#define PWR 0x40007000u
#define LPUART1 0x40008000u
#define DMA1 0x40020000u
#define DMAMUX1 0x40020800u
#define RCC 0x40021000u
#define FLASH 0x40022000u
#define GPIOA 0x48000000u
#define GPIOG 0x48001800u
#define ADC1 0x50040000u

static void wait(uint32_t loops)
{
    for (; loops != 0u; --loops) {
        __asm__ volatile("nop");
    }
}

/* Chapters 5.1.8 and 6.2: the core at 120 MHz from the internal 16 MHz, in the regulator's boost mode. */
static void start_clocks(void)
{
    REGISTER(RCC + 0x58u) |= 1u << 28;                /* APB1ENR1: PWR */
    (void)REGISTER(RCC + 0x58u);                      /* a clock needs two periods to arrive */
    REGISTER(PWR + 0x80u) &= ~(1u << 8);              /* CR5: R1MODE 0, for more than 80 MHz */
    REGISTER(FLASH + 0x0u) = 1u << 10 | 1u << 9 | 5u; /* ACR: both caches, 5 wait states */
    while ((REGISTER(FLASH + 0x0u) & 0xFu) != 5u) {
    }
    REGISTER(RCC + 0x0u) |= 1u << 8;                  /* CR: HSION */
    while ((REGISTER(RCC + 0x0u) & 1u << 10) == 0u) { /* HSIRDY */
    }
    /* PLLCFGR: HSI16 / 2 * 30 / 2, its output R on. */
    REGISTER(RCC + 0xCu) = 1u << 24 | 30u << 8 | 1u << 4 | 2u;
    REGISTER(RCC + 0x0u) |= 1u << 24;                 /* CR: PLLON */
    while ((REGISTER(RCC + 0x0u) & 1u << 25) == 0u) { /* PLLRDY */
    }
    REGISTER(RCC + 0x8u) = 8u << 4 | 3u;              /* CFGR: half of the PLL first, for at least 1 us */
    while ((REGISTER(RCC + 0x8u) & 0xCu) != 0xCu) {
    }
    wait(200);
    REGISTER(RCC + 0x8u) = 3u;                        /* then all of it; timers and buses alike */
}

void board_init(void)
{
    start_clocks();
    REGISTER(RCC + 0x4Cu) |= 1u << 0 | 1u << 6;       /* AHB2ENR: GPIOA, GPIOG */
    REGISTER(RCC + 0x5Cu) |= 1u << 0;                 /* APB1ENR2: LPUART1 */
    REGISTER(RCC + 0x88u) = (REGISTER(RCC + 0x88u) & ~(3u << 10)) | 2u << 10; /* CCIPR: LPUART1 from HSI16 */
    REGISTER(PWR + 0x4u) |= 1u << 9;                  /* CR2: IOSV, port G has a supply of its own */
    /* Chapter 8.4: PG7 is LPUART1's TX, alternate function 8. */
    REGISTER(GPIOG + 0x20u) = (REGISTER(GPIOG + 0x20u) & ~(0xFu << 28)) | 8u << 28;
    REGISTER(GPIOG + 0x0u) = (REGISTER(GPIOG + 0x0u) & ~(3u << 14)) | 2u << 14;
    /* LPUART chapter: BRR is 256 * 16 MHz / 115200; 8 bits; UE and TE. */
    REGISTER(LPUART1 + 0xCu) = 35556;
    REGISTER(LPUART1 + 0x0u) = 1u << 3 | 1u << 0;
}

void board_print(const char *text)
{
    for (; *text != '\0'; ++text) {
        while ((REGISTER(LPUART1 + 0x1Cu) & 1u << 7) == 0u) { /* ISR: TXE */
        }
        REGISTER(LPUART1 + 0x28u) = (uint8_t)*text;
    }
}

void microphone_start(uint16_t *ring)
{
    REGISTER(RCC + 0x48u) |= 1u << 0 | 1u << 2;      /* AHB1ENR: DMA1, DMAMUX1 */
    REGISTER(RCC + 0x4Cu) |= 1u << 13;               /* AHB2ENR: ADC */
    REGISTER(RCC + 0x58u) |= 1u << 4;                /* APB1ENR1: TIM6 */
    (void)REGISTER(RCC + 0x58u);
    REGISTER(GPIOA + 0x0u) |= 3u << 6;               /* PA3 is analogue */
    /* DMA and DMAMUX chapters: request 5 is ADC1; 16 bits, to the ring, round and round. */
    REGISTER(DMAMUX1 + 0x0u) = 5;
    REGISTER(DMA1 + 0x0Cu) = MICROPHONE_RING;        /* CNDTR1 */
    REGISTER(DMA1 + 0x10u) = ADC1 + 0x40u;           /* CPAR1: DR */
    REGISTER(DMA1 + 0x14u) = (uint32_t)(uintptr_t)ring;
    REGISTER(DMA1 + 0x08u) = 2u << 12 | 1u << 10 | 1u << 8 | 1u << 7 | 1u << 5 | 1u; /* CCR1 */
    /* ADC chapter: out of deep power-down, regulator on, calibrated, enabled. */
    REGISTER(ADC1 + 0x308u) = 3u << 16;              /* CCR: the bus clock / 4, 30 MHz */
    REGISTER(ADC1 + 0x8u) = 0;                       /* CR: DEEPPWD 0 */
    REGISTER(ADC1 + 0x8u) = 1u << 28;                /* ADVREGEN */
    wait(2400);                                      /* 20 us at the least */
    REGISTER(ADC1 + 0x8u) = 1u << 31 | 1u << 28;     /* ADCAL */
    while ((REGISTER(ADC1 + 0x8u) & 1u << 31) != 0u) {
    }
    wait(100);                                       /* four periods of the ADC before ADEN */
    REGISTER(ADC1 + 0x0u) = 1;                       /* ISR: forget ADRDY */
    REGISTER(ADC1 + 0x8u) = 1u << 28 | 1u;           /* ADEN */
    while ((REGISTER(ADC1 + 0x0u) & 1u) == 0u) {
    }
    REGISTER(ADC1 + 0x14u) = 6u << 24;               /* SMPR1: channel 8, 247.5 periods */
    REGISTER(ADC1 + 0x30u) = 8u << 6;                /* SQR1: channel 8 alone */
    /* CFGR: 12 bits, one conversion at each rising edge of TIM6_TRGO (13), DMA round and round, newest wins. */
    REGISTER(ADC1 + 0xCu) = 1u << 12 | 1u << 10 | 13u << 6 | 1u << 1 | 1u;
    REGISTER(ADC1 + 0x8u) = 1u << 28 | 1u << 2 | 1u; /* ADSTART */
    /* Basic timer chapter: 120 MHz / 7500, each update is a trigger. */
    REGISTER(TIM6 + 0x2Cu) = 7499;                   /* ARR */
    REGISTER(TIM6 + 0x4u) = 2u << 4;                 /* CR2: MMS */
    REGISTER(TIM6 + 0x0u) = 1;                       /* CR1: CEN */
}

size_t microphone_position(void)
{
    return (MICROPHONE_RING - REGISTER(DMA1 + 0x0Cu)) % MICROPHONE_RING;
}
