/* SPDX-License-Identifier: MIT
 * Who goes next: pure decisions. Places go to the first band that waits, within it to the tenant that has
 * used the least CPU time, within a tenant to the lane that got the fewest, then to the one that waits the
 * longest. One place of FAIR_AGEING_TURN goes to a later band that has waited too long, so that none starves.
 */
#ifndef SCHEDULER_FAIR_H
#define SCHEDULER_FAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAIR_CLASSES 3
#define FAIR_AGEING_TURN 8
#define FAIR_UNLIMITED (-1)

/* Waiting jobs that all rules treat alike. */
struct fair_lane {
    size_t tenant;     /* index of its tenant */
    int64_t band;      /* 0 first */
    unsigned class;    /* whose room its jobs take */
    bool is_long;      /* its jobs leave the reserve for short work alone */
    bool is_closed;    /* paused, or nothing more to be had */
    int64_t age_ms;    /* of its first job */
    int64_t room;      /* what its limits leave; FAIR_UNLIMITED */
    double cost_ms;    /* CPU time that one of its jobs may take */
    uint64_t asked;    /* the decision: so many places */
    uint64_t sequence; /* …and its turn among the lanes, from 1; 0: none */
};

struct fair_wish {
    uint64_t room[FAIR_CLASSES];
    bool is_shared[FAIR_CLASSES]; /* the class has no room of its own: it takes that of the first class */
    uint64_t long_room;           /* of room, for jobs that take long */
    uint64_t jobs;                /* at most so many in all */
    int64_t ageing_ms;            /* 0: never */
    unsigned turn;                /* counts places from claim to claim */
};

/* Gives places to lanes; `used_ms` is what each tenant has used, and grows by the cost of what it was given.
 * Returns how many places were given. */
uint64_t fair_choose(struct fair_lane *lanes, size_t count, double *used_ms, struct fair_wish *wish);

/* The places of runners that jobs which take long may have: all but one of every `reserve` (0: all). */
uint64_t fair_long_places(uint64_t slots, uint64_t reserve);

/* What is left after so many ms of what is halved every minute. */
double fair_decay(double value, int64_t passed_ms);

/* Where a tenant that has been away begins: no better than the best of those who were here, so that nobody
 * saves up while idle. `least` is the smallest among the others, negative if there are none. */
double fair_join(double used_ms, double least);

#endif
