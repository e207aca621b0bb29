/* The deployable whole: extractor, densities, scores of good images that were not learned from, heat-map scales. */
#ifndef DN_DIFFERNET_MODEL_H
#define DN_DIFFERNET_MODEL_H

#include <stdatomic.h>

#include "cnn/extractor.h"
#include "differnet/calibration.h"
#include "differnet/density.h"
#include "differnet/model_notes.h"
#include "differnet/model_points.h"
#include "differnet/seen.h"
#include "differnet/tiles.h"
#include "flow/flow.h"
#include "image/canvas.h"
#include "image/mask.h"
#include "positions/positions.h"

#define MODEL_FORMAT 5         /* highest version of the file format that is read; with flow.weight or oblong inputs */
#define MODEL_FORMAT_DETAILS 4 /* that is written with details, without these */
#define MODEL_FORMAT_SHAPED 3  /* that is written without them */
#define MODEL_FORMAT_PLAIN 2   /* that is written where model_is_plain */
#define MODEL_MAX_HOLDOUT (1 << 24) /* scores of held-out images */
#define MODEL_MAX_VIEWS 1024
#define MODEL_MAX_FOLDS 100 /* that can be asked for */
#define MODEL_MAX_SHARE 0.5 /* of the images, kept out */

/* What the training was asked for, where it decides by the images or what came of it may change: so that a model like
 * it decides by its own. */
typedef struct asked_options {
    _Bool known; /* not in files of old */
    int32_t calibration, folds, copies, details, duplicates;
    double holdout;
} asked_options;

/* What the trainer knows besides the weights; stored as metadata. */
typedef struct model_facts {
    int32_t views, angles; /* scoring defaults */
    int32_t standardized;
    int32_t train_images, epochs, bank;
    uint64_t seed;
    double final_loss;      /* NaN: not known */
    double heatmap_scale;   /* of the gradient's map; 0: not known */
    double positions_scale; /* of the positions' map; 0: not known */
    part_standard standards[PARTS];
    double flow_weight;         /* of the flow's part beside the positions' (parts_combine) */
    double whole_share;         /* of the map's level that its highest values rise with (position_scores) */
    int32_t calibration, folds; /* DN_CALIBRATION_...: where the scores of good images come from; 0: not known */
    asked_options asked;
    canvas_range range;                   /* of 16-bit pixels */
    int32_t tile_columns, tile_rows, fit; /* how images are laid before the network; 0, 0: one tile */
    char preset[16];                      /* "" in files of format 1 */
    int32_t copies;                       /* DN_COPIES_... that the positions learned, too; DN_COPIES_AUTO: not known */
    char library[16];
} model_facts;

struct dn_model {
    atomic_int references;
    dn_allocator allocator;
    dn_extractor *extractor;
    dn_flow *flow;           /* NULL: no such density */
    float *mean, *deviation; /* (feature_dim); 0 and 1 if not standardised; NULL without a flow */
    positions *positions;    /* NULL: no such density */
    tile_plan plan;          /* of the facts */
    double *holdout_scores;  /* (holdout_count), ascending: of the model's own number of views */
    int32_t holdout_count;
    calibration *calibration; /* what they come from, (holdout_count) rows; NULL: not known (files of old) */
    int32_t storage;          /* DN_STORAGE_... of the file it came from; F32 for a new model */
    uint32_t id;              /* see model_seal */
    model_facts facts;
    model_notes notes;
    double *peaks; /* (peak_count), ascending: highest values of the positions' maps of good images; NULL: not known */
    int32_t peak_count;
    seen_images seen; /* what the good images were like */
    model_points points;
    image_mask mask; /* of all images; width 0: none */
};

/* A model without any density yet; takes a reference to the extractor. */
dn_status model_create(dn_extractor *extractor, const model_facts *facts, const dn_allocator *allocator, dn_model **out,
                       dn_error *error);
/* Gives it the flow: takes a reference, copies mean and deviation (feature_dim each).  DN_E_ARGUMENT if they do not fit
 * the extractor or a deviation is not a positive number. */
dn_status model_set_flow(dn_model *model, dn_flow *flow, const float *mean, const float *deviation, dn_error *error);
/* A model with a flow alone: both of the above in one. */
dn_status model_create_with_flow(dn_extractor *extractor, dn_flow *flow, const float *mean, const float *deviation,
                                 const model_facts *facts, const dn_allocator *allocator, dn_model **out,
                                 dn_error *error);
/* Gives it the density at every position: takes a reference.  DN_E_ARGUMENT if it does not fit the extractor's maps. */
dn_status model_set_positions(dn_model *model, positions *density, dn_error *error);
/* Whether images are simply stretched to one input, in their whole range, and count everywhere: older versions read the
 * file rightly. */
_Bool model_is_plain(const dn_model *model);
/* A model that nobody shares yet, of the same parts, facts and scores of good images; without notes and points. */
dn_status model_copy(const dn_model *from, const dn_allocator *allocator, dn_model **out, dn_error *error);
/* Whether it has a density (enum density). */
_Bool model_has(const dn_model *model, int density);
/* Replaces the held-out scores (sorted here; DN_E_NUMERIC if one is negative or not finite) or the heat map's scale of
 * a model that nobody shares yet. */
dn_status model_set_holdout(dn_model *model, const double *scores, int32_t count, dn_error *error);
/* Likewise by what they come from, whose score the facts' standards give: takes it over if it succeeds. */
dn_status model_set_calibration(dn_model *model, calibration *rows, dn_error *error);
/* The scores of a calibration's rows in ascending order, as a scorer of so many views gives them.  scores: (count). */
void model_calibrated_scores(const dn_model *model, const calibration *rows, int32_t views, double *scores);
void model_set_heatmap_scale(dn_model *model, double scale);
/* Copies and sorts the highest values of good images' maps; DN_E_NUMERIC if one is negative or not finite. */
dn_status model_set_peaks(dn_model *model, const double *peaks, int32_t count, dn_error *error);
/* Computes model->id as that of the file that a save with DN_STORAGE_F32 writes.  Called when the model is complete.
 * An opened model's id is that of its file: the same as the saved model's for F32 storage; a F16 file has rounded
 * weights, and so an id of its own. */
dn_status model_seal(dn_model *model, dn_error *error);
/* The id: crc32 of `tensors`, the crc32 of all tensor bytes in the file, and of the settings that a score or a map
 * depends on (docs/format.md). */
uint32_t model_id(const dn_model *model, uint32_t tensors);

dn_model *model_ref(dn_model *model);
void model_unref(dn_model *model);

/* ---- model_write.c, model_file.c ---- */

/* Adds the model's tensors and metadata to a file being written.  *scratch must live until that is done (mem_free with
 * the extractor's allocator). */
dn_status model_to_writer(const dn_model *model, int32_t storage, st_writer *writer, float **scratch, dn_error *error);

dn_status model_open_path(const char *path, const dn_model_options *options, dn_model **out, dn_error *error);
dn_status model_open_memory(const void *bytes, size_t size, const dn_model_options *options, dn_model **out,
                            dn_error *error);
dn_status model_save(const dn_model *model, const char *path, int32_t storage, dn_error *error);
dn_status model_save_memory(const dn_model *model, int32_t storage, dn_blob **out, dn_error *error);

#endif
