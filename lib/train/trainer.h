/* The trainer's insides, shared by train.c, train_images.c, train_model.c, bank.c and checkpoint.c. */
#ifndef DN_TRAIN_TRAINER_H
#define DN_TRAIN_TRAINER_H

#include "base/pool.h"
#include "base/rng.h"
#include "train/train.h"
#include "flow/flow_train.h"

/* Images whose canvases are in memory at once, at most. */
#define TRAIN_CANVASES 16

/* A good image: a path to decode when needed, or what is needed of the caller's pixels. */
typedef struct train_image {
    char *path;       /* NULL if pixels were added */
    uint16_t *canvas; /* (size, size, 3); NULL if a path was added */
    uint32_t crc;     /* of size, format and pixels: tells images of a checkpoint apart */
} train_image;

/* What changes while the flow trains; with its weights and the optimiser's moments, all that a checkpoint holds. */
typedef struct train_state {
    int32_t epoch;    /* epochs that went well */
    int64_t position; /* images that the epoch in progress has seen, over all its passes; 0: between epochs */
    rng generator;    /* RNG_TRAIN_ORDER: order of images, choice of views, noise */
    uint32_t *order;  /* (train_count): the training images in the order of the pass in progress */
    double loss_sum;  /* of the images that the epoch in progress has seen */
    double loss;      /* mean of the last good epoch; NaN before it */
    float *good;      /* (flow_parameters): the weights after `epoch` epochs */
} train_state;

struct dn_trainer {
    dn_allocator allocator;
    dn_extractor *extractor;  /* reference */
    dn_train_options options; /* `checkpoint` and `runner` are the trainer's own copies */
    dn_runner runner;
    char *bank_path;          /* checkpoint + ".bank"; NULL without a checkpoint */
    pool *workers;            /* own; NULL: the caller alone */
    train_image *images;      /* (count), in order of addition */
    int32_t count, capacity;

    /* Made by the first run: no image can be added after it. */
    int32_t *split;           /* (count): training images first, then held-out ones, each in order of addition */
    int32_t train_count, holdout_count;

    /* Views and features (bank.c) */
    float **scratch;             /* (threads): what the CNN needs, per worker */
    struct bank_slot *slots;     /* (TRAIN_CANVASES) */
    struct view_request *requests;
    float *bank;      /* (train_count, views, dim); NULL if not needed or not yet begun */
    int32_t banked;   /* training images whose rows are complete */
    _Bool bank_saved;
    float *mean;      /* (dim); NULL until known */
    float *deviation; /* (dim) */

    /* Training (train.c) */
    dn_flow *flow;
    flow_optimiser *optimiser; /* its options.learning_rate is that of the last step */
    float *rows;      /* (images of a batch * batch_views, dim) */
    train_state state;
    _Bool diverged;   /* the weights are state.good again, the moments are not: no way on */
    dn_error error;
};

/* Who wants to know how far the run is. */
typedef struct train_watch {
    dn_progress_fn function; /* may be NULL */
    void *user;
} train_watch;

/* Tells the watcher; DN_E_CANCELLED if it asks to stop.  loss: NaN where there is none. */
dn_status train_report(const train_watch *watch, int32_t phase, int64_t done, int64_t total, double loss,
                       dn_error *error);

/* Images that an epoch shows: the training images, once or several times (dn_train_options.epoch_steps). */
int64_t train_epoch_images(const dn_trainer *trainer);

/* ---- train_images.c ---- */

/* Name of an image for messages: its path, or "image N" (counted from 1) in `buffer`. */
#define TRAIN_LABEL 32
const char *train_image_label(const dn_trainer *trainer, int32_t image, char buffer[TRAIN_LABEL]);
/* *canvas: the image stretched to (size, size, 3), in `buffer` (as large) or kept since it was added. */
dn_status train_image_canvas(const dn_trainer *trainer, int32_t image, uint16_t *buffer, const uint16_t **canvas,
                             dn_error *error);
/* Chooses the held-out images: fills split, train_count and holdout_count. */
dn_status train_images_split(dn_trainer *trainer, dn_error *error);

/* ---- train_model.c ---- */

/* A model from state.good: held-out images scored, heat map's scale set. */
dn_status train_make_model(dn_trainer *trainer, const train_watch *watch, dn_model **out, dn_error *error);

#endif
