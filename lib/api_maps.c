/* Feature maps: arguments checked, then lib/cnn/maps.c. */
#include "api.h"

#include "base/product.h"
#include "cnn/maps.h"

#define MAX_VIEWS 65536

void dn_maps_info_init_size(dn_maps_info *info, size_t size)
{
    static const dn_maps_info empty = {.struct_size = sizeof empty};

    options_init(info, size, &empty, sizeof empty);
}

dn_status dn_extractor_get_maps_info(const dn_extractor *extractor, dn_maps_info *info)
{
    REQUIRE(extractor, NULL);
    REQUIRE(info, NULL);
    maps_geometry maps = maps_of(extractor);
    dn_maps_info own = {.struct_size = sizeof own,
                        .rows = maps.rows,
                        .columns = maps.columns,
                        .channels = maps.channels,
                        .taps = maps_taps(extractor),
                        .stride_y = maps.stride_y,
                        .stride_x = maps.stride_x,
                        .offset_y = maps.offset_y,
                        .offset_x = maps.offset_x};

    return output_write(info, &own, sizeof own, "dn_maps_info", NULL);
}

const char *dn_extractor_map_name(const dn_extractor *extractor, int32_t tap)
{
    return extractor && tap >= 0 ? maps_tap_name(extractor, tap) : NULL;
}

dn_status dn_extractor_maps(const dn_extractor *extractor, const float *views, int32_t n, float *maps, dn_error *error)
{
    REQUIRE(extractor, error);
    REQUIRE(views, error);
    REQUIRE(maps, error);
    if (n < 1 || n > MAX_VIEWS)
        return fail(error, DN_E_ARGUMENT, "n is %d, must be 1 .. %d", n, MAX_VIEWS);
    TRY(product_ready(1, error));
    return maps_of_views(extractor, views, n, maps, error);
}
