/* What may stand where in a request's head: each function says what it lets pass, all else is refused. */
#include "rules.h"

#include <arpa/inet.h>
#include <string.h>

#define VISIBLE (RULES_TARGET | RULES_VALUE)
#define LETTER (VISIBLE | RULES_TOKEN | RULES_HOST)

const unsigned char rules_class[256] = {
    ['\t'] = RULES_VALUE,
    [' '] = RULES_VALUE,
    ['!'] = VISIBLE | RULES_TOKEN,
    ['"'] = VISIBLE,
    ['#'] = RULES_VALUE | RULES_TOKEN,
    ['$'] = VISIBLE | RULES_TOKEN,
    ['%'] = VISIBLE | RULES_TOKEN,
    ['&'] = VISIBLE | RULES_TOKEN,
    ['\''] = VISIBLE | RULES_TOKEN,
    ['('] = VISIBLE,
    [')'] = VISIBLE,
    ['*'] = VISIBLE | RULES_TOKEN,
    ['+'] = VISIBLE | RULES_TOKEN,
    [','] = VISIBLE,
    ['-'] = LETTER,
    ['.'] = LETTER,
    ['/'] = VISIBLE,
    ['0' ... '9'] = LETTER | RULES_DIGIT | RULES_HEX,
    [':'] = VISIBLE,
    [';'] = VISIBLE,
    ['<'] = VISIBLE,
    ['='] = VISIBLE,
    ['>'] = VISIBLE,
    ['?'] = VISIBLE,
    ['@'] = VISIBLE,
    ['A' ... 'F'] = LETTER | RULES_HEX,
    ['G' ... 'Z'] = LETTER,
    ['['] = VISIBLE,
    ['\\'] = VISIBLE,
    [']'] = VISIBLE,
    ['^'] = VISIBLE | RULES_TOKEN,
    ['_'] = LETTER,
    ['`'] = VISIBLE | RULES_TOKEN,
    ['a' ... 'f'] = LETTER | RULES_HEX,
    ['g' ... 'z'] = LETTER,
    ['{'] = VISIBLE,
    ['|'] = VISIBLE | RULES_TOKEN,
    ['}'] = VISIBLE,
    ['~'] = LETTER,
    [0x80 ... 0xff] = RULES_VALUE,
};

static bool is(char byte, unsigned char class)
{
    return rules_class[(unsigned char)byte] & class;
}

bool rules_all(const char *bytes, size_t length, unsigned char class)
{
    /* No branch for each byte: nearly all are right. */
    const unsigned char *at = (const unsigned char *)bytes, *end = at + length;
    for (; end - at >= 8; at += 8)
        if (!(rules_class[at[0]] & rules_class[at[1]] & rules_class[at[2]] & rules_class[at[3]] &
              rules_class[at[4]] & rules_class[at[5]] & rules_class[at[6]] & rules_class[at[7]] & class))
            return false;
    for (; at < end; at++)
        if (!(rules_class[*at] & class)) return false;
    return true;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

bool rules_value(const char *bytes, size_t length, bool *ascii)
{
    uint64_t high = 0;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        /* A high bit for each byte below 0x20, and for some after one; the same for each DEL. What has none
         * in any word is right; all else, such as tabs, is left to the table. */
        uint64_t del = word ^ EACH(0x7f);
        if ((((word - EACH(0x20)) & ~word) | ((del - EACH(0x01)) & ~del)) & EACH(0x80)) {
            if (!rules_all(bytes + i, 8, RULES_VALUE)) return false;
        }
        high |= word;
    }
    for (; i < length; i++) {
        if (!is(bytes[i], RULES_VALUE)) return false;
        high |= (unsigned char)bytes[i];
    }
    *ascii = !(high & EACH(0x80));
    return true;
}

bool rules_is(const char *bytes, size_t length, const char *word)
{
    size_t i = 0;
    for (; i < length && word[i] != '\0'; i++) {
        char byte = bytes[i];
        if (byte >= 'A' && byte <= 'Z') byte |= 0x20;
        if (byte != word[i]) return false;
    }
    return i == length && word[i] == '\0';
}

bool rules_lists(const char *bytes, size_t length, const char *word)
{
    const char *end = bytes + length;
    while (bytes < end) {
        const char *comma = memchr(bytes, ',', (size_t)(end - bytes)), *stop = comma == NULL ? end : comma;
        const char *first = bytes, *last = stop;
        while (first < last && (*first == ' ' || *first == '\t')) first++;
        while (first < last && (last[-1] == ' ' || last[-1] == '\t')) last--;
        if (rules_is(first, (size_t)(last - first), word)) return true;
        bytes = stop + 1;
    }
    return false;
}

