/* lane.c: many guests on few lanes; what lies on a stack is there again when its guest runs. */
#include "lane.h"

#include "test.h"

#include <string.h>

#define GUESTS 40

struct actor {
    struct lane_guest guest; /* first: a guest's address is its actor's */
    unsigned number;
    unsigned seed;
    unsigned done; /* steps */
    bool ended;
};

static struct lanes set;
static struct actor native, actors[GUESTS];
static struct actor *current;
static unsigned limit, evicting_calls, loaded_calls, live;
static unsigned chance = 12345;
static bool to_native_only;

static int evicting(struct lane_guest *guest)
{
    struct actor *actor = (struct actor *)guest;
    EXPECT(actor->number < GUESTS && guest->lane->occupant == guest);
    evicting_calls++;
    return 0;
}

static void loaded(struct lane_guest *guest)
{
    EXPECT(((struct actor *)guest)->number < GUESTS);
    loaded_calls++;
}

static void go(struct actor *to)
{
    struct actor *from = current;
    if (to == from) return;
    EXPECT(lane_ready(&set, &from->guest, &to->guest, limit) == 0);
    current = to;
    EXPECT(lane_go(&set, &from->guest, &to->guest) == 0);
    EXPECT(current == from);
    EXPECT(lane_resident(&from->guest));
}

static struct actor *anybody(void)
{
    if (to_native_only) return &native;
    struct actor *to = &actors[test_random(&chance) % GUESTS];
    return to->ended ? &native : to;
}

/* Down and up again, with a pattern in every frame; switches on the way. */
static void walk(unsigned depth)
{
    struct actor *me = current;
    unsigned pattern[64], size = test_random(&me->seed) % 64, start = me->seed;
    for (unsigned i = 0; i < size; i++) pattern[i] = start + i;
    if (depth > 0) walk(depth - 1);
    if (test_random(&me->seed) % 2) {
        me->done++;
        go(anybody());
    }
    EXPECT(current == me);
    for (unsigned i = 0; i < size; i++) EXPECT(pattern[i] == start + i);
}

static void life(void)
{
    lane_begin();
    struct actor *me = current;
    while (me->done < 100) walk(test_random(&me->seed) % 20);
    me->ended = true;
    live--;
    struct actor *to = anybody();
    if (to == me) to = &native;
    EXPECT(lane_ready(&set, &me->guest, &to->guest, limit) == 0);
    lane_release(&set, &me->guest);
    lane_forget(&me->guest);
    current = to;
    lane_go(&set, &me->guest, &to->guest);
    EXPECT(!"came back from the dead");
}

static void crowd(unsigned lanes, bool through_native, unsigned pinned)
{
    memset(&native, 0, sizeof native);
    memset(actors, 0, sizeof actors);
    limit = lanes;
    live = GUESTS;
    to_native_only = through_native;
    evicting_calls = loaded_calls = 0;
    native.number = GUESTS;
    current = &native;
    lanes_init(&set, &native.guest, life);
    set.evicting = evicting;
    set.loaded = loaded;
    for (unsigned i = 0; i < GUESTS; i++) {
        actors[i].number = i;
        actors[i].seed = 77 + i;
        actors[i].guest.pinned = i < pinned;
    }
    while (live > 0)
        for (unsigned i = 0; i < GUESTS; i++)
            if (!actors[i].ended) go(&actors[i]);
    EXPECT(set.count <= lanes && set.pinned == 0);
    EXPECT(loaded_calls == evicting_calls); /* nobody was left out */
    EXPECT(lanes >= GUESTS ? evicting_calls == 0 : evicting_calls > GUESTS);
    EXPECT(set.evictions == evicting_calls && set.evicted_bytes >= set.evictions * ARCH_IMAGE / 2);
    lanes_fini(&set);
}

static void lanes_are_taken_in_order(void)
{
    struct lane_guest from = {0}, guests[5];
    memset(guests, 0, sizeof guests);
    lanes_init(&set, &from, life);
    for (int i = 0; i < 3; i++) EXPECT(lane_ready(&set, &from, &guests[i], 3) == 0);
    EXPECT(set.count == 3 && guests[0].lane != guests[1].lane && guests[1].lane != guests[2].lane);
    struct lane *warm = guests[1].lane;
    lane_release(&set, &guests[0]);
    lane_release(&set, &guests[1]);
    EXPECT(lane_ready(&set, &from, &guests[3], 3) == 0);
    EXPECT(guests[3].lane == warm); /* the one that was left last */
    EXPECT(lane_ready(&set, &from, &guests[4], 3) == 0);
    EXPECT(set.evictions == 0);
    guests[0] = (struct lane_guest){0};
    EXPECT(lane_ready(&set, &from, &guests[0], 3) == 0); /* none is free: somebody has to go */
    EXPECT(set.evictions == 1 && set.count == 3);
    for (int i = 0; i < 5; i++) lane_forget(&guests[i]);
    lanes_fini(&set);
}

static void spare_pinned_lanes_are_few(void)
{
    struct lane_guest from = {0}, guests[20];
    memset(guests, 0, sizeof guests);
    lanes_init(&set, &from, life);
    for (int i = 0; i < 20; i++) {
        guests[i].pinned = true;
        EXPECT(lane_ready(&set, &from, &guests[i], 1) == 0);
        for (int j = 0; j < i; j++) EXPECT(guests[j].lane != guests[i].lane);
    }
    EXPECT(set.pinned == 20 && set.count == 0);
    for (int i = 0; i < 20; i++) lane_release(&set, &guests[i]);
    EXPECT(set.pinned == 0 && set.spares > 0 && set.spares < 10);
    unsigned spares = set.spares;
    guests[0] = (struct lane_guest){.pinned = true};
    EXPECT(lane_ready(&set, &from, &guests[0], 1) == 0);
    EXPECT(set.spares == spares - 1);
    lane_abandon(&set, &guests[0]);
    EXPECT(set.spares == spares && guests[0].lane == NULL);
    lanes_fini(&set);
}

int main(void)
{
    static const unsigned numbers[] = {1, 2, 3, 7, 39, 64};
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        for (int through_native = 0; through_native < 2; through_native++) {
            crowd(numbers[i], through_native, 0);
            if (numbers[i] < GUESTS / 2) crowd(numbers[i], through_native, 5);
        }
    lanes_are_taken_in_order();
    spare_pinned_lanes_are_few();
    puts("ok");
    return 0;
}
