/* Arm's MPS2 with the AN386 image (Cortex-M4), which QEMU emulates: a serial port, and no microphone.
 *
 * Registers of the UART: "Cortex-M System Design Kit Technical Reference Manual", APB UART. */
#include "../board.h"
#include "registers.h"

#define UART0 0x40004000u

void board_init(void)
{
    REGISTER(UART0 + 0x10u) = 217; /* BAUDDIV: 25 MHz / 115200 */
    REGISTER(UART0 + 0x8u) = 1;    /* CTRL: transmitter on */
}

void board_print(const char *text)
{
    for (; *text != '\0'; ++text) {
        while ((REGISTER(UART0 + 0x4u) & 1u) != 0u) { /* STATE: buffer full */
        }
        REGISTER(UART0 + 0x0u) = (uint8_t)*text;
    }
}
