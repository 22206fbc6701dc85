// What Python hands over, and the arithmetic that all engines share to the last digit.
//
// Names and order of operations follow src/bdsim/model/{rule,maths,draws}.py. The constants FIRST_YEAR, FIRST_ENTRY,
// CAREER, EARLY_UNTIL, MID_UNTIL, OFFERS_FROM, OFFERS_UNTIL, ON_VISA_UNTIL, TYPICAL_TIES and SETTLED come from there too, as -D on the compiler's command line
// (benchmarks/c_engines.py).
#ifndef BDSIM_H
#define BDSIM_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GROUPS = 4, ORIGINS = 3, MOST_FIELDS = 8, STAGES = 3, COLLEAGUES = 8 };
enum { CHINA = 0, ELSEWHERE = 1, PROGRAMME = 2 };
enum { BEFORE = FIRST_YEAR - FIRST_ENTRY };  // cohorts who entered before the first year

typedef struct {
    int64_t rows, fields, cohorts;
    const uint64_t *identity;     // (rows,)
    const uint8_t *group, *field; // (rows,)
    const int16_t *entry;         // (rows,) year
    const uint8_t *enters;        // (rows,) 0 or 1
    const double *ties, *prominence, *appeal;  // (rows,)
    const uint32_t *colleagues;   // (rows, COLLEAGUES); `rows` is nobody
    const int64_t *starts;        // (fields, cohorts + 1)
    const int64_t *origin_of;     // (GROUPS,)
} People;

typedef struct {
    int64_t years;
    const double *scrutiny;                                     // (years, ORIGINS)
    const double *log_funding, *pull;                           // (years,)
    const double *log_us;                                       // (years, fields)
    const double *green_card_wait, *offers;                     // (years,)
} World;

typedef struct {
    double leave_china[ORIGINS], leave_elsewhere[ORIGINS], field_china[MOST_FIELDS], roots[2], settled, counted;
    double funding, pull_growth, ties_weight, push, spill, standing, rooting, accept, stay_us, wait, rho, fade, kappa, gamma;
    double agents[GROUPS];                                      // researchers an agent stands for
    uint64_t survived;
    const uint64_t *offered, *clock_china, *clock_elsewhere, *clock_programme;  // (years,) starts of random sequences
    const double *shock_china, *shock_elsewhere;                // (years, fields) and (years,)
} Member;

typedef struct {                                   // counts in agents, C order; S = STAGES, 2 = destinations
    double *departures, *expected, *variance;      // (years, GROUPS, fields, S, 2)
    double *programme, *programme_expected;        // (years, GROUPS, fields, S)
    double *stocks;                                // (years, GROUPS, fields, S)
    double *entrants, *retired;                    // (years, GROUPS, fields)
    double *left;                                  // (years, ORIGINS, cohorts)
    double *left_before;                           // (ORIGINS, cohorts)
    uint16_t *fate;                                // (rows,)
} Tally;

static inline double least(double a, double b) { return a < b ? a : b; }
static inline double most(double a, double b) { return a > b ? a : b; }
static inline int stage_of(int age) { return (age >= EARLY_UNTIL) + (age >= MID_UNTIL); }

static inline double from_bits(uint64_t bits) { double x; memcpy(&x, &bits, sizeof x); return x; }
static inline uint64_t to_bits(double x) { uint64_t bits; memcpy(&bits, &x, sizeof bits); return bits; }

#define LOG2_E 1.4426950408889634
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define ROUND_TO_INTEGER 6755399441055744.0
#define ROUND_BITS 0x4338000000000000ull
#define SQRT_HALF 0.7071067811865476

static inline double exp_of(double x) {
    x = x < -700.0 ? -700.0 : x;
    x = x > 700.0 ? 700.0 : x;
    double rounded = x * LOG2_E + ROUND_TO_INTEGER, k = rounded - ROUND_TO_INTEGER;
    double r = (x - k * LN2_HIGH) - k * LN2_LOW;
    double square = r * r, fourth = square * square;
    double low = r + square * (0.5 + r * (1.0 / 6.0));
    double middle = (1.0 / 24.0 + r * (1.0 / 120.0)) + square * (1.0 / 720.0 + r * (1.0 / 5040.0));
    double high = (1.0 / 40320.0 + r * (1.0 / 362880.0)) + square * (1.0 / 3628800.0 + r * (1.0 / 39916800.0));
    high = high + fourth * (1.0 / 479001600.0);
    double p = 1.0 + (low + fourth * (middle + fourth * high));
    return p * from_bits((to_bits(rounded) - ROUND_BITS + 1023) << 52);
}

