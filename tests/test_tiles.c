/* How an image is laid before the network: canvases, tiles, the cells that count. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cnn/extractor_file.h"
#include "differnet/inside.h"
#include "differnet/position_map.h"
#include "image/canvas.h"
#include "support.h"

static dn_extractor *alexnet(int32_t size)
{
    static const int32_t channels[5] = {2, 2, 2, 2, 2};
    const dn_extractor_options options = {.struct_size = sizeof options, .input_size = size, .scales = 1};
    dn_extractor *extractor;

    ck_ok(extractor_random(channels, 1, &options, &extractor, NULL));
    return extractor;
}

/* ---- the plan ---- */

START_TEST(plan_of_tiles)
{
    dn_extractor *extractor = alexnet(448); /* 27 x 27 cells, 16 pixels apart; 5 of them shared, a step of 22 */
    tile_plan plan = tile_plan_of(extractor, 3, 2, DN_FIT_STRETCH);

    ck_ok(tile_plan_check(extractor, 3, 2, NULL));
    ck_assert_int_eq(plan.step_columns, 22);
    ck_assert_int_eq(plan.step_rows, 22);
    ck_assert_int_eq(plan.canvas.width, 448 + 2 * 22 * 16);
    ck_assert_int_eq(plan.canvas.height, 448 + 22 * 16);
    ck_assert_int_eq(plan.whole.width, 448);
    ck_assert_int_eq(plan.whole.height, 448);
    ck_assert_int_eq(plan.grid.columns, 27 + 2 * 22);
    ck_assert_int_eq(plan.grid.rows, 27 + 22);
    ck_assert_int_eq(plan.grid.channels, plan.tile.channels);
    ck_assert_double_eq(plan.grid.stride_x, 16);
    ck_assert_double_eq(plan.grid.offset_y, 15.5);
    /* The backbone's mean colour fills what an image leaves free. */
    for (int c = 0; c < 3; c++)
        ck_assert_double_eq_tol(plan.whole.fill[c], 65535 * (double)extractor->mean[c], 0.51);
    extractor->mean[0] = -0.5f; /* that of another scale: as near as a colour comes */
    extractor->mean[1] = 1.5f;
    tile_plan others = tile_plan_of(extractor, 3, 2, DN_FIT_STRETCH);
    ck_assert_int_eq(others.whole.fill[0], 0);
    ck_assert_int_eq(others.whole.fill[1], 65535);
    ck_assert_int_eq(others.whole.fill[2], plan.whole.fill[2]);
    tile_plan one = tile_plan_of(extractor, 1, 1, DN_FIT_STRETCH);
    ck_assert(tiles_one(&one) && !tiles_one(&plan));
    ck_assert_mem_eq(&one.canvas, &one.whole, sizeof one.whole);
    const maps_geometry *grid = &one.grid, *tile = &one.tile; /* not as bytes: there are some between its members */
    ck_assert(grid->rows == tile->rows && grid->columns == tile->columns && grid->channels == tile->channels);
    ck_assert(grid->stride_y == tile->stride_y && grid->stride_x == tile->stride_x &&
              grid->offset_y == tile->offset_y && grid->offset_x == tile->offset_x);
    extractor_unref(extractor);
}
END_TEST

START_TEST(plans_that_cannot_be)
{
    static const int32_t tiles[][2] = {{0, 1}, {1, 0}, {33, 1}, {1, 33}, {6, 6}, {-1, -1}, {INT32_MAX, INT32_MAX}};
    dn_extractor *extractor = alexnet(448), *large = alexnet(2048);
    dn_error error;

    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        ck_status(tile_plan_check(extractor, tiles[i][0], tiles[i][1], &error), DN_E_ARGUMENT);
        check_error(&error, DN_E_ARGUMENT, "tiles");
    }
    ck_ok(tile_plan_check(extractor, 8, 4, NULL));
    ck_ok(tile_plan_check(large, 1, 1, NULL)); /* 127 x 127 cells */
    ck_status(tile_plan_check(large, 5, 1, &error), DN_E_LIMIT);
    check_error(&error, DN_E_LIMIT, "use fewer");
    ck_status(tile_plan_check(large, 1, 5, &error), DN_E_LIMIT);
    check_error(&error, DN_E_LIMIT, "use fewer");
    ck_status(tile_plan_check(large, 4, 4, &error), DN_E_LIMIT);
    extractor_unref(extractor);
    extractor_unref(large);
}
END_TEST