/* The method, up to the first space: its length in `out`; 0 with no space in what there is of the line. */
static int method_of(const char *line, size_t length, size_t *out)
{
    *out = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] == ' ') {
            *out = i;
            return i == 0 ? 400 : 0;
        }
        if (!is(line[i], RULES_TOKEN)) return 400;
        if (i == RULES_METHOD_MAX) return 501;
    }
    return 0;
}

int rules_line_begun(const char *line, size_t length, size_t target_max)
{
    size_t method;
    int status = method_of(line, length, &method);
    if (status != 0 || method == 0) return status;
    static const size_t version = sizeof " HTTP/1.1\r" - 1;
    size_t most = method + 1 + target_max + version;
    for (size_t i = method + 1; i < length && i < most; i++) {
        if (is(line[i], RULES_TARGET) || line[i] == ' ') continue;
        if (line[i] != '\r' || i + 1 != length) return 400; /* its end may be about to come */
    }
    return length > most ? 414 : 0;
}

int rules_line(const char *line, size_t length, size_t target_max, struct rules_line *out)
{
    static const char version[] = " HTTP/1.";
    static const size_t size = sizeof version; /* with its last digit */
    int status = method_of(line, length, &out->method_length);
    if (status != 0) return status;
    if (out->method_length == 0) return 400;
    out->method = line;
    out->target = line + out->method_length + 1;
    size_t rest = length - out->method_length - 1;
    if (rest > target_max + size) return 414;
    if (rest <= size) return 400;
    out->target_length = rest - size;
    const char *tail = line + length - size;
    if (!rules_all(out->target, out->target_length, RULES_TARGET)) return 400;
    if (memcmp(tail, version, size - 1) == 0 && (tail[size - 1] == '0' || tail[size - 1] == '1')) {
        out->minor = tail[size - 1] - '0';
        return 0;
    }
    bool other = memcmp(tail, " HTTP/", 6) == 0 && is(tail[6], RULES_DIGIT) && tail[7] == '.' &&
                 is(tail[8], RULES_DIGIT);
    return other ? 505 : 400;
}

bool rules_authority(const char *bytes, size_t length)
{
    const char *end = bytes + length, *colon;
    if (length == 0) return false;
    if (*bytes == '[') {
        const char *bracket = memchr(bytes, ']', length);
        char text[INET6_ADDRSTRLEN];
        struct in6_addr address;
        if (bracket == NULL || (size_t)(bracket - bytes) > sizeof text) return false;
        size_t inner = (size_t)(bracket - bytes - 1);
        memcpy(text, bytes + 1, inner);
        text[inner] = '\0';
        if (strlen(text) != inner || inet_pton(AF_INET6, text, &address) != 1) return false;
        colon = bracket + 1;
    } else {
        colon = memchr(bytes, ':', length);
        if (colon == NULL) colon = end;
        if (colon == bytes || !rules_all(bytes, (size_t)(colon - bytes), RULES_HOST)) return false;
    }
    if (colon == end) return true;
    if (*colon != ':' || end - colon > 6 || !rules_all(colon + 1, (size_t)(end - colon - 1), RULES_DIGIT))
        return false;
    long port = 0;
    for (const char *digit = colon + 1; digit < end; digit++) port = port * 10 + (*digit - '0');
    return port <= 65535;
}

int rules_target(const struct rules_line *line, struct rules_target *out)
{
    const char *at = line->target, *end = at + line->target_length;
    *out = (struct rules_target){.path = at};
    if (*at != '/') {
        if (line->target_length == 1 && *at == '*') {
            out->path_length = 1;
            return rules_is(line->method, line->method_length, "options") ? 0 : 400;
        }
        size_t scheme = 0;
        if (line->target_length > 7 && rules_is(at, 7, "http://")) scheme = 7;
        if (line->target_length > 8 && rules_is(at, 8, "https://")) scheme = 8;
        if (scheme == 0) return 400;
        out->authority = at += scheme;
        while (at < end && *at != '/' && *at != '?') at++;
        out->authority_length = (size_t)(at - out->authority);
        if (!rules_authority(out->authority, out->authority_length)) return 400;
        out->path = at;
    }
    const char *question = memchr(at, '?', (size_t)(end - at));
    out->path_length = (size_t)((question == NULL ? end : question) - at);
    if (question != NULL) {
        out->query = question + 1;
        out->query_length = (size_t)(end - question - 1);
    }
    return 0;
}

int rules_content_length(const char *bytes, size_t length, int64_t *out)
{
    if (length == 0 || !rules_all(bytes, length, RULES_DIGIT)) return 400;
    /* 19 digits cannot overflow what is counted in; more are refused even when they are zeros. */
    if (length > 19) return 413;
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) value = value * 10 + (uint64_t)(bytes[i] - '0');
    if (value >= (uint64_t)1 << 62) return 413;
    *out = (int64_t)value;
    return 0;
}
