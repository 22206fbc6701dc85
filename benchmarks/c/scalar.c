// One member at a time, one researcher after the other: the rule as one would write it in C.
//
// -DLEAN counts departures and stocks only: no probabilities, so no exp but those of the two rates.
#include "bdsim.h"

typedef struct { double here, fear, ties, moved; } Row;  // on 1 January; moved: to China last year

typedef struct { double china, elsewhere; } Pair;

static double feel(double fear, double ties, double scrutiny, double colleagues_fear, const Member *w) {
    double exposure = 0.5 + ties;
    double new = (1.0 - w->kappa) * (exposure * scrutiny) + w->kappa * colleagues_fear;
    double felt = w->rho * fear + (1.0 - w->rho) * new;
    return least(most(felt, 0.0), 1.0);
}

static double rooted(const Member *w, const World *v, int64_t year, double log_age) {
    return (w->roots * v->settlement[year]) * log_age + w->stay_us * v->log_us[year];
}

static double rate_china(const Member *w, const World *v, int64_t year, int64_t origin, double settled,
                         double field_china, double fear, double ties, double log_age, double offered) {
    double pulled = w->funding * v->log_funding[year] + w->offer * offered + w->ties_weight * (ties - TYPICAL_TIES);
    return exp_of(w->leave_china[origin] + settled + field_china + pulled + w->push * fear - rooted(w, v, year, log_age));
}

static double rate_elsewhere(const Member *w, const World *v, int64_t year, int64_t origin, double settled,
                             double fear, double log_age) {
    return exp_of(w->leave_elsewhere[origin] + settled + w->push * w->spill * fear - rooted(w, v, year, log_age));
}

static Pair chances(Pair rate) {
    double total = rate.china + rate.elsewhere, leave = 1.0 - exp_of(-total);
    double to_china = leave * (rate.china / total);
    return (Pair){to_china, leave - to_china};
}

static int choose(Pair rate, double luck_china, double luck_elsewhere) {  // CHINA, ELSEWHERE or -1
    const double near = 1.0 + 1e-9;
    if (1.0 - luck_china >= rate.china * near && 1.0 - luck_elsewhere >= rate.elsewhere * near) return -1;
    double rings_china = -log_of(luck_china) / rate.china, rings_elsewhere = -log_of(luck_elsewhere) / rate.elsewhere;
    if (rings_china >= 1.0 && rings_elsewhere >= 1.0) return -1;
    return rings_china <= rings_elsewhere ? CHINA : ELSEWHERE;
}

static void settle_before(const People *p, const World *v, const Member *m, const double *log_age, Row *now,
                          Tally *t) {
    for (int64_t field = 0; field < p->fields; field++) {
        const int64_t *starts = p->starts + field * (p->cohorts + 1);
        for (int64_t row = starts[0]; row < starts[BEFORE]; row++) {
            int lived = FIRST_YEAR - p->entry[row], group = p->group[row];
            if (!p->enters[row] || lived >= CAREER) continue;
            int64_t origin = p->origin_of[group];
            double stays = 1.0, settled = group == SETTLED ? m->settled : 0.0;
            for (int age = 0; age < lived; age++) {
                Pair rate = {rate_china(m, v, 0, origin, settled, m->field_china[field], 0.0, p->ties[row], log_age[age], 0.0),
                             rate_elsewhere(m, v, 0, origin, settled, 0.0, log_age[age])};
                Pair to = chances(rate);
                stays *= 1.0 - (to.china + to.elsewhere);
            }
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
            if (FIRST_YEAR + year - p->entry[row] < MID_UNTIL)
                total += now[row].here * p->appeal[row] * m->agents[p->group[row]];
    }
    return total;
}

// What one researcher who is here decides and what is booked of it; returns next year's state.
static Row live(const People *p, const World *v, const Member *m, const double *log_age, int64_t year, int64_t row,
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
    double settled = group == SETTLED ? m->settled : 0.0, of_field = m->field_china[field], chance = 0.0;
    if (stage < 2 && p->appeal[row] > 0.0 && total_appeal > 0.0)
        chance = least(v->offers[year] * p->appeal[row] / total_appeal, 1.0);
    Pair rate = {rate_china(m, v, year, origin, settled, of_field, fear, ties, log_age[age], 0.0),
                 rate_elsewhere(m, v, year, origin, settled, fear, log_age[age])};
    uint64_t identity = p->identity[row];
#ifndef LEAN
    Pair to = chances(rate);
    if (chance > 0.0) {
        Pair pulled = {rate_china(m, v, year, origin, settled, of_field, fear, ties, log_age[age], 1.0), rate.elsewhere};
        Pair with = chances(pulled);
        to.china = (1.0 - chance) * to.china + chance * with.china;
        to.elsewhere = (1.0 - chance) * to.elsewhere + chance * with.elsewhere;
        if (luck_of(m->offered[year], identity) < chance) rate = pulled;
    }
    t->expected[2 * cell + CHINA] += to.china;
    t->expected[2 * cell + ELSEWHERE] += to.elsewhere;
    t->variance[2 * cell + CHINA] += to.china * (1.0 - to.china);
    t->variance[2 * cell + ELSEWHERE] += to.elsewhere * (1.0 - to.elsewhere);
#else
    if (chance > 0.0 && luck_of(m->offered[year], identity) < chance)
        rate.china = rate_china(m, v, year, origin, settled, of_field, fear, ties, log_age[age], 1.0);
#endif
    t->stocks[cell] += 1.0;
    int choice = choose(rate, luck_of(m->clock_china[year], identity), luck_of(m->clock_elsewhere[year], identity));
    if (choice >= 0) {
        t->departures[2 * cell + choice] += 1.0;
        t->fate[row] = (uint8_t)(1 + 2 * year + choice);
        if (group != SETTLED) t->left[(year * ORIGINS + origin) * p->cohorts + p->entry[row] - FIRST_ENTRY] += 1.0;
        return (Row){0.0, fear, ties, choice == CHINA ? 1.0 : 0.0};
    }
    if (age + 1 >= CAREER) {
        t->retired[(year * GROUPS + group) * p->fields + field] += 1.0;
        return (Row){0.0, fear, ties, 0.0};
    }
    return (Row){1.0, fear, ties, 0.0};
}

static void simulate(const People *p, const World *v, const Member *m, Row *now, Row *next, Tally *t) {
    double log_age[CAREER + 2];
    for (int age = 0; age < CAREER + 2; age++) log_age[age] = log_of(1.0 + age);
    memset(now, 0, (size_t)(p->rows + 1) * sizeof *now);
    memset(next, 0, (size_t)(p->rows + 1) * sizeof *next);
    settle_before(p, v, m, log_age, now, t);
    for (int64_t year = 0; year < v->years; year++) {
        open_year(p, year, now, t);
        double total_appeal = appeal_here(p, year, now, m);
        for (int64_t field = 0; field < p->fields; field++) {
            int64_t first, end;
            window(p, year, field, &first, &end);
            for (int64_t row = first; row < end; row++) {
                if (now[row].here > 0.0)
                    next[row] = live(p, v, m, log_age, year, row, total_appeal, now, t);
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
