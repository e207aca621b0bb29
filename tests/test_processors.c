/* How many processors a container's quota pays for: control groups of both versions, as files in a folder. */
#include "../tools/processors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support.h"

static const char *root;

/* A file below the root, with its folders. */
static void put(const char *name, const char *text)
{
    char path[1000];

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    write_file(path, text, strlen(text));
}

static int32_t quota(void)
{
    return quota_processors(root);
}

START_TEST(test_none)
{
    root = test_folder();
    ck_assert_int_eq(quota(), INT32_MAX);
    put("proc/self/cgroup", "0::/\n");
    ck_assert_int_eq(quota(), INT32_MAX);
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    ck_assert_int_eq(quota(), INT32_MAX);
    put("proc/self/cgroup", "nonsense\n::\n4:cpu\n");
    ck_assert_int_eq(quota(), INT32_MAX);
}
END_TEST

START_TEST(test_version_2)
{
    static const struct {
        const char *line;
        int32_t processors;
    } cases[] = {{"200000 100000\n", 2},  {"150000 100000\n", 2},   {"100001 100000\n", 2},      {"100000 100000\n", 1},
                 {"1000 100000\n", 1},    {"6400000 50000\n", 128}, {"max 100000\n", INT32_MAX}, {"\n", INT32_MAX},
                 {"200000\n", INT32_MAX}, {"-5 0\n", INT32_MAX}};

    root = test_folder();
    put("proc/self/cgroup", "0::/\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("sys/fs/cgroup/cpu.max", cases[i].line);
        ck_assert_int_eq(quota(), cases[i].processors);
    }
}
END_TEST

/* A group is held to the limits of those above it. */
START_TEST(test_groups_above)
{
    root = test_folder();
    put("proc/self/cgroup", "0::/system.slice/line.service/worker\n");
    put("sys/fs/cgroup/system.slice/line.service/worker/cpu.max", "max 100000\n");
    ck_assert_int_eq(quota(), INT32_MAX);
    put("sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n");
    ck_assert_int_eq(quota(), 3);
    put("sys/fs/cgroup/system.slice/line.service/worker/cpu.max", "800000 100000\n");
    ck_assert_int_eq(quota(), 3);
    put("sys/fs/cgroup/system.slice/line.service/cpu.max", "50000 100000\n");
    ck_assert_int_eq(quota(), 1);
}
END_TEST

START_TEST(test_version_1)
{
    root = test_folder();
    put("proc/self/cgroup", "5:memory:/docker/abc\n4:cpuacct,cpu:/docker/abc\n3:cpuset:/other\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"); /* the container's own group is the topmost it sees */
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    ck_assert_int_eq(quota(), INT32_MAX);
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
    ck_assert_int_eq(quota(), 3);
    put("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "200000\n");
    ck_assert_int_eq(quota(), 3); /* without a period it says nothing */
    put("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
    ck_assert_int_eq(quota(), 2);
    put("proc/self/cgroup", "4:cpuset:/docker/abc\n");
    ck_assert_int_eq(quota(), INT32_MAX);
}
END_TEST

START_TEST(test_usable)
{
    ck_assert_int_ge(usable_processors(), 1);
    ck_assert_int_le(usable_processors(), MOST_THREADS);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("processors");
    TCase *quotas = tcase_create("quotas");

    tcase_add_test(quotas, test_none);
    tcase_add_test(quotas, test_version_2);
    tcase_add_test(quotas, test_groups_above);
    tcase_add_test(quotas, test_version_1);
    tcase_add_test(quotas, test_usable);
    suite_add_tcase(suite, quotas);
    return suite;
}

TEST_MAIN(make_suite)
