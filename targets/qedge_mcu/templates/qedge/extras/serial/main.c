/* Runs @name@ for "qedge verify --port" and "qedge bench --port", on a board without Arduino: bring its serial port.
 *
 * Compile it with the library, -Isrc -Iexamples/serial and -DQE_OBSERVER=qe_serial_step (which names bad layers and
 * measures each), and with your own board_start, board_get and board_put. -DQE_SERIAL_HZ=... is the core's clock.
 */
#include <stdint.h>

#include "@name@.h"

#if defined(LIB_PICO_STDIO) /* the Pico SDK: the port that its stdio has, USB or UART */
#include <pico/stdlib.h>

static void board_start(void)
{
    stdio_init_all();
}

static int board_get(void)
{
    return getchar_timeout_us(500000);
}

static void board_put(uint8_t byte)
{
    putchar_raw(byte);
}
#else
void board_start(void);         /* clock and serial port: 8 bits, no parity, 1 stop bit; --baud is 115200 by default */
int board_get(void);            /* wait for a byte; negative after half a second without one */
void board_put(uint8_t byte);
#endif

static inline int qe_serial_get(void)
{
    return board_get();
}

static inline void qe_serial_put(uint8_t byte)
{
    board_put(byte);
}

#include "qe_serial.h"

static @name@_context context;

int main(void)
{
    board_start();
    (void)@name@_init(&context);
    for (;;) {
        qe_serial_poll(&context);
    }
}
