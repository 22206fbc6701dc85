// Eight members side by side, one to a lane of a 512-bit vector or of two 256-bit ones: the practical limit on one core.
//
// Members share people and colleagues; each has its own parameters, shocks and luck. Identical to scalar.c and to
// bdsim, member by member and to the last digit, with every shortcut that bdsim's engine has, and more:
//   - rows without anyone here, in any lane, are skipped; what a cohort shares in a year is worked out once;
//   - the rates by an offer are computed for those who may get one;
//   - a clock takes a logarithm only where a bound, not far above the rate, says that it may ring;
//   - who of the earlier cohorts is still here follows from a sum in closed form;
//   - years before anybody has been scrutinised do without fear;
//   - chances are worked out where they are counted, but for those who may get an offer.
//
// Parameters whose rates could reach 220 a year are refused, so that exp needs no clamps.
//
// A block of researchers of one cohort goes through short loops, so that the many steps of exp overlap between
// rows. -DLEAN counts departures, stocks, entrants and retirements only: no probabilities.
#include "bdsim.h"
#if defined __AVX512DQ__ || defined __AVX2__
#include <immintrin.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { LANES = 8, BLOCK = 64, AHEAD = 16 };  // AHEAD: rows whose colleagues are fetched early
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
static inline V counts(uint64_t bytes) {
    return (V)_mm512_cvtepi64_pd(_mm512_cvtepu8_epi64(_mm_cvtsi64_si128((long long)bytes)));
}
static inline I whole(V x) { return (I)_mm512_cvttpd_epi64((__m512d)x); }
#elif defined __AVX2__
typedef union { V whole; __m256d half[2]; } Halves;
static inline V vmin(V a, V b) {
    Halves x = {a}, y = {b};
    for (int h = 0; h < 2; h++) x.half[h] = _mm256_min_pd(x.half[h], y.half[h]);
    return x.whole;
}
static inline V vmax(V a, V b) {
    Halves x = {a}, y = {b};
    for (int h = 0; h < 2; h++) x.half[h] = _mm256_max_pd(x.half[h], y.half[h]);
    return x.whole;
}
static inline unsigned below(V a, V b) {
    Halves x = {a}, y = {b};
    return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(x.half[0], y.half[0], _CMP_LT_OQ)) |
           (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(x.half[1], y.half[1], _CMP_LT_OQ)) << 4;
}
static inline __m256d mask_of(unsigned lanes) {  // the lowest four bits as four masks
    __m256i bit = _mm256_set_epi64x(8, 4, 2, 1), each = _mm256_and_si256(_mm256_set1_epi64x(lanes), bit);
    return _mm256_castsi256_pd(_mm256_cmpeq_epi64(each, bit));
}
static inline V only(unsigned lanes, V a) {
    Halves x = {a};
    for (int h = 0; h < 2; h++) x.half[h] = _mm256_and_pd(mask_of(lanes >> 4 * h), x.half[h]);
    return x.whole;
}
static inline V counts(uint64_t bytes) {
    Halves x;
    __m128i each = _mm_cvtsi64_si128((long long)bytes);
    x.half[0] = _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(each));
    x.half[1] = _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_srli_si128(each, 4)));
    return x.whole;
}
static inline I whole(V x) { return __builtin_convertvector(x, I); }
#else
static inline V vmin(V a, V b) { for (int l = 0; l < LANES; l++) a[l] = a[l] < b[l] ? a[l] : b[l]; return a; }
static inline V vmax(V a, V b) { for (int l = 0; l < LANES; l++) a[l] = a[l] > b[l] ? a[l] : b[l]; return a; }
static inline unsigned below(V a, V b) {
    unsigned lanes = 0;
    for (int l = 0; l < LANES; l++) lanes |= (unsigned)(a[l] < b[l]) << l;
    return lanes;
}
static inline V only(unsigned lanes, V a) { for (int l = 0; l < LANES; l++) a[l] = lanes >> l & 1 ? a[l] : 0.0; return a; }
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

