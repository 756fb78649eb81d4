/* Floor 1: pieces cut from slabs. The picture is in slab.h. */
#include "slab.h"

#include "check.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Sizes: 16, 32 ... 1024, then in steps of 64 to 2048, of 128 to 4096. */
#define CLASSES (64 + 16 + 16)
/* Slabs without a piece in use that the process keeps: 1 MiB. */
#define EMPTY_MAX 16u
/* Where the first piece begins: a cache line. */
#define HEAD 64

struct slab {
    struct slab *newer, *older; /* in the ring of its class, if it has a piece to give */
    void *free;                 /* given back, chained by the first word */
    char *next;                 /* the uncut rest */
    uint32_t size;              /* of a piece */
    uint32_t out;               /* pieces in use */
};
_Static_assert(sizeof(struct slab) <= HEAD, "the head of a slab fits in front of its first piece");

static struct {
    struct slab *partial[CLASSES]; /* any of the ring; NULL: none */
    struct slab *empty;            /* chained by `newer`; of no class */
    struct slab_stats stats;
} pool;

/* Straight from the system: malloc would leave a gap at each. Mappings are handed out next to each other, so
 * after the first one the first attempt is nearly always right. */
void *slab_map(void)
{
    const int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *base = mmap(NULL, SLAB_SIZE, protection, flags, -1, 0);
    if (base == MAP_FAILED) return NULL;
    if ((uintptr_t)base % SLAB_SIZE == 0) return base;
    munmap(base, SLAB_SIZE);
    base = mmap(NULL, 2 * SLAB_SIZE, protection, flags, -1, 0);
    if (base == MAP_FAILED) return NULL;
    size_t before = (SLAB_SIZE - (uintptr_t)base % SLAB_SIZE) % SLAB_SIZE;
    if (before > 0) munmap(base, before);
    munmap(base + before + SLAB_SIZE, SLAB_SIZE - before);
    return base + before;
}

void slab_unmap(void *slab)
{
    /* A hole in the middle of a mapping makes two of it, and their number is limited: then give back the
     * memory, if not the addresses. */
    if (munmap(slab, SLAB_SIZE) < 0) (void)madvise(slab, SLAB_SIZE, MADV_DONTNEED);
}

static unsigned class_of(size_t size, size_t *room)
{
    size_t step = 16, above = 0;
    unsigned first = 0;
    if (size > 2048)
        step = 128, above = 2048, first = 64 + 16;
    else if (size > 1024)
        step = 64, above = 1024, first = 64;
    size_t steps = (size - above + step - 1) / step;
    *room = above + steps * step;
    return first + (unsigned)steps - 1;
}

static bool is_full(const struct slab *slab)
{
    return slab->free == NULL && slab->next + slab->size > (const char *)slab + SLAB_SIZE;
}

static void link_in(struct slab **ring, struct slab *slab)
{
    struct slab *head = *ring;
    if (head == NULL) {
        slab->newer = slab->older = slab;
        *ring = slab;
        return;
    }
    slab->newer = head;
    slab->older = head->older;
    head->older->newer = slab;
    head->older = slab;
}

static void link_out(struct slab **ring, struct slab *slab)
{
    if (*ring == slab) *ring = slab->newer != slab ? slab->newer : NULL;
    slab->newer->older = slab->older;
    slab->older->newer = slab->newer;
}

static struct slab *new_slab(size_t size)
{
    struct slab *slab = pool.empty;
    if (slab != NULL) {
        pool.empty = slab->newer;
        pool.stats.empty--;
    } else if ((slab = slab_map()) != NULL)
        pool.stats.slabs++;
    if (slab != NULL) *slab = (struct slab){.next = (char *)slab + HEAD, .size = (uint32_t)size};
    return slab;
}

void *slab_take(size_t size, size_t *room)
{
    if (check_alloc_fails()) return NULL;
    if (size > SLAB_LARGEST) {
        *room = size;
        return malloc(size);
    }
    struct slab **ring = &pool.partial[class_of(size > 0 ? size : 1, room)];
    struct slab *slab = *ring;
    if (slab == NULL) {
        if ((slab = new_slab(*room)) == NULL) return NULL;
        link_in(ring, slab);
    }
    void *piece = slab->free;
    if (piece != NULL)
        slab->free = *(void **)piece;
    else {
        piece = slab->next;
        slab->next += slab->size;
    }
    slab->out++;
    pool.stats.out++;
    if (is_full(slab)) link_out(ring, slab);
    return piece;
}

void slab_give(void *piece, size_t room)
{
    if (room > SLAB_LARGEST) {
        free(piece);
        return;
    }
    struct slab *slab = (struct slab *)((uintptr_t)piece & ~(uintptr_t)(SLAB_SIZE - 1));
    struct slab **ring = &pool.partial[class_of(room, &room)];
    CHECK(slab->size == room && slab->out > 0);
    if (is_full(slab)) link_in(ring, slab);
    *(void **)piece = slab->free;
    slab->free = piece;
    slab->out--;
    pool.stats.out--;
    if (slab->out > 0) return;
    link_out(ring, slab);
    if (pool.stats.empty < EMPTY_MAX) {
        slab->newer = pool.empty;
        pool.empty = slab;
        pool.stats.empty++;
    } else {
        slab_unmap(slab);
        pool.stats.slabs--;
    }
}

struct slab_stats slab_stats(void)
{
    return pool.stats;
}
