/* What the training steps are made of: learning rates, passes over the images, noise on the features. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "train/schedule.h"
#include "train/trainer.h"
#include "training.h"

/* ---- learning rates ---- */

START_TEST(constant_rate)
{
    for (int64_t step = 0; step < 5; step++)
        ck_assert(schedule_rate(DN_SCHEDULE_CONSTANT, 0.3, step, 5) == 0.3);
}
END_TEST

/* 5 of 100 steps rise: 1/5, 2/5, ... 1.  Then half a cosine over 95 steps. */
START_TEST(cosine_rate_by_its_formula)
{
    double sum = 0;

    for (int64_t step = 0; step < 100; step++) {
        double rate = schedule_rate(DN_SCHEDULE_COSINE, 2, step, 100);
        double expected = step < 5 ? 2 * (double)(step + 1) / 5 : 1 + cos(acos(-1) * (double)(step - 5) / 95);
        ck_assert_double_eq_tol(rate, expected, 1e-12);
        sum += rate;
    }
    ck_assert(schedule_rate(DN_SCHEDULE_COSINE, 2, 4, 100) == 2 && schedule_rate(DN_SCHEDULE_COSINE, 2, 5, 100) == 2);
    ck_assert_double_eq_tol(sum, 2 * 0.6 * 5 + 96, 1e-9); /* the cosine's values pair up to 2, and 2 is left over */
}
END_TEST

START_TEST(cosine_rates_of_short_and_long_trainings)
{
    static const int64_t totals[] = {1, 2, 19, 20, 1000000};

    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        int64_t total = totals[i];
        double last = schedule_rate(DN_SCHEDULE_COSINE, 1, total - 1, total);
        ck_assert(schedule_rate(DN_SCHEDULE_COSINE, 1, total / 20, total) == 1);
        ck_assert(last > 0 && last <= 1);
        if (total > 20)
            ck_assert(last < 1e-5);
    }
}
END_TEST

/* ---- steps ---- */

/* What was seen of a training, step by step. */
typedef struct step_log {
    dn_trainer *trainer;
    int count;
    double rates[200];
    uint32_t order[200][8];
    int64_t position[200], epoch[200];
} step_log;

static int32_t log_step(const dn_progress *progress, void *user)
{
    step_log *log = user;
    dn_trainer *t = log->trainer;

    if (progress->phase != DN_PHASE_TRAIN || t->state->optimiser->step == 0)
        return 0;
    ck_assert_int_lt(log->count, 200);
    log->rates[log->count] = t->state->optimiser->options.learning_rate;
    memcpy(log->order[log->count], t->state->order, (size_t)t->images.train_count * sizeof *t->state->order);
    log->position[log->count] = t->state->position;
    log->epoch[log->count++] = t->state->epoch;
    return 0;
}

static dn_trainer *logged_training(const dn_train_options *options, int images, step_log *log)
{
    dn_trainer *t = tiny_trainer(options, images);
    dn_model *model = NULL;

    *log = (step_log){.trainer = t};
    trainer_ok(t, dn_trainer_run(t, log_step, log, &model));
    dn_model_unref(model);
    return t;
}

START_TEST(each_step_has_its_rate)
{
    dn_train_options o = tiny_options(); /* 5 images in steps of 2, 2 and 1; 6 epochs */
    step_log log;

    o.schedule = _i ? DN_SCHEDULE_COSINE : DN_SCHEDULE_CONSTANT;
    o.epoch_steps = 5; /* 6 steps, of two passes */
    dn_trainer_free(logged_training(&o, 6, &log));
    ck_assert_int_eq(log.count, 36);
    for (int i = 0; i < 36; i++)
        ck_assert(log.rates[i] == schedule_rate(o.schedule, o.learning_rate, i, 36));
    ck_assert(_i ? log.rates[35] < 0.01 * o.learning_rate : log.rates[35] == o.learning_rate);
}
END_TEST

static _Bool is_permutation(const uint32_t *order, int count)
{
    uint32_t seen = 0;

    for (int i = 0; i < count; i++)
        seen |= order[i] < 32 ? 1u << order[i] : 0;
    return seen == (1u << count) - 1;
}

