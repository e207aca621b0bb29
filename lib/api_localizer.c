/* dn_localizer_*: arguments checked, then lib/differnet/localize.c and regions.c. */
#include "api.h"

#include "base/option.h"
#include "differnet/localize.h"
#include "differnet/regions.h"
#include "image/pixels.h"

void dn_localizer_options_init_size(dn_localizer_options *options, size_t size)
{
    dn_localizer_options defaults = localizer_default_options();

    options_init(options, size, &defaults, sizeof defaults);
}

dn_status dn_localizer_create(dn_model *model, const dn_localizer_options *options, dn_localizer **out, dn_error *error)
{
    dn_localizer_options own = localizer_default_options();

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(model, error);
    TRY(options_read(&own, sizeof own, options, "dn_localizer_options", error));
    TRY(localizer_options_check(&own, error));
    TRY(allocator_check(own.allocator, "dn_localizer_options", error));
    TRY(runner_check(own.runner, "dn_localizer_options", error));
    return localizer_create(model, &own, out, error);
}

dn_status dn_localizer_set_mask(dn_localizer *localizer, const dn_pixels *mask, int32_t kind)
{
    REQUIRE(localizer, NULL);
    BEGIN_CALL(localizer_in_use(localizer), localizer_error(localizer));
    if (mask)
        TRY(mask_arguments_check(mask, kind, error));
    return localizer_set_mask(localizer, mask, kind, error);
}

dn_status dn_localizer_map(dn_localizer *localizer, const dn_pixels *image, float *map)
{
    REQUIRE(localizer, NULL);
    BEGIN_CALL(localizer_in_use(localizer), localizer_error(localizer));
    REQUIRE(image, error);
    REQUIRE(map, error);
    TRY(pixels_check(image, DN_MIN_SIDE, error));
    return localizer_map(localizer, image, map, error);
}

void dn_box_options_init_size(dn_box_options *options, size_t size)
{
    dn_box_options defaults = regions_default_options();

    options_init(options, size, &defaults, sizeof defaults);
}

static dn_status boxes_check(int32_t width, int32_t height, const dn_box_options *options, const dn_box *boxes,
                             int32_t capacity, dn_error *error)
{
    static const option_range ranges[] = {
        OPTION_INTEGER(dn_box_options, min_area, 1, INT32_MAX, NULL),
        OPTION_INTEGER(dn_box_options, gap, 0, REGIONS_MAX_GAP, NULL),
    };

    if (width < 1 || height < 1)
        return fail(error, DN_E_ARGUMENT, "map of %d x %d pixels: width and height must be at least 1", width, height);
    if ((int64_t)width * height > INT32_MAX) /* a box's area must fit */
        return fail(error, DN_E_LIMIT, "map of %d x %d pixels: more than %d", width, height, INT32_MAX);
    if (!(options->threshold > 0)) /* refuses NaN, too */
        return fail(error, DN_E_ARGUMENT, "threshold is %g, must be > 0", (double)options->threshold);
    if (capacity < 0 || (capacity > 0 && !boxes))
        return fail(error, DN_E_ARGUMENT, "capacity is %d, must be >= 0, and boxes not NULL unless it is 0", capacity);
    return options_check(options, "dn_box_options", ranges, OPTION_COUNT(ranges), error);
}

dn_status dn_localizer_find_boxes(dn_localizer *localizer, const float *map, int32_t width, int32_t height,
                                  const dn_box_options *options, dn_box *boxes, int32_t capacity, int32_t *count)
{
    dn_box_options own = regions_default_options();

    REQUIRE(localizer, NULL);
    BEGIN_CALL(localizer_in_use(localizer), localizer_error(localizer));
    REQUIRE(count, error);
    *count = 0;
    REQUIRE(map, error);
    TRY(options_read(&own, sizeof own, options, "dn_box_options", error));
    TRY(boxes_check(width, height, &own, boxes, capacity, error));
    return localizer_boxes(localizer, map, width, height, &own, boxes, capacity, count);
}

dn_status dn_localizer_boxes(dn_localizer *localizer, const float *map, int32_t width, int32_t height, float threshold,
                             dn_box *boxes, int32_t capacity, int32_t *count)
{
    dn_box_options options = regions_default_options();

    options.threshold = threshold;
    return dn_localizer_find_boxes(localizer, map, width, height, &options, boxes, capacity, count);
}

dn_status dn_localizer_threshold(dn_localizer *localizer, double false_alarm_rate, float *threshold, double *kept)
{
    REQUIRE(localizer, NULL);
    BEGIN_CALL(localizer_in_use(localizer), localizer_error(localizer));
    REQUIRE(threshold, error);
    if (!(false_alarm_rate > 0 && false_alarm_rate <= 1))
        return fail(error, DN_E_ARGUMENT, "false_alarm_rate is %g, outside > 0 .. 1", false_alarm_rate);
    return localizer_threshold(localizer, false_alarm_rate, threshold, kept, error);
}

const dn_error *dn_localizer_error(const dn_localizer *localizer)
{
    dn_localizer *own = (dn_localizer *)(uintptr_t)localizer;

    return own ? call_error(localizer_in_use(own), localizer_error(own)) : NULL;
}

void dn_localizer_free(dn_localizer *localizer)
{
    localizer_free(localizer);
}
