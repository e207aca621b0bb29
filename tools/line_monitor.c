#include "line_monitor.h"

#include <inttypes.h>

bool line_monitor_begin(line_monitor *line, const char *model_path, const dn_model *model)
{
    dn_error error;

    if (!line->wanted)
        return true;
    dn_model_holdout_scores(model, &line->options.good_scores);
    if (line->options.good_scores == 0) {
        complain("%s: the model holds no scores of good images: there are no p-values for --monitor", model_path);
        return false;
    }
    dn_status status = dn_monitor_create(&line->options, &line->monitor, &error);
    if (status != DN_OK)
        complain_refused(NULL, status, error.message);
    return status == DN_OK;
}

static dn_monitor_state state_of(dn_monitor *monitor)
{
    dn_monitor_state state;

    dn_monitor_state_init(&state);
    if (dn_monitor_get_state(monitor, &state) != DN_OK)
        complain("--monitor: %s", dn_monitor_error(monitor)->message);
    return state;
}

static void tell_change(const char *path, const dn_monitor_state *state)
{
    const char *where = state->recent_mean < 0.5   ? " (scores are higher)"
                        : state->recent_mean > 0.5 ? " (scores are lower)"
                                                   : "";

    complain(
        "%s: the line is not the same any more: p-values of the last %d images are %.3g in the mean, of good images "
        "0.5%s. Look at camera, light and parts; learn or calibrate anew if the change is meant",
        path, state->recent_images, state->recent_mean, where);
}

void line_monitor_add(line_monitor *line, const char *path, double p_value)
{
    if (!line->monitor)
        return;
    dn_status status = dn_monitor_add(line->monitor, p_value);
    if (status == DN_OK) {
        dn_monitor_state state = state_of(line->monitor);
        if (state.moved == 0)
            return;
        tell_change(path, &state);
        status = dn_monitor_reset(line->monitor); /* to tell again while it stays so */
    }
    if (status != DN_OK)
        complain("--monitor: %s", dn_monitor_error(line->monitor)->message);
}

void line_monitor_end(line_monitor *line, bool quiet)
{
    if (line->monitor && !quiet) {
        dn_monitor_state state = state_of(line->monitor);
        complain("monitor: %" PRId64 " images since the beginning or the last alarm, evidence %.2g (an alarm at 1), "
                 "p-values of the last %d are %.3g in the mean",
                 state.images, state.evidence, state.recent_images, state.recent_mean);
    }
    dn_monitor_free(line->monitor);
    line->monitor = NULL;
}