/* Each pass shows every image once, in an order of its own. */
START_TEST(few_images_are_passed_over_several_times)
{
    static const struct {
        int32_t epoch_steps, passes;
    } cases[] = {{1, 1}, {3, 1}, {4, 2}, {6, 2}, {7, 3}, {18, 6}};
    dn_train_options o = tiny_options();
    step_log log;
    int moved = 0, steps = 0;

    o.epochs = 2;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        o.epoch_steps = cases[c].epoch_steps;
        dn_trainer *t = logged_training(&o, 6, &log);
        ck_assert_int_eq(train_state_epoch_images(t->state), cases[c].passes * 5);
        ck_assert_int_eq(log.count, 2 * 3 * cases[c].passes);
        for (int i = 0; i < log.count; i++) {
            int in_epoch = i % (3 * cases[c].passes) + 1; /* steps done */
            _Bool complete = in_epoch == 3 * cases[c].passes;
            ck_assert_int_eq(log.position[i], complete ? 0 : in_epoch / 3 * 5 + in_epoch % 3 * 2);
            ck_assert_int_eq(log.epoch[i], (i + 1) / (3 * cases[c].passes));
            ck_assert(is_permutation(log.order[i], 5));
            if (i % 3 > 0)
                ck_assert(!memcmp(log.order[i], log.order[i - 1], 5 * sizeof(uint32_t)));
            else if (i > 0)
                moved += memcmp(log.order[i], log.order[i - 1], 5 * sizeof(uint32_t)) != 0;
        }
        steps += log.count / 3 - 1;
        dn_trainer_free(t);
    }
    ck_assert_msg(moved >= steps * 9 / 10, "only %d of %d passes in a new order", moved, steps); /* 1 of 120 is alike */
}
END_TEST

/* An epoch's loss is the mean over all that it shows: with a rate of nearly 0 passes differ in their views only. */
START_TEST(loss_is_the_mean_over_all_passes)
{
    dn_train_options o = tiny_options();
    watcher once = {0}, often = {0};
    dn_model *model = NULL;

    o.epochs = 1;
    o.learning_rate = 1e-12;
    for (int i = 0; i < 2; i++) {
        o.epoch_steps = i ? 90 : 1;
        dn_trainer *t = tiny_trainer(&o, 6);
        trainer_ok(t, dn_trainer_run(t, watch, i ? &often : &once, &model));
        dn_model_unref(model);
        dn_trainer_free(t);
    }
    ck_assert_msg(fabs(often.loss - once.loss) < 0.2, "%g and %g", often.loss, once.loss);
}
END_TEST

/* ---- noise ---- */

/* A trainer ready to draw rows from a bank of 9 images x 6 views. */
static dn_trainer *drawing_trainer(const dn_train_options *options)
{
    const train_watch nobody = {NULL, NULL};
    dn_trainer *t = tiny_trainer(options, 9);

    trainer_ok(t, trainer_prepare(t, &t->error));
    trainer_ok(t, feature_bank_fill(t->bank, &nobody, &t->error));
    trainer_ok(t, feature_bank_standardise(t->bank, &t->error));
    return t;
}

/* With noise: the rows without it, and after their choice the generator's next 48 normal numbers times the deviation,
 * which is a third of the option's with nine images. */
START_TEST(noise_is_added_after_standardising)
{
    const uint32_t images[2] = {1, 0};
    dn_train_options o = tiny_options();
    float plain[6 * 8], drawn[6 * 8];
    rng generator, same;

    o.bank = _i ? 0 : 6;
    o.holdout = 0;
    dn_trainer *t = drawing_trainer(&o);
    rng_seed(&generator, 4, 1);
    trainer_ok(t, feature_bank_draw(t->bank, images, 2, &generator, drawn, &t->error));
    memcpy(plain, drawn, sizeof plain);
    t->options.feature_noise = 1.5;
    rng_seed(&same, 4, 1);
    trainer_ok(t, feature_bank_draw(t->bank, images, 2, &same, drawn, &t->error));
    for (int i = 0; i < 6 * 8; i++) {
        float noise = (float)(0.5 * rng_normal(&generator));
        ck_assert_msg(drawn[i] == plain[i] + noise, "value %d: %g, not %g + %g", i, (double)drawn[i], (double)plain[i],
                      (double)noise);
    }
    ck_assert(!memcmp(&same, &generator, sizeof same)); /* nothing else was drawn */
    dn_trainer_free(t);
}
END_TEST

