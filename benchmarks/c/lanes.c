// Eight members side by side, one to a lane of a 512-bit vector: the practical limit on one core.
//
// Members share people and colleagues; each has its own parameters and luck. Identical to scalar.c and to bdsim,
// member by member and to the last digit, yet free to leave out what cannot change a decision:
//   - rows without anyone here, in any lane, are skipped; the years of a cohort share one table of log(1 + age);
//   - the rates with an offer are computed for those who may get one;
//   - a clock takes a logarithm only where a bound, not far above the rate, says that it may ring;
//   - who of the earlier cohorts is still here follows from a sum in closed form, and is computed as the rule does
//     it only where luck falls within 1e-9 of that.
// Nothing is left out because of what this scenario's tables contain (years without scrutiny, say).
//
// Parameters whose rates could reach 330 a year are refused, so that exp needs no clamps.
//
// A block of researchers of one cohort goes through short loops, so that the many steps of exp overlap between
// rows. -DLEAN counts departures, stocks, entrants and retirements only: no probabilities.
#include "bdsim.h"
#ifdef __AVX512DQ__
#include <immintrin.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { LANES = 8, BLOCK = 64, AHEAD = 12 };  // AHEAD: rows whose colleagues are fetched early
typedef double V __attribute__((vector_size(64)));
typedef uint64_t U __attribute__((vector_size(64)));
typedef int64_t I __attribute__((vector_size(64)));
typedef uint8_t B8 __attribute__((vector_size(8)));

#define HERE 0x0101010101010101ull    // a byte per lane: 1 here, 16 moved to China last year
#define COUNTED 0x0F0F0F0F0F0F0F0Full

static inline V splat(double x) { return (V){x, x, x, x, x, x, x, x}; }

#ifdef __AVX512DQ__
static inline V vmin(V a, V b) { return (V)_mm512_min_pd((__m512d)a, (__m512d)b); }
static inline V vmax(V a, V b) { return (V)_mm512_max_pd((__m512d)a, (__m512d)b); }
static inline unsigned below(V a, V b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ); }
static inline V only(unsigned lanes, V a) { return (V)_mm512_maskz_mov_pd((__mmask8)lanes, (__m512d)a); }
static inline V pick(unsigned lanes, V a, V b) { return (V)_mm512_mask_mov_pd((__m512d)b, (__mmask8)lanes, (__m512d)a); }
static inline V counts(uint64_t bytes) {
    return (V)_mm512_cvtepi64_pd(_mm512_cvtepu8_epi64(_mm_cvtsi64_si128((long long)bytes)));
}
static inline I whole(V x) { return (I)_mm512_cvttpd_epi64((__m512d)x); }
#else
static inline V vmin(V a, V b) { for (int l = 0; l < LANES; l++) a[l] = a[l] < b[l] ? a[l] : b[l]; return a; }
static inline V vmax(V a, V b) { for (int l = 0; l < LANES; l++) a[l] = a[l] > b[l] ? a[l] : b[l]; return a; }
static inline unsigned below(V a, V b) {
    unsigned lanes = 0;
    for (int l = 0; l < LANES; l++) lanes |= (unsigned)(a[l] < b[l]) << l;
    return lanes;
}
static inline V only(unsigned lanes, V a) { for (int l = 0; l < LANES; l++) a[l] = lanes >> l & 1 ? a[l] : 0.0; return a; }
static inline V pick(unsigned lanes, V a, V b) { for (int l = 0; l < LANES; l++) b[l] = lanes >> l & 1 ? a[l] : b[l]; return b; }
static inline V counts(uint64_t bytes) {
    B8 each;
    memcpy(&each, &bytes, sizeof each);
    return __builtin_convertvector(each, V);
}
static inline I whole(V x) { return __builtin_convertvector(x, I); }
#endif