// mean_decay_of, eight at a time.
static inline V vmean_decay(V x) {
    V square = x * x, fourth = square * square;
    V low = (1.0 - x * (1.0 / 2.0)) + square * (1.0 / 6.0 - x * (1.0 / 24.0));
    V middle = (1.0 / 120.0 - x * (1.0 / 720.0)) + square * (1.0 / 5040.0 - x * (1.0 / 40320.0));
    V high = (1.0 / 362880.0 - x * (1.0 / 3628800.0)) + square * (1.0 / 39916800.0 - x * (1.0 / 479001600.0));
    V mean = low + fourth * (middle + fourth * high);
    if (below(splat(0.25), x)) {
        I beyond = (I)(x > 0.25);
        mean = (V)((beyond & (I)((1.0 - vexp(-x)) / x)) | (~beyond & (I)mean));
    }
    return mean;
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
    V usual_china[GROUPS][MOST_FIELDS], usual_elsewhere[GROUPS], lasting[MOST_FIELDS][GROUPS][CAREER];
    V ties_weight, push, push_spill, standing, accept, rho, fade, kappa, one_less_kappa, gamma, counted, agents[GROUPS];
    V attracted, china[MOST_FIELDS][GROUPS][CAREER + 2], elsewhere[MOST_FIELDS][GROUPS][CAREER + 2];   // of this year
    U survived, offered, clock_china, clock_elsewhere, clock_programme;
} Rule;

typedef struct { V stocks, expected[2], variance[2], programme; } Cell;

typedef struct {
    V *fear, *next_fear;         // (rows + 1,) of those here, else 0
    V *ties;                     // (rows,)
    uint64_t *word, *next_word;  // (rows + 1,) a byte per lane, see HERE
    uint8_t *here;               // (rows,) a bit per lane
} State;

typedef struct {  // some researchers of one cohort
    int64_t row[BLOCK];
    V china[BLOCK], elsewhere[BLOCK], to_china[BLOCK], to_elsewhere[BLOCK], by_offer[BLOCK], programme[BLOCK];
} Block;

typedef struct {  // what a cohort of a field has in common this year
    int64_t year, field, cohort;
    int age, stage, may_be_offered, retires, calm;
    V offers;
    V total_appeal, scrutiny[GROUPS];
    Cell *cells;                 // (GROUPS,) of this field and stage
    V *retired;                  // (GROUPS,)
} Cohort;

static void read_members(const People *p, const World *v, const Member *m, Rule *w) {
    for (int l = 0; l < LANES; l++) {
        for (int group = 0; group < GROUPS; group++) {
            w->usual_elsewhere[group][l] = usual_elsewhere(p, m + l, group);
            for (int64_t f = 0; f < p->fields; f++) {
                w->usual_china[group][f][l] = usual_china(p, m + l, f, group);
                V *lasting = w->lasting[f][group];
                lasting[0][l] = 0.0;
                for (int lived = 1; lived < CAREER; lived++)
                    lasting[lived][l] = lasting[lived - 1][l] + exp_of(-retention(m + l, v, 0, p->fields, f, group, lived - 1));
            }
            w->agents[group][l] = m[l].agents[group];
        }
        w->ties_weight[l] = m[l].ties_weight;
        w->push[l] = m[l].push;
        w->push_spill[l] = m[l].push * m[l].spill;
        w->standing[l] = m[l].standing;
        w->accept[l] = m[l].accept;
        w->rho[l] = m[l].rho;
        w->fade[l] = m[l].fade;
        w->kappa[l] = m[l].kappa;
        w->one_less_kappa[l] = 1.0 - m[l].kappa;
        w->gamma[l] = m[l].gamma;
        w->counted[l] = m[l].counted;
        w->survived[l] = m[l].survived;
    }
}

