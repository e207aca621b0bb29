#include "part_names.h"

#include <string.h>

#include "command.h"

const char *const part_rule_names[] = {
    [PARTS_NONE] = "none", [PARTS_FOLDER] = "folder", [PARTS_PREFIX] = "prefix", NULL};

char *part_name(const char *path, enum part_rule rule)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *end = strrchr(name, '.');

    if (rule == PARTS_NONE)
        return NULL;
    if (rule == PARTS_FOLDER)
        return slash ? need_text("%.*s/", (int)(slash - path), path) : need_text("./");
    if (!end || end == name)
        end = name + strlen(name);
    const char *digits = end;
    while (digits > name && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    if (digits == end) /* no number at its end: the name itself */
        return need_text("%.*s", (int)(end - path), path);
    while (digits > name && strchr("_-. ", digits[-1]))
        digits--;
    return digits > name ? need_text("%.*s", (int)(digits - path), path) : NULL;
}
