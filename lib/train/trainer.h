/* The trainer's insides, for train.c and train_model.c. */
#ifndef DN_TRAIN_TRAINER_H
#define DN_TRAIN_TRAINER_H

#include "differnet/model_notes.h"
#include "train/cross.h"
#include "train/feature_bank.h"
#include "train/train.h"
#include "train/train_images.h"
#include "train/train_positions.h"
#include "train/train_state.h"
#include "train/watch.h"

struct dn_trainer {
    dn_allocator allocator;
    dn_extractor *extractor;  /* reference */
    dn_train_options options; /* `checkpoint` and `runner` are the trainer's own copies */
    asked_options asked;      /* of the options, before what the images decide is set in them */
    dn_runner runner;
    char *bank_path; /* checkpoint + ".bank"; NULL without a checkpoint */
    pool *workers;   /* own; NULL: the caller alone */
    train_images images;
    model_notes notes; /* for the models it makes */

    /* Made by the first run. */
    trained_positions positions; /* empty without options.positions */
    feature_bank *bank;          /* NULL without options.flow; likewise the state */
    _Bool bank_saved;            /* its rows are in their file */
    cross_fit cross;             /* empty if the flow is not cross-fitted */
    _Bool begun;                 /* what a checkpoint holds is there */
    train_state *state; /* of the flow that is being trained: the model's, then each fold's; NULL between them */
    char advice[252];   /* the text that trainer_advice gave last */
    dn_error error;
    atomic_int in_use; /* 1: a call is in progress */
};

/* Decides how to calibrate, splits the images and makes the bank, without rows; nothing if that was done. */
dn_status trainer_prepare(dn_trainer *trainer, dn_error *error);

/* ---- train_model.c ---- */

/* A model from the good weights: images that were not learned from scored, heat map's scale set. */
dn_status train_make_model(dn_trainer *trainer, const train_watch *watch, dn_model **out, dn_error *error);
/* Scores the images of a fold with the flow that was trained without them, which the state holds. */
dn_status train_score_fold(dn_trainer *trainer, int32_t fold, const train_watch *watch, dn_error *error);

#endif
