// One member at a time, one researcher after the other: the rule as one would write it in C.
//
// -DLEAN counts departures and stocks only: no probabilities, so no exp but those of the two rates.
#include "bdsim.h"

typedef struct { double here, fear, ties, moved; } Row;  // on 1 January; moved: to China last year

typedef struct { double china, elsewhere, by_offer; } Rates;

static double feel(double fear, double ties, double scrutiny, double colleagues_fear, const Member *w) {
    double exposure = 0.5 + ties;
    double new = (1.0 - w->kappa) * (exposure * scrutiny) + w->kappa * colleagues_fear;
    double memory = new > fear ? w->rho : w->fade;
    return least(most(memory * fear + (1.0 - memory) * new, 0.0), 1.0);
}

static Rates log_rates(const Member *w, double china, double elsewhere, double fear, double ties, double prominence) {
    double drawn = w->ties_weight * (ties - TYPICAL_TIES) + w->push * fear, stature = w->standing * (prominence - 0.5);
    return (Rates){china + drawn - stature, elsewhere + w->push * w->spill * fear - stature, w->accept + drawn};
}

#ifndef LEAN
static Rates chances(Rates rate) {
    double total = rate.china + rate.elsewhere + rate.by_offer, share = mean_decay_of(total);
    return (Rates){share * rate.china, share * rate.elsewhere, share * rate.by_offer};
}
#endif

static int may_ring(double rate, double luck) { return 1.0 - luck < rate * (1.0 + 1e-9); }

static int choose(Rates rate, double luck_china, double luck_elsewhere, double luck_programme) {  // or -1
    if (!may_ring(rate.china, luck_china) && !may_ring(rate.elsewhere, luck_elsewhere) &&
        !may_ring(rate.by_offer, luck_programme)) return -1;
    double rings_china = -log_of(luck_china) / rate.china, rings_elsewhere = -log_of(luck_elsewhere) / rate.elsewhere;
    double rings_programme = -log_of(luck_programme) / most(rate.by_offer, 1e-300);
    double first = least(least(rings_china, rings_elsewhere), rings_programme);
    if (first >= 1.0) return -1;
    return first == rings_china ? CHINA : first == rings_elsewhere ? ELSEWHERE : PROGRAMME;
}

static void settle_before(const People *p, const World *v, const Member *m, Row *now, Tally *t) {
    double attracted = attraction(m, v, 0);
    for (int64_t field = 0; field < p->fields; field++) {
        const int64_t *starts = p->starts + field * (p->cohorts + 1);
        double lasting[GROUPS][CAREER] = {{0}};  // years lived, each weighted by exp(-retention)
        for (int group = 0; group < GROUPS; group++)
            for (int lived = 1; lived < CAREER; lived++)
                lasting[group][lived] = lasting[group][lived - 1] + exp_of(-retention(m, v, 0, p->fields, field, group, lived - 1));
        for (int64_t row = starts[0]; row < starts[BEFORE]; row++) {
            int lived = FIRST_YEAR - p->entry[row], group = p->group[row];
            if (!p->enters[row] || lived >= CAREER) continue;
            int64_t origin = p->origin_of[group];
            Rates r = log_rates(m, usual_china(p, m, field, group) + attracted, usual_elsewhere(p, m, group), 0.0,
                                p->ties[row], p->prominence[row]);
            double stays = exp_of(-((exp_of(r.china) + exp_of(r.elsewhere)) * lasting[group][lived]));
            stays = luck_of(m->survived, p->identity[row]) < stays ? 1.0 : 0.0;
            now[row].here = stays;
            now[row].ties = p->ties[row];
            if (group != SETTLED) t->left_before[origin * p->cohorts + p->entry[row] - FIRST_ENTRY] += 1.0 - stays;
        }
    }
}

static void open_year(const People *p, int64_t year, Row *now, Tally *t) {
    int64_t cohort = BEFORE + year;
    for (int64_t field = 0; field < p->fields; field++) {
        const int64_t *starts = p->starts + field * (p->cohorts + 1);
        for (int64_t row = starts[cohort]; row < starts[cohort + 1]; row++)
            if (p->enters[row]) {
                now[row].here = 1.0;
                now[row].ties = p->ties[row];
                t->entrants[(year * GROUPS + p->group[row]) * p->fields + field] += 1.0;
            }
    }
}

static double appeal_here(const People *p, int64_t year, const Row *now, const Member *m) {
    double total = 0.0;
    for (int64_t field = 0; field < p->fields; field++) {
        int64_t first, end;
        window(p, year, field, &first, &end);
        for (int64_t row = first; row < end; row++)
            if (FIRST_YEAR + year - p->entry[row] >= OFFERS_FROM && FIRST_YEAR + year - p->entry[row] < OFFERS_UNTIL)
                total += now[row].here * p->appeal[row] * m->agents[p->group[row]];
    }
    return total;
}

