/* What the parts of the stub share. SPDX-License-Identifier: MIT */
#ifndef STUB_H
#define STUB_H

#include <stddef.h>

/* End the daemon with a word on standard error; errno says why. */
void die(const char *what);

/* The path of a file in the stub's directory. */
const char *path_of(char *buffer, size_t size, const char *name);

#endif