START_TEST(tiles_that_suit_a_size)
{
    static const int32_t cases[][4] = {/* width, height, columns, rows */
                                       {448, 448, 1, 1},  {300, 200, 1, 1},   {640, 480, 2, 1},
                                       {1130, 460, 3, 1}, {460, 1130, 1, 3},  {2000, 1334, 3, 2},
                                       {900, 900, 2, 2},  {8000, 8000, 2, 2}, {8, 8, 1, 1}};
    dn_extractor *extractor = alexnet(448), *large = alexnet(2048);
    int32_t most_columns, most_rows;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t columns, rows;
        tiles_choose(extractor, cases[i][0], cases[i][1], 6, &columns, &rows);
        ck_assert_msg(columns == cases[i][2] && rows == cases[i][3], "%d x %d: %d x %d tiles", cases[i][0], cases[i][1],
                      columns, rows);
    }
    tiles_choose(large, 20000, 2000, 6, &most_columns, &most_rows); /* five would have too many cells */
    ck_assert_int_eq(most_columns, 4);
    ck_assert_int_eq(most_rows, 1);
    extractor_unref(large);
    extractor_unref(extractor);
}
END_TEST

/* Each sample of the canvas tells its place, so that what is cut can be told. */
START_TEST(cut_from_the_canvas)
{
    dn_extractor *extractor = alexnet(64); /* 3 x 3 cells: none shared, a step of 48 pixels */
    tile_plan plan = tile_plan_of(extractor, 3, 2, DN_FIT_STRETCH);
    int32_t width = plan.canvas.width;
    uint16_t *canvas = malloc(tile_canvas_samples(&plan) * sizeof *canvas);
    uint16_t *square = malloc((size_t)(64 * 64 * 3) * sizeof *square);

    ck_assert_int_eq(width, 64 + 2 * 48);
    ck_assert_int_eq(plan.canvas.height, 64 + 48);
    for (size_t i = 0; i < tile_canvas_samples(&plan); i++)
        canvas[i] = (uint16_t)i;
    for (int32_t tile = 0; tile < 6; tile++) {
        int32_t left = tile % 3 * 48, top = tile / 3 * 48;
        tile_cut(&plan, canvas, tile, square);
        for (int32_t y = 0; y < 64; y++)
            ck_assert_mem_eq(square + y * 64 * 3, canvas + ((top + y) * width + left) * 3, 64 * 3 * sizeof *square);
    }
    free(canvas);
    free(square);
    extractor_unref(extractor);
}
END_TEST

/* Of 27 cells 5 are shared: the first tile keeps 24 of its own, the next one begins at its third. */
START_TEST(cells_come_from_the_nearer_tile)
{
    dn_extractor *extractor = alexnet(448);
    tile_plan plan = tile_plan_of(extractor, 2, 2, DN_FIT_STRETCH);
    size_t channels = (size_t)plan.tile.channels, cells = (size_t)plan.grid.rows * (size_t)plan.grid.columns;
    float *grid = malloc(cells * channels * sizeof *grid);
    float *maps = malloc(27 * 27 * channels * sizeof *maps);

    for (size_t i = 0; i < cells * channels; i++)
        grid[i] = -1;
    for (int32_t tile = 0; tile < 4; tile++) {
        for (int32_t i = 0; i < 27 * 27; i++)
            for (size_t c = 0; c < channels; c++)
                maps[(size_t)i * channels + c] = (float)(tile * 10000 + i * 10) + (float)c;
        tile_store(&plan, tile, maps, grid);
    }
    for (int32_t y = 0; y < 49; y++)
        for (int32_t x = 0; x < 49; x++)
            for (size_t c = 0; c < channels; c++) {
                int32_t down = y >= 24, across = x >= 24;
                float expected = (float)((down * 2 + across) * 10000 + ((y - 22 * down) * 27 + x - 22 * across) * 10) +
                                 (float)c;
                ck_assert_float_eq(grid[(size_t)(y * 49 + x) * channels + c], expected);
            }
    free(grid);
    free(maps);
    extractor_unref(extractor);
}
END_TEST