// What one researcher who is here decides and what is booked of it; returns next year's state.
static Row live(const People *p, const World *v, const Member *m, const Shared *shared, int64_t year, int64_t row,
                double total_appeal, const Row *now, Tally *t) {
    const uint32_t *colleague = p->colleagues + row * COLLEAGUES;
    double here = 0.0, colleagues_fear = 0.0, moved = 0.0;
    for (int link = 0; link < COLLEAGUES; link++) {
        const Row *other = now + colleague[link];
        here += other->here;
        colleagues_fear += other->here * other->fear;
        moved += other->moved;
    }
    int group = p->group[row], field = p->field[row], age = (int)(FIRST_YEAR + year - p->entry[row]);
    int stage = stage_of(age);
    int64_t origin = p->origin_of[group], cell = ((year * GROUPS + group) * p->fields + field) * STAGES + stage;
    double fear = feel(now[row].fear, now[row].ties, v->scrutiny[year * ORIGINS + origin],
                       colleagues_fear / most(here, 1e-300), m);
    double ties = least(now[row].ties + m->gamma * (moved / most(here + moved, 1e-300)), 1.0);
    double chance = 0.0;
    if (age >= OFFERS_FROM && age < OFFERS_UNTIL && p->appeal[row] > 0.0 && total_appeal > 0.0)
        chance = least(v->offers[year] * m->counted * p->appeal[row] / total_appeal, 1.0);
    Rates logs = log_rates(m, shared[field].china[group][age], shared[field].elsewhere[group][age], fear, ties,
                           p->prominence[row]);
    Rates rate = {exp_of(logs.china), exp_of(logs.elsewhere), 0.0};
    uint64_t identity = p->identity[row];
    int offered = chance > 0.0 && luck_of(m->offered[year], identity) < chance;
#ifndef LEAN
    Rates to = chances(rate);
    if (chance > 0.0) {
        double by_offer = exp_of(logs.by_offer);
        Rates with = chances((Rates){rate.china, rate.elsewhere, by_offer});
        to.by_offer = chance * with.by_offer;
        to.china = (1.0 - chance) * to.china + chance * with.china + to.by_offer;
        to.elsewhere = (1.0 - chance) * to.elsewhere + chance * with.elsewhere;
        if (offered) rate.by_offer = by_offer;
    }
    t->expected[2 * cell + CHINA] += to.china;
    t->expected[2 * cell + ELSEWHERE] += to.elsewhere;
    t->programme_expected[cell] += to.by_offer;
    t->variance[2 * cell + CHINA] += to.china * (1.0 - to.china);
    t->variance[2 * cell + ELSEWHERE] += to.elsewhere * (1.0 - to.elsewhere);
#else
    if (offered) rate.by_offer = exp_of(logs.by_offer);
#endif
    t->stocks[cell] += 1.0;
    int choice = choose(rate, luck_of(m->clock_china[year], identity), luck_of(m->clock_elsewhere[year], identity),
                        luck_of(m->clock_programme[year], identity));
    if (choice >= 0) {
        t->departures[2 * cell + (choice == ELSEWHERE)] += 1.0;
        if (choice == PROGRAMME) t->programme[cell] += 1.0;
        t->fate[row] = (uint16_t)(1 + 3 * year + choice);
        if (group != SETTLED) t->left[(year * ORIGINS + origin) * p->cohorts + p->entry[row] - FIRST_ENTRY] += 1.0;
        return (Row){0.0, fear, ties, choice == ELSEWHERE ? 0.0 : 1.0};
    }
    if (age + 1 >= CAREER) {
        t->retired[(year * GROUPS + group) * p->fields + field] += 1.0;
        return (Row){0.0, fear, ties, 0.0};
    }
    return (Row){1.0, fear, ties, 0.0};
}

static void simulate(const People *p, const World *v, const Member *m, Row *now, Row *next, Tally *t) {
    Shared shared[MOST_FIELDS];
    memset(now, 0, (size_t)(p->rows + 1) * sizeof *now);
    memset(next, 0, (size_t)(p->rows + 1) * sizeof *next);
    settle_before(p, v, m, now, t);
    for (int64_t year = 0; year < v->years; year++) {
        open_year(p, year, now, t);
        double total_appeal = appeal_here(p, year, now, m);
        for (int64_t field = 0; field < p->fields; field++) share(p, v, m, year, field, shared + field);
        for (int64_t field = 0; field < p->fields; field++) {
            int64_t first, end;
            window(p, year, field, &first, &end);
            for (int64_t row = first; row < end; row++) {
                if (now[row].here > 0.0)
                    next[row] = live(p, v, m, shared, year, row, total_appeal, now, t);
                else
                    next[row].here = next[row].moved = 0.0;
            }
        }
        Row *other = now;
        now = next;
        next = other;
    }
}

// CPU seconds that one member took, or -1 without memory. The tally comes zeroed.
double run(const People *p, const World *v, const Member *m, Tally *t) {
    size_t bytes = (size_t)(p->rows + 1) * sizeof(Row);
    Row *now = malloc(bytes), *next = malloc(bytes);
    if (!now || !next) { free(now); free(next); return -1.0; }
    memset(now, 1, bytes);  // pages are the system's matter, not the clock's
    memset(next, 1, bytes);
    double begun = cpu_seconds();
    simulate(p, v, m, now, next, t);
    double took = cpu_seconds() - begun;
    free(now);
    free(next);
    return took;
}
