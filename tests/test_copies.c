/* Copies of good images: how many, what they show, and which suit. */
#include <math.h>
#include <string.h>

#include "support.h"
#include "train/copies.h"
#include "train/light.h"

enum { SIDE = 16, FLOATS = SIDE * SIDE * 3 };
static const float mean[3] = {0.4f, 0.5f, 0.6f}, std[3] = {0.2f, 0.25f, 0.3f};

/* A view in which every pixel and channel is another one. */
static void draw_numbers(float *view)
{
    for (int i = 0; i < FLOATS; i++)
        view[i] = (float)(i * 37 % FLOATS) / FLOATS;
}

static void make_copy(const copy_plan *plan, int32_t image, int32_t number, float *view)
{
    image_copy copy = {plan, image, number};
    float scratch[FLOATS];

    copies_change(&copy, SIDE, SIDE, view, scratch);
}

static copy_plan plan_of(int32_t kind, int32_t images, _Bool light)
{
    return copies_planned(kind, images, light, 5, mean, std);
}

START_TEST(planned)
{
    static const int32_t images[] = {1, 16, 40, 64, 100, 400, 100000};
    static const int32_t moved[][7] = {[DN_COPIES_NONE] = {0, 0, 0, 0, 0, 0, 0},
                                       [DN_COPIES_SMALL] = {8, 8, 8, 8, 6, 2, 2},
                                       [DN_COPIES_MIRROR] = {3, 3, 3, 3, 3, 3, 3},
                                       [DN_COPIES_TURN] = {16, 16, 16, 10, 6, 3, 3}};

    for (int32_t kind = DN_COPIES_NONE; kind <= DN_COPIES_TURN; kind++)
        for (int i = 0; i < 7; i++) {
            copy_plan dark = plan_of(kind, images[i], 0), lit = plan_of(kind, images[i], 1);
            ck_assert_int_eq(dark.moved, moved[kind][i]);
            ck_assert_int_eq(dark.count, moved[kind][i]);
            ck_assert_int_eq(lit.moved, moved[kind][i]);
            int32_t most = light_copies(images[i]);
            ck_assert_int_eq(lit.count, most > moved[kind][i] ? most : moved[kind][i]);
        }
}
END_TEST

START_TEST(the_image_itself_stays)
{
    float view[FLOATS], before[FLOATS];

    draw_numbers(before);
    for (int32_t kind = DN_COPIES_NONE; kind <= DN_COPIES_TURN; kind++) {
        copy_plan plan = plan_of(kind, 16, 1);
        memcpy(view, before, sizeof view);
        make_copy(&plan, 3, -1, view);
        ck_assert_mem_eq(view, before, sizeof view);
    }
}
END_TEST

START_TEST(mirrored)
{
    copy_plan plan = plan_of(DN_COPIES_MIRROR, 4, 0);
    float view[FLOATS], before[FLOATS];

    draw_numbers(before);
    for (int32_t copy = 0; copy < 3; copy++) { /* left and right, above and below, both */
        memcpy(view, before, sizeof view);
        make_copy(&plan, copy, copy, view);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                int from_x = copy == 1 ? x : SIDE - 1 - x, from_y = copy == 0 ? y : SIDE - 1 - y;
                for (int c = 0; c < 3; c++)
                    ck_assert_float_eq(view[(y * SIDE + x) * 3 + c], before[(from_y * SIDE + from_x) * 3 + c]);
            }
    }
}
END_TEST

/* Likewise of a view that is not square. */
START_TEST(mirrored_oblong)
{
    enum { ACROSS = 24, DOWN = 10 };
    copy_plan plan = plan_of(DN_COPIES_MIRROR, 4, 0);
    float view[ACROSS * DOWN * 3], before[ACROSS * DOWN * 3], scratch[ACROSS * DOWN * 3];

    for (int i = 0; i < ACROSS * DOWN * 3; i++)
        before[i] = (float)(i * 37 % (ACROSS * DOWN * 3));
    for (int32_t number = 0; number < 3; number++) {
        image_copy copy = {&plan, number, number};
        memcpy(view, before, sizeof view);
        copies_change(&copy, ACROSS, DOWN, view, scratch);
        for (int y = 0; y < DOWN; y++)
            for (int x = 0; x < ACROSS; x++) {
                int from_x = number == 1 ? x : ACROSS - 1 - x, from_y = number == 0 ? y : DOWN - 1 - y;
                for (int c = 0; c < 3; c++)
                    ck_assert_float_eq(view[(y * ACROSS + x) * 3 + c], before[(from_y * ACROSS + from_x) * 3 + c]);
            }
    }
}
END_TEST

