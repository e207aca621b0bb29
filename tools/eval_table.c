#include "eval_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "csv_writer.h"
#include "eval_images.h"
#include "eval_json.h"
#include "layout.h"

static const char *const keys[ROW_FIGURES] = {
    "auroc", "ap", "f1_max", "pixel_auroc", "aupro", "false_alarm_share", "missed_share"};

/* ---- rows ---- */

eval_row eval_row_of(const char *name, const evaluation *result)
{
    const test_set *set = result->set;
    bool verdicts = !isnan(result->threshold);
    eval_row row = {.name = name, .done = true, .images = set->count, .good = set->good};

    row.figures[ROW_AUROC] = result->auroc;
    row.figures[ROW_AP] = result->average_precision;
    row.figures[ROW_F1] = result->f1;
    row.figures[ROW_PIXEL_AUROC] = result->pixels ? result->pixel_auroc : (double)NAN;
    row.figures[ROW_AUPRO] = result->pixels ? result->pixel_aupro : (double)NAN;
    row.figures[ROW_FALSE_ALARMS] = verdicts ? (double)result->false_alarms / (double)set->good : (double)NAN;
    row.figures[ROW_MISSED] = verdicts ? (double)result->missed / (double)(set->count - set->good) : (double)NAN;
    return row;
}

eval_row eval_row_mean(const eval_row *rows, size_t count)
{
    eval_row mean = {.name = "mean", .done = true};

    for (size_t i = 0; i < count; i++) {
        mean.images += rows[i].images;
        mean.good += rows[i].good;
    }
    for (int f = 0; f < ROW_FIGURES; f++) {
        double sum = 0;
        size_t known = 0;
        for (size_t i = 0; i < count; i++) {
            if (!rows[i].done || isnan(rows[i].figures[f]))
                continue;
            sum += rows[i].figures[f];
            known++;
        }
        mean.figures[f] = known > 0 ? sum / (double)known : (double)NAN;
    }
    return mean;
}

/* ---- output ---- */

static void print_csv_row(const eval_row *row)
{
    csv_text(stdout, row->name);
    if (row->done)
        printf(",%zu,%zu", row->images, row->good);
    else
        printf(",,");
    for (int f = 0; f < ROW_FIGURES; f++)
        csv_number(stdout, row->done ? row->figures[f] : (double)NAN);
    putchar('\n');
}

void print_eval_csv(const eval_row *rows, size_t count, const eval_row *mean)
{
    printf("category,images,good");
    for (int f = 0; f < ROW_FIGURES; f++)
        printf(",%s", keys[f]);
    putchar('\n');
    for (size_t i = 0; i < count; i++)
        print_csv_row(&rows[i]);
    if (mean)
        print_csv_row(mean);
}

static void print_text_row(const eval_row *row)
{
    if (!row->done) {
        printf("%-24s no figures\n", row->name);
        return;
    }
    printf("%-24s %7zu %6zu", row->name, row->images, row->good);
    for (int f = 0; f < ROW_FIGURES; f++) {
        if (isnan(row->figures[f]))
            printf(" %8s", "-");
        else if (f < ROW_FALSE_ALARMS)
            printf(" %8.4f", row->figures[f]);
        else
            printf(" %6.1f %%", 100 * row->figures[f]);
    }
    putchar('\n');
}

static void print_table(const eval_row *rows, size_t count, const eval_row *mean)
{
    printf("%-24s %7s %6s %8s %8s %8s %8s %8s %8s %8s\n", "category", "images", "good", "AUROC", "AP", "best F1",
           "pixel", "AUPRO", "alarms", "missed");
    for (size_t i = 0; i < count; i++)
        print_text_row(&rows[i]);
    print_text_row(mean);
}

static void emit_mean(json_writer *json, const eval_row *mean)
{
    emit_open_object(json, "mean");
    for (int f = 0; f < ROW_FIGURES; f++)
        emit_real(json, keys[f], mean->figures[f]);
    emit_close_object(json);
}

/* ---- the categories ---- */

/* What is done for each of them. */
typedef struct table_run {
    const eval_job *job;
    enum eval_format format;
    json_writer json;
    image_rows images;
    eval_row *rows; /* one for each category */
} table_run;

static void evaluate_category(table_run *run, const char *name, eval_row *row)
{
    eval_job one = *run->job;
    evaluation result;
    char *model = need_text("%s/%s.dnm", run->job->model_path, name), *data = need_text("%s/%s", run->job->data, name);

    one.model_path = model;
    one.data = data;
    *row = (eval_row){.name = name};
    if (evaluate(&one, &result)) {
        *row = eval_row_of(name, &result);
        image_rows_add(&run->images, name, &result);
    }
    if (run->format == EVAL_JSON) {
        emit_open_object(&run->json, NULL);
        emit_text(&run->json, "category", name);
        emit_text(&run->json, "model", model);
        if (row->done)
            write_eval_json(&run->json, "figures", &result);
        else
            emit_none(&run->json, "figures");
        emit_close_object(&run->json);
    }
    evaluation_free(&result);
    free(model);
    free(data);
}

static size_t count_done(const eval_row *rows, size_t count)
{
    size_t done = 0;

    for (size_t i = 0; i < count; i++)
        done += rows[i].done;
    return done;
}

static void run_all(table_run *run, const image_list *names)
{
    json_writer *json = &run->json;

    if (run->format == EVAL_JSON) {
        emit_open_object(json, NULL);
        emit_text(json, "folder", run->job->model_path);
        emit_open_array(json, "categories");
    }
    for (size_t i = 0; i < names->count; i++) {
        if (!run->job->quiet)
            complain("category %zu of %zu: %s", i + 1, names->count, names->paths[i]);
        evaluate_category(run, names->paths[i], &run->rows[i]);
    }
    eval_row mean = eval_row_mean(run->rows, names->count);
    size_t done = count_done(run->rows, names->count);
    if (run->format == EVAL_JSON) {
        emit_close_array(json);
        emit_mean(json, &mean);
        emit_integer(json, "evaluated", (int64_t)done);
        emit_integer(json, "failed", (int64_t)(names->count - done));
        emit_close_object(json);
        putchar('\n');
    } else if (run->format == EVAL_CSV) {
        print_eval_csv(run->rows, names->count, &mean);
    } else {
        print_table(run->rows, names->count, &mean);
    }
}

/* Names what there are no figures of.  False if there is any. */
static bool all_done(const eval_row *rows, size_t count)
{
    size_t missing = count - count_done(rows, count);

    if (missing == 0)
        return true;
    complain("%zu of %zu categories could not be evaluated, and have no part in the means:", missing, count);
    for (size_t i = 0; i < count; i++) {
        if (!rows[i].done)
            complain("  %s", rows[i].name);
    }
    return false;
}

int evaluate_categories(const eval_job *job, enum eval_format format, const char *images)
{
    image_list names = {0};
    table_run run = {.job = job, .format = format, .json = {stdout, false}};

    if (!list_categories(job->data, FOLDER_TEST, 1, job->quiet, &names)) {
        complain(
            "%s is a folder of models, so %s must hold several data sets, NAME/test/good and NAME/test/<defect> for "
            "each NAME.dnm; it holds none",
            job->model_path, job->data);
        return EXIT_FAILED;
    }
    run.rows = need_memory(names.count, sizeof *run.rows);
    image_rows_begin(&run.images);
    run_all(&run, &names);
    bool written = image_rows_end(&run.images, images);
    bool done = all_done(run.rows, names.count) && written;
    free(run.rows);
    image_list_free(&names);
    return finish_output(done ? 0 : EXIT_FAILED);
}