static void read_year(const People *p, const World *v, const Member *m, int64_t year, Rule *w) {
    for (int l = 0; l < LANES; l++) {
        w->attracted[l] = attraction(m + l, v, year);
        for (int64_t f = 0; f < p->fields; f++) {
            Shared s;
            share(p, v, m + l, year, f, &s);
            for (int group = 0; group < GROUPS; group++)
                for (int age = 0; age < CAREER; age++) {
                    w->china[f][group][age][l] = s.china[group][age];
                    w->elsewhere[f][group][age][l] = s.elsewhere[group][age];
                }
        }
        w->offered[l] = m[l].offered[year];
        w->clock_china[l] = m[l].clock_china[year];
        w->clock_elsewhere[l] = m[l].clock_elsewhere[year];
        w->clock_programme[l] = m[l].clock_programme[year];
    }
}

// Whether every logarithm of a rate lies, for any fear, ties and prominence, where exp needs no clamp: above -600,
// and below 5.4, so that three rates add up to less than 700.
static int within_reach(const People *p, const Rule *w) {
    V stature = 0.5 * vmax(w->standing, -w->standing), spill = vmax(w->push_spill, -w->push_spill) + stature;
    V drawn = vmax(w->push, -w->push) + vmax(w->ties_weight, -w->ties_weight), spread = drawn + stature;
    V low = w->accept - drawn, high = w->accept + drawn;
    for (int64_t f = 0; f < p->fields; f++)
        for (int group = 0; group < GROUPS; group++)
            for (int age = 0; age < CAREER; age++) {
                V china = w->china[f][group][age], elsewhere = w->elsewhere[f][group][age];
                low = vmin(low, vmin(china - spread, elsewhere - spill));
                high = vmax(high, vmax(china + spread, elsewhere + spill));
            }
    return below(splat(-600.0), low) == 0xFF && below(high, splat(5.4)) == 0xFF;
}

