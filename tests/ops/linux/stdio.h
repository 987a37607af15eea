/* Standard input and output, as start.c has them. */
#ifndef STDIO_H
#define STDIO_H

#include <stddef.h>

typedef struct file FILE;

extern FILE *const stdin;
extern FILE *const stdout;

size_t fread(void *to, size_t size, size_t count, FILE *from);
size_t fwrite(const void *data, size_t size, size_t count, FILE *to);

#endif