/* Where the view's bright spot is, about the centre. */
static void find_spot(const float *view, double *x, double *y)
{
    double sum = 0;

    *x = *y = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        sum += (double)view[3 * i];
        *x += (double)view[3 * i] * (i % SIDE - (SIDE - 1) / 2.0);
        *y += (double)view[3 * i] * (i / SIDE - (SIDE - 1) / 2.0);
    }
    *x /= sum;
    *y /= sum;
}

/* A spot of 2 x 2 pixels whose centre is (right, 0) from the view's centre. */
static void draw_spot(float *view, int right)
{
    memset(view, 0, FLOATS * sizeof *view);
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 3; c++)
            view[((SIDE / 2 - 1 + i / 2) * SIDE + SIDE / 2 - 1 + right + i % 2) * 3 + c] = 1;
}

/* Copies of an image are spread over the circle: one in each equal part of it, none near the image itself. */
START_TEST(turned)
{
    const double pi = 3.14159265358979323846;
    copy_plan plan = plan_of(DN_COPIES_TURN, 40, 0);
    int differing = 0;

    for (int32_t image = 0; image < 3; image++)
        for (int32_t copy = 0; copy < plan.moved; copy++) {
            float view[FLOATS];
            double x, y, step = 2 * pi / (plan.moved + 1);
            draw_spot(view, 2); /* far from the border, beyond which its mirror image is */
            make_copy(&plan, image, copy, view);
            find_spot(view, &x, &y);
            ck_assert_double_eq_tol(hypot(x, y), 2, 0.15);
            double angle = atan2(y, x);
            angle += angle < 0 ? 2 * pi : 0;
            ck_assert_msg(angle > (copy + 0.45) * step && angle < (copy + 1.55) * step, "copy %d: %g", copy,
                          angle / step);
            differing += fabs(angle / step - copy - 1) > 0.1;
        }
    ck_assert_int_ge(differing, 20); /* not all at the same angles */
}
END_TEST

START_TEST(moved_a_little)
{
    copy_plan plan = plan_of(DN_COPIES_SMALL, 40, 0);
    double largest = 0;

    for (int32_t image = 0; image < 20; image++)
        for (int32_t copy = 0; copy < plan.moved; copy++) {
            float view[FLOATS];
            double x, y;
            draw_spot(view, 4);
            make_copy(&plan, image, copy, view);
            find_spot(view, &x, &y);
            double moved = hypot(x - 4, y), most = 4 * 4 * 3.15 / 180 + sqrt(2) * 0.015 * SIDE + 0.01;
            ck_assert_msg(moved <= most, "%g of %g", moved, most);
            largest = fmax(largest, moved);
        }
    ck_assert_double_gt(largest, 0.3);
}
END_TEST

/* Beyond its border a view is continued by its mirror image: a constant view stays constant, a row of one colour too. */
START_TEST(borders)
{
    copy_plan plan = plan_of(DN_COPIES_TURN, 40, 0);
    float view[FLOATS];

    for (int32_t copy = 0; copy < plan.moved; copy++) {
        for (int i = 0; i < FLOATS; i++)
            view[i] = 0.25f * (float)(i % 3);
        make_copy(&plan, 1, copy, view);
        for (int i = 0; i < FLOATS; i++)
            ck_assert_float_eq_tol(view[i], 0.25f * (float)(i % 3), 1e-6f);
    }
}
END_TEST

START_TEST(in_another_light)
{
    copy_plan lit = plan_of(DN_COPIES_MIRROR, 20, 1), dark = plan_of(DN_COPIES_MIRROR, 20, 0);
    int changed = 0, same = 0;

    for (int32_t image = 0; image < 10; image++)
        for (int32_t copy = 0; copy < lit.count; copy++) {
            float with[FLOATS], without[FLOATS];
            draw_numbers(with);
            draw_numbers(without);
            make_copy(&lit, image, copy, with);
            make_copy(&dark, image, copy, without); /* copy 3 is in another light only */
            _Bool differs = memcmp(with, without, sizeof with) != 0;
            ck_assert(differs || copy < lit.moved);
            changed += differs;
            same += !differs;
        }
    ck_assert_int_eq(lit.count, 4);
    ck_assert_int_eq(same, 6); /* one of five of the moved ones */
    ck_assert_int_eq(changed, 34);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("copies");
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, planned);
    tcase_add_test(tests, the_image_itself_stays);
    tcase_add_test(tests, mirrored);
    tcase_add_test(tests, mirrored_oblong);
    tcase_add_test(tests, turned);
    tcase_add_test(tests, moved_a_little);
    tcase_add_test(tests, borders);
    tcase_add_test(tests, in_another_light);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
