#include <stdio.h>

#include "eval_images.h"

#include <math.h>
#include <stdlib.h>

#include "csv_writer.h"
#include "output.h"

void image_rows_begin(image_rows *self)
{
    self->file = memory_stream_open(&self->memory);
    if (self->file)
        fputs("category,path,label,score,index,threshold,anomalous,warnings\n", self->file);
}

void image_rows_add(image_rows *self, const char *category, const evaluation *result)
{
    const test_set *set = result->set;

    for (size_t i = 0; self->file && i < set->count; i++) {
        const test_image *image = &set->images[i];
        char *warnings = warning_texts(result->image_warnings[i], "; ");
        csv_text(self->file, category);
        putc(',', self->file);
        csv_text(self->file, image->path);
        putc(',', self->file);
        csv_text(self->file, image->defect < 0 ? "good" : set->defects[image->defect]);
        csv_number(self->file, result->scores[i]);
        csv_number(self->file, result->indices[i]);
        csv_number(self->file, result->threshold);
        fprintf(self->file, ",%s,",
                isnan(result->threshold)                ? ""
                : result->scores[i] > result->threshold ? "true"
                                                        : "false");
        csv_text(self->file, warnings);
        putc('\n', self->file);
        free(warnings);
    }
}

bool image_rows_end(image_rows *self, const char *path)
{
    bool good = self->file && memory_stream_close(&self->memory, self->file);

    if (!good)
        complain("out of memory");
    else if (path)
        good = write_whole_file(path, self->memory.text, self->memory.size);
    free(self->memory.text);
    return good;
}
