/* A board's file for this machine: its serial port is standard input and output, a pseudo terminal in the tests. */
#include <stdint.h>
#include <sys/select.h>
#include <sys/time.h>
#include <unistd.h>

void board_start(void);
int board_get(void);
void board_put(uint8_t byte);

void board_start(void)
{
}

int board_get(void)
{
    uint8_t byte;
    fd_set set;
    struct timeval patience = {0, 50000};
    FD_ZERO(&set);
    FD_SET(0, &set);
    if (select(1, &set, NULL, NULL, &patience) <= 0) {
        return -1;
    }
    if (read(0, &byte, 1) != 1) {
        _exit(0);
    }
    return byte;
}

void board_put(uint8_t byte)
{
    if (write(1, &byte, 1) != 1) {
        _exit(0);
    }
}