// exp_of without its clamps: `within_reach` has made sure that they do nothing.
static inline V vexp(V x) {
    V rounded = x * LOG2_E + ROUND_TO_INTEGER, k = rounded - ROUND_TO_INTEGER;
    V r = (x - k * LN2_HIGH) - k * LN2_LOW;
    V square = r * r, fourth = square * square;
    V low = r + square * (0.5 + r * (1.0 / 6.0));
    V middle = (1.0 / 24.0 + r * (1.0 / 120.0)) + square * (1.0 / 720.0 + r * (1.0 / 5040.0));
    V high = (1.0 / 40320.0 + r * (1.0 / 362880.0)) + square * (1.0 / 3628800.0 + r * (1.0 / 39916800.0));
    high = high + fourth * (1.0 / 479001600.0);
    V p = 1.0 + (low + fourth * (middle + fourth * high));
    return (V)((U)p + ((U)rounded << 52));  // times 2^k: the low bits of ROUND_TO_INTEGER are zero
}

static inline U vmix(U z) {
    z = (z ^ (z >> 30)) * FIRST_MIX;
    z = (z ^ (z >> 27)) * SECOND_MIX;
    return z ^ (z >> 31);
}
// Luck + 1 - 2^-53: the bits as they are, for comparisons that need not be sharp.
static inline V rough_luck(U bits) { return (V)(bits >> 12 | 0x3FF0000000000000ull); }
static inline V exact_luck(U bits) { return (rough_luck(bits) - 1.0) + 0x1p-53; }

// Whether no clock can ring: luck + rate < 1 with a margin for every rounding, as -log(luck) > 1 - luck.
static inline unsigned may_ring(V rough, V rate) { return (unsigned char)~below(rough + rate * 1.0000001, splat(1.99999999)); }

typedef struct {   // parameters of eight members, and what follows from them
    V base_china[GROUPS][MOST_FIELDS], base_elsewhere[GROUPS];
    V ties_weight, push, push_spill, rho, one_less_rho, kappa, one_less_kappa, gamma, agents[GROUPS];
    V pulled, pulled_offered, rooted[CAREER + 2];   // of this year
    U survived, offered, clock_china, clock_elsewhere;
    double roots[LANES], stay_us[LANES];
    double log_age[CAREER + 2];
} Rule;

typedef struct { V stocks, expected[2], variance[2]; } Cell;

typedef struct {
    V *fear, *next_fear;         // (rows + 1,) of those here, else 0
    V *ties;                     // (rows,)
    uint64_t *word, *next_word;  // (rows + 1,) a byte per lane, see HERE
    uint8_t *here;               // (rows,) a bit per lane
} State;

typedef struct {  // some researchers of one cohort
    int64_t row[BLOCK];
    V china[BLOCK], elsewhere[BLOCK], to_china[BLOCK], to_elsewhere[BLOCK], pulled[BLOCK];
} Block;

typedef struct {  // what a cohort of a field has in common this year
    int64_t year, field, cohort;
    int age, stage, may_be_offered, retires;
    double offers;
    V total_appeal, scrutiny[GROUPS];
    Cell *cells;                 // (GROUPS,) of this field and stage
    V *retired;                  // (GROUPS,)
} Cohort;

static void read_members(const People *p, const Member *m, Rule *w) {
    for (int l = 0; l < LANES; l++) {
        for (int group = 0; group < GROUPS; group++) {
            int64_t origin = p->origin_of[group];
            double settled = group == SETTLED ? m[l].settled : 0.0;
            w->base_elsewhere[group][l] = m[l].leave_elsewhere[origin] + settled;
            for (int64_t f = 0; f < p->fields; f++)
                w->base_china[group][f][l] = m[l].leave_china[origin] + settled + m[l].field_china[f];
            w->agents[group][l] = m[l].agents[group];
        }
        w->ties_weight[l] = m[l].ties_weight;
        w->push[l] = m[l].push;
        w->push_spill[l] = m[l].push * m[l].spill;
        w->rho[l] = m[l].rho;
        w->one_less_rho[l] = 1.0 - m[l].rho;
        w->kappa[l] = m[l].kappa;
        w->one_less_kappa[l] = 1.0 - m[l].kappa;
        w->gamma[l] = m[l].gamma;
        w->survived[l] = m[l].survived;
    }
    for (int age = 0; age < CAREER + 2; age++) w->log_age[age] = log_of(1.0 + age);
}

