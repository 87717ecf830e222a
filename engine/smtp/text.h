/* text.h: foreign bytes made fit for a log line, a terminal and a bounce message; and UTF-8 (RFC 3629). */
#ifndef ENGINE_SMTP_TEXT_H
#define ENGINE_SMTP_TEXT_H

#include "engine/base/bytes.h"

/* smtp_utf8_take decodes the character at the start of bytes: returns its length in [1, 4], or 0 where there is
 * none: a stray or missing continuation, an overlong form, a surrogate, or a number above U+10FFFF.
 */
size_t smtp_utf8_take(const uint8_t *bytes, size_t len, uint32_t *character);

/* smtp_text_append adds bytes to the NUL-terminated text of length `used` in text[cap]; returns the new length.
 * Controls (C0, DEL, C1), direction overrides and whatever is not UTF-8 become '?'.  What does not fit is cut
 * between characters.
 */
size_t smtp_text_append(char *text, size_t cap, size_t used, const uint8_t *bytes, size_t len);

#endif