/* Features of tiles are those that each tile has alone. */
START_TEST(features_of_tiles)
{
    static uint8_t rgb[100 * 80 * 3];
    dn_allocator allocator = mem_allocator(NULL);
    dn_extractor *extractor = alexnet(96); /* 5 x 5 cells, one shared: a step of 64 pixels */
    tile_plan plan = tile_plan_of(extractor, 2, 1, DN_FIT_STRETCH), one = tile_plan_of(extractor, 1, 1, 0);
    mem_scratch rows = {.allocator = allocator};
    size_t channels = (size_t)plan.tile.channels;
    uint16_t *canvas = malloc(tile_canvas_samples(&plan) * sizeof *canvas);
    uint16_t *square = malloc((size_t)(96 * 96 * 3) * sizeof *square);
    float *scratch = malloc(position_features_scratch(extractor, &plan, 1) * sizeof *scratch);
    float *maps = malloc(5 * 9 * channels * sizeof *maps), *alone = malloc(25 * channels * sizeof *alone);

    draw_texture(rgb, 100, 80, 3);
    dn_pixels view = rgb_view(rgb, 100, 80);
    ck_ok(canvas_refill(&view, &plan.canvas, canvas, &rows, NULL));
    ck_assert_int_eq(plan.grid.columns, 9);
    position_features(extractor, &plan, canvas, NULL, NULL, maps, NULL, scratch, NULL);
    for (int32_t tile = 0; tile < 2; tile++) {
        tile_cut(&plan, canvas, tile, square);
        position_features(extractor, &one, square, NULL, NULL, alone, NULL, scratch, NULL);
        for (int32_t y = 0; y < 5; y++)
            for (int32_t x = 0; x < (tile ? 5 : 4); x++)
                ck_assert_mem_eq(maps + (size_t)(y * 9 + 4 * tile + x) * channels,
                                 alone + (size_t)(y * 5 + x) * channels, channels * sizeof *maps);
    }
    mem_release(&rows);
    free(canvas);
    free(square);
    free(scratch);
    free(maps);
    free(alone);
    extractor_unref(extractor);
}
END_TEST

/* ---- where an image lies ---- */

START_TEST(place_of_an_image)
{
    static const struct {
        int32_t width, height, fit, x, y, w, h;
    } cases[] = {
        {400, 100, DN_FIT_STRETCH, 0, 0, 96, 64},     {300, 200, DN_FIT_LETTERBOX, 0, 0, 96, 64},
        {400, 100, DN_FIT_LETTERBOX, 0, 20, 96, 24},  {100, 400, DN_FIT_LETTERBOX, 40, 0, 16, 64},
        {10000, 8, DN_FIT_LETTERBOX, 0, 31, 96, 1},   {8, 10000, DN_FIT_LETTERBOX, 47, 0, 1, 64},
        {1 << 20, 8, DN_FIT_LETTERBOX, 0, 31, 96, 1}, {97, 64, DN_FIT_LETTERBOX, 0, 0, 96, 63},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const canvas_shape shape = {96, 64, {0, 0}, cases[i].fit, {0, 0, 0}};
        canvas_place place = canvas_place_of(&shape, cases[i].width, cases[i].height);
        ck_assert_msg(place.x == cases[i].x && place.y == cases[i].y && place.width == cases[i].w &&
                          place.height == cases[i].h,
                      "case %zu: %d, %d, %d x %d", i, place.x, place.y, place.width, place.height);
    }
}
END_TEST

