/* What may stand where in a request's head: the rules on top of the grammar. Functions of bytes, without
 * Python and without state.
 *
 * A rule answers with the status that the request is refused with, 0 if it holds. */
#ifndef HTTP_RULES_H
#define HTTP_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Classes of bytes in rules_class. */
enum {
    RULES_TOKEN = 1,  /* names of fields and methods: RFC 9110, 5.6.2 */
    RULES_TARGET = 2, /* what a request target is made of here: visible ASCII without '#' */
    RULES_HOST = 4,   /* names of hosts: of what RFC 3986 allows, what names of hosts have */
    RULES_VALUE = 8,  /* values of fields: all but controls, with the tab: RFC 9110, 5.5 */
    RULES_DIGIT = 16,
    RULES_HEX = 32,
};
extern const unsigned char rules_class[256];

/* Does every byte belong to the class? True of nothing. */
bool rules_all(const char *bytes, size_t length, unsigned char class);

/* The same for RULES_VALUE, faster where there is a lot of it; `ascii`: whether all bytes are. */
bool rules_value(const char *bytes, size_t length, bool *ascii);

/* The longest name of a method that is looked at. */
#define RULES_METHOD_MAX 24

/* "GET /path HTTP/1.1" without its line end. */
struct rules_line {
    const char *method, *target;
    size_t method_length, target_length;
    int minor; /* of the version: 0 or 1 */
};

/* Takes a request line apart: what it is made of, not what it means. */
int rules_line(const char *line, size_t length, size_t target_max, struct rules_line *out);

/* The same for the beginning of a line whose end has not come: 0 if it may still become one. */
int rules_line_begun(const char *line, size_t length, size_t target_max);

/* Where in the target the path begins and what it says of the authority: origin form, absolute form, "*". */
struct rules_target {
    const char *authority, *path,
        *query; /* authority: NULL unless it is in the absolute form; query: NULL if none */
    size_t authority_length, path_length, query_length;
};
int rules_target(const struct rules_line *line, struct rules_target *out);

/* host, host:port, [address], [address]:port. */
bool rules_authority(const char *bytes, size_t length);

/* The value of Content-Length. 400 if it is no number, 413 if none that can be counted with. */
int rules_content_length(const char *bytes, size_t length, int64_t *out);

/* Is `word` (lower case) one of the elements of a list such as that of Connection? */
bool rules_lists(const char *bytes, size_t length, const char *word);

/* As memcmp() == 0 for a word in lower case, whatever the case of the bytes. */
bool rules_is(const char *bytes, size_t length, const char *word);

#endif
