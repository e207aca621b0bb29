/* One training of differnet train: from a folder of images to the model's file. */
#ifndef DN_TOOLS_TRAIN_RUN_H
#define DN_TOOLS_TRAIN_RUN_H

#include "command.h"
#include "dataset.h"
#include "json_writer.h"
#include "part_names.h"
#include "region.h"

typedef struct train_job {
    const char *data, *output, *backbone; /* backbone NULL: the built-in one */
    const dn_model *like;                 /* whose backbone, mask and notes are taken instead; NULL: none */
    const image_list *listed;             /* the images, if they are listed already; NULL: those of `data` */
    int32_t images;                       /* 0: all */
    enum part_rule parts;
    bool half, quiet, as_json, recursive;
    text_list notes; /* KEY=VALUE */
    region region;   /* opened */
    dn_extractor_options extracting;
    dn_train_options training; /* but for `checkpoint` */
    char *checkpoint, *bank;   /* OUTPUT.ckpt, OUTPUT.ckpt.bank: train_run's own */
} train_job;

/* What a training came to. */
typedef struct trained_model {
    dn_model_info info;
    int64_t bytes; /* of its file */
    double seconds;
} trained_model;

enum train_outcome {
    TRAIN_DONE,
    TRAIN_FAILED,  /* by its data, by its output, or interrupted */
    TRAIN_REFUSED, /* by its options: with other images it would be no different */
};

/* Whether the files that a training writes (the model, its checkpoint) can be written; complains if not. */
bool check_train_output(const char *output);
/* Learns from the images and writes the model.  Complains unless it is done. */
enum train_outcome train_run(const train_job *given, trained_model *trained);

/* Prints what a training came to (nothing with as_json or quiet), and what the model's verdicts can promise; warns where
 * that is less than they are asked for by default. */
void report_trained(const train_job *job, const trained_model *trained);
/* The members of the JSON object of a training. */
void emit_trained(json_writer *json, const char *output, const trained_model *trained);
/* The smallest rate of false alarms that verdicts can keep; NaN without good scores. */
double smallest_rate(const dn_model_info *info);

/* The first Ctrl-C (or a service's TERM, or the HUP of a terminal that goes away) ends training in order; the second
 * one at once.  What was ignored when the command began (nohup, a shell's background) stays ignored. */
void catch_signals(void);
bool was_interrupted(void);

#endif