static void settle_before(const People *p, const Rule *w, State *s, Tally *t) {
    for (int64_t field = 0; field < p->fields; field++) {
        const int64_t *starts = p->starts + field * (p->cohorts + 1);
        for (int64_t row = starts[0]; row < starts[BEFORE]; row++) {
            int lived = FIRST_YEAR - p->entry[row], group = p->group[row];
            if (!p->enters[row] || lived >= CAREER) continue;
            V ties = splat(p->ties[row]), stature = w->standing * (p->prominence[row] - 0.5);
            V china = (w->usual_china[group][field] + w->attracted) + w->ties_weight * (ties - TYPICAL_TIES) - stature;
            V rates = vexp(china) + vexp(w->usual_elsewhere[group] - stature);
            V stays = vexp(vmax(-(rates * w->lasting[field][group][lived]), splat(-600.0)));
            V luck = exact_luck(vmix(w->survived + (p->identity[row] * GOLDEN + GOLDEN)));
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
        for (int64_t row = starts[cohort - OFFERS_UNTIL + 1]; row < starts[cohort - OFFERS_FROM + 1]; row++)
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
            for (int link = 0; link < COLLEAGUES; link++) {
                __builtin_prefetch(word + colleague[AHEAD * COLLEAGUES + link]);
                if (!c->calm) __builtin_prefetch(fear + colleague[AHEAD * COLLEAGUES + link]);
            }
        uint64_t known = 0;
        for (int link = 0; link < COLLEAGUES; link++) known += word[colleague[link]];
        int group = p->group[row];
        V here = counts(known & COUNTED), ties = s->ties[row], felt = splat(0.0);
        if (!c->calm) {
            V sum = fear[colleague[0]];
            for (int link = 1; link < COLLEAGUES; link++) sum += fear[colleague[link]];
            V colleagues_fear = sum / vmax(here, splat(1.0));
            V new = w->one_less_kappa * ((0.5 + ties) * c->scrutiny[group]) + w->kappa * colleagues_fear;
            I rises = (I)(new > fear[row]);
            V memory = (V)((rises & (I)w->rho) | (~rises & (I)w->fade));
            felt = vmin(vmax(memory * fear[row] + (1.0 - memory) * new, splat(0.0)), splat(1.0));
            s->next_fear[row] = only(s->here[row], felt);
        }
        if (known & ~COUNTED) {
            V moved = counts(known >> 4 & COUNTED);
            ties = vmin(ties + w->gamma * (moved / (here + vmax(moved, splat(1e-300)))), splat(1.0));
            s->ties[row] = ties;
        }
        V drawn = w->ties_weight * (ties - TYPICAL_TIES) + w->push * felt, stature = w->standing * (p->prominence[row] - 0.5);
        b->china[j] = w->china[c->field][group][c->age] + drawn - stature;
        b->elsewhere[j] = w->elsewhere[c->field][group][c->age] + w->push_spill * felt - stature;
        b->by_offer[j] = splat(0.0);
        if (c->may_be_offered) b->by_offer[j] = w->accept + drawn;
    }
}

// The member in lane `l` leaves: count it, and be gone next year. `word` is the row's word of next year.
static void leave(const People *p, const Cohort *c, State *s, Tally *t, int64_t row, int l, int to, uint64_t *word) {
    int group = p->group[row];
    int64_t origin = p->origin_of[group];
    int64_t cell = ((c->year * GROUPS + group) * p->fields + c->field) * STAGES + c->stage;
    t[l].departures[2 * cell + (to == ELSEWHERE)] += 1.0;
    if (to == PROGRAMME) t[l].programme[cell] += 1.0;
    t[l].fate[row] = (uint16_t)(1 + 3 * c->year + to);
    if (group != SETTLED) t[l].left[(c->year * ORIGINS + origin) * p->cohorts + c->cohort] += 1.0;
    s->here[row] &= (uint8_t)~(1u << l);
    ((double *)(s->next_fear + row))[l] = 0.0;
    *word &= ~(0xFFull << 8 * l);
    if (to != ELSEWHERE) *word |= 0x10ull << 8 * l;
}

// Clocks that may ring, lane by lane, as the rule compares them.
static void ring(const People *p, const Cohort *c, State *s, Tally *t, int64_t row, unsigned lanes, U of_china,
                 U of_elsewhere, U of_programme, V china, V elsewhere, V by_offer, uint64_t *word) {
    V luck_china = exact_luck(of_china), luck_elsewhere = exact_luck(of_elsewhere), luck_programme = exact_luck(of_programme);
    for (; lanes; lanes &= lanes - 1) {
        int l = __builtin_ctz(lanes);
        double rings_china = -log_of(luck_china[l]) / china[l];
        double rings_elsewhere = -log_of(luck_elsewhere[l]) / elsewhere[l];
        double rings_programme = by_offer[l] > 0.0 ? -log_of(luck_programme[l]) / by_offer[l] : 1e300;
        double first = least(least(rings_china, rings_elsewhere), rings_programme);
        if (first >= 1.0) continue;
        leave(p, c, s, t, row, l, first == rings_china ? CHINA : first == rings_elsewhere ? ELSEWHERE : PROGRAMME, word);
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
    V chance = vmin(c->offers * p->appeal[row] / c->total_appeal, splat(1.0));
    return only(below(splat(0.0), c->total_appeal), chance);
}

static inline uint64_t place_of(const People *p, int64_t row) { return p->identity[row] * GOLDEN + GOLDEN; }

#ifndef LEAN
static void probabilities(Block *b, int n) {
    for (int j = 0; j < n; j++) {
        b->china[j] = vexp(b->china[j]);
        b->elsewhere[j] = vexp(b->elsewhere[j]);
    }
}

static inline void chances(const Block *b, int j, V *to_china, V *to_elsewhere) {
    V share = vmean_decay(b->china[j] + b->elsewhere[j]);
    *to_china = share * b->china[j];
    *to_elsewhere = share * b->elsewhere[j];
}

// Both answers to 'was there an offer?', for those who may get one; and the answer.
static void offer(const People *p, const Rule *w, const Cohort *c, const State *s, Block *b, int n) {
    int some[BLOCK], m = 0;
    for (int j = 0; j < n; j++) chances(b, j, b->to_china + j, b->to_elsewhere + j);
    for (int j = 0; j < n; j++) {
        some[m] = j;
        m += p->appeal[b->row[j]] > 0.0;
    }
    for (int i = 0; i < m; i++) b->by_offer[some[i]] = vexp(b->by_offer[some[i]]);
    for (int j = 0; j < n; j++) if (!(p->appeal[b->row[j]] > 0.0)) b->by_offer[j] = splat(0.0);
    for (int i = 0; i < m; i++) {
        int j = some[i];
        int64_t row = b->row[j];
        V china = b->china[j], elsewhere = b->elsewhere[j], by_offer = b->by_offer[j], total = china + elsewhere + by_offer;
        V share = vmean_decay(total), chance = chance_of_offer(p, c, row), programme = chance * (share * by_offer);
        b->to_china[j] = (1.0 - chance) * b->to_china[j] + chance * (share * china) + programme;
        b->to_elsewhere[j] = (1.0 - chance) * b->to_elsewhere[j] + chance * (share * elsewhere);
        (c->cells + p->group[row])->programme += only(s->here[row], programme);
        b->by_offer[j] = only(below(exact_luck(vmix(w->offered + place_of(p, row))), chance), by_offer);
    }
}

static void decide(const People *p, const Rule *w, const Cohort *c, State *s, Tally *t, Block *b, int n) {
    probabilities(b, n);
    if (c->may_be_offered) offer(p, w, c, s, b, n);
    for (int j = 0; j < n; j++) {
        int64_t row = b->row[j];
        unsigned here = s->here[row];
        Cell *cell = c->cells + p->group[row];
        V to_china = b->to_china[j], to_elsewhere = b->to_elsewhere[j];
        if (!c->may_be_offered) chances(b, j, &to_china, &to_elsewhere);
        to_china = only(here, to_china), to_elsewhere = only(here, to_elsewhere);
        cell->stocks += only(here, splat(1.0));
        cell->expected[CHINA] += to_china;
        cell->expected[ELSEWHERE] += to_elsewhere;
        cell->variance[CHINA] += to_china * (1.0 - to_china);
        cell->variance[ELSEWHERE] += to_elsewhere * (1.0 - to_elsewhere);
        U of_china = vmix(w->clock_china + place_of(p, row)), of_elsewhere = vmix(w->clock_elsewhere + place_of(p, row));
        unsigned lanes = here & (may_ring(rough_luck(of_china), b->china[j]) | may_ring(rough_luck(of_elsewhere), b->elsewhere[j]));
        U of_programme = of_china;
        V by_offer = splat(0.0);
        if (c->may_be_offered && below(by_offer, b->by_offer[j])) {
            by_offer = b->by_offer[j];
            of_programme = vmix(w->clock_programme + place_of(p, row));
            lanes |= here & may_ring(rough_luck(of_programme), by_offer);
        }
        uint64_t word = s->word[row] & HERE;
        if (lanes) ring(p, c, s, t, row, lanes, of_china, of_elsewhere, of_programme, b->china[j], b->elsewhere[j], by_offer, &word);
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
        unsigned lanes = here & (may_ring(rough_luck(of_china), exp_or_more(b->china[j])) |
                                 may_ring(rough_luck(of_elsewhere), exp_or_more(b->elsewhere[j])));
        U of_programme = of_china;
        V by_offer = splat(0.0);
        if (offered) {
            unsigned lucky = below(exact_luck(vmix(w->offered + place_of(p, row))), chance_of_offer(p, c, row)) & here;
            if (lucky) {
                by_offer = only(lucky, vexp(b->by_offer[j]));
                of_programme = vmix(w->clock_programme + place_of(p, row));
                lanes |= here & may_ring(rough_luck(of_programme), by_offer);
            }
        }
        uint64_t word = s->word[row] & HERE;
        if (lanes)
            ring(p, c, s, t, row, lanes, of_china, of_elsewhere, of_programme, vexp(b->china[j]), vexp(b->elsewhere[j]), by_offer, &word);
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
                    t[l].programme_expected[at] = cell->programme[l];
                    for (int to = 0; to < 2; to++) {
                        t[l].expected[2 * at + to] = cell->expected[to][l];
                        t[l].variance[2 * at + to] = cell->variance[to][l];
                    }
                }
            }
        }
}

