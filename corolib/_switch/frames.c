/* Floor 2, CPython 3.12 and later: links to frames on the C stack, taken out and put back. See frames.h. */
#include "frames.h"

#include "check.h"

#include <stdbool.h>
#include <stdlib.h>

static int grow(struct frames_links *links)
{
    /* One link per C function on the way that called back into Python, and one at the bottom: few. */
    unsigned room = links->room ? links->room * 2 : 2;
    struct frames_link *items = check_alloc_fails() ? NULL : realloc(links->items, room * sizeof *items);
    if (items == NULL) return -1;
    links->items = items;
    links->room = room;
    return 0;
}

int frames_unlink(struct frames_links *links, void *first, const char *low, const char *top)
{
    struct frames_head *frame = first;
    links->count = 0;
    while (frame != NULL) {
        struct frames_head *previous = frame->previous;
        if ((const char *)previous >= low && (const char *)previous < top) {
            if (links->count == links->room && grow(links) < 0) {
                frames_relink(links);
                return -1;
            }
            links->items[links->count++] = (struct frames_link){frame, previous};
            do previous = previous->previous;
            while ((const char *)previous >= low && (const char *)previous < top);
            frame->previous = previous;
        }
        frame = previous;
    }
    return 0;
}

void frames_relink(struct frames_links *links)
{
    for (unsigned i = 0; i < links->count; i++) links->items[i].frame->previous = links->items[i].previous;
    links->count = 0;
}

void frames_forget(struct frames_links *links)
{
    if (links->items == NULL) return;
    free(links->items);
    *links = (struct frames_links){0};
}

void frames_check(const void *first, unsigned offset, unsigned char greatest)
{
    for (const struct frames_head *frame = first; frame != NULL; frame = frame->previous)
        CHECK(((const unsigned char *)frame)[offset] <= greatest);
}
