/* dn_calibrator_*: arguments checked, then lib/differnet/calibrator.c. */
#include "api.h"

#include "differnet/calibrator.h"

void dn_calibrator_options_init_size(dn_calibrator_options *options, size_t size)
{
    dn_calibrator_options defaults = calibrator_default_options();

    options_init(options, size, &defaults, sizeof defaults);
}

void dn_calibrator_info_init_size(dn_calibrator_info *info, size_t size)
{
    static const dn_calibrator_info empty = {.struct_size = sizeof empty};

    options_init(info, size, &empty, sizeof empty);
}

dn_status dn_calibrator_create(dn_model *model, const dn_calibrator_options *options, dn_calibrator **out,
                               dn_error *error)
{
    dn_calibrator_options own = calibrator_default_options();

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(model, error);
    TRY(options_read(&own, sizeof own, options, "dn_calibrator_options", error));
    TRY(calibrator_options_check(&own, error));
    TRY(image_limits_check(own.max_pixels, own.max_bytes, own.max_memory, "dn_calibrator_options", error));
    TRY(allocator_check(own.allocator, "dn_calibrator_options", error));
    TRY(runner_check(own.runner, "dn_calibrator_options", error));
    return calibrator_create(model, &own, out, error);
}

static dn_status add(dn_calibrator *calibrator, scorer_input image, dn_score *score, dn_error *error)
{
    dn_score own = {.struct_size = sizeof own};
    size_t size;

    if (score)
        TRY(struct_size_check(score, "dn_score", &size, error)); /* before anything is added */
    TRY(calibrator_add(calibrator, &image, &own, error));
    return score ? output_write(score, &own, sizeof own, "dn_score", error) : DN_OK;
}

dn_status dn_calibrator_add_path(dn_calibrator *calibrator, const char *path, dn_score *score)
{
    REQUIRE(calibrator, NULL);
    BEGIN_CALL(calibrator_in_use(calibrator), calibrator_error(calibrator));
    REQUIRE(path, error);
    return add(calibrator, (scorer_input){.path = path}, score, error);
}

dn_status dn_calibrator_add_pixels(dn_calibrator *calibrator, const dn_pixels *image, dn_score *score)
{
    REQUIRE(calibrator, NULL);
    BEGIN_CALL(calibrator_in_use(calibrator), calibrator_error(calibrator));
    REQUIRE(image, error);
    return add(calibrator, (scorer_input){.view = image}, score, error);
}

dn_status dn_calibrator_set_point(dn_calibrator *calibrator, const char *name, double threshold)
{
    REQUIRE(calibrator, NULL);
    BEGIN_CALL(calibrator_in_use(calibrator), calibrator_error(calibrator));
    REQUIRE(name, error);
    return calibrator_set_point(calibrator, name, threshold, error);
}

dn_status dn_calibrator_note(dn_calibrator *calibrator, const char *key, const char *value)
{
    REQUIRE(calibrator, NULL);
    BEGIN_CALL(calibrator_in_use(calibrator), calibrator_error(calibrator));
    REQUIRE(key, error);
    REQUIRE(value, error);
    return calibrator_note(calibrator, key, value, error);
}

dn_status dn_calibrator_get_info(dn_calibrator *calibrator, dn_calibrator_info *info, int32_t *suspects,
                                 int32_t capacity)
{
    dn_calibrator_info own;
    int32_t count;

    REQUIRE(calibrator, NULL);
    BEGIN_CALL(calibrator_in_use(calibrator), calibrator_error(calibrator));
    REQUIRE(info, error);
    if (capacity < 0 || (capacity > 0 && !suspects))
        return fail(error, DN_E_ARGUMENT, "capacity is %d, must be >= 0, and suspects not NULL unless it is 0",
                    capacity);
    TRY(calibrator_look(calibrator, &own, suspects, capacity, &count, error));
    return output_write(info, &own, sizeof own, "dn_calibrator_info", error);
}

dn_status dn_calibrator_model(dn_calibrator *calibrator, dn_model **out)
{
    if (out)
        *out = NULL;
    REQUIRE(calibrator, NULL);
    BEGIN_CALL(calibrator_in_use(calibrator), calibrator_error(calibrator));
    REQUIRE(out, error);
    return calibrator_model(calibrator, out, error);
}

const dn_error *dn_calibrator_error(const dn_calibrator *calibrator)
{
    dn_calibrator *own = (dn_calibrator *)(uintptr_t)calibrator;

    return own ? call_error(calibrator_in_use(own), calibrator_error(own)) : NULL;
}

void dn_calibrator_free(dn_calibrator *calibrator)
{
    calibrator_free(calibrator);
}
