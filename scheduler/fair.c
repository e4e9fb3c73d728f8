/* SPDX-License-Identifier: MIT
 * One place after the other; where there are many, several at once, so that the time stays bounded. */
#include "scheduler/fair.h"

#include <math.h>

#define HALF_LIFE_MS 60000.0
#define STEPS 64

static unsigned class_of(const struct fair_lane *lane, const struct fair_wish *wish) {
    return wish->is_shared[lane->class] ? 0 : lane->class;
}

static bool is_open(const struct fair_lane *lane, const struct fair_wish *wish) {
    return !lane->is_closed && (lane->room < 0 || lane->asked < (uint64_t)lane->room) &&
           wish->room[class_of(lane, wish)] > 0 && (!lane->is_long || wish->long_room > 0);
}

static bool goes_before(const struct fair_lane *left, const struct fair_lane *right, const double *used_ms) {
    if (left->band != right->band)
        return left->band < right->band;
    if (left->tenant != right->tenant && used_ms[left->tenant] != used_ms[right->tenant])
        return used_ms[left->tenant] < used_ms[right->tenant];
    if (left->asked != right->asked)
        return left->asked < right->asked;
    return left->age_ms > right->age_ms;
}

/* The lane of a later band that has waited the longest, and too long; `first` if there is none. */
static struct fair_lane *find_overdue(struct fair_lane *lanes, size_t count, const struct fair_wish *wish,
                                      struct fair_lane *first) {
    struct fair_lane *overdue = first;

    for (struct fair_lane *lane = lanes; lane < lanes + count; lane++)
        if (lane->band > first->band && lane->age_ms >= wish->ageing_ms && is_open(lane, wish) &&
            (overdue == first || lane->age_ms > overdue->age_ms))
            overdue = lane;
    return overdue;
}

static struct fair_lane *find_next(struct fair_lane *lanes, size_t count, const double *used_ms,
                                   const struct fair_wish *wish) {
    struct fair_lane *first = NULL;

    for (struct fair_lane *lane = lanes; lane < lanes + count; lane++)
        if (is_open(lane, wish) && (first == NULL || goes_before(lane, first, used_ms)))
            first = lane;
    if (first != NULL && wish->ageing_ms > 0 && wish->turn % FAIR_AGEING_TURN == 0)
        return find_overdue(lanes, count, wish, first);
    return first;
}

static uint64_t smallest(uint64_t left, uint64_t right) {
    return left < right ? left : right;
}

static uint64_t places_for(const struct fair_lane *lane, const struct fair_wish *wish, uint64_t step) {
    uint64_t places = smallest(step, smallest(wish->jobs, wish->room[class_of(lane, wish)]));

    if (lane->room >= 0)
        places = smallest(places, (uint64_t)lane->room - lane->asked);
    return lane->is_long ? smallest(places, wish->long_room) : places;
}

uint64_t fair_choose(struct fair_lane *lanes, size_t count, double *used_ms, struct fair_wish *wish) {
    uint64_t step = wish->jobs / STEPS + 1, given = 0, sequence = 0;

    for (struct fair_lane *lane = lanes; lane < lanes + count; lane++)
        lane->asked = lane->sequence = 0;
    while (wish->jobs > 0) {
        struct fair_lane *lane;
        uint64_t places;
        wish->turn++;
        lane = find_next(lanes, count, used_ms, wish);
        if (lane == NULL)
            break;
        places = places_for(lane, wish, step);
        if (lane->sequence == 0)
            lane->sequence = ++sequence;
        lane->asked += places;
        used_ms[lane->tenant] += (double)places * lane->cost_ms;
        wish->room[class_of(lane, wish)] -= places;
        wish->long_room -= lane->is_long ? places : 0;
        wish->jobs -= places;
        given += places;
    }
    return given;
}

uint64_t fair_long_places(uint64_t slots, uint64_t reserve) {
    return reserve == 0 ? slots : slots - slots / reserve;
}

double fair_decay(double value, int64_t passed_ms) {
    return passed_ms <= 0 ? value : value * exp2(-(double)passed_ms / HALF_LIFE_MS);
}

double fair_join(double used_ms, double least) {
    return least > used_ms ? least : used_ms;
}
