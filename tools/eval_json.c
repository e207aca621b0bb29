#include "eval_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static void write_image_json(json_writer *json, const evaluation *result)
{
    emit_open_object(json, "image");
    emit_real(json, "auroc", result->auroc);
    emit_open_array(json, "auroc_ci95");
    emit_real(json, NULL, result->interval[0]);
    emit_real(json, NULL, result->interval[1]);
    emit_close_array(json);
    emit_real(json, "ap", result->average_precision);
    emit_real(json, "f1_max", result->f1);
    emit_real(json, "f1_threshold", result->f1_threshold);
    emit_close_object(json);
}

static void write_verdict_json(json_writer *json, const evaluation *result)
{
    if (isnan(result->threshold)) {
        emit_none(json, "verdicts");
        return;
    }
    emit_open_object(json, "verdicts");
    emit_real(json, "false_alarm_rate", result->false_alarm_rate);
    emit_real(json, "threshold", result->threshold);
    emit_integer(json, "false_alarms", (int64_t)result->false_alarms);
    emit_integer(json, "missed", (int64_t)result->missed);
    emit_close_object(json);
}

static void write_box_json(json_writer *json, const evaluation *result)
{
    const box_figures *boxes = &result->box_figures;

    if (!result->boxes) {
        emit_none(json, "boxes");
        return;
    }
    emit_open_object(json, "boxes");
    emit_integer(json, "good_with_boxes", (int64_t)boxes->good_with_boxes);
    emit_real(json, "per_good_image", (double)boxes->in_good / (double)result->set->good);
    emit_real(json, "per_defective_image",
              (double)boxes->in_defective / (double)(result->set->count - result->set->good));
    if (result->pixels) {
        emit_integer(json, "defects", (int64_t)boxes->defects);
        emit_integer(json, "defects_hit", (int64_t)boxes->defects_hit);
    }
    emit_close_object(json);
}

void write_eval_json(json_writer *json, const char *key, const evaluation *result)
{
    char id[16];

    snprintf(id, sizeof id, "%08" PRIx32, result->model.id);
    emit_open_object(json, key);
    emit_integer(json, "images", (int64_t)result->set->count);
    emit_integer(json, "good", (int64_t)result->set->good);
    emit_integer(json, "views", result->views);
    emit_text(json, "model_id", id);
    write_image_json(json, result);
    if (result->pixels) {
        emit_open_object(json, "pixel");
        emit_real(json, "auroc", result->pixel_auroc);
        emit_real(json, "aupro", result->pixel_aupro);
        emit_integer(json, "map_views", result->map_views);
        emit_close_object(json);
    } else {
        emit_none(json, "pixel");
    }
    emit_open_object(json, "per_defect");
    for (size_t d = 0; d < result->set->defect_count; d++) {
        emit_open_object(json, result->set->defects[d]);
        emit_integer(json, "images", (int64_t)result->set->defect_images[d]);
        emit_real(json, "auroc", result->defect_auroc[d]);
        emit_close_object(json);
    }
    emit_close_object(json);
    write_verdict_json(json, result);
    emit_integer(json, "unlike", (int64_t)result->unlike);
    write_box_json(json, result);
    emit_close_object(json);
}