static void live_year(const People *p, const World *v, const Rule *w, int64_t year, int calm, State *s, Tally *t, Block *b) {
    Cell cells[MOST_FIELDS][STAGES][GROUPS];
    V retired[MOST_FIELDS][GROUPS];
    memset(cells, 0, sizeof cells);
    memset(retired, 0, sizeof retired);
    open_year(p, year, s, t);
    Cohort c = {.year = year, .calm = calm, .offers = v->offers[year] * w->counted, .total_appeal = appeal_here(p, year, w, s)};
    for (int group = 0; group < GROUPS; group++) c.scrutiny[group] = splat(v->scrutiny[year * ORIGINS + p->origin_of[group]]);
    for (c.field = 0; c.field < p->fields; c.field++) {
        c.retired = retired[c.field];
        int64_t now = BEFORE + year, oldest = now - (CAREER + 1);
        for (c.cohort = oldest > 0 ? oldest : 0; c.cohort <= now; c.cohort++) {
            c.age = (int)(now - c.cohort);
            c.stage = stage_of(c.age);
            c.cells = cells[c.field][c.stage];
            c.may_be_offered = c.age >= OFFERS_FROM && c.age < OFFERS_UNTIL && v->offers[year] > 0.0;
            c.retires = c.age + 1 >= CAREER;
            live_cohort(p, w, &c, s, t, b);
        }
    }
    book(p, year, cells, retired, t);
}