static inline double mean_decay_of(double x) {
    double square = x * x, fourth = square * square;
    double low = (1.0 - x * (1.0 / 2.0)) + square * (1.0 / 6.0 - x * (1.0 / 24.0));
    double middle = (1.0 / 120.0 - x * (1.0 / 720.0)) + square * (1.0 / 5040.0 - x * (1.0 / 40320.0));
    double high = (1.0 / 362880.0 - x * (1.0 / 3628800.0)) + square * (1.0 / 39916800.0 - x * (1.0 / 479001600.0));
    return x > 0.25 ? (1.0 - exp_of(-x)) / x : low + fourth * (middle + fourth * high);
}

static inline double log_of(double x) {
    uint64_t bits = to_bits(x);
    double k = (double)((int64_t)(bits >> 52 & 0x7FF) - 1022);
    double m = from_bits((bits & 0xFFFFFFFFFFFFFull) | 0x3FE0000000000000ull);
    if (m < SQRT_HALF) { m = m + m; k = k - 1.0; }
    double s = (m - 1.0) / (m + 1.0), q = s * s;
    double p = 2.0 / 21.0;
    p = p * q + 2.0 / 19.0;
    p = p * q + 2.0 / 17.0;
    p = p * q + 2.0 / 15.0;
    p = p * q + 2.0 / 13.0;
    p = p * q + 2.0 / 11.0;
    p = p * q + 2.0 / 9.0;
    p = p * q + 2.0 / 7.0;
    p = p * q + 2.0 / 5.0;
    p = p * q + 2.0 / 3.0;
    return k * LN2_HIGH + (2.0 * s + (s * q * p + k * LN2_LOW));
}

#define GOLDEN 0x9E3779B97F4A7C15ull
#define FIRST_MIX 0xBF58476D1CE4E5B9ull
#define SECOND_MIX 0x94D049BB133111EBull

static inline uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * FIRST_MIX;
    z = (z ^ (z >> 27)) * SECOND_MIX;
    return z ^ (z >> 31);
}
static inline double luck_of(uint64_t key, uint64_t identity) {  // uniform in (0, 1)
    uint64_t bits = mix(key + (identity * GOLDEN + GOLDEN));
    return ((double)(int64_t)(bits >> 12) + 0.5) * 0x1p-52;
}

// What one member's people of a field share in a year, by group and career age: rule.shared.
typedef struct { double china[GROUPS][CAREER + 2], elsewhere[GROUPS][CAREER + 2]; } Shared;

static inline double retention(const Member *m, const World *v, int64_t year, int64_t fields, int64_t field, int group, int age) {
    double roots = m->roots[group == SETTLED], waits = group == SETTLED || age >= ON_VISA_UNTIL ? 0.0 : 1.0;
    double rooted = roots * (1.0 - exp_of(-(double)age / m->rooting));
    return rooted + m->stay_us * v->log_us[year * fields + field] - m->wait * v->green_card_wait[year] * waits;
}
static inline double usual_china(const People *p, const Member *m, int64_t field, int group) {
    return m->leave_china[p->origin_of[group]] + (group == SETTLED ? m->settled : 0.0) + m->field_china[field];
}
static inline double usual_elsewhere(const People *p, const Member *m, int group) {
    return m->leave_elsewhere[p->origin_of[group]] + (group == SETTLED ? m->settled : 0.0);
}
static inline double attraction(const Member *m, const World *v, int64_t year) {
    return m->funding * v->log_funding[year] + m->pull_growth * v->pull[year];
}
static void share(const People *p, const World *v, const Member *m, int64_t year, int64_t field, Shared *s) {
    double attracted = attraction(m, v, year);
    for (int group = 0; group < GROUPS; group++)
        for (int age = 0; age < CAREER; age++) {
            double retained = retention(m, v, year, p->fields, field, group, age);
            s->china[group][age] = usual_china(p, m, field, group) + attracted - retained + m->shock_china[year * p->fields + field];
            s->elsewhere[group][age] = usual_elsewhere(p, m, group) - retained + m->shock_elsewhere[year];
        }
}

// First row, and the one after the last, of the field's people who may be here: see engine.window.
static inline void window(const People *p, int64_t year, int64_t field, int64_t *first, int64_t *end) {
    int64_t cohort = BEFORE + year, oldest = cohort - (CAREER + 1);
    const int64_t *starts = p->starts + field * (p->cohorts + 1);
    *first = starts[oldest > 0 ? oldest : 0];
    *end = starts[cohort + 1];
}

static inline double cpu_seconds(void) {  // of this thread: waiting for other programs does not count
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#endif