static void read_year(const World *v, const Member *m, int64_t year, Rule *w) {
    for (int l = 0; l < LANES; l++) {
        w->pulled[l] = m[l].funding * v->log_funding[year] + m[l].offer * 0.0;
        w->pulled_offered[l] = m[l].funding * v->log_funding[year] + m[l].offer * 1.0;
        for (int age = 0; age < CAREER + 2; age++)
            w->rooted[age][l] = (m[l].roots * v->settlement[year]) * w->log_age[age] + m[l].stay_us * v->log_us[year];
        w->offered[l] = m[l].offered[year];
        w->clock_china[l] = m[l].clock_china[year];
        w->clock_elsewhere[l] = m[l].clock_elsewhere[year];
    }
}

static inline V log_rate_china(const Rule *w, int group, int64_t field, int age, V pulled, V fear, V ties) {
    return w->base_china[group][field] + (pulled + w->ties_weight * (ties - TYPICAL_TIES)) + w->push * fear - w->rooted[age];
}
static inline V log_rate_elsewhere(const Rule *w, int group, int age, V fear) {
    return w->base_elsewhere[group] + w->push_spill * fear - w->rooted[age];
}

// Whether every logarithm of a rate lies, for any fear and ties, where exp needs no clamp: above -600, and below
// 5.8, so that two rates add up to less than 700.
static int within_reach(const People *p, const Rule *w) {
    V low = splat(0.0), high = splat(0.0), none = splat(0.0);
    for (int group = 0; group < GROUPS; group++)
        for (int age = 0; age < CAREER; age++) {
            V spread = vmax(w->push_spill, -w->push_spill), middle = log_rate_elsewhere(w, group, age, none);
            low = vmin(low, middle - spread), high = vmax(high, middle + spread);
            spread = vmax(w->push, -w->push) + vmax(w->ties_weight, -w->ties_weight);
            for (int64_t f = 0; f < p->fields; f++) {
                V alone = log_rate_china(w, group, f, age, w->pulled, none, none);
                V offered = log_rate_china(w, group, f, age, w->pulled_offered, none, none);
                low = vmin(low, vmin(alone, offered) - spread), high = vmax(high, vmax(alone, offered) + spread);
            }
        }
    return below(splat(-600.0), low) == 0xFF && below(high, splat(5.8)) == 0xFF;
}

// The probability of having stayed through `lived` years, as the rule computes it, in all lanes.
static V stayed(const Rule *w, int group, int64_t field, int lived, V ties) {
    V stays = splat(1.0), none = splat(0.0);
    for (int age = 0; age < lived; age++) {
        V china = vexp(log_rate_china(w, group, field, age, w->pulled, none, ties));
        V elsewhere = vexp(log_rate_elsewhere(w, group, age, none)), total = china + elsewhere;
        V leave = 1.0 - vexp(-total), to_china = leave * (china / total);
        stays *= 1.0 - (to_china + (leave - to_china));
    }
    return stays;
}

static void settle_before(const People *p, const Rule *w, State *s, Tally *t) {
    V decay[CAREER], elsewhere[GROUPS][CAREER];  // sums over the years lived
    decay[0] = splat(0.0);
    for (int lived = 1; lived < CAREER; lived++) decay[lived] = decay[lived - 1] + vexp(-w->rooted[lived - 1]);
    for (int group = 0; group < GROUPS; group++)
        for (int lived = 0; lived < CAREER; lived++) elsewhere[group][lived] = vexp(w->base_elsewhere[group]) * decay[lived];
    for (int64_t field = 0; field < p->fields; field++) {
        const int64_t *starts = p->starts + field * (p->cohorts + 1);
        for (int64_t row = starts[0]; row < starts[BEFORE]; row++) {
            int lived = FIRST_YEAR - p->entry[row], group = p->group[row];
            if (!p->enters[row] || lived >= CAREER) continue;
            V ties = splat(p->ties[row]);
            V pull = vexp(w->base_china[group][field] + (w->pulled + w->ties_weight * (ties - TYPICAL_TIES)));
            V stays = vexp(vmax(-(pull * decay[lived] + elsewhere[group][lived]), splat(-600.0)));
            V luck = exact_luck(vmix(w->survived + (p->identity[row] * GOLDEN + GOLDEN)));
            if (below(vmax(luck - stays, stays - luck), splat(1e-9))) stays = stayed(w, group, field, lived, ties);
            unsigned here = below(luck, stays);
            s->here[row] = (uint8_t)here;
            s->ties[row] = ties;
            s->word[row] = 0;
            for (int l = 0; l < LANES; l++) s->word[row] |= (uint64_t)(here >> l & 1) << 8 * l;
            if (group != SETTLED)
                for (unsigned gone = ~here & 0xFF; gone; gone &= gone - 1)
                    t[__builtin_ctz(gone)].left_before[p->origin_of[group] * p->cohorts + p->entry[row] - FIRST_ENTRY] += 1.0;
        }
    }
}

