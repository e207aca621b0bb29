#define _GNU_SOURCE /* sched_getaffinity */
#include "processors.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINE 4096

/* The first line of a file of a control group. */
static bool read_line(const char *root, const char *base, const char *group, const char *file, char *line)
{
    char path[3 * MAX_LINE];

    snprintf(path, sizeof path, "%s/sys/fs/cgroup%s%s/%s", root, base, group, file);
    FILE *stream = fopen(path, "re");
    bool read = stream && fgets(line, MAX_LINE, stream);
    if (stream)
        fclose(stream);
    return read;
}

/* Processors, of two numbers of microseconds; `none` if there is no limit (max, -1) or no sense in them. */
static double share_of(const char *quota, const char *period, double none)
{
    double used = strtod(quota, NULL), of = strtod(period, NULL);

    return used > 0 && of > 0 ? used / of : none;
}

/* What one control group allows, `none` if it sets no limit.  base: where its hierarchy is mounted. */
static double group_limit(const char *root, const char *base, const char *group, double none)
{
    char line[MAX_LINE], period[MAX_LINE];

    if (read_line(root, base, group, "cpu.max", line)) {
        const char *blank = strchr(line, ' ');
        return blank ? share_of(line, blank, none) : none;
    }
    if (read_line(root, base, group, "cpu.cfs_quota_us", line) &&
        read_line(root, base, group, "cpu.cfs_period_us", period))
        return share_of(line, period, none);
    return none;
}

/* The least that a group and those above it allow.  In a container the groups above may not be seen, and its own stands
 * at the top. */
static double path_limit(const char *root, const char *base, char *group, double least)
{
    for (;;) {
        double limit = group_limit(root, base, group, least);
        least = limit < least ? limit : least;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* Whether "cpu" is among the controllers of a line "4:cpu,cpuacct:/path". */
static bool has_cpu(const char *controllers)
{
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == '\0'))
            return true;
    }
    return false;
}

int32_t quota_processors(const char *root)
{
    static const char *const bases[] = {"", "/unified", "/cpu", "/cpu,cpuacct", "/cpuacct,cpu"};
    char path[MAX_LINE], line[MAX_LINE];
    double least = INT32_MAX;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *groups = fopen(path, "re");
    while (groups && fgets(line, sizeof line, groups)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        bool version_2 = controllers[1] == '\0';
        for (size_t i = version_2 ? 0 : 2; i < (version_2 ? 2 : sizeof bases / sizeof bases[0]); i++) {
            char copy[MAX_LINE];
            snprintf(copy, sizeof copy, "%s", group);
            if (version_2 || has_cpu(controllers + 1))
                least = path_limit(root, bases[i], copy, least);
        }
    }
    if (groups)
        fclose(groups);
    return least >= INT32_MAX ? INT32_MAX : (int32_t)least + (least > (int32_t)least);
}

int32_t usable_processors(void)
{
    cpu_set_t set;

    /* More than 1024 processors do not fit into cpu_set_t: the call fails, and the most that are taken are there. */
    int32_t count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : MOST_THREADS;
    int32_t quota = quota_processors("");
    count = quota < count ? quota : count;
    return count < 1 ? 1 : count > MOST_THREADS ? MOST_THREADS : count;
}