START_TEST(noise_has_its_deviation)
{
    const uint32_t images[2] = {1, 0};
    const int rounds = 2000;
    dn_train_options o = tiny_options();
    double sum = 0, squares = 0, n = rounds * 48.0;
    float drawn[6 * 8];
    rng generator;

    o.holdout = 0;
    o.standardize = 0;
    o.feature_noise = 0.75;
    dn_trainer *t = drawing_trainer(&o);
    memset(t->bank->rows, 0, 9 * 6 * 8 * sizeof *t->bank->rows);
    rng_seed(&generator, 4, 1);
    for (int round = 0; round < rounds; round++) {
        trainer_ok(t, feature_bank_draw(t->bank, images, 2, &generator, drawn, &t->error));
        for (int i = 0; i < 48; i++) {
            sum += drawn[i];
            squares += (double)drawn[i] * drawn[i];
        }
    }
    ck_assert_double_eq_tol(sum / n, 0, 5 * 0.25 / sqrt(n)); /* five deviations of the mean */
    ck_assert_double_eq_tol(sqrt(squares / n), 0.25, 5 * 0.25 / sqrt(2 * n));
    dn_trainer_free(t);
}
END_TEST

/* All of it together: the bits depend neither on the number of threads nor on where the rows come from. */
START_TEST(any_number_of_threads_gives_the_same_bits)
{
    dn_train_options o = tiny_options();

    o.schedule = DN_SCHEDULE_COSINE;
    o.epoch_steps = 4;
    o.feature_noise = 0.2;
    o.bank = _i ? 0 : 6;
    dn_blob *one = run_to_bytes(tiny_trainer(&o, 6));
    o.threads = 3;
    dn_blob *three = run_to_bytes(tiny_trainer(&o, 6));
    ck_assert(same_bytes(one, three));
    o.feature_noise = 0;
    dn_blob *quiet = run_to_bytes(tiny_trainer(&o, 6));
    ck_assert(!same_bytes(one, quiet));
    dn_blob_free(one);
    dn_blob_free(three);
    dn_blob_free(quiet);
}
END_TEST

/* What noise is for: the flow cannot make a direction narrower than it, so that rows beside the training ones do not
 * end up far outside. */
START_TEST(noise_keeps_the_density_wide)
{
    double apart[2] = {0, 0};

    for (int noisy = 0; noisy < 2; noisy++) {
        dn_train_options o = tiny_options();
        dn_model *model = NULL;
        o.epochs = 150;
        o.hidden = 32;
        o.learning_rate = 5e-3;
        o.feature_noise = noisy ? 0.5 : 0;
        dn_trainer *t = tiny_trainer(&o, 3); /* two to learn from, one held out */
        trainer_ok(t, dn_trainer_run(t, NULL, NULL, &model));
        int32_t count = 0;
        const double *scores = dn_model_holdout_scores(model, &count);
        ck_assert_int_eq(count, 1);
        apart[noisy] = scores[0];
        dn_model_unref(model);
        dn_trainer_free(t);
    }
    ck_assert_msg(apart[1] < 0.5 * apart[0], "held-out score without noise %g, with noise %g", apart[0], apart[1]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("schedule");
    TCase *core = tcase_create("core");

    tcase_set_timeout(core, 60);
    tcase_add_test(core, constant_rate);
    tcase_add_test(core, cosine_rate_by_its_formula);
    tcase_add_test(core, cosine_rates_of_short_and_long_trainings);
    tcase_add_loop_test(core, each_step_has_its_rate, 0, 2);
    tcase_add_test(core, few_images_are_passed_over_several_times);
    tcase_add_test(core, loss_is_the_mean_over_all_passes);
    tcase_add_loop_test(core, noise_is_added_after_standardising, 0, 2);
    tcase_add_test(core, noise_has_its_deviation);
    tcase_add_loop_test(core, any_number_of_threads_gives_the_same_bits, 0, 2);
    tcase_add_test(core, noise_keeps_the_density_wide);
    suite_add_tcase(suite, core);
    return suite;
}

TEST_MAIN(make_suite)
