/* What the application needs of a board; one file below boards/ each. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

/* Start the clocks, the microphone at 16 kHz and the serial port. */
void board_init(void);

/* Wait for the next samples of the microphone. Returns 0 when there will be no more. */
int board_record(int16_t *pcm, size_t count);

/* Write text to the serial port. */
void board_print(const char *text);

#endif
