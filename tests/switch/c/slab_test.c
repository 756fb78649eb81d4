/* slab.c: pieces of all sizes do not overlap, keep what is in them, and leave nothing mapped behind. */
#include "slab.h"

#include "test.h"

#include <stdint.h>
#include <string.h>

#define PIECES 3000
#define KEPT 16u /* EMPTY_MAX */

static struct {
    unsigned char *at;
    size_t size, room;
    unsigned char mark;
} pieces[PIECES];
static unsigned chance = 4711;

static void take(unsigned n, size_t size)
{
    pieces[n].size = size;
    pieces[n].at = slab_take(size, &pieces[n].room);
    EXPECT(pieces[n].at != NULL);
    EXPECT(pieces[n].room >= size);
    EXPECT((uintptr_t)pieces[n].at % 16 == 0);
    pieces[n].mark = (unsigned char)(n * 7 + size);
    memset(pieces[n].at, pieces[n].mark, pieces[n].room);
}

static void give(unsigned n)
{
    for (size_t i = 0; i < pieces[n].room; i++) EXPECT(pieces[n].at[i] == pieces[n].mark);
    slab_give(pieces[n].at, pieces[n].room);
    pieces[n].at = NULL;
}

static void every_size(void)
{
    for (size_t size = 0; size <= SLAB_LARGEST + 100; size++) {
        size_t largest = size + 16 + size / 16;
        take(0, size);
        EXPECT(pieces[0].room <= largest);
        give(0);
    }
    EXPECT(slab_stats().out == 0);
    EXPECT(slab_stats().slabs == slab_stats().empty);
    EXPECT(slab_stats().empty <= KEPT);
}

static void at_random(void)
{
    for (unsigned turn = 0; turn < 200000; turn++) {
        unsigned n = test_random(&chance) % PIECES;
        if (pieces[n].at != NULL)
            give(n);
        else
            take(n, test_random(&chance) % (turn % 2 ? 5000 : 800));
    }
    for (unsigned n = 0; n < PIECES; n++)
        if (pieces[n].at != NULL) give(n);
    EXPECT(slab_stats().out == 0);
    EXPECT(slab_stats().empty == KEPT && slab_stats().slabs == KEPT);
}

static void a_wave_goes_back(void)
{
    for (unsigned n = 0; n < PIECES; n++) take(n, 700);
    EXPECT(slab_stats().slabs >= PIECES * 700 / SLAB_SIZE);
    EXPECT(slab_stats().slabs <= PIECES * 720 / SLAB_SIZE + KEPT);
    for (unsigned n = 0; n < PIECES; n += 2) give(n);
    for (unsigned n = 1; n < PIECES; n += 2) give(n);
    EXPECT(slab_stats().out == 0);
    EXPECT(slab_stats().slabs == KEPT);
}

int main(void)
{
    every_size();
    at_random();
    a_wave_goes_back();
    puts("ok");
    return 0;
}