static void open_year(const People *p, int64_t year, State *s, Tally *t) {
    int64_t cohort = BEFORE + year;
    for (int64_t field = 0; field < p->fields; field++) {
        const int64_t *starts = p->starts + field * (p->cohorts + 1);
        double entrants[GROUPS] = {0};
        for (int64_t row = starts[cohort]; row < starts[cohort + 1]; row++)
            if (p->enters[row]) {
                s->here[row] = 0xFF;
                s->word[row] = HERE;
                s->ties[row] = splat(p->ties[row]);
                entrants[p->group[row]] += 1.0;
            }
        for (int l = 0; l < LANES; l++)
            for (int group = 0; group < GROUPS; group++)
                t[l].entrants[(year * GROUPS + group) * p->fields + field] += entrants[group];
    }
}

static V appeal_here(const People *p, int64_t year, const Rule *w, const State *s) {
    V total = splat(0.0);
    int64_t cohort = BEFORE + year;
    for (int64_t field = 0; field < p->fields; field++) {
        const int64_t *starts = p->starts + field * (p->cohorts + 1);
        for (int64_t row = starts[cohort - MID_UNTIL + 1]; row < starts[cohort + 1]; row++)
            total += only(s->here[row], p->appeal[row] * w->agents[p->group[row]]);
    }
    return total;
}

// Rows from *row on that have anyone here, up to a block of them; the others are emptied for next year.
static int gather(const State *s, int64_t *row, int64_t end, Block *b) {
    int n = 0;
    int64_t at = *row;
    for (; at < end && n < BLOCK; at++) {
        if (s->here[at]) {
            b->row[n++] = at;
        } else {
            if (s->next_word[at]) s->next_fear[at] = splat(0.0);
            s->next_word[at] = 0;
        }
    }
    *row = at;
    return n;
}

// Fear and ties of this year, and the logarithms of both rates without an offer.
static void feel_and_hear(const People *p, const Rule *w, const Cohort *c, State *s, Block *b, int n) {
    const V *fear = s->fear;
    const uint64_t *word = s->word;
    for (int j = 0; j < n; j++) {
        int64_t row = b->row[j];
        const uint32_t *colleague = p->colleagues + row * COLLEAGUES;
        if (row + AHEAD < p->rows)
            for (int link = 0; link < COLLEAGUES; link++) __builtin_prefetch(fear + colleague[AHEAD * COLLEAGUES + link]);
        uint64_t known = word[colleague[0]];
        V sum = fear[colleague[0]];
        for (int link = 1; link < COLLEAGUES; link++) {
            known += word[colleague[link]];
            sum += fear[colleague[link]];
        }
        int group = p->group[row];
        V here = counts(known & COUNTED), colleagues_fear = sum / vmax(here, splat(1.0)), ties = s->ties[row];
        V new = w->one_less_kappa * ((0.5 + ties) * c->scrutiny[group]) + w->kappa * colleagues_fear;
        V felt = vmin(vmax(w->rho * fear[row] + w->one_less_rho * new, splat(0.0)), splat(1.0));
        s->next_fear[row] = only(s->here[row], felt);
        if (known & ~COUNTED) {
            V moved = counts(known >> 4 & COUNTED);
            ties = vmin(ties + w->gamma * (moved / (here + vmax(moved, splat(1e-300)))), splat(1.0));
            s->ties[row] = ties;
        }
        b->china[j] = log_rate_china(w, group, c->field, c->age, w->pulled, felt, ties);
        b->elsewhere[j] = log_rate_elsewhere(w, group, c->age, felt);
        if (c->may_be_offered) b->pulled[j] = log_rate_china(w, group, c->field, c->age, w->pulled_offered, felt, ties);
    }
}

