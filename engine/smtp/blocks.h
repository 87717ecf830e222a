/* blocks.h: bytes of a body copied and judged many at a time; body.c takes over wherever one has to be looked at closely.
 *
 * The source may change at any moment: each byte of it is read once, and what is judged is what is stored.
 */
#ifndef ENGINE_SMTP_BLOCKS_H
#define ENGINE_SMTP_BLOCKS_H

#include "engine/base/base.h"

/* blocks_copy copies bytes from the front of len and gives their number: every CR among them has its LF behind it and every
 * LF its CR before it, and with `dots` no line begins with one.  line_start: the first byte begins a line.
 *
 *   to        has room for len, all of which may be written to
 *   returns   as many as were sound, or fewer: 0 means that the next byte is to be looked at by itself
 */
size_t blocks_copy(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots);

/* The same for a processor of that kind; all give what is sound, and stop at most 63 bytes before another would. */
size_t blocks_copy_plain(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots);
#ifdef __x86_64__
size_t blocks_copy_avx2(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots);
size_t blocks_copy_avx512(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots);
#endif

#endif
