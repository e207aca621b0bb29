/* Which images show one part, by their file names. */
#ifndef DN_TOOLS_PART_NAMES_H
#define DN_TOOLS_PART_NAMES_H

enum part_rule { PARTS_NONE, PARTS_FOLDER, PARTS_PREFIX };

/* What the option calls them, for find_name. */
extern const char *const part_rule_names[];
/* The name of the part that an image shows, to be freed; NULL: it is a part of its own.  By folder: that of the file.  By
 * prefix: the file's folder and its name without the ending, the number at its end and what separates it (of
 * "a/bolt-07_3.png" it is "a/bolt-07"); a name that is all number has none. */
char *part_name(const char *path, enum part_rule rule);

#endif
