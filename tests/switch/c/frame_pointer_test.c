/* Walks along frame pointers, as profilers of the system do them: from a guest nested in others, from one
 * that has been away from its lane, and from the scratch stack's side of things, each ends on the guest's own
 * stack. To be compiled with frame pointers. */
#include "lane.h"

#include "test.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#define NESTED 5

static struct lanes set;
static struct lane_guest native, guests[NESTED];
static struct lane_guest *current = &native;
static unsigned lanes, depth, walks;

static void go(struct lane_guest *to, int ended)
{
    struct lane_guest *from = current;
    EXPECT(lane_ready(&set, from, to, lanes) == 0);
    if (ended) {
        lane_release(&set, from);
        lane_forget(from);
    }
    current = to;
    EXPECT(lane_go(&set, from, to) == 0);
    EXPECT(current == from);
}

/* The chain must climb, stay within the stack, and end in a zero. */
static __attribute__((noinline)) unsigned walk(const struct stack *stack)
{
    uintptr_t at = (uintptr_t)__builtin_frame_address(0);
    unsigned frames = 0;
    while (at != 0) {
        EXPECT(at >= (uintptr_t)stack->low && at < (uintptr_t)stack->top && at % 8 == 0);
        uintptr_t next = *(uintptr_t *)at;
        EXPECT(next == 0 || next > at);
        at = next;
        EXPECT(++frames < 64);
    }
    walks++;
    return frames;
}

static __attribute__((noinline)) void deeper(unsigned levels)
{
    if (levels > 0) {
        deeper(levels - 1);
        __asm__ volatile("" ::: "memory"); /* not a jump */
        return;
    }
    unsigned before = walk(&current->lane->stack);
    EXPECT(before >= 10);
    if (depth < NESTED) go(&guests[depth++], 0);
    EXPECT(walk(&current->lane->stack) == before);
}

static void life(void)
{
    lane_begin();
    deeper(8);
    struct lane_guest *creator = current == &guests[0] ? &native : current - 1;
    go(creator, 1);
    EXPECT(!"came back from the dead");
}

/* On the stack of whatever thread this is. */
static void *all(void *ignored)
{
    (void)ignored;
    walks = 0;
    for (lanes = 1; lanes <= 3; lanes++) {
        memset(guests, 0, sizeof guests);
        memset(&native, 0, sizeof native);
        current = &native;
        depth = 0;
        lanes_init(&set, &native, life);
        go(&guests[depth++], 0);
        lanes_fini(&set);
    }
    EXPECT(walks == 3 * 2 * NESTED);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    all(NULL);
    /* The stack that a thread gets is the system's choice; musl's is 128 KiB. */
    EXPECT(pthread_create(&thread, NULL, all, NULL) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
    puts("ok");
    return 0;
}