// The member in lane `l` leaves: count it, and be gone next year. `word` is the row's word of next year.
static void leave(const People *p, const Cohort *c, State *s, Tally *t, int64_t row, int l, int to, uint64_t *word) {
    int group = p->group[row];
    int64_t origin = p->origin_of[group];
    int64_t cell = ((c->year * GROUPS + group) * p->fields + c->field) * STAGES + c->stage;
    t[l].departures[2 * cell + to] += 1.0;
    t[l].fate[row] = (uint8_t)(1 + 2 * c->year + to);
    if (group != SETTLED) t[l].left[(c->year * ORIGINS + origin) * p->cohorts + c->cohort] += 1.0;
    s->here[row] &= (uint8_t)~(1u << l);
    ((double *)(s->next_fear + row))[l] = 0.0;
    *word &= ~(0xFFull << 8 * l);
    if (to == CHINA) *word |= 0x10ull << 8 * l;
}

// Clocks that may ring, lane by lane, as the rule compares them.
static void ring(const People *p, const Cohort *c, State *s, Tally *t, int64_t row, unsigned lanes, U of_china,
                 U of_elsewhere, V china, V elsewhere, uint64_t *word) {
    V luck_china = exact_luck(of_china), luck_elsewhere = exact_luck(of_elsewhere);
    for (; lanes; lanes &= lanes - 1) {
        int l = __builtin_ctz(lanes);
        double rings_china = -log_of(luck_china[l]) / china[l];
        double rings_elsewhere = -log_of(luck_elsewhere[l]) / elsewhere[l];
        if (rings_china >= 1.0 && rings_elsewhere >= 1.0) continue;
        leave(p, c, s, t, row, l, rings_china <= rings_elsewhere ? CHINA : ELSEWHERE, word);
    }
}

// The state of next 1 January, once it is known who left.
static inline void stay_on(const People *p, const Cohort *c, State *s, int64_t row, uint64_t word) {
    if (c->retires) {
        c->retired[p->group[row]] += only(s->here[row], splat(1.0));
        s->here[row] = 0;
        s->next_fear[row] = splat(0.0);
        word &= ~HERE;
    }
    s->next_word[row] = word;
}

static inline V chance_of_offer(const People *p, const Cohort *c, int64_t row) {
    V chance = vmin(splat(c->offers * p->appeal[row]) / c->total_appeal, splat(1.0));
    return only(below(splat(0.0), c->total_appeal), chance);
}

static inline uint64_t place_of(const People *p, int64_t row) { return p->identity[row] * GOLDEN + GOLDEN; }

#ifndef LEAN
static void probabilities(Block *b, int n) {
    for (int j = 0; j < n; j++) {
        b->china[j] = vexp(b->china[j]);
        b->elsewhere[j] = vexp(b->elsewhere[j]);
    }
    for (int j = 0; j < n; j++) {
        V total = b->china[j] + b->elsewhere[j], leave = 1.0 - vexp(-total);
        b->to_china[j] = leave * (b->china[j] / total);
        b->to_elsewhere[j] = leave - b->to_china[j];
    }
}

// Both answers to 'was there an offer?', for those who may get one; and the answer.
static void offer(const People *p, const Rule *w, const Cohort *c, Block *b, int n) {
    int some[BLOCK], m = 0;
    for (int j = 0; j < n; j++) {
        some[m] = j;
        m += p->appeal[b->row[j]] > 0.0;
    }
    for (int i = 0; i < m; i++) b->pulled[some[i]] = vexp(b->pulled[some[i]]);
    for (int i = 0; i < m; i++) {
        int j = some[i];
        int64_t row = b->row[j];
        V pulled = b->pulled[j], total = pulled + b->elsewhere[j], leave = 1.0 - vexp(-total);
        V with_china = leave * (pulled / total), with_elsewhere = leave - with_china, chance = chance_of_offer(p, c, row);
        b->to_china[j] = (1.0 - chance) * b->to_china[j] + chance * with_china;
        b->to_elsewhere[j] = (1.0 - chance) * b->to_elsewhere[j] + chance * with_elsewhere;
        V luck = exact_luck(vmix(w->offered + place_of(p, row)));
        b->china[j] = pick(below(luck, chance), pulled, b->china[j]);
    }
}

