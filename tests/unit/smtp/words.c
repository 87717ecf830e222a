/* words.c: the words of a line. */
#include "tests/unit/smtp/dialogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* \r \n \t \\ \xNN, and \(600 a) for six hundred times a */
size_t dialogue_unescape(struct player *p, const char *text, uint8_t *out, size_t cap)
{
    size_t n = 0;
    for (const char *t = text; *t;) {
        unsigned long times = 1, c = (unsigned char)*t++;
        if (c == '\\') {
            char *end;
            switch (*t++) {
            case 'r': c = '\r'; break;
            case 'n': c = '\n'; break;
            case 't': c = '\t'; break;
            case '\\': break;
            case 'x':
                c = strtoul((char[]){t[0], t[1], 0}, NULL, 16);
                t += 2;
                break;
            case '(':
                times = strtoul(t, &end, 10);
                c = (unsigned char)end[1];
                t = end + 3;
                break;
            default: dialogue_fail(p, "unknown escape");
            }
        }
        if (n + times > cap)
            dialogue_fail(p, "too long");
        memset(out + n, (int)c, times);
        n += times;
    }
    return n;
}

bool dialogue_word_is(const char **text, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(*text, word, n) != 0 || ((*text)[n] && (*text)[n] != ' '))
        return false;
    *text += n + ((*text)[n] == ' ');
    return true;
}

const char *dialogue_word(const char **text, char *word, size_t cap)
{
    size_t n = strcspn(*text, " ");
    snprintf(word, cap, "%.*s", (int)n, *text);
    *text += n + ((*text)[n] == ' ');
    return word;
}