enum { APART = 640 };  // bytes: no two arrays begin at the same place of a page, which the processor would mix up

static void *memory(size_t bytes, int number) {
    size_t page = 2u << 20, away = (size_t)number * APART;
    bytes = (bytes + away + page - 1) / page * page;
    void *made = aligned_alloc(page, bytes);
#ifdef __linux__
    if (made) madvise(made, bytes, MADV_HUGEPAGE);
#endif
    if (!made) return NULL;
    memset(made, 0, bytes);  // pages are the system's matter, not the clock's
    return (char *)made + away;
}

static void give_back(void *memory, int number) {
    if (memory) free((char *)memory - (size_t)number * APART);
}

static int simulate(const People *p, const World *v, const Member *m, State s, Rule *w, Block *b, Tally *t) {
    size_t rows = (size_t)p->rows;
    memset(s.fear, 0, (rows + 1) * sizeof(V));
    memset(s.next_fear, 0, (rows + 1) * sizeof(V));
    memset(s.word, 0, (rows + 1) * sizeof *s.word);
    memset(s.next_word, 0, (rows + 1) * sizeof *s.word);
    memset(s.here, 0, rows);
    read_members(p, v, m, w);
    read_year(p, v, m, 0, w);
    if (!within_reach(p, w)) return 0;
    settle_before(p, w, &s, t);
    int calm = 1;
    for (int64_t year = 0; year < v->years; year++) {
        read_year(p, v, m, year, w);
        if (!within_reach(p, w)) return 0;
        for (int o = 0; o < ORIGINS; o++) calm &= v->scrutiny[year * ORIGINS + o] == 0.0;
        live_year(p, v, w, year, calm, &s, t, b);
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
    State s = {memory(rows * sizeof(V), 0), memory(rows * sizeof(V), 1), memory(rows * sizeof(V), 2),
               memory(rows * sizeof(uint64_t), 3), memory(rows * sizeof(uint64_t), 4), memory(rows, 5)};
    Rule *w = memory(sizeof *w, 6);
    Block *b = memory(sizeof *b, 7);
    double took = -1.0;
    if (s.fear && s.next_fear && s.ties && s.word && s.next_word && s.here && w && b) {
        double begun = cpu_seconds();
        int done = simulate(p, v, m, s, w, b, t);
        took = done ? cpu_seconds() - begun : -2.0;
    }
    void *given[] = {s.fear, s.next_fear, s.ties, s.word, s.next_word, s.here, w, b};
    for (int number = 0; number < 8; number++) give_back(given[number], number);
    return took;
}