static void decide(const People *p, const Rule *w, const Cohort *c, State *s, Tally *t, Block *b, int n) {
    probabilities(b, n);
    if (c->may_be_offered) offer(p, w, c, b, n);
    for (int j = 0; j < n; j++) {
        int64_t row = b->row[j];
        unsigned here = s->here[row];
        Cell *cell = c->cells + p->group[row];
        V to_china = only(here, b->to_china[j]), to_elsewhere = only(here, b->to_elsewhere[j]);
        cell->stocks += only(here, splat(1.0));
        cell->expected[CHINA] += to_china;
        cell->expected[ELSEWHERE] += to_elsewhere;
        cell->variance[CHINA] += to_china * (1.0 - to_china);
        cell->variance[ELSEWHERE] += to_elsewhere * (1.0 - to_elsewhere);
        U of_china = vmix(w->clock_china + place_of(p, row)), of_elsewhere = vmix(w->clock_elsewhere + place_of(p, row));
        unsigned lanes = here & (may_ring(rough_luck(of_china), b->china[j]) | may_ring(rough_luck(of_elsewhere), b->elsewhere[j]));
        uint64_t word = s->word[row] & HERE;
        if (lanes) ring(p, c, s, t, row, lanes, of_china, of_elsewhere, b->china[j], b->elsewhere[j], &word);
        stay_on(p, c, s, row, word);
    }
}
#else
// At least exp(x), by at most 6.2 %: the chord between powers of two lies above the curve.
static inline V exp_or_more(V x) {
    return (V)whole(x * (LOG2_E * 0x1p52) + 1023.0 * 0x1p52);
}

static void decide(const People *p, const Rule *w, const Cohort *c, State *s, Tally *t, Block *b, int n) {
    for (int j = 0; j < n; j++) {
        int64_t row = b->row[j];
        unsigned here = s->here[row];
        int offered = c->may_be_offered && p->appeal[row] > 0.0;
        c->cells[p->group[row]].stocks += only(here, splat(1.0));
        U of_china = vmix(w->clock_china + place_of(p, row)), of_elsewhere = vmix(w->clock_elsewhere + place_of(p, row));
        V most_china = exp_or_more(offered ? vmax(b->pulled[j], b->china[j]) : b->china[j]);
        V most_elsewhere = exp_or_more(b->elsewhere[j]);
        unsigned lanes = here & (may_ring(rough_luck(of_china), most_china) | may_ring(rough_luck(of_elsewhere), most_elsewhere));
        uint64_t word = s->word[row] & HERE;
        if (lanes) {
            V china = vexp(b->china[j]);
            if (offered) {
                V luck = exact_luck(vmix(w->offered + place_of(p, row)));
                china = pick(below(luck, chance_of_offer(p, c, row)), vexp(b->pulled[j]), china);
            }
            ring(p, c, s, t, row, lanes, of_china, of_elsewhere, china, vexp(b->elsewhere[j]), &word);
        }
        stay_on(p, c, s, row, word);
    }
}
#endif

static void live_cohort(const People *p, const Rule *w, const Cohort *c, State *s, Tally *t, Block *b) {
    const int64_t *starts = p->starts + c->field * (p->cohorts + 1);
    int64_t row = starts[c->cohort], end = starts[c->cohort + 1];
    while (row < end) {
        int n = gather(s, &row, end, b);
        feel_and_hear(p, w, c, s, b, n);
        decide(p, w, c, s, t, b, n);
    }
}

// The lanes' sums of one year, each into its member's own table.
static void book(const People *p, int64_t year, Cell (*cells)[STAGES][GROUPS], V (*retired)[GROUPS], Tally *t) {
    for (int64_t field = 0; field < p->fields; field++)
        for (int group = 0; group < GROUPS; group++) {
            int64_t place = (year * GROUPS + group) * p->fields + field;
            for (int l = 0; l < LANES; l++) t[l].retired[place] = retired[field][group][l];
            for (int stage = 0; stage < STAGES; stage++) {
                const Cell *cell = &cells[field][stage][group];
                int64_t at = place * STAGES + stage;
                for (int l = 0; l < LANES; l++) {
                    t[l].stocks[at] = cell->stocks[l];
                    for (int to = 0; to < 2; to++) {
                        t[l].expected[2 * at + to] = cell->expected[to][l];
                        t[l].variance[2 * at + to] = cell->variance[to][l];
                    }
                }
            }
        }
}