START_TEST(letterboxed_canvas)
{
    static uint8_t rgb[40 * 10 * 3];
    dn_allocator allocator = mem_allocator(NULL);
    mem_scratch scratch = {.allocator = allocator};
    const canvas_shape shape = {32, 20, {0, 0}, DN_FIT_LETTERBOX, {100, 200, 300}},
                       small = {32, 8, {0, 0}, DN_FIT_STRETCH, {0, 0, 0}};
    uint16_t canvas[20][32][3], stretched[8][32][3];

    draw_texture(rgb, 40, 10, 1);
    dn_pixels view = rgb_view(rgb, 40, 10);
    memset(canvas, 0xff, sizeof canvas);
    ck_ok(canvas_refill(&view, &shape, canvas[0][0], &scratch, NULL));
    ck_ok(canvas_refill(&view, &small, stretched[0][0], &scratch, NULL));
    for (int y = 0; y < 20; y++)
        for (int x = 0; x < 32; x++)
            if (y >= 6 && y < 14)
                ck_assert_mem_eq(canvas[y][x], stretched[y - 6][x], sizeof canvas[y][x]);
            else
                ck_assert_mem_eq(canvas[y][x], shape.fill, sizeof shape.fill);
    mem_release(&scratch);
}
END_TEST

START_TEST(cells_on_the_image)
{
    dn_extractor *extractor = alexnet(96); /* centres at 15.5 + 16 i, i = 0 .. 4 */
    tile_plan plan = tile_plan_of(extractor, 1, 1, DN_FIT_LETTERBOX);
    const image_mask everything = {.width = 0};
    uint8_t inside[25];
    dn_error error;
    _Bool partly;

    ck_assert_int_eq(inside_cells(&plan, 50, 50, inside), 25);
    ck_ok(inside_find(&plan, &everything, 50, 50, inside, &partly, NULL));
    ck_assert(!partly);
    /* 96 x 48 of it, from row 24 on: rows 31.5, 47.5, 63.5 */
    ck_ok(inside_find(&plan, &everything, 100, 50, inside, &partly, NULL));
    ck_assert(partly);
    for (int i = 0; i < 25; i++)
        ck_assert_int_eq(inside[i], i / 5 >= 1 && i / 5 <= 3);
    /* One row of pixels, 47 to 48, in which centres lie; two lie beside it. */
    ck_ok(inside_find(&plan, &everything, 9600, 80, inside, &partly, NULL));
    ck_assert_int_eq(inside_cells(&plan, 9600, 80, inside), 5);
    plan.canvas.height = plan.canvas.width = 32 * 3 + 6; /* from 50.5 on */
    ck_status(inside_find(&plan, &everything, 9600, 80, inside, &partly, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "9600 x 80");
    extractor_unref(extractor);
}
END_TEST

/* ---- masks ---- */

static image_mask make_mask(const uint8_t *gray, int32_t width, int32_t height, int32_t kind)
{
    image_mask made = {.allocator = mem_allocator(NULL)};
    const dn_pixels view = {gray, width, height, 0, DN_GRAY8, 0};

    ck_ok(mask_set(&made, &view, kind, NULL, NULL));
    return made;
}

START_TEST(what_a_mask_marks)
{
    static const uint8_t gray[6] = {0, 127, 128, 255, 1, 200}, black[4] = {0, 127, 3, 0},
                         white[4] = {255, 128, 255, 200};
    static const uint8_t rgb[6] = {0, 0, 128, 127, 127, 127};
    static const uint16_t wide[2] = {32767, 32768};
    const uint8_t marked[2] = {0x20, 0xa0}; /* 001, 101: a bit a pixel */
    image_mask made = make_mask(gray, 3, 2, DN_MASK_INCLUDE);
    dn_error error;

    ck_assert_mem_eq(made.bits, marked, sizeof marked);
    ck_status(mask_set(&made, &(dn_pixels){black, 2, 2, 0, DN_GRAY8, 0}, DN_MASK_INCLUDE, NULL, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "black everywhere");
    ck_status(mask_set(&made, &(dn_pixels){white, 2, 2, 0, DN_GRAY8, 0}, DN_MASK_IGNORE, NULL, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "white everywhere");
    ck_assert_int_eq(made.width, 3); /* as it was */
    ck_assert_mem_eq(made.bits, marked, sizeof marked);
    ck_ok(mask_set(&made, &(dn_pixels){gray, 3, 2, 0, DN_GRAY8, 0}, DN_MASK_IGNORE, NULL, NULL));
    ck_assert_int_eq(made.bits[0], 0xc0);
    ck_assert_int_eq(made.bits[1], 0x40);
    ck_ok(mask_set(&made, &(dn_pixels){gray + 3, 3, 2, -3, DN_GRAY8, 0}, DN_MASK_INCLUDE, NULL, NULL)); /* bottom up */
    ck_assert_int_eq(made.bits[0], 0xa0);
    ck_assert_int_eq(made.bits[1], 0x20);
    ck_ok(mask_set(&made, &(dn_pixels){rgb, 2, 1, 0, DN_RGB8, 0}, DN_MASK_INCLUDE, NULL, NULL));
    ck_assert_int_eq(made.bits[0], 0x80);
    ck_ok(mask_set(&made, &(dn_pixels){wide, 2, 1, 0, DN_GRAY16, 0}, DN_MASK_INCLUDE, NULL, NULL));
    ck_assert_int_eq(made.bits[0], 0x40);
    mask_clear(&made);
    ck_assert(mask_at(&made, 0.5, 0.5)); /* without a mask everything counts */
}
END_TEST

/* Pixels of one size, of two sizes, and none in common. */
START_TEST(masks_within_masks)
{
    static const uint8_t first[6] = {0, 255, 0, 255, 255, 255}, second[6] = {0, 0, 0, 0, 255, 255};
    static const uint8_t fine[8] = {255, 0, 255, 255, 255, 255, 0, 255}, rough[2] = {255, 0}, apart[6] = {255};
    image_mask kept = make_mask(second, 3, 2, DN_MASK_INCLUDE), left = make_mask(rough, 2, 1, DN_MASK_INCLUDE);
    image_mask made = {.allocator = mem_allocator(NULL)}, other = make_mask(fine, 4, 2, DN_MASK_INCLUDE);
    dn_error error;

    ck_assert_int_eq(mask_count(&kept), 2);
    ck_assert_int_eq(mask_count(&made), 0);
    ck_ok(mask_set(&made, &(dn_pixels){first, 3, 2, 0, DN_GRAY8, 0}, DN_MASK_INCLUDE, &kept, NULL));
    ck_assert_int_eq(made.bits[0], 0);
    ck_assert_int_eq(made.bits[1], 0x60);
    ck_status(mask_set(&made, &(dn_pixels){apart, 3, 2, 0, DN_GRAY8, 0}, DN_MASK_INCLUDE, &kept, &error),
              DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "model's own mask");
    ck_assert_int_eq(made.bits[1], 0x60); /* as it was */
    ck_status(mask_set(&made, &(dn_pixels){fine, 8, 1, 0, DN_GRAY8, 0}, DN_MASK_INCLUDE, &kept, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "another aspect than the model's own of 3 x 2");
    for (int i = 0; i < 2; i++) { /* whichever of both is the finer one */
        ck_ok(i ? mask_set(&made, &(dn_pixels){rough, 2, 1, 0, DN_GRAY8, 0}, DN_MASK_INCLUDE, &other, NULL)
                : mask_set(&made, &(dn_pixels){fine, 4, 2, 0, DN_GRAY8, 0}, DN_MASK_INCLUDE, &left, NULL));
        ck_assert_int_eq(made.width, 4);
        ck_assert_int_eq(made.height, 2);
        ck_assert_int_eq(made.bits[0], 0x80);
        ck_assert_int_eq(made.bits[1], 0xc0);
    }
    /* Spare bits are not looked at. */
    ck_ok(mask_set_bits(&made, (const uint8_t[2]){0x3f, 0x5f}, 3, 2, NULL));
    ck_assert_int_eq(mask_count(&made), 2);
    ck_assert(!mask_at(&made, 0.5, 0.2) && mask_at(&made, 0.9, 0.2) && mask_at(&made, 0.5, 0.9));
    mask_clear(&made);
    mask_clear(&other);
    mask_clear(&left);
    mask_clear(&kept);
}
END_TEST

START_TEST(aspect_of_a_mask)
{
    static uint8_t gray[300 * 200];
    static const int32_t good[][2] = {{300, 200}, {600, 400}, {75, 50}, {101, 67}, {3, 2}, {1500, 1004}},
                         bad[][2] = {{200, 300}, {300, 210}, {1500, 1030}, {400, 200}};
    dn_error error;

    memset(gray, 255, sizeof gray);
    image_mask made = make_mask(gray, 300, 200, DN_MASK_INCLUDE);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_ok(mask_check(&made, good[i][0], good[i][1], NULL));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_status(mask_check(&made, bad[i][0], bad[i][1], &error), DN_E_ARGUMENT);
        check_error(&error, DN_E_ARGUMENT, "another aspect");
    }
    mask_clear(&made);
    ck_ok(mask_check(&made, 200, 300, NULL));
}
END_TEST

/* The right half counts. */
START_TEST(mask_on_cells_canvas_and_map)
{
    static const uint8_t gray[2] = {0, 255};
    dn_extractor *extractor = alexnet(96); /* centres at 15.5 + 16 i */
    tile_plan plan = tile_plan_of(extractor, 1, 1, DN_FIT_STRETCH);
    image_mask made = make_mask(gray, 2, 1, DN_MASK_INCLUDE);
    const canvas_shape shape = {.width = 8, .height = 4, .fit = DN_FIT_STRETCH, .fill = {7, 8, 9}};
    const canvas_place place = {2, 1, 4, 2};
    uint16_t canvas[4][8][3];
    float map[3 * 6];
    uint8_t inside[25];
    _Bool partly;

    ck_ok(inside_find(&plan, &made, 200, 100, inside, &partly, NULL));
    ck_assert(partly);
    for (int i = 0; i < 25; i++)
        ck_assert_int_eq(inside[i], 15.5 + i % 5 * 16 >= 48);
    memset(canvas, 0xff, sizeof canvas);
    mask_fill(&made, &shape, &place, canvas[0][0]);
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 8; x++) {
            _Bool filled = (y == 1 || y == 2) && (x == 2 || x == 3);
            ck_assert_int_eq(canvas[y][x][1], filled ? 8 : 0xffff);
        }
    for (int i = 0; i < 18; i++)
        map[i] = 5;
    mask_map(&made, map, 3, 6);
    for (int i = 0; i < 18; i++)
        ck_assert_float_eq(map[i], i % 6 < 3 ? 0 : 5);
    mask_clear(&made);
    extractor_unref(extractor);
}
END_TEST

/* ---- maps of a part of the cells ---- */

START_TEST(smoothed_inside)
{
    enum { SIDE = 6, CELLS = SIDE * SIDE };
    float map[CELLS], other[CELLS], scratch[2 * CELLS];
    uint8_t inside[CELLS], all[CELLS];
    position_level level, again;

    for (int i = 0; i < CELLS; i++) {
        map[i] = other[i] = 1 + (float)((i * 7) % 11);
        inside[i] = i % SIDE >= 2;
        all[i] = 1;
        if (!inside[i])
            other[i] = i % 2 ? NAN : 1e30f;
    }
    /* What is outside has no say at all. */
    level = position_smooth(map, SIDE, SIDE, inside, scratch);
    again = position_smooth(other, SIDE, SIDE, inside, scratch);
    ck_assert_mem_eq(map, other, sizeof map);
    ck_assert_mem_eq(&level, &again, sizeof level);
    for (int i = 0; i < CELLS; i++)
        if (!inside[i])
            ck_assert_float_eq(map[i], 0);
    /* A constant stays one; its highest and its median are of the cells inside. */
    for (int i = 0; i < CELLS; i++)
        map[i] = inside[i] ? 3 : 100;
    level = position_smooth(map, SIDE, SIDE, inside, scratch);
    for (int i = 0; i < CELLS; i++)
        ck_assert_double_eq_tol((double)map[i], inside[i] ? 3 : 0, 1e-5);
    ck_assert_double_eq_tol(level.top, 3, 1e-5);
    ck_assert_double_eq_tol(level.median, 3, 1e-5);
    /* With all cells it is the map that is smoothed without a list. */
    for (int i = 0; i < CELLS; i++)
        map[i] = other[i] = 1 + (float)((i * 5) % 13);
    level = position_smooth(map, SIDE, SIDE, all, scratch);
    again = position_smooth(other, SIDE, SIDE, NULL, scratch);
    ck_assert_double_le(max_abs_difference(map, other, CELLS), 1e-5);
    ck_assert_double_eq_tol(level.top, again.top, 1e-5);
    memset(inside, 0, sizeof inside);
    level = position_smooth(map, SIDE, SIDE, inside, scratch);
    ck_assert_double_eq(level.top, 0);
    ck_assert_double_eq(level.median, 0);
}
END_TEST

/* A canvas of 48 x 40 pixels with cells at 4 + 8 i, the image on 32 x 40 of it from column 8 on. */
START_TEST(part_of_the_canvas_to_the_image)
{
    enum { ROWS = 5, COLUMNS = 6, WIDTH = 16, HEIGHT = 10 };
    const maps_geometry grid = {
        .rows = ROWS, .columns = COLUMNS, .channels = 1, .stride_y = 8, .stride_x = 8, .offset_y = 4, .offset_x = 4};
    const canvas_place place = {8, 0, 32, 40};
    float map[ROWS * COLUMNS], image[WIDTH * HEIGHT], whole[WIDTH * HEIGHT];
    uint8_t inside[ROWS * COLUMNS];

    for (int i = 0; i < ROWS * COLUMNS; i++) {
        map[i] = (float)(i % COLUMNS * 10 + i / COLUMNS);
        inside[i] = i % COLUMNS >= 1 && i % COLUMNS <= 4;
    }
    position_to_image(map, &grid, NULL, &place, 1, whole, HEIGHT, WIDTH);
    position_to_image(map, &grid, inside, &place, 1, image, HEIGHT, WIDTH);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            double row = fmin(fmax((4 * (y + 0.5) - 4) / 8, 0), ROWS - 1);
            double column = (8 + 2 * (x + 0.5) - 4) / 8;
            ck_assert_double_eq_tol(whole[y * WIDTH + x], 10 * column + row, 1e-4);
            /* Cells of the free part have no weight: the image's outermost cell stays. */
            column = fmin(fmax(column, 1), 4);
            ck_assert_double_eq_tol(image[y * WIDTH + x], 10 * column + row, 1e-4);
        }
    memset(inside, 0, sizeof inside);
    position_to_image(map, &grid, inside, &place, 1, image, HEIGHT, WIDTH);
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        ck_assert_float_eq(image[i], 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("tiles");
    TCase *tests = tcase_create("tiles");

    tcase_add_test(tests, plan_of_tiles);
    tcase_add_test(tests, plans_that_cannot_be);
    tcase_add_test(tests, tiles_that_suit_a_size);
    tcase_add_test(tests, cut_from_the_canvas);
    tcase_add_test(tests, cells_come_from_the_nearer_tile);
    tcase_add_test(tests, features_of_tiles);
    tcase_add_test(tests, place_of_an_image);
    tcase_add_test(tests, letterboxed_canvas);
    tcase_add_test(tests, cells_on_the_image);
    tcase_add_test(tests, what_a_mask_marks);
    tcase_add_test(tests, masks_within_masks);
    tcase_add_test(tests, aspect_of_a_mask);
    tcase_add_test(tests, mask_on_cells_canvas_and_map);
    tcase_add_test(tests, smoothed_inside);
    tcase_add_test(tests, part_of_the_canvas_to_the_image);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
