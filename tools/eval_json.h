/* The figures of an evaluation as JSON: what `differnet eval --json` prints, and its report holds. */
#ifndef DN_TOOLS_EVAL_JSON_H
#define DN_TOOLS_EVAL_JSON_H

#include "evaluation.h"
#include "json_writer.h"

/* One object; key as in json_writer.h. */
void write_eval_json(json_writer *json, const char *key, const evaluation *result);

#endif