static void live_year(const People *p, const World *v, const Rule *w, int64_t year, State *s, Tally *t, Block *b) {
    Cell cells[MOST_FIELDS][STAGES][GROUPS];
    V retired[MOST_FIELDS][GROUPS];
    memset(cells, 0, sizeof cells);
    memset(retired, 0, sizeof retired);
    open_year(p, year, s, t);
    Cohort c = {.year = year, .offers = v->offers[year], .total_appeal = appeal_here(p, year, w, s)};
    for (int group = 0; group < GROUPS; group++) c.scrutiny[group] = splat(v->scrutiny[year * ORIGINS + p->origin_of[group]]);
    for (c.field = 0; c.field < p->fields; c.field++) {
        c.retired = retired[c.field];
        int64_t now = BEFORE + year, oldest = now - (CAREER + 1);
        for (c.cohort = oldest > 0 ? oldest : 0; c.cohort <= now; c.cohort++) {
            c.age = (int)(now - c.cohort);
            c.stage = stage_of(c.age);
            c.cells = cells[c.field][c.stage];
            c.may_be_offered = c.stage < 2 && c.offers > 0.0;
            c.retires = c.age + 1 >= CAREER;
            live_cohort(p, w, &c, s, t, b);
        }
    }
    book(p, year, cells, retired, t);
}

static void *memory(size_t bytes) {
    size_t page = 2u << 20;
    bytes = (bytes + page - 1) / page * page;
    void *made = aligned_alloc(page, bytes);
#ifdef __linux__
    if (made) madvise(made, bytes, MADV_HUGEPAGE);
#endif
    if (made) memset(made, 0, bytes);  // pages are the system's matter, not the clock's
    return made;
}

static int simulate(const People *p, const World *v, const Member *m, State s, Rule *w, Block *b, Tally *t) {
    size_t rows = (size_t)p->rows;
    memset(s.fear, 0, (rows + 1) * sizeof(V));
    memset(s.next_fear, 0, (rows + 1) * sizeof(V));
    memset(s.word, 0, (rows + 1) * sizeof *s.word);
    memset(s.next_word, 0, (rows + 1) * sizeof *s.word);
    memset(s.here, 0, rows);
    read_members(p, m, w);
    read_year(v, m, 0, w);
    if (!within_reach(p, w)) return 0;
    settle_before(p, w, &s, t);
    for (int64_t year = 0; year < v->years; year++) {
        read_year(v, m, year, w);
        if (!within_reach(p, w)) return 0;
        live_year(p, v, w, year, &s, t, b);
        State other = s;
        s.fear = other.next_fear;
        s.next_fear = other.fear;
        s.word = other.next_word;
        s.next_word = other.word;
    }
    return 1;
}

// CPU seconds that LANES members took together; -1 without memory, -2 if a rate goes beyond what exp takes here. The tallies come zeroed.
double run(const People *p, const World *v, const Member *m, Tally *t) {
    size_t rows = (size_t)p->rows + 1;
    State s = {memory(rows * sizeof(V)), memory(rows * sizeof(V)), memory(rows * sizeof(V)),
               memory(rows * sizeof(uint64_t)), memory(rows * sizeof(uint64_t)), memory(rows)};
    Rule *w = memory(sizeof *w);
    Block *b = memory(sizeof *b);
    double took = -1.0;
    if (s.fear && s.next_fear && s.ties && s.word && s.next_word && s.here && w && b) {
        double begun = cpu_seconds();
        int done = simulate(p, v, m, s, w, b, t);
        took = done ? cpu_seconds() - begun : -2.0;
    }
    free(s.fear), free(s.next_fear), free(s.ties), free(s.word), free(s.next_word), free(s.here), free(w), free(b);
    return took;
}
